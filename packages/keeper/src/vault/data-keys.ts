// The data keys of a process: which it seals with and for how long, which it keeps to open with. Each process takes its
// seals from a key in blocks that are written down before they are used, so that the bound on one key holds over all
// processes and crashes. A key that another process has closed is let go of in time, or at the first sign of it.

import { randomBytes, type KeyObject } from "node:crypto";
import { err, ok, type Result } from "sett";
import type { Database } from "../database/database.ts";
import type { Environment } from "../database/schema.ts";
import type { VaultFailure } from "./failure.ts";
import type { KeyRing } from "./ring.ts";
import { databaseDown, WrappedKeys, type PortableKey } from "./wrapped-keys.ts";

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

const maxKept = 1_000;

interface WriteKey {
  readonly keyId: string;
  readonly key: KeyObject;
  left: number;
  checkedAt: number;
  /** The doubts there had been when it was asked for. */
  doubts: number;
}

export class DataKeys {
  readonly #database: Database;
  readonly #wrapped: WrappedKeys;
  readonly #environment: Environment;
  readonly #now: () => number;
  readonly #policy: KeyPolicy;
  readonly #kept = new Map<string, KeyObject>();
  readonly #fetching = new Map<string, Promise<Result<undefined, VaultFailure>>>();
  #write: WriteKey | undefined;
  #renewing: Promise<Result<undefined, VaultFailure>> | undefined;
  #portable: (PortableKey & { left: number }) | undefined;
  #looks = 0;
  #closed = false;

  constructor(
    database: Database,
    ring: KeyRing,
    environment: Environment,
    now: () => number,
    policy: KeyPolicy,
  ) {
    this.#database = database;
    this.#wrapped = new WrappedKeys(database, ring, environment, now);
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
      const write = this.#fresh();
      if (write) {
        write.left--;
        return ok(use(write.key, write.keyId));
      }
      const renewed = await this.#renewOnce();
      if (!renewed.ok) return renewed;
    }
  }

  /** The id of the key to seal with now. */
  async writeKeyId(): Promise<Result<string, VaultFailure>> {
    for (;;) {
      const write = this.#fresh();
      if (write) return ok(write.keyId);
      const renewed = await this.#renewOnce();
      if (!renewed.ok) return renewed;
    }
  }

  /** Asks the database, before anything more is sealed, whether the key is still open. */
  lookAgain(): void {
    this.#looks++;
  }

  /** Lends the key with this id. */
  withId<Value>(keyId: string, use: (key: KeyObject) => Value): Promise<Result<Value, VaultFailure>> {
    return this.#withKept(keyId, () => this.#wrapped.fetch(keyId), use);
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
      const made = await this.#wrapped.makePortable();
      if (!made.ok) return made;
      this.#refuseIfClosed();
      this.#portable = { ...made.value, left: this.#policy.sealsPerKey };
    }
  }

  /** Lends the key that an envelope carries. */
  withWrapped<Value>(
    wrapped: Uint8Array,
    use: (key: KeyObject) => Value,
  ): Promise<Result<Value, VaultFailure>> {
    const text = Buffer.from(wrapped).toString("base64");
    return this.#withKept(`portable ${text}`, () => this.#wrapped.openPortable(wrapped), use);
  }

  /** Lends the one key of the fingerprints, made when it is first wanted. */
  async forFingerprint<Value>(use: (key: KeyObject) => Value): Promise<Result<Value, VaultFailure>> {
    const keyId = `fingerprint-${this.#environment}`;
    const found = await this.withId(keyId, use);
    if (found.ok || found.error.kind !== "unknown-key") return found;
    const made = await this.#wrapped.make("fingerprint", keyId, 0);
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
    const made = await this.#wrapped.make("seal", keyId, this.#policy.block);
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
    this.lookAgain(); // a renewal that is under way may bring a key of before
    const doubts = this.#doubts;
    const writing = await this.withId(keyId, (key) => this.#writeWith(keyId, key, doubts));
    return writing.ok ? ok(keyId) : writing;
  }

  /** Wraps each data key anew that another than the ring's first key wrapped, and says how many. */
  rewrap(): Promise<Result<number, VaultFailure>> {
    this.#refuseIfClosed();
    return this.#wrapped.rewrap();
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

  /** So many times there was reason to think that the key may be gone. A row that refers to what is not there may refer to it. */
  get #doubts(): number {
    return this.#looks + this.#database.dangling();
  }

  /** The key to seal with, where it need not be asked about. Its age is below 0 when the clock was put back: how long ago it was checked is then not known. */
  #fresh(): WriteKey | undefined {
    const write = this.#write;
    if (!write || write.left <= 0 || write.doubts !== this.#doubts) return undefined;
    const age = this.#now() - write.checkedAt;
    return age >= 0 && age < this.#policy.freshMs ? write : undefined;
  }

  #renewOnce(): Promise<Result<undefined, VaultFailure>> {
    this.#refuseIfClosed();
    return (this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined)));
  }

  /** Takes a block of seals from the newest open key, or from a new one where there is none with that many left. */
  async #renew(): Promise<Result<undefined, VaultFailure>> {
    const { block, sealsPerKey } = this.#policy;
    const write = this.#write;
    const doubts = this.#doubts;
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
        write.doubts = doubts;
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
      const made = await this.#wrapped.make("seal", keyId, block);
      if (!made.ok) return made;
    }
    return this.withId(keyId, (key) => this.#writeWith(keyId, key, doubts));
  }

  #writeWith(keyId: string, key: KeyObject, doubts: number): undefined {
    this.#write = { keyId, key, left: this.#policy.block, checkedAt: this.#now(), doubts };
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
}

const newKeyId = () => randomBytes(8).toString("hex");
