// The webhooks that came, as rows: sealed until they are applied, and known by the hash of the body and the time of
// signing, which is all that tells one delivery from another.

import { err, ok, type Result } from "sett";
import type { VerifiedDelivery, Webhook } from "sett/webhook";
import type { Sql } from "../database/connection.ts";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Environment } from "../database/schema.ts";
import type { VaultFailure } from "../vault/failure.ts";
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

/** `ready`: of an Item that is here, or of none. `early`: of an Item that is not here. */
export type Kind = "ready" | "early";

const place = (delivery: Pick<Waiting, "body_sha256" | "iat">) =>
  ({ purpose: "webhook", subject: `${delivery.body_sha256}.${delivery.iat}` }) as const;

export const databaseDown = (database: DatabaseFailure): { ok: false; error: InboxFailure } =>
  err({ kind: "database", database });

/** Keeps a delivery, once however often it comes. On disk when it resolves. */
export async function store(
  database: Database,
  vault: Vault,
  webhook: Webhook,
  { bodySha256, iatSeconds }: VerifiedDelivery,
  now: number,
): Promise<Result<undefined, InboxFailure>> {
  const key = { body_sha256: bodySha256, iat: iatSeconds };
  const sealed = await vault.seal(Buffer.from(JSON.stringify(webhook)), place(key));
  if (!sealed.ok) return err({ kind: "vault", vault: sealed.error });
  const item_id: unknown = "item_id" in webhook ? webhook.item_id : null;
  const stored = await database.read((sql) =>
    sql
      .insertInto("deliveries")
      .values({
        ...key,
        environment: vault.environment,
        webhook_type: webhook.webhook_type,
        webhook_code: webhook.webhook_code,
        item_id: typeof item_id === "string" ? item_id : null,
        body: sealed.value.bytes,
        key_id: sealed.value.key_id,
        received_at: now,
      })
      .onConflict((conflict) => conflict.columns(["body_sha256", "iat"]).doNothing())
      .execute(),
  );
  return stored.ok ? ok(undefined) : databaseDown(stored.error);
}

/** What the webhook said. */
export async function open(vault: Vault, delivery: Waiting): Promise<Result<Webhook, InboxFailure>> {
  const opened = await vault.open(delivery.body ?? Buffer.alloc(0), place(delivery), delivery.key_id);
  if (!opened.ok) return err({ kind: "vault", vault: opened.error });
  const webhook = JSON.parse(opened.value.toString()) as Webhook;
  opened.value.fill(0);
  return ok(webhook);
}

/** The deliveries after one of them that wait, in the order in which they came. */
export function waiting(
  database: Database,
  environment: Environment,
  kind: Kind,
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

/** Marks it as applied and destroys its body. False where somebody has done so before. */
export async function settle(sql: Sql, { body_sha256, iat }: Waiting, now: number): Promise<boolean> {
  const { numUpdatedRows } = await sql
    .updateTable("deliveries")
    .set({ applied_at: now, body: null, key_id: null })
    .where("body_sha256", "=", body_sha256)
    .where("iat", "=", iat)
    .where("applied_at", "is", null)
    .executeTakeFirst();
  return numUpdatedRows === 1n;
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
