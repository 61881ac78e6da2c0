// The data keys of a process: which it seals with and for how long, which it keeps to open with. Each process takes its
// seals from a key in blocks that are written down before they are used, so that the bound on one key holds over all
// processes and crashes. A key that another process has closed is let go of in time, or at the first sign of it.

import { randomBytes, type KeyObject } from "node:crypto";
import { ok, type Result } from "sett";
import type { Database } from "../database/database.ts";
import type { Environment } from "../database/schema.ts";
import type { VaultFailure } from "./failure.ts";
import type { KeyRing } from "./ring.ts";
import { WrappedKeys, type PortableKey } from "./wrapped-keys.ts";

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
  readonly #wrapped: WrappedKeys;
  readonly #database: Pick<Database, "dangling">;
  readonly #fingerprintId: string;
  readonly #now: () => number;
  readonly #policy: KeyPolicy;
  readonly #kept = new Map<string, KeyObject>();
  readonly #fetching = new Map<string, Promise<Result<KeyObject, VaultFailure>>>();
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
    this.#wrapped = new WrappedKeys(database, ring, environment, now);
    this.#database = database;
    this.#fingerprintId = `fingerprint-${environment}`;
    this.#now = now;
    this.#policy = policy;
  }

  /** The key to seal with now, for one seal. */
  async forSealing(): Promise<Result<Pick<WriteKey, "keyId" | "key">, VaultFailure>> {
    for (;;) {
      const write = this.#fresh();
      if (write) {
        write.left--;
        return ok(write);
      }
      const renewed = await this.#renewOnce();
      if (!renewed.ok) return renewed;
    }
  }

  /** Asks the database, before anything more is sealed, whether the key is still open. */
  lookAgain(): void {
    this.#looks++;
  }

  /** The key with this id. */
  withId(keyId: string): Promise<Result<KeyObject, VaultFailure>> {
    return this.#keptOr(keyId, () => this.#wrapped.fetch(keyId));
  }

  /** A key that does not come from the database, with its wrapped self, for one seal. */
  async forPortable(): Promise<Result<PortableKey, VaultFailure>> {
    let portable = this.#portable;
    if (!portable || portable.left <= 0) {
      this.#refuseIfClosed();
      const made = await this.#wrapped.makePortable();
      if (!made.ok) return made;
      this.#refuseIfClosed();
      portable = this.#portable = { ...made.value, left: this.#policy.sealsPerKey };
    }
    portable.left--;
    return ok(portable);
  }

  /** The key that an envelope carries. */
  fromWrapped(wrapped: Uint8Array): Promise<Result<KeyObject, VaultFailure>> {
    const text = Buffer.from(wrapped).toString("base64");
    return this.#keptOr(`portable ${text}`, () => this.#wrapped.openPortable(wrapped));
  }

  /** The one key of the fingerprints, made when it is first wanted. */
  async forFingerprints(): Promise<Result<KeyObject, VaultFailure>> {
    const found = await this.withId(this.#fingerprintId);
    if (found.ok || found.error.kind !== "unknown-key") return found;
    const made = await this.#wrapped.make("fingerprint", this.#fingerprintId, 0);
    return made.ok ? this.withId(this.#fingerprintId) : made;
  }

  /** Finds out early whether the ring fits the database. */
  async check(): Promise<Result<undefined, VaultFailure>> {
    const newest = await this.#wrapped.newest();
    if (!newest.ok) return newest;
    const key = newest.value === undefined ? undefined : await this.withId(newest.value);
    if (key && !key.ok) return key;
    // Made now, so that nothing is missing when Plaid has answered.
    const portable = await this.forPortable();
    return portable.ok ? ok(undefined) : portable;
  }

  /** Ends the epoch: nothing is sealed any more with the keys there were, here at once, elsewhere within `freshMs`. */
  async newEpoch(): Promise<Result<string, VaultFailure>> {
    this.#refuseIfClosed();
    const keyId = newKeyId();
    const made = await this.#wrapped.make("seal", keyId, this.#policy.block);
    if (!made.ok) return made;
    const closed = await this.#wrapped.closeOthers(keyId);
    if (!closed.ok) return closed;
    this.lookAgain(); // a renewal that is under way may bring a key of before
    const writing = await this.#writeWith(keyId, this.#doubts);
    return writing.ok ? ok(keyId) : writing;
  }

  /** Wraps each data key anew that another than the ring's first key wrapped, and says how many. */
  rewrap(): Promise<Result<number, VaultFailure>> {
    this.#refuseIfClosed();
    return this.#wrapped.rewrap();
  }

  forget(keyId: string): void {
    this.#kept.delete(keyId);
  }

  /** Forgets all of them for good. */
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
      const still = await this.#wrapped.isOpen(write.keyId);
      if (!still.ok) return still;
      if (still.value) {
        write.checkedAt = this.#now();
        write.doubts = doubts;
        return ok(undefined);
      }
    }
    const taken = await this.#wrapped.take(block, sealsPerKey);
    if (!taken.ok) return taken;
    let keyId = taken.value;
    if (keyId === undefined) {
      keyId = newKeyId();
      const made = await this.#wrapped.make("seal", keyId, block);
      if (!made.ok) return made;
    }
    return this.#writeWith(keyId, doubts);
  }

  /** Of this key a block has been taken. */
  async #writeWith(keyId: string, doubts: number): Promise<Result<undefined, VaultFailure>> {
    const key = await this.withId(keyId);
    if (!key.ok) return key;
    this.#refuseIfClosed();
    this.#write = { keyId, key: key.value, left: this.#policy.block, checkedAt: this.#now(), doubts };
    return ok(undefined);
  }

  async #keptOr(
    name: string,
    fetch: () => Promise<Result<KeyObject, VaultFailure>>,
  ): Promise<Result<KeyObject, VaultFailure>> {
    const kept = this.#kept.get(name);
    if (kept) return ok(kept);
    this.#refuseIfClosed();
    let fetching = this.#fetching.get(name);
    if (!fetching) {
      fetching = this.#keep(name, fetch()).finally(() => this.#fetching.delete(name));
      this.#fetching.set(name, fetching);
    }
    return fetching;
  }

  async #keep(
    name: string,
    fetching: Promise<Result<KeyObject, VaultFailure>>,
  ): Promise<Result<KeyObject, VaultFailure>> {
    const key = await fetching;
    this.#refuseIfClosed();
    if (!key.ok) return key;
    if (this.#kept.size >= maxKept) this.forget(this.#kept.keys().next().value!);
    this.#kept.set(name, key.value);
    return key;
  }
}

const newKeyId = () => randomBytes(8).toString("hex");
