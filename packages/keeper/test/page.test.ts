// docs/keeper.md names every failure, every state and every option: a new one does not compile here, and then is missed
// on the page.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { ItemState } from "../src/database/schema.ts";
import type { KeeperOptions } from "../src/keeper.ts";
import type { KeeperFailure } from "../src/lifecycle/failure.ts";

const failures: Record<KeeperFailure["kind"], true> = {
  plaid: true,
  unfinished: true,
  pending: true,
  stranded: true,
  lost: true,
  duplicate: true,
  "live-items": true,
  "unknown-item": true,
  removing: true,
  removed: true,
  "not-stranded": true,
  rotated: true,
  busy: true,
  database: true,
  vault: true,
  escrow: true,
};
const states: Record<ItemState, true> = {
  healthy: true,
  login_required: true,
  pending_expiration: true,
  pending_disconnect: true,
  revoked: true,
  new_accounts: true,
  error: true,
  stranded: true,
  removing: true,
  removed: true,
};
const options: Record<keyof KeeperOptions, true> = {
  plaid: true,
  database: true,
  keys: true,
  folder: true,
  actor: true,
  now: true,
  mint: true,
  wait: true,
  patienceMs: true,
  recoverEveryMs: true,
  linkFromWebhooks: true,
  onRecovered: true,
  onRefusal: true,
  onProblem: true,
  budget: true,
  at: true,
  files: true,
};

test("the keeper's page has a row for every failure, state and option", async () => {
  const page = await readFile(join(import.meta.dirname, "../../../docs/keeper.md"), "utf8");
  for (const [head, names] of Object.entries({ "`kind`": failures, state: states, option: options })) {
    const table = page.split(/\n\n/).find((part) => part.startsWith(`| ${head} `));
    assert.ok(table, `there is no table of ${head}`);
    const firstCells = table.split("\n").map((row) => row.split("|")[1]);
    const told = firstCells.flatMap((cell) =>
      [...(cell ?? "").matchAll(/`([\w-]+)`/g)].map(([, name]) => name),
    );
    for (const name of Object.keys(names))
      assert.ok(told.includes(name), `${head}: ${name} is not on the page`);
  }
});
