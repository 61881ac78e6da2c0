// A process that fills a database with sealed tokens, or goes once through it and seals all of them anew, and says how
// long that took and how much memory the process had at most, everything included. Each pass is a process of its own.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { localKeyRing, openDatabase, openVault, reencrypt, type Database } from "@sett/keeper";
import { keepYoungSpaceSmall } from "../../packages/keeper/src/cli/heap.ts";
import { makeKey, open, openBare, seal, type BareRow } from "./bare.ts";

export interface Order {
  readonly who: "bare" | "sett";
  readonly what: "fill" | "pass";
  readonly url: string;
  readonly rows: number;
  /** The key ring's text. */
  readonly ring: string;
}

export interface Told {
  readonly ms: number;
  readonly rows: number;
  /** MiB. */
  readonly rss: number;
}

/** As the keeper does it by default. */
const batch = 250;
const fillBatch = 4_000;
const token = "access-sandbox-de3ce8ef-33f8-452c-a685-8671031fc0f6";
const itemIdOf = (n: number) => `gVM8b${randomBytes(12).toString("hex")}${String(n).padStart(8, "0")}`;

const [order] = (await once(process, "message")) as [Order];
if (order.who === "sett") keepYoungSpaceSmall();
const keptKey = () => makeKey(Buffer.from(order.ring.slice(-43), "base64url"));
const begun = performance.now();
const rows = await (order.who === "bare" ? bare(order) : sett(order));
const ms = performance.now() - begun;
process.send!({ ms, rows, rss: process.resourceUsage().maxRSS / 1024 } satisfies Told);
process.disconnect!();

async function bare({ what, url, rows }: Order): Promise<number> {
  const store = await openBare(url);
  const key = keptKey();
  if (what === "fill") {
    for (let n = 0; n < rows; n += fillBatch) {
      const some = Array.from({ length: Math.min(fillBatch, rows - n) }, (_, at) => itemIdOf(n + at));
      await store.insertMany(some.map((item_id) => ({ item_id, token: seal(token, item_id, key) })));
    }
    await store.close();
    return rows;
  }
  let done = 0;
  for (let after = ""; ;) {
    const page = await store.page(after, batch);
    const anew: BareRow[] = page.map(({ item_id, token }) => ({
      item_id,
      token: seal(open(token, item_id, key), item_id, key),
    }));
    if (anew.length > 0) await store.update(anew);
    done += anew.length;
    after = page.at(-1)?.item_id ?? after;
    if (page.length < batch) break;
  }
  await store.close();
  return done;
}

async function sett({ what, url, rows, ring }: Order): Promise<number> {
  const opened = await openDatabase(url.startsWith("postgres") ? url : `sqlite:${url}`, { now: Date.now() });
  const database = must(opened);
  const vault = must(
    await openVault({ database, ring: localKeyRing(ring), environment: "sandbox", now: Date.now }),
  );
  if (what === "fill") {
    for (let n = 0; n < rows; n += fillBatch) await fill(database, Math.min(fillBatch, rows - n), n);
    await database.close();
    return rows;
  }
  must(await vault.newEpoch());
  const report = must(await reencrypt(vault, database));
  await database.close();
  return report.moved;

  async function fill(database: Database, count: number, from: number): Promise<void> {
    const some = await Promise.all(
      Array.from({ length: count }, async (_, at) => {
        const item_id = itemIdOf(from + at);
        const sealed = must(await vault.seal(Buffer.from(token), { purpose: "token", subject: item_id }));
        const known = { environment: "sandbox", state: "healthy", token_at: 1, linked_at: 1 } as const;
        return { ...known, item_id, token: sealed.bytes, key_id: sealed.key_id };
      }),
    );
    const stored = await database.transaction(async (sql) => {
      await sql.insertInto("items").values(some).execute();
      return { ok: true, value: undefined } as const;
    });
    must(stored);
  }
}

function must<Value>(
  result: { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly error: unknown },
): Value {
  if (result.ok) return result.value;
  throw new Error(JSON.stringify(result.error));
}
