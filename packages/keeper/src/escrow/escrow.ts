// The escrow: a journal on the local disk for what must not be lost between Plaid's answer and the database's commit.
// `record` resolves when the bytes would survive a power cut; records that wait at the same time share one fsync.
// Each process writes a journal of its own, under a lock; whoever opens the escrow later takes over the journals of
// the dead, and a journal goes away when all that it holds is settled.

import { err, ok, type Result } from "sett";
import { makeFolderDurably, nodeFiles, type Files, type Lock, type OpenFile } from "./files.ts";
import { isName, pathOf, takeOver, type Dead } from "./dead.ts";
import { encodeRecord, encodeSettled, type Damage, type EscrowMeta, type EscrowRecord } from "./journal.ts";

/** Why the disk did not take or give what it should. */
export interface EscrowFailure {
  readonly kind: "full" | "unavailable";
  /** The system's code, such as `ENOSPC`. */
  readonly code: string | null;
  readonly detail: string;
}

/** A place in a journal that is no record. The rest of it was read all the same, and the file is kept. */
export interface EscrowDamage extends Damage {
  readonly file: string;
  readonly detail: string;
}

export interface Replay {
  /** What the dead recorded and nobody has settled yet, oldest first. */
  readonly records: readonly EscrowRecord[];
  /** To be shown to a person: a token may be in it. */
  readonly damage: readonly EscrowDamage[];
  /** Records that were never finished, and so never acknowledged. */
  readonly torn: number;
  /** Names of the journals that these records are in, as their processes, now gone, minted them. */
  readonly gone: readonly string[];
}

export interface EscrowOptions {
  /** A new name each time, unlike any other on the machine. */
  readonly mint: () => string;
  readonly files?: Files | undefined;
  /** Bytes of a journal from which on it is written anew without what is settled; 1 MiB unless told. */
  readonly compactAt?: number | undefined;
  /** Whether a record is one for whoever opens this; a dead journal that has others' only is left to them. All, unless told. */
  readonly isOurs?: ((meta: EscrowMeta) => boolean) | undefined;
}

interface Adopted extends Pick<Dead, "name" | "lock" | "open"> {
  /** Of its records, where it does not say so itself; remembered in our own journal for as long as this one is there. */
  readonly settled: Set<string>;
  damaged: boolean;
  /** It is being let go of. */
  going: boolean;
}

type MayGo = (gone: readonly string[]) => Promise<boolean>;

/** `settled`: it was settled before it was on disk, and need not be there any more. */
export type Kept = "kept" | "settled";

interface Waiting extends PromiseWithResolvers<Result<Kept, unknown>> {
  /** Of the record; undefined for what only says that one is settled. */
  readonly id: string | undefined;
  /** Whether it must be on disk before anybody relies on it. */
  readonly sync: boolean;
  /** Its bytes; called when its turn has come. */
  readonly make: () => Promise<Result<Buffer, unknown>>;
}

/** Taken in advance, written with zeros: a sync then has no file size to write, and a full disk leaves room for this much. */
const roomBytes = 65_536;
const lockTries = 100;

/** Opens the escrow in a folder of its own, which is made if need be. */
export async function openEscrow(
  folder: string,
  options: EscrowOptions,
): Promise<Result<Escrow, EscrowFailure>> {
  const escrow = new Escrow(folder, options);
  const begun = await asValue(() => escrow.begin());
  return begun.ok ? ok(escrow) : begun;
}

