// One endpoint in one process: buys slots in blocks for those who wait, hands them out when they are due, and writes down
// what went out without one. What the database does not take at once is kept and written with the next trade.

import { ok, type Result } from "sett";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Account, Kept } from "./account.ts";
import {
  debit,
  giveBack,
  refuse,
  resume,
  sell,
  usedBefore,
  type Allowance,
  type Block,
} from "./allowance.ts";
import { change, follow, newKept, type Terms } from "./terms.ts";

export interface TillOptions {
  readonly path: string;
  readonly terms: Terms;
  readonly account: Account;
  readonly wait: (ms: number, signal: AbortSignal) => Promise<unknown>;
  readonly random: () => number;
}

type Entry = (allowance: Allowance, now: number) => void;
type View = ReturnType<Till["view"]>;

/** A block is asked for so long before the last one ends. */
const prefetchMs = 150;
/** A slot that was due while nobody waited may be used so long after its block's end. */
const lateMs = 250;
/** How long what was used live may go unwritten. */
const flushMs = 500;
/** How often a process looks whether a budget has been set where it knows of none. */
const lookMs = 5_000;
const failedMs = 500;
/** A permit is for a call that is made then and there; one that has not been used for so long will not be. */
const permitMs = 10_000;
/** Timers are no finer. */
const tickMs = 0.5;

export class Till {
  readonly #options: TillOptions;
  readonly #waiting = new Set<() => void>();
  #kept: Kept;
  /** When `#kept` was read, by the shared clock. */
  #seenAt = -Infinity;
  #blocks: { readonly block: Block; spent: number }[] = [];
  /** When those were given that no call has used yet, oldest first. */
  readonly #permits: number[] = [];
  #debt = { live: 0, sweep: 0 };
  #entries: Entry[] = [];
  #trading: Promise<unknown> = Promise.resolve();
  #askAt = 0;
  #appetite = 1;
  #pumping = false;
  #buying = false;
  #flushing = false;
  #looking = false;
  /** Wakes the pump. */
  #bell = new AbortController();
  readonly #end = new AbortController();
  #closed = false;
  /** The Item whose call was refused last, when nothing came through since. */
  #suspect: string | undefined;

  constructor(options: TillOptions) {
    this.#options = options;
    this.#kept = newKept(options.terms);
  }

  /** Whether there is no budget, as far as is known. Looks again from time to time. */
  get off(): boolean {
    const off =
      this.#kept.set.perMinute === "off" ||
      (this.#options.terms.limit === "off" && this.#kept.set.perMinute === null);
    if (off && !this.#looking && this.#options.account.shared() - this.#seenAt > lookMs) void this.#look();
    return off;
  }

  get #generation(): number {
    return this.#kept.allowance.generation;
  }

  get #paused(): boolean {
    return this.#kept.allowance.pausedUntil > 0;
  }

