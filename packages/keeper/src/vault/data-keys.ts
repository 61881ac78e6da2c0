// The data keys: made, wrapped, stored, fetched, counted, closed. Each process takes its seals from a key in blocks
// that are written down before they are used, so that the bound on one key holds over all processes and crashes. In
// memory keys are KeyObjects, outside the heap of JavaScript: nothing prints them, OpenSSL overwrites them when they
// are let go, and a cipher is made from one in an eighth of the time (2 µs, not 16).

import { createSecretKey, randomBytes, type KeyObject } from "node:crypto";
import { err, ok, type Result } from "sett";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Environment } from "../database/schema.ts";
import type { VaultFailure } from "./failure.ts";
import type { KeyRing, RingFailure, WrapContext } from "./ring.ts";

export interface KeyPolicy {
  /** How many seals one key may make before the next epoch begins. With random nonces of 96 bits, 2^30 leaves a chance of 2^-37 that any two are the same. */
  readonly sealsPerKey: number;
  /** How many a process takes at a time. */
  readonly block: number;
  /** After how many milliseconds a process looks again whether its key is still open. */
  readonly freshMs: number;
}

export const keyPolicy: KeyPolicy = { sealsPerKey: 2 ** 30, block: 2 ** 16, freshMs: 60_000 };

/** A key is retired no sooner than this many `freshMs` after it was closed: by then no process writes with it. */
export const retireAfterFresh = 5;

const dataKeyBytes = 32;
const maxKept = 1_000;

interface WriteKey {
  readonly keyId: string;
  readonly key: KeyObject;
  left: number;
  checkedAt: number;
}

interface PortableKey {
  readonly wrapped: Uint8Array;
  readonly key: KeyObject;
  left: number;
}

export class DataKeys {
  readonly #database: Database;
  readonly #ring: KeyRing;
  readonly #environment: Environment;
  readonly #now: () => number;
  readonly #policy: KeyPolicy;
  readonly #kept = new Map<string, KeyObject>();
  readonly #fetching = new Map<string, Promise<Result<undefined, VaultFailure>>>();
  #write: WriteKey | undefined;
  #renewing: Promise<Result<undefined, VaultFailure>> | undefined;
  #portable: PortableKey | undefined;
  #closed = false;

  constructor(
    database: Database,
    ring: KeyRing,
    environment: Environment,
    now: () => number,
    policy: KeyPolicy,
  ) {
    this.#database = database;
    this.#ring = ring;
    this.#environment = environment;
    this.#now = now;
    this.#policy = policy;
  }

  // Keys are lent, not given: `use` runs at once and keeps nothing.

  /** Lends the key to seal with now, for one seal. */
  async forSealing<Value>(
    use: (key: KeyObject, keyId: string) => Value,
  ): Promise<Result<Value, VaultFailure>> {
    for (;;) {
      const write = this.#write;
      if (write && write.left > 0 && this.#now() - write.checkedAt < this.#policy.freshMs) {
        write.left--;
        return ok(use(write.key, write.keyId));
      }
      this.#refuseIfClosed();
      this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
      const renewed = await this.#renewing;
      if (!renewed.ok) return renewed;
    }
  }

