// What only several processes, or the death of the database's own, can show.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { createSandbox } from "@sett/sandbox";
import { runProgram } from "./children.ts";
import type { Told, Traffic } from "./lifecycle-traffic.ts";
import { configFor, failure, open, publicToken, value, violations } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const program = join(import.meta.dirname, "lifecycle-traffic.ts");

const { places, escrowFolder, kill9, restart } = testPlaces("traffic");

async function run(traffic: Traffic): Promise<Told> {
  return JSON.parse((await runProgram(program, traffic)).stdout) as Told;
}

for (const [name, empty] of Object.entries(places)) {
  test(`two processes, 1 000 calls each at once on 50 Items: ${name}`, async (t) => {
    const sandbox = await createSandbox();
    const plaid = configFor(sandbox);
    const [url, escrow] = [await empty(), escrowFolder()];
    const keeper = await open(url, escrow, plaid);
    const items = await Promise.all(
      Array.from({ length: 50 }, async () => value(await keeper.link(await publicToken(plaid))).item_id),
    );
    const { url: baseUrl } = await sandbox.listen();
    const removed = 10;
    const traffic = { url, folder: escrow, baseUrl, items, removed, calls: 1_000 };
    const told = await Promise.all([run({ ...traffic, offset: 0 }), run({ ...traffic, offset: 3 })]);
    assert.deepEqual(
      told.flatMap(({ bad }) => bad),
      [],
    );
    let rotations = 0;
    for (const [index, item_id] of items.entries()) {
      const asked = told.reduce((sum, { rotations }) => sum + (rotations[item_id] ?? 0), 0);
      const { token_version, state } = value(await keeper.find(item_id));
      assert.equal(token_version, 1 + asked, "each rotation that was asked for was made once");
      assert.equal(state, index < removed ? "removed" : "healthy");
      rotations += asked;
    }
    const removals = new Set(items.slice(0, removed));
    assert.deepEqual(await violations(sandbox, keeper, { removals }), []);
    t.diagnostic(`${rotations} rotations, ${told.reduce((sum, { used }) => sum + used, 0)} uses`);
    await keeper.close();
    await sandbox.close();
  });
}

test("PostgreSQL killed between Plaid's answer and the commit: every token comes from the escrow", async () => {
  const sandbox = await createSandbox();
  const plaid = configFor(sandbox);
  const url = await places.PostgreSQL();
  let waiting: (() => void)[] = [];
  let armed: string | undefined;
  /** All have their answers before the database dies, and none goes on before it is dead. */
  const at = async (step: string) => {
    if (step !== armed) return;
    await new Promise<void>((resolve) => {
      waiting.push(resolve);
      if (waiting.length < 50) return;
      void kill9().then(() => waiting.forEach((go) => go()));
    });
  };
  const keeper = await open(url, escrowFolder(), plaid, { at });
  const tokens = await Promise.all(Array.from({ length: 50 }, () => publicToken(plaid)));
  const fifty = async (step: string, work: (index: number) => Promise<unknown>) => {
    armed = step;
    waiting = [];
    const outcomes = await Promise.all(Array.from({ length: 50 }, (_, index) => work(index)));
    armed = undefined;
    for (const outcome of outcomes as Awaited<ReturnType<typeof keeper.rotate>>[]) {
      const said = failure(outcome);
      assert.ok(said.kind === "pending" && said.kept === "escrow", JSON.stringify(said));
    }
    await restart();
    const recovery = value(await keeper.recover());
    assert.equal(recovery.adopted.length, 50);
    assert.deepEqual([recovery.open, recovery.bad], [[], []]);
    assert.deepEqual(await violations(sandbox, keeper, { removals: new Set() }), []);
    return recovery.adopted;
  };
  const items = await fifty("link: answered", (index) => keeper.link(tokens[index]!));
  await fifty("rotate: answered", (index) => keeper.rotate(items[index]!));
  for (const item_id of items) {
    assert.equal(value(await keeper.find(item_id)).token_version, 2);
    value(await keeper.get(item_id));
  }
  await keeper.close();
  await sandbox.close();
});