  /** Whether calls went out that are not written down. */
  get #owes(): boolean {
    return this.#debt.live + this.#debt.sweep > 0;
  }

  /** Waits for a permit. */
  take(signal: AbortSignal | undefined): Promise<"go" | "stopped"> {
    if (this.#closed || signal?.aborted) return Promise.resolve("stopped");
    return new Promise((resolve) => {
      const leave = () => {
        this.#waiting.delete(go);
        resolve("stopped");
      };
      const go = () => {
        signal?.removeEventListener("abort", leave);
        this.#waiting.delete(go);
        if (this.#closed) return resolve("stopped");
        this.#permit();
        resolve("go");
      };
      signal?.addEventListener("abort", leave, { once: true });
      this.#waiting.add(go);
      if (this.#pumping) {
        if (this.#blocks.length > 0) this.#release();
      } else void this.#pump();
    });
  }

  /** A call goes out: gives the generation that it belongs to. Live calls leave the permits to those who waited for them. */
  sent(use: "live" | "sweep"): number {
    // The newest, so that those which nobody uses grow old.
    const given = use === "sweep" ? this.#permits.pop() : undefined;
    if (given === undefined || given < this.#options.account.shared() - permitMs) {
      this.#debt[use]++;
      if (!this.#flushing) void this.#flushLater();
    }
    return this.#generation;
  }

  /** A call came through. */
  passed(generation: number): void {
    this.#suspect = undefined;
    if (!this.#paused || generation !== this.#generation) return;
    this.#learn((allowance, now) => resume(allowance, now, generation));
    this.#askAt = 0;
    this.#ring();
  }

  /** Whether a 429 that may be an Item's own is the client's all the same: two Items in a row, or near the limit. */
  isClients(item: string | undefined): boolean {
    const { allowance } = this.#kept;
    const { sold, live } = usedBefore(allowance, this.#options.account.shared());
    if (item === undefined || this.#paused || sold + live >= 0.3 * allowance.rate) return true;
    const suspect = this.#suspect;
    this.#suspect = item;
    return suspect !== undefined && suspect !== item;
  }

  /** A call was refused because the client's allowance is used up. */
  refused(generation: number, retryMs: number): void {
    if (generation !== this.#generation && retryMs === 0) return;
    this.#dropBlocks();
    this.#learn((allowance, now) => refuse(allowance, now, generation, retryMs));
    this.#askAt = this.#kept.allowance.pausedUntil;
  }

  async set(changed: Partial<Kept["set"]>): Promise<Result<View, DatabaseFailure>> {
    this.#dropBlocks();
    const done = await this.#trade(0, (kept) => change(kept, changed, this.#options.terms));
    this.#askAt = 0;
    this.#ring();
    return done.ok ? ok(this.view()) : done;
  }

  /** Learns what other processes have made of the row. Writes nothing, not even where there is no row. */
  read(): Promise<Result<View, DatabaseFailure>> {
    // What a trade under way takes along is neither here nor in the row.
    return this.#inTurn(async () => {
      const { account, path, terms } = this.#options;
      const seen = await account.look(path);
      if (!seen.ok) return seen;
      const kept = seen.value ?? newKept(terms);
      follow(kept, terms);
      this.#see(kept);
      return ok(this.view());
    });
  }

  view() {
    const { path, account } = this.#options;
    const { allowance } = this.#kept;
    const off = this.off;
    const { sold, live } = usedBefore(allowance, account.shared());
    return {
      path,
      perMinute: off ? null : Math.round(allowance.rate * 10) / 10,
      ceiling: off ? null : allowance.ceiling,
      share: allowance.share,
      usedInLastMinute: Math.round(sold + live + this.#debt.live + this.#debt.sweep),
      liveInLastMinute: Math.round(live + this.#debt.live),
      pausedUntil: allowance.pausedUntil === 0 ? null : Math.round(allowance.pausedUntil - account.ahead()),
      refusedAt: allowance.refusedRate === 0 ? null : Math.round(allowance.refusedRate * 10) / 10,
      generation: allowance.generation,
      waiting: this.#waiting.size,
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const leave of [...this.#waiting]) leave();
    this.#dropBlocks();
    this.#ring();
    this.#end.abort();
    await this.#trading;
    if (this.#entries.length > 0 || this.#owes) void (await this.#trade(0));
  }

  /** Hands out slots until nobody waits. */
  async #pump(): Promise<void> {
    const { account, wait } = this.#options;
    this.#pumping = true;
    while (this.#waiting.size > 0) {
      this.#release();
      if (this.#waiting.size === 0) break;
      if (this.off) {
        for (const go of [...this.#waiting]) go();
        break;
      }
      const now = account.shared();
      const due = this.#nextDue();
      const buyAt =
        this.#buying || !this.#short() ? Infinity : Math.max(this.#askAt, this.#heldUntil() - prefetchMs);
      if (buyAt <= now) {
        const buying = this.#buy();
        if (due === Infinity) await buying;
        continue;
      }
      const until = Math.min(due, buyAt);
      const { signal } = this.#bell;
      // Until the purchase that is under way rings.
      const ms = until === Infinity ? failedMs : Math.max(tickMs, until - now);
      if (!signal.aborted) await wait(ms, signal);
      if (signal.aborted) this.#bell = new AbortController();
    }
    this.#pumping = false;
  }

  /** Hands out what is due, and forgets what is past. */
  #release(): void {
    const now = this.#options.account.shared();
    for (const held of this.#blocks) {
      const { block } = held;
      const due = block.probe ? 1 : Math.floor((now - block.from + tickMs) / block.intervalMs) + 1;
      for (const go of this.#waiting) {
        if (held.spent >= Math.min(due, block.count)) break;
        held.spent++;
        go();
      }
      if (held.spent === block.count) this.#appetite = Math.min(this.#appetite * 2, 1_000);
      else if (now > endOf(block) + lateMs) {
        this.#appetite = Math.max(1, held.spent);
        this.#drop(held);
      } else continue;
      this.#blocks = this.#blocks.filter((one) => one !== held);
    }
  }

  #nextDue(): number {
    const [held] = this.#blocks;
    return held ? held.block.from + held.spent * held.block.intervalMs : Infinity;
  }

  #heldUntil(): number {
    const last = this.#blocks.at(-1);
    return last ? endOf(last.block) : -Infinity;
  }

  #short(): boolean {
    return (
      this.#blocks.reduce((left, { block, spent }) => left - (block.count - spent), this.#waiting.size) > 0
    );
  }

  async #buy(): Promise<void> {
    const { account, random } = this.#options;
    this.#buying = true;
    const bought = await this.#trade(Math.max(this.#waiting.size, this.#appetite));
    this.#buying = false;
    if (!bought.ok) this.#askAt = account.shared() + failedMs;
    else if (bought.value && bought.value.count > 0) {
      // A 429 that came meanwhile has made it void.
      if (bought.value.probe || !this.#paused) this.#blocks.push({ block: bought.value, spent: 0 });
    } else if (bought.value) {
      const now = account.shared();
      // Those who ask for the same slot do not ask at the same time.
      this.#askAt = now + Math.max(5, (bought.value.retryAt - now) * (0.75 + random() / 2));
    }
    this.#ring();
  }

  /** To be written down; held here at once, though the row may know better. */
  #learn(entry: Entry): void {
    this.#entries.push(entry);
    entry(this.#kept.allowance, this.#options.account.shared());
    void this.#trade(0);
  }

  /** One at a time. */
  #inTurn<Value>(work: () => Promise<Value>): Promise<Value> {
    const done = this.#trading.then(work);
    this.#trading = done;
    return done;
  }

  /** Writes down what there is to write, and buys. */
  #trade(wanted: number, more?: (kept: Kept) => void): Promise<Result<Block | undefined, DatabaseFailure>> {
    return this.#inTurn(async () => {
      const { account, path, terms } = this.#options;
      const entries = this.#entries;
      const debt = this.#debt;
      this.#entries = [];
      this.#debt = { live: 0, sweep: 0 };
      const traded = await account.change(
        path,
        () => newKept(terms),
        (kept, now) => {
          more?.(kept);
          follow(kept, terms);
          debit(kept.allowance, now, debt);
          for (const entry of entries) entry(kept.allowance, now);
          const block = wanted > 0 ? sell(kept.allowance, now, wanted) : undefined;
          return { kept, block };
        },
      );
      if (!traded.ok) {
        this.#entries = [...entries, ...this.#entries];
        this.#debt = { live: this.#debt.live + debt.live, sweep: this.#debt.sweep + debt.sweep };
        return traded;
      }
      this.#see(traded.value.kept);
      return ok(traded.value.block);
    });
  }

  /** Takes the row as it is now, and adds what came in meanwhile and is not in it. */
  #see(kept: Kept): void {
    const before = this.#generation;
    this.#kept = kept;
    this.#seenAt = this.#options.account.shared();
    // Another process has cut: what was sold before it is void here too.
    if (this.#generation !== before && this.#paused) this.#dropBlocks();
    for (const entry of this.#entries) entry(kept.allowance, this.#seenAt);
  }

  #permit(): void {
    const now = this.#options.account.shared();
    this.#permits.push(now);
    const lapsed = this.#permits.findIndex((given) => given >= now - permitMs);
    if (lapsed > 0) this.#permits.splice(0, lapsed);
  }

  async #flushLater(): Promise<void> {
    this.#flushing = true;
    while (!this.#closed && this.#owes) {
      await this.#options.wait(flushMs, this.#end.signal);
      // Where it fails: with the next call, then.
      if (!this.#closed && this.#owes && !(await this.#trade(0)).ok) break;
    }
    this.#flushing = false;
  }

  async #look(): Promise<void> {
    this.#looking = true;
    void (await this.read()); // Where it fails, the next look is as good.
    this.#seenAt = this.#options.account.shared();
    this.#looking = false;
  }

  #dropBlocks(): void {
    for (const held of this.#blocks) this.#drop(held);
    this.#blocks = [];
  }

  #drop({ block, spent }: { readonly block: Block; readonly spent: number }): void {
    if (!block.probe && spent < block.count)
      this.#entries.push((allowance) => giveBack(allowance, block, block.count - spent));
  }

  #ring(): void {
    this.#bell.abort();
  }
}

const endOf = ({ from, count, intervalMs }: Block): number => from + count * intervalMs;
