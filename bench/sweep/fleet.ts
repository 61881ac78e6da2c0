// Items that nobody had to link: their ids and tokens follow from their number, so that Plaid's side and the keeper's
// side of a fleet are made apart, each in bulk. Ids lie as scattered as Plaid's.

import { hash } from "node:crypto";
import pg from "pg";
import { localKeyRing, openKeeper, type Keeper, type KeeperOptions } from "@sett/keeper";
import type { Snapshot } from "@sett/sandbox";
import type { Config, Post } from "sett";
import { clockOf, type Tempo } from "./tempo.ts";

/** What the sandbox accepts; its module is not to be loaded by those who only call it. */
export const credentials = { clientId: "sandbox-client-id", secret: "sandbox-secret" } as const;

export const webhookBefore = "https://before.example/plaid";

export const itemIdOf = (n: number): string => hash("sha256", `item ${n}`).slice(0, 37);

export function tokenOf(n: number): string {
  const hex = hash("sha256", `token ${n}`);
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)];
  return `access-sandbox-${parts.join("-")}`;
}

/** Where a keeper of the bench is, and by which clock it lives. */
export interface Place {
  readonly url: string;
  /** For its escrow. */
  readonly folder: string;
  /** The key ring's text. */
  readonly ring: string;
  /** Plaid's. */
  readonly baseUrl: string;
  /** The machine's own clock unless told. */
  readonly tempo?: Tempo | undefined;
}

/** A keeper that makes its calls by `post`, and counts them unless told. */
export async function keeperAt(
  { url, folder, ring, baseUrl, tempo }: Place,
  post: Post,
  more: Partial<KeeperOptions> = {},
): Promise<Keeper> {
  const clock = tempo && clockOf(tempo);
  const plaid: Config = {
    ...credentials,
    baseUrl,
    post,
    ...(clock && { sleep: clock.wait }),
  };
  const opened = await openKeeper({
    plaid,
    database: url,
    keys: localKeyRing(ring),
    folder,
    recoverEveryMs: 0,
    ...clock,
    ...more,
  });
  return must(opened);
}

/** The institution of every tenth Item, for sweeps over fewer of them. */
export const tenth = "ins_3";

const batch = 4_000;

/** Writes so many Items into the keeper's database, as linking them would leave their rows; `from` is the first number. */
export async function fill({ database, vault }: Keeper, url: string, count: number, from = 0): Promise<void> {
  for (let done = 0; done < count; done += batch) {
    const some = await Promise.all(
      Array.from({ length: Math.min(batch, count - done) }, async (_, at) => {
        const n = from + done + at;
        const item_id = itemIdOf(n);
        const sealed = must(
          await vault.seal(Buffer.from(tokenOf(n)), { purpose: "token", subject: item_id }),
        );
        const known = { environment: "sandbox", state: "healthy", token_at: 1, linked_at: 1 } as const;
        const whose = {
          user_id: `u_${n}`,
          institution_id: n % 10 === 0 ? tenth : "ins_109508",
          webhook: webhookBefore,
        };
        return { ...known, ...whose, item_id, token: sealed.bytes, key_id: sealed.key_id };
      }),
    );
    must(
      await database.transaction(async (sql) => {
        await sql.insertInto("items").values(some).execute();
        return { ok: true, value: undefined } as const;
      }),
    );
  }
  // As autovacuum would have done long ago.
  await query(url, "vacuum analyze");
}

/** One statement past the keeper. */
export async function query<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, options: "-c search_path=sett" });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}

/** The same Items at Plaid, each like the one that the snapshot holds. */
export function atPlaid({ format, changes }: Snapshot, count: number): Snapshot {
  const [[, , like]] = changes.filter(([table]) => table === "items") as unknown as [
    [string, string, object],
  ];
  // What is due for that one is not to come.
  const dropped = ["items", "public_tokens", "access_tokens", "tasks"];
  const made: [Snapshot["changes"][number][0], string, object][] = [];
  for (let n = 0; n < count; n++) {
    const [item_id, access_token] = [itemIdOf(n), tokenOf(n)];
    made.push(["items", item_id, { ...like, item_id, access_token, webhook: webhookBefore }]);
    made.push(["access_tokens", access_token, { item_id, rotated: false }]);
  }
  return { format, changes: [...changes.filter(([table]) => !dropped.includes(table)), ...made] };
}

export function must<Value>(
  result: { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly error: unknown },
): Value {
  if (result.ok) return result.value;
  throw new Error(JSON.stringify(result.error));
}