export class Escrow {
  readonly #folder: string;
  readonly #files: Files;
  readonly #name: string;
  readonly #compactAt: number;
  readonly #isOurs: (meta: EscrowMeta) => boolean;
  #lock: Lock | undefined;
  #file: OpenFile | undefined;
  #size = 0;
  #room = 0;
  /** After a failed write or sync nobody knows what is on disk: the next thing is to write a new file. */
  #broken = false;
  /** Of this process, not settled, as they stand in the journal. */
  readonly #live = new Map<string, Buffer>();
  readonly #adopted = new Set<Adopted>();
  /** Found in journals that were taken over, and not told yet. */
  #untold: Pick<Replay, "damage" | "torn"> = { damage: [], torn: 0 };
  #mayGo: MayGo = async () => true;
  /** Whose turn has not come: not a byte of it is in a file yet. */
  readonly #queue = new Set<Waiting>();
  /** Records on their way to the disk, in the queue or past it. */
  readonly #coming = new Map<string, Waiting>();
  #pumping: Promise<void> | undefined;
  #closed = false;

  constructor(
    folder: string,
    { mint, files = nodeFiles, compactAt = 1 << 20, isOurs = () => true }: EscrowOptions,
  ) {
    this.#folder = folder;
    this.#files = files;
    this.#name = mint();
    this.#compactAt = compactAt;
    this.#isOurs = isOurs;
    if (!isName(this.#name)) throw new TypeError("a journal's name is of letters, digits, _ and -");
  }

  /** Makes the journal of this process. */
  async begin(): Promise<undefined> {
    await makeFolderDurably(this.#files, this.#folder);
    // Whoever is looking for journals of the dead may try our lock in the moment between its making and its taking.
    for (let tries = 0; !(this.#lock = this.#files.lock(this.#path("lock"))); tries++) {
      if (tries === lockTries)
        throw new TypeError("a journal of this name is in use: mint a new name each time");
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    try {
      await this.#writeAnew();
    } catch (error) {
      this.#lock.release();
      throw error;
    }
  }

  /**
   * Resolves with `kept` when the record would survive a power cut, or with `settled` if it was settled before that. An
   * `err` means that it may not survive: do not rely on it. `seal` is asked for the bytes when the record's turn has
   * come, so that one that is settled before costs nothing; what it says against it comes back.
   */
  record<Problem = never>(
    about: Omit<EscrowRecord, "sealed">,
    seal: () => Promise<Result<Buffer, Problem>>,
  ): Promise<Result<Kept, EscrowFailure | Problem>> {
    return this.#append<Problem>(about.id, async () => {
      const sealed = await seal();
      return sealed.ok ? ok(encodeRecord({ ...about, sealed: sealed.value })) : sealed;
    });
  }

  /**
   * The record is in the database. Should this be forgotten in a crash, the record is replayed once more. One that is
   * still waiting for its turn is never written; one that is being written is settled after it.
   */
  async settle(id: string): Promise<Result<undefined, EscrowFailure>> {
    const coming = this.#coming.get(id);
    if (coming && this.#queue.delete(coming)) {
      this.#coming.delete(id);
      coming.resolve(ok("settled"));
      return ok(undefined);
    }
    if (coming) void (await coming.promise.catch(() => {})); // what went wrong is told to whoever recorded it
    const theirs = this.#strike(id);
    const own = this.#live.delete(id);
    if (!own && !theirs) return ok(undefined);
    const written = await this.#append(undefined, async () => ok(encodeSettled(id)));
    return written.ok ? asValue(() => this.#dismiss()) : written;
  }

  /**
   * Takes over the journals of processes that are gone, and gives all that is open in those that were taken over, now or
   * before. What this process recorded itself is not given. Before a journal goes, now or when the last of it is settled,
   * and with it the proof that its process is gone, `beforeForgetting` is told its name; if that says no, the journal
   * stays for now.
   */
  replay(beforeForgetting: MayGo = async () => true): Promise<Result<Replay, EscrowFailure>> {
    return asValue(async () => {
      this.#mayGo = beforeForgetting;
      await this.#takeOver();
      await this.#dismiss();
      const left = [...this.#adopted].filter(({ open }) => open.size > 0);
      const records = new Map(left.flatMap(({ open }) => [...open]));
      const untold = this.#untold;
      this.#untold = { damage: [], torn: 0 };
      return {
        records: [...records.values()].sort((a, b) => a.at - b.at),
        ...untold,
        gone: left.map(({ name }) => name),
      };
    });
  }

  async #takeOver(): Promise<void> {
    const known = new Set([this.#name, ...[...this.#adopted].map(({ name }) => name)]);
    const taken = await takeOver({ files: this.#files, folder: this.#folder, isOurs: this.#isOurs, known });
    for (const { name, lock, open, damage } of taken) {
      const bad = damage.filter(({ kind }) => kind === "damaged");
      this.#adopted.add({ name, lock, open, settled: new Set(), damaged: bad.length > 0, going: false });
      this.#untold = {
        damage: [...this.#untold.damage, ...bad.map((one) => described(one, this.#path("journal", name)))],
        torn: this.#untold.torn + damage.length - bad.length,
      };
    }
    // What one of them says of another's record must outlive it: he who said so may go first.
    const marks = taken.flatMap(({ marks }) => marks).filter((id) => this.#strike(id));
    if (marks.length === 0) return;
    const bytes = Buffer.concat(marks.map(encodeSettled));
    void (await this.#append(undefined, async () => ok(bytes), true));
  }

  /** Whether it was open in a journal that was taken over; now it is not. */
  #strike(id: string): boolean {
    const had = [...this.#adopted].filter(({ open }) => open.delete(id));
    for (const { settled } of had) settled.add(id);
    return had.length > 0;
  }

  /** How many records wait to be settled, this process's own and those it took over. */
  get waiting(): number {
    return this.#live.size + [...this.#adopted].reduce((sum, { open }) => sum + open.size, 0);
  }

  /** Finishes what was asked for and lets go of the folder. What is not settled stays for the next to open it. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#pumping;
    try {
      await this.#file?.close();
      if (
        this.#live.size === 0 &&
        !this.#broken &&
        [...this.#adopted].every(({ open, settled }) => open.size + settled.size === 0)
      ) {
        await this.#files.remove(this.#path("journal"));
        await this.#files.remove(this.#path("lock"));
      }
    } finally {
      for (const { lock } of this.#adopted) lock.release();
      this.#lock?.release();
    }
  }

  #append<Problem = never>(
    id: string | undefined,
    make: () => Promise<Result<Buffer, Problem>>,
    sync = id !== undefined,
  ): Promise<Result<Kept, EscrowFailure | Problem>> {
    if (this.#closed) throw new TypeError("the escrow has been closed");
    const waiting: Waiting = { id, sync, make, ...Promise.withResolvers<Result<Kept, unknown>>() };
    this.#queue.add(waiting);
    if (id !== undefined) this.#coming.set(id, waiting);
    this.#pumping ??= this.#pump();
    return waiting.promise as Promise<Result<Kept, EscrowFailure | Problem>>;
  }

  /** Writes all that waits in one go, and syncs once if any of it is to be. What goes wrong goes to those who wait, never out of here. */
  async #pump(): Promise<void> {
    while (this.#queue.size > 0) {
      // A database that is at hand commits in the next round of the event loop, and then there is nothing to write.
      await new Promise(setImmediate);
      await new Promise(setImmediate);
      const batch = [...this.#queue];
      this.#queue.clear();
      if (batch.length === 0) continue;
      const made = await Promise.allSettled(batch.map(({ make }) => make()));
      const whole = batch.flatMap(({ sync }, at) => {
        const one = made[at]!;
        return one.status === "fulfilled" && one.value.ok ? [{ sync, bytes: one.value.value }] : [];
      });
      const outcome = await this.#write(whole).then(
        () => ok<Kept>("kept"),
        (thrown: unknown) => err(failureOf(thrown)),
      );
      if (!outcome.ok) this.#broken = true;
      for (const [at, { id, resolve, reject }] of batch.entries()) {
        const one = made[at]!;
        if (id !== undefined) this.#coming.delete(id);
        if (one.status === "rejected") reject(one.reason);
        else if (!one.value.ok) resolve(one.value);
        else {
          if (outcome.ok && id !== undefined) this.#live.set(id, one.value.value);
          resolve(outcome);
        }
      }
    }
    // In the same breath as the look at the queue: whoever comes after it starts anew.
    this.#pumping = undefined;
  }

  async #write(batch: readonly { readonly sync: boolean; readonly bytes: Buffer }[]): Promise<void> {
    if (batch.length === 0) return;
    if (this.#broken || this.#size > this.#compactAt) await this.#writeAnew();
    const bytes = Buffer.concat(batch.map(({ bytes }) => bytes));
    const file = this.#file!;
    if (this.#size + bytes.length > this.#room) {
      const room = Math.ceil(bytes.length / roomBytes) * roomBytes;
      await file.write(Buffer.alloc(room), this.#room);
      this.#room += room;
    }
    await file.write(bytes, this.#size);
    this.#size += bytes.length;
    if (batch.some(({ sync }) => sync)) await file.sync();
  }

  /** A new file with what is not settled takes the place of the old one, which stays whole until then. */
  async #writeAnew(): Promise<void> {
    const path = this.#path("journal");
    const next = `${path}.new`;
    // That somebody else's record is settled must be remembered for as long as his journal is there.
    const others = [...this.#adopted].flatMap(({ settled }) => [...settled].map(encodeSettled));
    const bytes = Buffer.concat([...this.#live.values(), ...others]);
    const room = Math.ceil((bytes.length + 1) / roomBytes) * roomBytes;
    await this.#files.remove(next);
    const file = await this.#files.create(next);
    try {
      await file.write(Buffer.concat([bytes, Buffer.alloc(room - bytes.length)]), 0);
      await file.sync();
      await this.#files.rename(next, path);
      await this.#files.syncFolder(this.#folder);
    } catch (error) {
      await file.close();
      throw error;
    }
    const old = this.#file;
    this.#file = file;
    this.#size = bytes.length;
    this.#room = room;
    this.#broken = false;
    await old?.close().catch(() => {});
  }

  /** Removes the journals of the dead in which nothing is open any more; one with damage in it is put aside, not away. */
  async #dismiss(): Promise<undefined> {
    if (this.#broken) return; // what ours should say of others' records, and does not, one of these may
    const empty = [...this.#adopted].filter(({ open, going }) => open.size === 0 && !going);
    if (empty.length === 0) return;
    for (const journal of empty) journal.going = true;
    try {
      if (!(await this.#mayGo(empty.map(({ name }) => name)))) return;
      for (const journal of empty) {
        const path = this.#path("journal", journal.name);
        if (journal.damaged) await this.#files.rename(path, `${path}.damaged`);
        else await this.#files.remove(path);
        journal.damaged = false;
        await this.#files.remove(`${path}.new`);
        await this.#files.syncFolder(this.#folder);
        await this.#files.remove(this.#path("lock", journal.name));
        this.#adopted.delete(journal);
        journal.lock.release();
      }
    } finally {
      for (const journal of empty) journal.going = false;
    }
  }

  #path(kind: "journal" | "lock", name = this.#name): string {
    return pathOf(this.#folder, name, kind);
  }
}

export const described = (damage: Damage, file: string): EscrowDamage => ({
  ...damage,
  file,
  detail: `${file}: ${damage.bytes} bytes at offset ${damage.offset} are no record; the rest of it was read, and the file is kept`,
});

export async function asValue<Value>(work: () => Promise<Value>): Promise<Result<Value, EscrowFailure>> {
  try {
    return ok(await work());
  } catch (error) {
    const failure = failureOf(error);
    if (failure.code === null) throw error;
    return err(failure);
  }
}

function failureOf(thrown: unknown): EscrowFailure {
  const { code, message } = Object(thrown) as { code?: unknown; message?: unknown };
  return {
    kind: code === "ENOSPC" || code === "EDQUOT" ? "full" : "unavailable",
    code: typeof code === "string" ? code : null,
    detail: String(message),
  };
}
