// What every part of the lifecycle works with, and how it does what all of them do: ask the database, seal a secret, open
// a secret, each with the keeper's failure.

import { err, ok, type Config, type Result } from "sett";
import type { Sql } from "../database/connection.ts";
import type { Database } from "../database/database.ts";
import { DatabaseError, databaseFailure, type DatabaseFailure } from "../database/failure.ts";
import type { Environment } from "../database/schema.ts";
import type { Escrow } from "../escrow/escrow.ts";
import { codeOf } from "../vault/sealed-stream.ts";
import type { Place, Sealed, Vault } from "../vault/vault.ts";
import type { Exchanges } from "./exchanges.ts";
import type { KeeperFailure } from "./failure.ts";

/** A place between two outside effects, such as `rotate: answered`. */
export type Step =
  `${"link" | "rotate" | "remove" | "webhook"}: ${"begin" | "intended" | "answered" | "escrowed" | "committed" | "settled"}`;

export interface Means {
  readonly database: Database;
  readonly vault: Vault;
  readonly escrow: Escrow;
  readonly exchanges: Exchanges;
  readonly plaid: Config;
  readonly environment: Environment;
  /** Who stands in the history for what is done here; the keeper unless told. */
  readonly actor?: string | undefined;
  /** Names this keeper in leases and intents; its journal in the escrow has the same name. */
  readonly holder: string;
  readonly now: () => number;
  readonly mint: () => string;
  /** Ends early when the signal aborts, if it can: nothing that is not waited for any more is to keep the process alive. */
  readonly wait: (ms: number, signal?: AbortSignal) => Promise<unknown>;
  /** For how long a lease is taken: longer than any one call to Plaid may last. */
  readonly leaseMs: number;
  /** How long one waits for others to be done with an Item. */
  readonly patienceMs: number;
  /** Told of each step once it is behind us. */
  readonly at: (step: Step) => unknown;
}

/** What those need who only read: whoever has the means has these, too. */
export interface Reading extends Pick<Means, "database" | "environment" | "now"> {
  readonly vault: Pick<Vault, "open">;
}

/** What those need who change the database and nothing else. */
export type Writing = Pick<Means, "database" | "environment" | "now" | "actor">;

/** All or nothing. What the database says against it becomes the keeper's failure. */
export async function transact<Value>(
  { database }: Pick<Means, "database">,
  work: (sql: Sql) => Promise<Result<Value, KeeperFailure>>,
): Promise<Result<Value, KeeperFailure>> {
  const outcome = await database.transaction(work);
  if (outcome.ok) return outcome;
  return err("committed" in outcome.error ? databaseFailed(outcome.error) : outcome.error);
}

/** Statements each on its own, likewise. */
export async function read<Value>(
  { database }: Pick<Means, "database">,
  work: (sql: Sql) => Promise<Value>,
): Promise<Result<Value, KeeperFailure>> {
  const outcome = await database.read(work);
  return outcome.ok ? outcome : err(databaseFailed(outcome.error));
}

export const databaseFailed = (database: DatabaseFailure): KeeperFailure => ({ kind: "database", database });

/** What was thrown over one Item, while others wait. By its name alone: its words may be of what had been sealed. */
export const causeOf = (thrown: unknown): DatabaseFailure =>
  thrown instanceof DatabaseError
    ? thrown.failure
    : databaseFailure("refused", `what is written of it cannot be worked with: ${codeOf(thrown)}`);

export async function sealText(
  { vault }: Means,
  text: string,
  place: Place,
): Promise<Result<Sealed, KeeperFailure>> {
  const plain = Buffer.from(text);
  const sealed = await vault.seal(plain, place);
  plain.fill(0);
  return sealed.ok ? sealed : err({ kind: "vault", vault: sealed.error });
}

/** `keyId`: what the row says of it, where that is to be held against the envelope. */
export async function openText(
  { vault }: Pick<Reading, "vault">,
  envelope: Uint8Array,
  place: Place,
  keyId: string | null = null,
): Promise<Result<string, KeeperFailure>> {
  const opened = await vault.open(envelope, place, keyId);
  if (!opened.ok) return err({ kind: "vault", vault: opened.error });
  const text = opened.value.toString();
  opened.value.fill(0);
  return ok(text);
}
