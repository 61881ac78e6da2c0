// The data keys as the database has them: made, wrapped by the ring, stored, fetched, taken from, wrapped anew. In memory
// keys are KeyObjects, outside the heap of JavaScript: nothing prints them, OpenSSL overwrites them when they are let go,
// and a cipher is made from one in an eighth of the time (2 µs, not 16).

import { randomBytes, timingSafeEqual, type KeyObject } from "node:crypto";
import { err, ok, type Result } from "sett";
import type { Sql } from "../database/connection.ts";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Environment } from "../database/schema.ts";
import type { VaultFailure } from "./failure.ts";
import { keyOf, type KeyRing, type RingFailure, type WrapContext } from "./ring.ts";

const dataKeyBytes = 32;

/** A key that is in no database: its wrapped self goes with what it seals. */
export interface PortableKey {
  readonly wrapped: Uint8Array;
  readonly key: KeyObject;
}

export class WrappedKeys {
  readonly #database: Database;
  readonly #ring: KeyRing;
  readonly #environment: Environment;
  readonly #now: () => number;

  constructor(database: Database, ring: KeyRing, environment: Environment, now: () => number) {
    this.#database = database;
    this.#ring = ring;
    this.#environment = environment;
    this.#now = now;
  }

  /** Makes a key of this name, unless there is one. `reserved`: the seals that are taken from it at once. */
  async make(
    purpose: "seal" | "fingerprint",
    keyId: string,
    reserved: number,
  ): Promise<Result<unknown, VaultFailure>> {
    const key = randomBytes(dataKeyBytes);
    const wrapped = await this.#wrap(key, purpose, keyId);
    key.fill(0);
    if (!wrapped.ok) return wrapped;
    return this.#ask(keyId, (sql) =>
      sql
        .insertInto("keys")
        .values({
          key_id: keyId,
          environment: this.#environment,
          purpose,
          wrapped: wrapped.value,
          kek_id: this.#ring.kekId,
          reserved,
          created_at: this.#now(),
        })
        .onConflict((conflict) => conflict.column("key_id").doNothing())
        .execute(),
    );
  }

  /** The key with this id. */
  async fetch(keyId: string): Promise<Result<KeyObject, VaultFailure>> {
    const found = await this.#ask(keyId, (sql) =>
      sql
        .selectFrom("keys")
        .select(["wrapped", "purpose"])
        .where("key_id", "=", keyId)
        .where("environment", "=", this.#environment)
        .executeTakeFirst(),
    );
    if (!found.ok) return found;
    if (!found.value) {
      const detail = `the database has no data key ${keyId} for ${this.#environment}`;
      return err({ kind: "unknown-key", key_id: keyId, detail });
    }
    return this.#open(found.value.wrapped, found.value.purpose, keyId);
  }

  /** A new key that does not come from the database. */
  async makePortable(): Promise<Result<PortableKey, VaultFailure>> {
    const bytes = randomBytes(dataKeyBytes);
    const wrapped = await this.#wrap(bytes, "portable", null);
    const key = keyOf(bytes);
    return wrapped.ok ? ok({ wrapped: wrapped.value, key }) : wrapped;
  }

  /** The key that an envelope carries. */
  openPortable(wrapped: Uint8Array): Promise<Result<KeyObject, VaultFailure>> {
    return this.#open(wrapped, "portable", null);
  }

  /** The id of the key that was made last. */
  newest(): Promise<Result<string | undefined, VaultFailure>> {
    return this.#ask(null, async (sql) => {
      const row = await sql
        .selectFrom("keys")
        .select("key_id")
        .where("environment", "=", this.#environment)
        .orderBy("created_at", "desc")
        .limit(1)
        .executeTakeFirst();
      return row?.key_id;
    });
  }

  /** Whether the key is there, and not closed. */
  isOpen(keyId: string): Promise<Result<boolean, VaultFailure>> {
    return this.#ask(keyId, async (sql) => {
      const row = await sql
        .selectFrom("keys")
        .select("key_id")
        .where("key_id", "=", keyId)
        .where("closed_at", "is", null)
        .executeTakeFirst();
      return row !== undefined;
    });
  }

  /** Takes so many seals from the newest open key that has them left within its bound, and gives its id. */
  take(seals: number, bound: number): Promise<Result<string | undefined, VaultFailure>> {
    return this.#ask(null, async (sql) => {
      const row = await sql
        .updateTable("keys")
        .set((row) => ({ reserved: row("reserved", "+", seals) }))
        .where("key_id", "=", (key) =>
          key
            .selectFrom("keys")
            .select("key_id")
            .where("environment", "=", this.#environment)
            .where("purpose", "=", "seal")
            .where("closed_at", "is", null)
            .where("reserved", "<=", bound - seals)
            .orderBy("created_at", "desc")
            .orderBy("key_id")
            .limit(1),
        )
        // Said again because another process may have been quicker (READ COMMITTED looks at the row once more).
        .where("closed_at", "is", null)
        .where("reserved", "<=", bound - seals)
        .returning("key_id")
        .executeTakeFirst();
      return row?.key_id;
    });
  }

  /** Closes the keys that seal, but for this one. */
  closeOthers(keyId: string): Promise<Result<unknown, VaultFailure>> {
    return this.#ask(null, (sql) =>
      sql
        .updateTable("keys")
        .set({ closed_at: this.#now() })
        .where("environment", "=", this.#environment)
        .where("purpose", "=", "seal")
        .where("closed_at", "is", null)
        .where("key_id", "<>", keyId)
        .execute(),
    );
  }

  /** Wraps each data key anew that another than the ring's first key wrapped, and says how many. */
  async rewrap(): Promise<Result<number, VaultFailure>> {
    const stale = await this.#ask(null, (sql) =>
      sql
        .selectFrom("keys")
        .selectAll()
        .where("environment", "=", this.#environment)
        .where("kek_id", "<>", this.#ring.kekId)
        .execute(),
    );
    if (!stale.ok) return stale;
    for (const { key_id, purpose, wrapped, kek_id } of stale.value) {
      const plain = await this.#unwrap(wrapped, purpose, key_id);
      if (!plain.ok) return plain;
      const again = await this.#wrap(plain.value, purpose, key_id);
      plain.value.fill(0);
      if (!again.ok) return again;
      const stored = await this.#ask(key_id, (sql) =>
        sql
          .updateTable("keys")
          .set({ wrapped: again.value, kek_id: this.#ring.kekId })
          .where("key_id", "=", key_id)
          .where("kek_id", "=", kek_id)
          .execute(),
      );
      if (!stored.ok) return stored;
    }
    return ok(stale.value.length);
  }

  /** Wraps, and sees that it can be unwrapped: with what cannot, everything would be lost that the key seals. */
  async #wrap(
    plain: Uint8Array,
    purpose: string,
    keyId: string | null,
  ): Promise<Result<Uint8Array, VaultFailure>> {
    const wrapped = await this.#ring.wrap(plain, this.#context(purpose, keyId));
    if (!wrapped.ok) return err(ringFailure(wrapped.error, keyId));
    const back = await this.#unwrap(wrapped.value, purpose, keyId);
    if (!back.ok) return back;
    const isSame = timingSafeEqual(back.value, plain);
    back.value.fill(0);
    return isSame ? wrapped : err(damaged("what was wrapped is unwrapped to something else", keyId));
  }

  async #open(
    wrapped: Uint8Array,
    purpose: string,
    keyId: string | null,
  ): Promise<Result<KeyObject, VaultFailure>> {
    const plain = await this.#unwrap(wrapped, purpose, keyId);
    return plain.ok ? ok(keyOf(plain.value)) : plain;
  }

  async #unwrap(
    wrapped: Uint8Array,
    purpose: string,
    keyId: string | null,
  ): Promise<Result<Uint8Array, VaultFailure>> {
    const plain = await this.#ring.unwrap(wrapped, this.#context(purpose, keyId));
    if (!plain.ok) return err(ringFailure(plain.error, keyId));
    const isKey = plain.value.length === dataKeyBytes && plain.value.some((byte) => byte !== 0);
    return isKey ? plain : err(damaged("what was unwrapped is no key of ours", keyId));
  }

  /** A key that is in no database has no id: it is the escrow's. */
  #context(purpose: string, keyId: string | null): WrapContext {
    return { purpose: `sett ${purpose}`, environment: this.#environment, key_id: keyId ?? "escrow" };
  }

  async #ask<Value>(
    keyId: string | null,
    work: (sql: Sql) => Promise<Value>,
  ): Promise<Result<Value, VaultFailure>> {
    const answer = await this.#database.read(work);
    return answer.ok ? answer : err(databaseDown(answer.error, keyId));
  }
}

export const databaseDown = (database: DatabaseFailure, keyId: string | null): VaultFailure => ({
  kind: "keys-unavailable",
  key_id: keyId,
  detail: `the database failed: ${database.detail}`,
  database,
});

const damaged = (detail: string, keyId: string | null): VaultFailure => ({
  kind: "damaged",
  key_id: keyId,
  what: "key",
  detail,
});

function ringFailure({ kind, detail }: RingFailure, keyId: string | null): VaultFailure {
  if (kind === "damaged") return damaged(detail, keyId);
  if (kind === "wrong-key") return { kind, key_id: keyId, detail };
  return { kind: "keys-unavailable", key_id: keyId, detail, database: null };
}
