// The webhooks that came, as rows: sealed until they are applied, and known by the hash of the body and the time of
// signing, which is all that tells one delivery from another.

import { sql as raw } from "kysely";
import { err, ok, type Result } from "sett";
import type { VerifiedDelivery, Webhook } from "sett/webhook";
import type { Sql } from "../database/connection.ts";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Environment } from "../database/schema.ts";
import type { VaultFailure } from "../vault/failure.ts";
import { deliveryId } from "../vault/reencrypt.ts";
import type { Vault } from "../vault/vault.ts";

/** Why something is not done yet; nothing is lost, try again. */
export type InboxFailure =
  | { readonly kind: "database"; readonly database: DatabaseFailure }
  | { readonly kind: "vault"; readonly vault: VaultFailure };

/** A delivery that waits. */
export interface Waiting {
  readonly body_sha256: string;
  readonly iat: number;
  readonly webhook_type: string;
  readonly webhook_code: string;
  readonly item_id: string | null;
  readonly body: Uint8Array | null;
  readonly key_id: string | null;
  readonly received_at: number;
}

const place = (delivery: Pick<Waiting, "body_sha256" | "iat">) =>
  ({ purpose: "webhook", subject: deliveryId(delivery) }) as const;

export const databaseDown = (database: DatabaseFailure): { ok: false; error: InboxFailure } =>
  err({ kind: "database", database });

const kept = {
  body_sha256: "text",
  iat: "integer",
  webhook_type: "text",
  webhook_code: "text",
  item_id: "text",
  body: "bytes",
  key_id: "text",
  received_at: "integer",
} as const;

/** What keeps a delivery, once however often it comes. On disk when it resolves. */
export function storing(database: Database, vault: Vault) {
  const names = Object.keys(kept) as (keyof typeof kept)[];
  const insert = database.together({ kept }, (_, over) => [
    over("kept", (sql) =>
      sql
        .insertInto("deliveries")
        .columns(["environment", ...names])
        .expression((given) =>
          given
            .selectFrom("kept")
            .select([raw.lit(vault.environment).as("environment"), ...names])
            // SQLite reads ON CONFLICT after a SELECT as a join's ON, unless there is a WHERE.
            .where(raw<boolean>`1 = 1`),
        )
        .onConflict((conflict) => conflict.columns(["body_sha256", "iat"]).doNothing()),
    ),
  ]);
  return async (
    webhook: Webhook,
    { bodySha256, iatSeconds }: VerifiedDelivery,
    received_at: number,
  ): Promise<Result<undefined, InboxFailure>> => {
    const key = { body_sha256: bodySha256, iat: iatSeconds };
    const sealed = await vault.seal(Buffer.from(JSON.stringify(webhook)), place(key));
    if (!sealed.ok) return err({ kind: "vault", vault: sealed.error });
    const { bytes: body, key_id } = sealed.value;
    const { webhook_type, webhook_code } = webhook;
    const of: unknown = "item_id" in webhook ? webhook.item_id : null;
    const item_id = typeof of === "string" ? of : null;
    const row = { ...key, webhook_type, webhook_code, item_id, body, key_id, received_at };
    const stored = await insert({ kept: [row] });
    return stored.ok ? stored : databaseDown(stored.error);
  };
}

/** What the webhook said. */
export async function open(vault: Vault, delivery: Waiting): Promise<Result<Webhook, InboxFailure>> {
  const opened = await vault.open(delivery.body ?? Buffer.alloc(0), place(delivery), delivery.key_id);
  if (!opened.ok) return err({ kind: "vault", vault: opened.error });
  const webhook = JSON.parse(opened.value.toString()) as Webhook;
  opened.value.fill(0);
  return ok(webhook);
}

/**
 * The deliveries after one of them that wait, in the order in which they came. `ready`: of an Item that is here, or of
 * none; `early`: of an Item that is not here.
 */
export function waiting(
  database: Database,
  environment: Environment,
  kind: "ready" | "early",
  { received_at, body_sha256, iat }: Pick<Waiting, "received_at" | "body_sha256" | "iat">,
  limit: number,
): Promise<Result<Waiting[], DatabaseFailure>> {
  return database.read((sql) =>
    sql
      .selectFrom("deliveries")
      .select(["body_sha256", "iat", "webhook_type", "webhook_code", "item_id"])
      .select(["body", "key_id", "received_at"])
      .where("applied_at", "is", null)
      .where("environment", "=", environment)
      .where((row) =>
        row(row.refTuple("received_at", "body_sha256", "iat"), ">", row.tuple(received_at, body_sha256, iat)),
      )
      .where((row) => {
        const here = row.exists(
          row
            .selectFrom("items")
            .select("items.item_id")
            .whereRef("items.item_id", "=", "deliveries.item_id"),
        );
        return kind === "ready"
          ? row.or([row("deliveries.item_id", "is", null), here])
          : row.and([row("deliveries.item_id", "is not", null), row.not(here)]);
      })
      .orderBy("received_at")
      .orderBy("body_sha256")
      .orderBy("iat")
      .limit(limit)
      .execute(),
  );
}

/** Marks them as applied and destroys their bodies. Gives those for which nobody has done so before. */
export async function settle(
  { differences }: Pick<Database, "differences">,
  sql: Sql,
  deliveries: readonly Waiting[],
  now: number,
): Promise<readonly Waiting[]> {
  const settled = await sql
    .updateTable("deliveries")
    .from(
      differences.rows("done", {
        body_sha256: { kind: "text", values: deliveries.map(({ body_sha256 }) => body_sha256) },
        iat: { kind: "integer", values: deliveries.map(({ iat }) => iat) },
      }),
    )
    .set({ applied_at: now, body: null, key_id: null })
    .whereRef("deliveries.body_sha256", "=", "done.body_sha256")
    .whereRef("deliveries.iat", "=", "done.iat")
    // By the primary key: `is null` would have PostgreSQL go through the index of all that wait.
    .where((row) => row(row.fn.coalesce("applied_at", raw.lit(0)), "=", raw.lit(0)))
    .returning(["deliveries.body_sha256", "deliveries.iat"])
    .execute();
  const names = new Set(settled.map(deliveryId));
  return deliveries.filter((delivery) => names.has(deliveryId(delivery)));
}

/** Deletes the rows of deliveries that were applied and came before `before`, at most `limit`; says how many. */
export async function forget(
  database: Database,
  before: number,
  limit: number,
): Promise<Result<number, InboxFailure>> {
  const deleted = await database.read((sql) =>
    sql
      .deleteFrom("deliveries")
      .where((row) =>
        row(
          row.refTuple("body_sha256", "iat"),
          "in",
          row
            .selectFrom("deliveries")
            .select(["body_sha256", "iat"])
            .where("received_at", "<", before)
            .where("applied_at", "is not", null)
            .limit(limit)
            .$asTuple("body_sha256", "iat"),
        ),
      )
      .executeTakeFirst(),
  );
  return deleted.ok ? ok(Number(deleted.value.numDeletedRows)) : databaseDown(deleted.error);
}
