// SIGKILL at every step of link, rotate, remove and updateWebhook, with the answer lost on the way or not, over both
// databases; then the keeper is opened again, and nothing may be wrong or left open. Escrow and database are given the
// answer at the same time: either is killed as the first and as the second to have it. Where a first death leaves most to
// do, it is killed again at every step of the recovery.

import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createSandbox, type Sandbox } from "@sett/sandbox";
import type { Keeper } from "../src/keeper.ts";
import type { Order } from "./crash-keeper.ts";
import { all, runProgram, upTo } from "./children.ts";
import { configFor, open, publicToken, value, violations } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const program = join(import.meta.dirname, "crash-keeper.ts");
const paths = {
  link: "/item/public_token/exchange",
  rotate: "/item/access_token/invalidate",
  remove: "/item/remove",
  webhook: "/item/webhook/update",
} as const;
type What = keyof typeof paths;

const { places, copies, remove, escrowFolder, copyFolder } = testPlaces("crash");

/** Runs the program. Gives the steps it came to, and whether it was killed at the last of them. */
async function run(order: Order): Promise<{ readonly killed: boolean; readonly steps: readonly string[] }> {
  const { killed, stdout } = await runProgram(program, order);
  return { killed, steps: stdout.split("\n").slice(0, -1) };
}

/** An Item, and the keeper closed: where each crash begins, with a copy of it all. */
async function begin(place: keyof typeof places) {
  const sandbox = await createSandbox();
  const [url, escrow] = [await places[place](), escrowFolder()];
  const plaid = configFor(sandbox);
  const keeper = await open(url, escrow, plaid);
  const { item_id } = value(await keeper.link(await publicToken(plaid)));
  await keeper.close();
  const snapshot = sandbox.control.snapshot();
  await sandbox.close();
  return { url, escrow, item_id, snapshot };
}
const beginnings: { [Place in keyof typeof places]?: ReturnType<typeof begin> } = {};

async function prepare(
  place: keyof typeof places,
): Promise<{ sandbox: Sandbox; order: Omit<Order, "what" | "killAt" | "drop" | "first"> }> {
  const { url, escrow, item_id, snapshot } = await (beginnings[place] ??= begin(place));
  const sandbox = await createSandbox();
  sandbox.control.restore(snapshot);
  const { url: baseUrl } = await sandbox.listen();
  const public_token = await publicToken(configFor(sandbox));
  const folder = await copyFolder(escrow);
  return { sandbox, order: { url: await copies[place](url), folder, baseUrl, item_id, public_token } };
}

interface Case {
  readonly what: What;
  readonly drop: boolean;
  readonly first: Order["first"];
  /** Of the first process, and of one that recovers after it; 0 for never. */
  readonly killAt: number;
  readonly killRecoveryAt: number;
}

/** Dies, recovers, and looks at what is left. Gives the steps of both. */
async function crash(place: keyof typeof places, { what, drop, first, killAt, killRecoveryAt }: Case) {
  const { sandbox, order } = await prepare(place);
  try {
    const dropped = drop ? paths[what] : null;
    const { steps, killed } = await run({ ...order, what, killAt, drop: dropped, first });
    const recovering = { ...order, what: "recover", killAt: killRecoveryAt, drop: null, first } as const;
    const recovered = killRecoveryAt > 0 ? await run(recovering) : { steps: [], killed: false };

    const keeper = await open(order.url, order.folder, configFor(sandbox));
    try {
      const recovery = value(keeper.recovered);
      const removals = new Set(what === "remove" ? [order.item_id] : []);
      const said = await violations(sandbox, keeper, { removals });
      if (recovery.open.length + recovery.underWay > 0) said.push(`left open: ${JSON.stringify(recovery)}`);
      const intents = await keeper.database.sql.selectFrom("intents").selectAll().execute();
      if (intents.some(({ outcome }) => outcome === null)) said.push("an intent is open");
      if (what === "rotate") said.push(...(await askedAgain(keeper, sandbox, order.item_id)));
      const givenUp = intents.some(({ outcome }) => outcome === "lost" || outcome === "stranded");
      return { said, givenUp, steps, killed, recovered };
    } finally {
      await keeper.close();
    }
  } finally {
    await sandbox.close();
    await remove[place](order.url);
  }
}

