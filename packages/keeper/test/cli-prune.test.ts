// `sett prune` deletes only after it has said how much, and only with a yes; it needs no credentials of Plaid's.

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { cliWorld, terminalInput } from "./cli-world.ts";

const DAY = 24 * 3_600_000;
const missing = { PLAID_CLIENT_ID: undefined, PLAID_SECRET: undefined, SETT_PLAID_URL: undefined };

/** Two Items with two audits, a hundred days ago. */
async function withPast(t: TestContext) {
  const world = await cliWorld(t);
  const ids = [await world.link(), await world.link()];
  for (let turn = 0; turn < 2; turn++) await world.done(["sweep", "audit"]);
  const later = { now: () => Date.now() + 100 * DAY, env: missing };
  const sweeps = async () => (await world.done(["sweep", "list"], later)).trim().split("\n").length;
  return { ...world, ids, later, sweeps };
}

const toGo = "1 sweeps with 2 Items, 2 intents, 0 webhooks";

test("it says what would go, wants a yes, and then says what went", async (t) => {
  const { sett, done, later, sweeps, ids } = await withPast(t);
  assert.equal(await done(["prune", "--older-than", "90d", "--dry-run"], later), `would delete ${toGo}\n`);
  const asked = await sett(["prune", "--older-than", "90d"], later);
  assert.equal(asked.code, 3);
  assert.match(asked.stderr, new RegExp(`delete ${toGo} of before 20\\d\\d-\\d\\d-\\d\\dT.*: say --yes`));
  assert.equal(await sweeps(), 2);
  const declined = await sett(["prune", "--older-than", "90d"], {
    ...later,
    terminal: 100,
    stdin: terminalInput("no\n"),
  });
  assert.equal(declined.code, 3);
  assert.equal(await sweeps(), 2);

  const record = JSON.parse(await done(["prune", "--older-than", "90d", "--yes", "--json"], later)) as object;
  const { before, ...rows } = record as { before: number };
  assert.ok(Math.abs(Date.now() + 10 * DAY - before) < 600_000);
  assert.deepEqual(rows, {
    dryRun: false,
    sweeps: 1,
    sweepItems: 2,
    intents: 2,
    webhooks: 0,
    unread: [],
    whole: true,
  });
  assert.equal(await sweeps(), 1);
  // There is nothing left to be asked about.
  assert.match(await done(["prune", "--older-than", "90d"], later), /^deleted 0 sweeps/);
  for (const id of ids) assert.match(await done(["show", id], later), /item\.linked/);
  assert.match(await done(["sweep", "status"], later), /done/);
  assert.match((await sett(["sweep", "status", "1"], later)).stderr, /there is no sweep 1/);
});

test("a span that is missing, or too short, or none, is refused before anything is opened", async (t) => {
  const { sett } = await cliWorld(t);
  for (const [argv, said] of [
    [["prune"], /required option '--older-than/],
    [["prune", "--older-than", "12h"], /--older-than must be at least 1d/],
    [["prune", "--older-than", "soon"], /--older-than must be a span of time such as 90d/],
  ] as const) {
    const { code, stderr } = await sett(argv);
    assert.equal(code, 2);
    assert.match(stderr, said);
  }
});

test("a signal ends it after the page at hand, and it says that there is more", async (t) => {
  const { sett, later, sweeps } = await withPast(t);
  const off = new AbortController();
  off.abort();
  const ended = await sett(["prune", "--older-than", "90d", "--yes"], { ...later, signal: off.signal });
  assert.equal(ended.code, 130);
  assert.equal(await sweeps(), 2);
});
