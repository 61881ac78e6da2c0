// The keeper as a whole, over a sandbox that sends it webhooks: what Plaid tells of an Item shows in the Item, and is told
// on to subscribers, whether it came before the Item was linked or after a restart.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createSandbox } from "@sett/sandbox";
import { Sandbox as Make, unwrap } from "sett";
import type { Keeper } from "../src/keeper.ts";
import { configFor, open, value } from "./lifecycle-world.ts";

test("an Item's news arrive, change its state and are told on, over a restart", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "sett-keeper-"));
  let keeper: Keeper | undefined;
  const sandbox = await createSandbox({
    now: Date.now(),
    deliver: async (request) => (keeper ? keeper.receive(request) : new Response(null, { status: 503 })),
  });
  const { clock } = sandbox.control;
  const plaid = configFor(sandbox);
  const reopen = async () => {
    await keeper?.close();
    keeper = await open(folder, join(folder, "escrow"), plaid, { now: clock.now });
    return keeper;
  };
  t.after(async () => {
    await keeper?.close();
    await sandbox.close();
    await rm(folder, { recursive: true });
  });

  const first = await reopen();
  // INITIAL_UPDATE comes before the public token is exchanged: the keeper does not know the Item yet.
  const webhook = "https://keeper.example/plaid";
  const { public_token } = unwrap(
    await Make.createPublicToken("ins_109508", ["transactions"], plaid, { webhook }),
  );
  await clock.advance(2_000);
  const { item_id } = value(await first.link(public_token, { userId: "u_42" }));
  assert.equal(value(await first.find(item_id)).state, "healthy");

  sandbox.control.items.loginRequired(item_id);
  await clock.advance(1_000);
  value(await first.recover());
  await first.close();
  keeper = undefined;

  const second = await reopen();
  assert.equal(value(await second.find(item_id)).state, "login_required");
  const again: string[] = [];
  await new Promise<void>((resolve) => {
    second.subscribe("audit", (event) => {
      again.push(event.kind);
      if (event.kind === "item.state") resolve();
    });
  });
  assert.ok(again.includes("item.linked"));

  sandbox.control.items.repairLogin(item_id);
  await clock.advance(1_000);
  await second.close();
  keeper = undefined;
  const third = await reopen();
  assert.equal(value(await third.find(item_id)).state, "healthy");

  // What nobody was there to receive is seen in an answer of Plaid's own.
  sandbox.control.items.loginRequired(item_id);
  const answer = value(await third.get(item_id));
  await clock.advance(1_000);
  assert.equal(value(await third.observe(item_id, { kind: "answer", answer, at: clock.now() })), true);
  assert.equal(value(await third.find(item_id)).state, "login_required");

  // And the end of update mode, of which no webhook tells, from the page that ran it.
  sandbox.control.items.completeUpdateMode(item_id);
  await clock.advance(1_000);
  value(await third.observe(item_id, { kind: "updated", accountsSelected: false, at: clock.now() }));
  assert.equal(value(await third.find(item_id)).state, "healthy");
});