/** Whoever asked for the rotation asks once more, for he never heard: it is not made twice. */
async function askedAgain(keeper: Keeper, sandbox: Sandbox, itemId: string): Promise<string[]> {
  const done = await keeper.rotate(itemId, { from: 1 });
  if (!done.ok) return done.error.kind === "stranded" ? [] : [`asked again: ${JSON.stringify(done.error)}`];
  const said = await violations(sandbox, keeper, { removals: new Set() });
  if (done.value.token_version !== 2) said.push(`asked again: token ${done.value.token_version}`);
  return said;
}

const orders = ["database", "escrow"] as const;
const cases = (["link", "rotate", "remove", "webhook"] as const).flatMap((what) => {
  const givesToken = what === "link" || what === "rotate";
  const whole = (givesToken ? orders : orders.slice(0, 1)).map((first) => {
    return { what, drop: false, first, name: givesToken ? `${what}, the ${first} first` : what };
  });
  return [...whole, { what, drop: true, first: "database" as const, name: `${what}, its answer lost` }];
});
/** What comes at the end may take a step more or less, as nobody waits for it. */
const more = 2;

for (const place of ["SQLite", "PostgreSQL"] as const) {
  describe(`SIGKILL at every step: ${place}`, () => {
    for (const { what, drop, first, name } of cases) {
      test(name, async (t) => {
        const whole = await crash(place, { what, drop, first, killAt: 0, killRecoveryAt: 0 });
        assert.deepEqual(whole.said, []);
        const complaints: string[] = [];
        let deaths = 0;
        await all(upTo(whole.steps.length + more), async (killAt) => {
          const one = await crash(place, { what, drop, first, killAt, killRecoveryAt: 0 });
          if (one.killed) deaths++;
          const at = `${killAt}, ${one.steps.at(-1)}`;
          complaints.push(...one.said.map((said) => `${at}: ${said}`));
          const isKept = one.steps.some((step) => /: (escrowed|committed)$/.test(step));
          if (one.givenUp && !drop && isKept) complaints.push(`${at}: given up, though it was kept`);
        });
        assert.deepEqual(complaints, []);
        assert.ok(deaths >= whole.steps.length - more, `${deaths} deaths`);
        t.diagnostic(`${deaths} deaths`);
      });
    }

    // Where most is left to do: a token in the escrow alone, and a call that nobody knows of. On one database: what
    // differs between the two is the commit, and each has been killed around that above.
    if (place !== "SQLite") return;
    for (const [what, at] of [
      ["link", "link: escrowed"],
      ["rotate", "rotate: escrowed"],
      ["rotate", "rotate: intended"],
    ] as const) {
      test(`killed at "${at}", and again at every step of the recovery`, async (t) => {
        const dying = { what, drop: false, first: "escrow" } as const;
        const whole = await crash(place, { ...dying, killAt: 0, killRecoveryAt: 0 });
        const killAt = whole.steps.indexOf(at) + 1;
        assert.ok(killAt > 0);
        const once = await crash(place, { ...dying, killAt, killRecoveryAt: 1_000 });
        assert.deepEqual(once.said, []);
        const complaints: string[] = [];
        await all(upTo(once.recovered.steps.length), async (killRecoveryAt) => {
          const { said, recovered } = await crash(place, { ...dying, killAt, killRecoveryAt });
          complaints.push(...said.map((one) => `${killRecoveryAt}, ${recovered.steps.at(-1)}: ${one}`));
        });
        assert.deepEqual(complaints, []);
        t.diagnostic(`${once.recovered.steps.length} second deaths`);
      });
    }
  });
}
