// A keeper and the Plaid it talks to, and the law that holds between the two, read off the sandbox's own state.

import assert from "node:assert/strict";
import type { Sandbox } from "@sett/sandbox";
import { sandboxCredentials } from "@sett/sandbox";
import { Sandbox as Make, unwrap, type Config } from "sett";
import type { Database } from "../src/database/database.ts";
import type { Keeper, KeeperOptions } from "../src/keeper.ts";
import { openKeeper } from "../src/open.ts";
import { localKeyRing } from "../src/vault/ring.ts";
import type { Vault } from "../src/vault/vault.ts";

/** A fixed key: what a test seals, another process of the same test opens. */
export const ringText = `sett-kek-1:${Buffer.alloc(32, 7).toString("base64url")}`;

export const institution = { institution_id: "ins_109508", name: "First Platypus Bank" };

export function value<Value>(result: { ok: true; value: Value } | { ok: false; error: unknown }): Value {
  assert.ok(result.ok, `expected a value, got ${JSON.stringify(result)}`);
  return result.value;
}

export function failure<Problem>(result: { ok: true } | { ok: false; error: Problem }): Problem {
  assert.ok(!result.ok, `expected a failure, got ${JSON.stringify(result)}`);
  return result.error;
}

/** sett's configuration for a sandbox: no pauses, no time-outs but where a test wants one. */
export const configFor = (sandbox: Pick<Sandbox, "post">, more: Partial<Config> = {}): Config => ({
  clientId: sandboxCredentials.client_id,
  secret: sandboxCredentials.secret,
  post: sandbox.post,
  random: () => 0,
  ...more,
});

export async function open(
  database: string,
  folder: string,
  plaid: Config,
  more: Partial<KeeperOptions> = {},
): Promise<Keeper> {
  const keys = localKeyRing(ringText);
  return value(await openKeeper({ plaid, database, keys, folder, recoverEveryMs: 0, ...more }));
}

/** A public token, as Link would give one. */
export async function publicToken(plaid: Config): Promise<string> {
  return unwrap(await Make.createPublicToken(institution.institution_id, ["transactions"], plaid))
    .public_token;
}

/** What the test did, as far as the law needs to know. */
export interface Asked {
  /** Items whose removal was asked for. */
  readonly removals: ReadonlySet<string>;
}

/**
 * Every live Item has a working token in the vault, or an open intent, or a record that names it (its own state, or
 * an exchange that is known to be lost, one record for each such Item); no Item is removed that nobody asked for.
 */
export async function violations(
  sandbox: Sandbox,
  { database, vault }: { readonly database: Database; readonly vault: Vault },
  { removals }: Asked,
): Promise<string[]> {
  const rows = await database.sql.selectFrom("items").selectAll().execute();
  const intents = await database.sql.selectFrom("intents").selectAll().execute();
  const exchanges = intents.filter(
    ({ kind, outcome }) => kind === "exchange" && (outcome === null || outcome === "lost"),
  );
  const said: string[] = [];
  let unknown = 0;
  for (const { item_id, access_token, removed_at } of sandbox.control.items.list()) {
    const row = rows.find((row) => row.item_id === item_id);
    if (removed_at !== null) {
      if (!removals.has(item_id)) said.push(`${item_id} was removed, and nobody asked`);
      if (row && row.state !== "removed" && row.state !== "removing")
        said.push(`${item_id} is gone, and is ${row.state}`);
      continue;
    }
    if (access_token === null) continue; // its public token was never spent
    if (!row) {
      unknown++;
      continue;
    }
    if (row.state === "stranded") continue;
    if (intents.some((intent) => intent.item_id === item_id && intent.settled_at === null)) continue;
    if (row.token === null) {
      said.push(`${item_id} lives, and its token was thrown away`);
      continue;
    }
    const opened = await vault.open(row.token, { purpose: "token", subject: item_id }, row.key_id);
    if (!opened.ok) said.push(`${item_id}: ${JSON.stringify(opened.error)}`);
    else if (opened.value.toString() !== access_token)
      said.push(`${item_id} lives, and its token in the vault is dead`);
  }
  if (unknown > exchanges.length)
    said.push(`${unknown} Items live that nobody knows, and ${exchanges.length} records say so`);
  return said;
}

/** What the keeper asks Plaid. */
export const paths = {
  exchange: "/item/public_token/exchange",
  rotate: "/item/access_token/invalidate",
  remove: "/item/remove",
  webhook: "/item/webhook/update",
  get: "/item/get",
} as const;

/** The rotation that is open, or was left open and given up. */
export const rotationOf = ({ database }: Pick<Keeper, "database">, itemId: string) =>
  database.sql
    .selectFrom("intents")
    .select(["intent_id", "fence"])
    .where("item_id", "=", itemId)
    .where("kind", "=", "rotate")
    .executeTakeFirstOrThrow();