  /** The id of the key to seal with now. */
  async writeKeyId(): Promise<Result<string, VaultFailure>> {
    if (this.#write) return ok(this.#write.keyId);
    this.#refuseIfClosed();
    this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
    const renewed = await this.#renewing;
    return renewed.ok ? this.writeKeyId() : renewed;
  }

  /** Lends the key with this id. */
  withId<Value>(keyId: string, use: (key: KeyObject) => Value): Promise<Result<Value, VaultFailure>> {
    return this.#withKept(keyId, () => this.#fetch(keyId), use);
  }

  /** Lends a key that does not come from the database, with its wrapped self, for one seal. */
  async forPortable<Value>(
    use: (key: KeyObject, wrapped: Uint8Array) => Value,
  ): Promise<Result<Value, VaultFailure>> {
    for (;;) {
      const portable = this.#portable;
      if (portable && portable.left > 0) {
        portable.left--;
        return ok(use(portable.key, portable.wrapped));
      }
      this.#refuseIfClosed();
      const bytes = randomBytes(dataKeyBytes);
      const wrapped = await this.#ring.wrap(bytes, this.#context("portable", "escrow"));
      const key = keyOf(bytes);
      if (!wrapped.ok) return err(ringFailure(wrapped.error, null));
      this.#refuseIfClosed();
      this.#portable = { wrapped: wrapped.value, key, left: this.#policy.sealsPerKey };
    }
  }

  /** Lends the key that an envelope carries. */
  withWrapped<Value>(
    wrapped: Uint8Array,
    use: (key: KeyObject) => Value,
  ): Promise<Result<Value, VaultFailure>> {
    const text = Buffer.from(wrapped).toString("base64");
    return this.#withKept(`portable ${text}`, () => this.#unwrap(wrapped, "portable", "escrow", null), use);
  }

  /** Lends the one key of the fingerprints, made when it is first wanted. */
  async forFingerprint<Value>(use: (key: KeyObject) => Value): Promise<Result<Value, VaultFailure>> {
    const keyId = `fingerprint-${this.#environment}`;
    const found = await this.withId(keyId, use);
    if (found.ok || found.error.kind !== "unknown-key") return found;
    const made = await this.#make("fingerprint", keyId, 0);
    return made.ok ? this.withId(keyId, use) : made;
  }

  /** Finds out early whether the ring fits the database. */
  async check(): Promise<Result<undefined, VaultFailure>> {
    const newest = await this.#database.read((sql) =>
      sql
        .selectFrom("keys")
        .select("key_id")
        .where("environment", "=", this.#environment)
        .orderBy("created_at", "desc")
        .limit(1)
        .executeTakeFirst(),
    );
    if (!newest.ok) return err(databaseDown(newest.error, null));
    if (newest.value) {
      const key = await this.withId(newest.value.key_id, () => undefined);
      if (!key.ok) return key;
    }
    // Made now, so that nothing is missing when Plaid has answered.
    return this.forPortable(() => undefined);
  }

  /** Ends the epoch: nothing is sealed any more with the keys there were, here at once, elsewhere within `freshMs`. */
  async newEpoch(): Promise<Result<string, VaultFailure>> {
    this.#refuseIfClosed();
    const keyId = newKeyId();
    const made = await this.#make("seal", keyId, this.#policy.block);
    if (!made.ok) return made;
    const closed = await this.#database.read((sql) =>
      sql
        .updateTable("keys")
        .set({ closed_at: this.#now() })
        .where("environment", "=", this.#environment)
        .where("purpose", "=", "seal")
        .where("closed_at", "is", null)
        .where("key_id", "<>", keyId)
        .execute(),
    );
    if (!closed.ok) return err(databaseDown(closed.error, null));
    const writing = await this.withId(keyId, (key) => this.#writeWith(keyId, key));
    return writing.ok ? ok(keyId) : writing;
  }

  /** Wraps each data key anew that another than the ring's first key wrapped, and says how many. */
  async rewrap(): Promise<Result<number, VaultFailure>> {
    this.#refuseIfClosed();
    const stale = await this.#database.read((sql) =>
      sql
        .selectFrom("keys")
        .selectAll()
        .where("environment", "=", this.#environment)
        .where("kek_id", "<>", this.#ring.kekId)
        .execute(),
    );
    if (!stale.ok) return err(databaseDown(stale.error, null));
    for (const { key_id, purpose, wrapped, kek_id } of stale.value) {
      const context = this.#context(purpose, key_id);
      const plain = await this.#ring.unwrap(wrapped, context);
      if (!plain.ok) return err(ringFailure(plain.error, key_id));
      const again = await this.#ring.wrap(plain.value, context);
      plain.value.fill(0);
      if (!again.ok) return err(ringFailure(again.error, key_id));
      const stored = await this.#database.read((sql) =>
        sql
          .updateTable("keys")
          .set({ wrapped: again.value, kek_id: this.#ring.kekId })
          .where("key_id", "=", key_id)
          .where("kek_id", "=", kek_id)
          .execute(),
      );
      if (!stored.ok) return err(databaseDown(stored.error, key_id));
    }
    return ok(stale.value.length);
  }

  /** Forgets one key, or all of them for good. */
  forget(keyId: string): void {
    this.#kept.delete(keyId);
  }

  close(): void {
    this.#closed = true;
    this.#kept.clear();
    this.#write = this.#portable = undefined;
  }

  get count(): number {
    return this.#kept.size;
  }

  #refuseIfClosed(): void {
    if (this.#closed) throw new TypeError("the vault has been closed");
  }

  /** Takes a block of seals from the newest open key, or from a new one where there is none with that many left. */
  async #renew(): Promise<Result<undefined, VaultFailure>> {
    const { block, sealsPerKey } = this.#policy;
    const write = this.#write;
    if (write && write.left > 0) {
      const still = await this.#database.read((sql) =>
        sql
          .selectFrom("keys")
          .select("key_id")
          .where("key_id", "=", write.keyId)
          .where("closed_at", "is", null)
          .executeTakeFirst(),
      );
      if (!still.ok) return err(databaseDown(still.error, write.keyId));
      if (still.value) {
        write.checkedAt = this.#now();
        return ok(undefined);
      }
    }
    const taken = await this.#database.read((sql) =>
      sql
        .updateTable("keys")
        .set((row) => ({ reserved: row("reserved", "+", block) }))
        .where("key_id", "=", (key) =>
          key
            .selectFrom("keys")
            .select("key_id")
            .where("environment", "=", this.#environment)
            .where("purpose", "=", "seal")
            .where("closed_at", "is", null)
            .where("reserved", "<=", sealsPerKey - block)
            .orderBy("created_at", "desc")
            .orderBy("key_id")
            .limit(1),
        )
        // Said again because another process may have been quicker (READ COMMITTED looks at the row once more).
        .where("closed_at", "is", null)
        .where("reserved", "<=", sealsPerKey - block)
        .returning("key_id")
        .executeTakeFirst(),
    );
    if (!taken.ok) return err(databaseDown(taken.error, null));
    let keyId = taken.value?.key_id;
    if (keyId === undefined) {
      keyId = newKeyId();
      const made = await this.#make("seal", keyId, block);
      if (!made.ok) return made;
    }
    return this.withId(keyId, (key) => this.#writeWith(keyId, key));
  }

  #writeWith(keyId: string, key: KeyObject): undefined {
    this.#write = { keyId, key, left: this.#policy.block, checkedAt: this.#now() };
  }

  async #make(
    purpose: "seal" | "fingerprint",
    keyId: string,
    reserved: number,
  ): Promise<Result<undefined, VaultFailure>> {
    const key = randomBytes(dataKeyBytes);
    const wrapped = await this.#ring.wrap(key, this.#context(purpose, keyId));
    key.fill(0);
    if (!wrapped.ok) return err(ringFailure(wrapped.error, keyId));
    const stored = await this.#database.read((sql) =>
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
    return stored.ok ? ok(undefined) : err(databaseDown(stored.error, keyId));
  }

  async #fetch(keyId: string): Promise<Result<KeyObject, VaultFailure>> {
    const found = await this.#database.read((sql) =>
      sql
        .selectFrom("keys")
        .select(["wrapped", "purpose"])
        .where("key_id", "=", keyId)
        .where("environment", "=", this.#environment)
        .executeTakeFirst(),
    );
    if (!found.ok) return err(databaseDown(found.error, keyId));
    if (!found.value) {
      const detail = `the database has no data key ${keyId} for ${this.#environment}`;
      return err({ kind: "unknown-key", key_id: keyId, detail });
    }
    return this.#unwrap(found.value.wrapped, found.value.purpose, keyId, keyId);
  }

  async #unwrap(
    wrapped: Uint8Array,
    purpose: string,
    name: string,
    keyId: string | null,
  ): Promise<Result<KeyObject, VaultFailure>> {
    const plain = await this.#ring.unwrap(wrapped, this.#context(purpose, name));
    if (!plain.ok) return err(ringFailure(plain.error, keyId));
    const isKey = plain.value.length === dataKeyBytes && plain.value.some((byte) => byte !== 0);
    if (isKey) return ok(keyOf(plain.value));
    return err(ringFailure({ kind: "damaged", detail: "what was unwrapped is no key of ours" }, keyId));
  }

  async #withKept<Value>(
    name: string,
    fetch: () => Promise<Result<KeyObject, VaultFailure>>,
    use: (key: KeyObject) => Value,
  ): Promise<Result<Value, VaultFailure>> {
    for (;;) {
      const kept = this.#kept.get(name);
      if (kept) return ok(use(kept));
      this.#refuseIfClosed();
      let fetching = this.#fetching.get(name);
      if (!fetching) {
        fetching = fetch()
          .then((key) => (key.ok ? ok(this.#keep(name, key.value)) : key))
          .finally(() => this.#fetching.delete(name));
        this.#fetching.set(name, fetching);
      }
      const fetched = await fetching;
      if (!fetched.ok) return fetched;
    }
  }

  #keep(name: string, key: KeyObject): undefined {
    if (this.#closed) return;
    if (this.#kept.size >= maxKept) this.forget(this.#kept.keys().next().value!);
    this.#kept.set(name, key);
  }

  #context(purpose: string, keyId: string): WrapContext {
    return { purpose: `sett ${purpose}`, environment: this.#environment, key_id: keyId };
  }
}

/** Takes the bytes over, and overwrites them where they came from. */
function keyOf(bytes: Uint8Array): KeyObject {
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return key;
}

const newKeyId = () => randomBytes(8).toString("hex");

export const databaseDown = (database: DatabaseFailure, keyId: string | null): VaultFailure => ({
  kind: "keys-unavailable",
  key_id: keyId,
  detail: `the database failed: ${database.detail}`,
  database,
});

function ringFailure({ kind, detail }: RingFailure, keyId: string | null): VaultFailure {
  if (kind === "wrong-key") return { kind, key_id: keyId, detail };
  if (kind === "damaged") return { kind, key_id: keyId, what: "key", detail };
  return { kind: "keys-unavailable", key_id: keyId, detail, database: null };
}
