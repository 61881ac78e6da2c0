// Seals what must not be read in the database, and opens it again for the row it belongs to. Whoever holds a vault
// holds the tokens; printing it shows none of them.

import { createHmac } from "node:crypto";
import { inspect } from "node:util";
import { err, ok, type Result } from "sett";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Environment } from "../database/schema.ts";
import { DataKeys, keyPolicy, retireAfterFresh, type KeyPolicy } from "./data-keys.ts";
import { keyWanted, openWithKey, sealPortable, sealWithKey, type Context } from "./envelope.ts";
import type { VaultFailure } from "./failure.ts";
import type { KeyRing } from "./ring.ts";
import { databaseDown } from "./wrapped-keys.ts";

export interface VaultOptions {
  readonly database: Database;
  readonly ring: KeyRing;
  readonly environment: Environment;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly policy?: Partial<KeyPolicy> | undefined;
}

/** What goes into the row: the envelope, and the name of its key, which keeps the key from being retired. */
export interface Sealed {
  readonly bytes: Buffer;
  readonly key_id: string;
}

/** What a secret belongs to; the environment is the vault's. */
export type Place = Omit<Context, "environment">;

/** Why a data key stays. */
export type RetireFailure =
  | { readonly kind: "in-use"; readonly key_id: string; readonly items: number; readonly others: number }
  | { readonly kind: "still-open"; readonly key_id: string }
  | { readonly kind: "too-soon"; readonly key_id: string; readonly notBefore: number }
  | { readonly kind: "unknown-key"; readonly key_id: string }
  | { readonly kind: "database"; readonly database: DatabaseFailure };

/** One data key, without the key. */
export interface KeyRow {
  readonly key_id: string;
  readonly purpose: "seal" | "fingerprint";
  readonly kek_id: string;
  readonly reserved: number;
  readonly created_at: number;
  readonly closed_at: number | null;
}

/** Opens the vault, and finds out at once whether the ring fits what the database holds. */
export async function openVault(options: VaultOptions): Promise<Result<Vault, VaultFailure>> {
  const vault = new Vault(options);
  const checked = await vault.check();
  if (checked.ok) return ok(vault);
  vault.close();
  return checked;
}

export class Vault {
  readonly environment: Environment;
  readonly #database: Database;
  readonly #keys: DataKeys;
  readonly #now: () => number;
  readonly #policy: KeyPolicy;

  constructor({ database, ring, environment, now, policy }: VaultOptions) {
    this.environment = environment;
    this.#database = database;
    this.#now = now;
    this.#policy = { ...keyPolicy, ...policy };
    this.#keys = new DataKeys(database, ring, environment, now, this.#policy);
  }

  check(): Promise<Result<undefined, VaultFailure>> {
    return this.#keys.check();
  }

