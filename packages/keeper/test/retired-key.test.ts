// What becomes of a keeper whose data key another process has closed and deleted, while its own clock does not tell it to
// look: one try fails, and nothing is lost by it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createSandbox } from "@sett/sandbox";
import { reencrypt } from "../src/vault/reencrypt.ts";
import { configFor, failure, open, publicToken, value, violations } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("retired-key");
const begin = Date.UTC(2026, 0, 1);

for (const [name, empty] of Object.entries(places)) {
  test(`a key is deleted under a keeper: the next try takes another, and what is in the escrow is brought in: ${name}`, async () => {
    const sandbox = await createSandbox({});
    const plaid = configFor(sandbox);
    const url = await empty();
    const folder = escrowFolder();
    let ahead = 0;
    const still = await open(url, folder, plaid, { now: () => begin });
    const other = await open(url, folder, plaid, { now: () => begin + ahead });
    const item_id = value(await still.link(await publicToken(plaid))).item_id;
    const retire = async () => {
      const old = value(await still.vault.writeKeyId());
      value(await other.vault.newEpoch());
      value(await reencrypt(other.vault, other.database));
      ahead += 3_600_000;
      value(await other.vault.retire(old));
    };

    await retire();
    const refused = failure(await still.link(await publicToken(plaid)));
    assert.equal(refused.kind === "database" && refused.database.constraint, "foreign-key");
    value(await still.link(await publicToken(plaid)));

    await retire();
    const pending = failure(await still.rotate(item_id));
    assert.equal(pending.kind, "pending");
    assert.deepEqual(value(await still.recover()).open, []);
    const view = value(await still.find(item_id));
    assert.deepEqual([view.token_version, view.state], [2, "healthy"]);
    assert.deepEqual(await violations(sandbox, still, { removals: new Set() }), []);
    for (const each of [still, other]) await each.close();
    await sandbox.close();
  });
}
