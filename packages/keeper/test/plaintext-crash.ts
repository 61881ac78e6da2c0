// A process that works with a keeper, prints what a careless application prints, and ends with an exception that
// nobody catches, in the middle of a rotation: see plaintext.test.ts. What it needs comes over the channel to its parent.

import { once } from "node:events";
import { join } from "node:path";
import { inspect } from "node:util";
import BetterSqlite from "better-sqlite3";
import pg from "pg";
import { fetchPost, type Config } from "sett";
import { openKeeper } from "../src/open.ts";
import { localKeyRing, readKeyFile } from "../src/vault/ring.ts";

/** What the process is to do. */
export interface Crash {
  readonly plaid: Pick<Config, "clientId" | "secret" | "baseUrl">;
  readonly database: string;
  readonly folder: string;
  readonly keyFile: string;
  /** By how much the sandbox's clock is ahead. */
  readonly aheadMs: number;
  readonly items: readonly string[];
}

/** Nobody can write to the database from now on, so that the token is in the escrow alone. */
async function holdDatabase(url: string): Promise<void> {
  if (!url.startsWith("postgres:")) {
    new BetterSqlite(join(url, "sett.db")).exec("begin immediate");
    return;
  }
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("begin; lock table sett.items in exclusive mode");
}

const [{ plaid, keyFile, aheadMs, items, ...where }] = (await once(process, "message")) as [Crash];
const opened = await openKeeper({
  ...where,
  plaid: { ...plaid, post: fetchPost },
  keys: localKeyRing(await readKeyFile(keyFile)),
  recoverEveryMs: 0,
  now: () => Date.now() + aheadMs,
  at: (step) => {
    if (step === "rotate: answered") return holdDatabase(where.database);
    if (step !== "rotate: escrowed") return;
    // Nothing of a rotation goes on, and the process is looked at from outside before it dies.
    process.send!("in the middle");
    return once(process, "message").then(() => {
      setImmediate(() => {
        throw new Error("nobody catches this");
      });
      return new Promise(() => {});
    });
  },
});
if (!opened.ok) throw new Error(JSON.stringify(opened.error));
const keeper = opened.value;
for (const item_id of items.slice(1)) {
  console.log(inspect(await keeper.get(item_id), { depth: null, showHidden: true }));
  console.error(await keeper.find(item_id));
}
console.log(inspect(keeper, { depth: 6, showHidden: true }));
const rotated = await keeper.rotate(items[0]!);
throw new Error(`it was to be in the middle: ${JSON.stringify(rotated)}`);