  /** For a row of the database. It needs the database only when a new key or a new block of seals is due. */
  async seal(plain: Uint8Array, place: Place): Promise<Result<Sealed, VaultFailure>> {
    const write = await this.#keys.forSealing();
    if (!write.ok) return write;
    const { key, keyId } = write.value;
    return ok({ bytes: sealWithKey(plain, this.#context(place), keyId, key), key_id: keyId });
  }

  /** For the escrow: it can be opened by whoever has the ring, with or without the database. */
  async sealPortable(plain: Uint8Array, place: Place): Promise<Result<Buffer, VaultFailure>> {
    const portable = await this.#keys.forPortable();
    if (!portable.ok) return portable;
    const { key, wrapped } = portable.value;
    return ok(sealPortable(plain, this.#context(place), wrapped, key));
  }

  /** Opens an envelope for the place it was sealed for. `keyId` is what the row says; it must be what the envelope says. */
  async open(
    envelope: Uint8Array,
    place: Place,
    keyId: string | null = null,
  ): Promise<Result<Buffer, VaultFailure>> {
    const wanted = keyWanted(envelope);
    if (wanted === null) return err(damaged(keyId, "this is no envelope, or a cut one"));
    const named = wanted.version === 1 ? wanted.keyId : null;
    if (keyId !== null && keyId !== named) {
      return err(damaged(keyId, `the row names key ${keyId}, its envelope another`));
    }
    const key =
      wanted.version === 1
        ? await this.#keys.withId(wanted.keyId)
        : await this.#keys.fromWrapped(wanted.wrapped);
    if (!key.ok) return key;
    const opened = openWithKey(envelope, this.#context(place), key.value);
    return opened.ok ? opened : err(fault(opened.error, named, place));
  }

  /** The id of the data key in use: what is sealed under another is to be sealed anew. */
  async writeKeyId(): Promise<Result<string, VaultFailure>> {
    const write = await this.#keys.forSealing(); // of the seals of a key, one more or less does not matter
    return write.ok ? ok(write.value.keyId) : write;
  }

  /**
   * Asks the database before the next seal whether the key in use is still open; by itself the vault asks once a minute,
   * and when a row was refused because of what it refers to.
   */
  lookAgain(): void {
    this.#keys.lookAgain();
  }

  /** The same parts give the same bytes for ever, and say nothing of themselves to those without the key. */
  async fingerprint(parts: readonly string[]): Promise<Result<Buffer, VaultFailure>> {
    const text = parts.map((part) => `${Buffer.byteLength(part)}:${part}`).join("");
    const key = await this.#keys.forFingerprints();
    return key.ok ? ok(createHmac("sha256", key.value).update(text).digest()) : key;
  }

  /** Closes the data keys in use and begins a new one; gives its id. `reencrypt` then moves the rows. */
  newEpoch(): Promise<Result<string, VaultFailure>> {
    return this.#keys.newEpoch();
  }

  /** After a new key-encryption key has been put first in the ring: wraps the data keys anew. Says how many. */
  rewrap(): Promise<Result<number, VaultFailure>> {
    return this.#keys.rewrap();
  }

  async keys(): Promise<Result<readonly KeyRow[], VaultFailure>> {
    const rows = await this.#database.read((sql) =>
      sql
        .selectFrom("keys")
        .select(["key_id", "purpose", "kek_id", "reserved", "created_at", "closed_at"])
        .where("environment", "=", this.environment)
        .orderBy("created_at")
        .orderBy("key_id")
        .execute(),
    );
    return rows.ok ? rows : err(databaseDown(rows.error, null));
  }

  /**
   * Deletes a data key for good, and with it the last way to read what a backup may still hold under it. Refused while
   * anything needs it. `actor`: who stands in the history for it, such as `cli:anna`.
   */
  async retire(keyId: string, actor: string | null = null): Promise<Result<undefined, RetireFailure>> {
    const { environment } = this;
    const notBefore = (closedAt: number) => closedAt + retireAfterFresh * this.#policy.freshMs;
    const outcome = await this.#database.transaction<undefined, RetireFailure>(async (sql) => {
      const row = await this.#database.differences
        .lockRows(
          sql
            .selectFrom("keys")
            .select(["closed_at"])
            .where("key_id", "=", keyId)
            .where("purpose", "=", "seal")
            .where("environment", "=", environment),
        )
        .executeTakeFirst();
      if (!row) return err({ kind: "unknown-key", key_id: keyId });
      if (row.closed_at === null) return err({ kind: "still-open", key_id: keyId });
      if (this.#now() < notBefore(row.closed_at)) {
        return err({ kind: "too-soon", key_id: keyId, notBefore: notBefore(row.closed_at) });
      }
      const used = async (table: "items" | "intents" | "deliveries" | "sweeps") => {
        const { n } = await sql
          .selectFrom(table)
          .select((row) => row.fn.countAll().as("n"))
          .where("key_id", "=", keyId)
          .executeTakeFirstOrThrow();
        return Number(n);
      };
      const items = await used("items");
      const others = (await used("intents")) + (await used("deliveries")) + (await used("sweeps"));
      if (items + others > 0) return err({ kind: "in-use", key_id: keyId, items, others });
      // Whatever was not seen here, another process's uncommitted row for instance, the foreign keys see.
      await sql.deleteFrom("keys").where("key_id", "=", keyId).execute();
      await sql
        .insertInto("events")
        .values({
          environment,
          at: this.#now(),
          kind: "key.retired",
          actor,
          detail: JSON.stringify({ key_id: keyId }),
        })
        .execute();
      return ok(undefined);
    });
    if (outcome.ok) {
      this.#keys.forget(keyId);
      return outcome;
    }
    return "committed" in outcome.error
      ? err(
          outcome.error.constraint === "foreign-key"
            ? { kind: "in-use", key_id: keyId, items: 0, others: 1 }
            : { kind: "database", database: outcome.error },
        )
      : err(outcome.error);
  }

  /** Lets go of the keys in memory. What is asked of the vault afterwards throws. */
  close(): void {
    this.#keys.close();
  }

  [inspect.custom](): string {
    return `Vault(${this.environment}, ${this.#keys.count} data keys in memory)`;
  }

  #context(place: Place): Context {
    return { purpose: place.purpose, subject: place.subject, environment: this.environment };
  }
}

const damaged = (keyId: string | null, detail: string): VaultFailure => ({
  kind: "damaged",
  key_id: keyId,
  what: "envelope",
  detail,
});

const fault = (
  kind: "damaged" | "swapped",
  keyId: string | null,
  { purpose, subject }: Place,
): VaultFailure =>
  kind === "damaged"
    ? damaged(keyId, `the ${purpose} of ${subject} was changed since it was sealed`)
    : {
        kind,
        key_id: keyId,
        detail: `what stands as the ${purpose} of ${subject} was sealed for another place`,
      };
