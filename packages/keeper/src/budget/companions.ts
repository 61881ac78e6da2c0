// The allowances that hold besides the client's: of each Item, and of an institution that has had too much. In memory,
// for each process, and forgotten after a minute or two without use.

/** Whom a call is about, as far as it is known: their own allowances hold besides the client's. */
export interface About {
  readonly itemId?: string | undefined;
  readonly institutionId?: string | null | undefined;
}

interface Companion {
  /** When the last calls went out, as many as the limit counts. */
  readonly calls: number[];
  blockedUntil: number;
  pauseMs: number;
  /** Between two calls, since it was refused. */
  intervalMs: number;
  nextAt: number;
}

const windowMs = 60_600;
const mostKept = 50_000;
const pauses = { first: 15_000, longest: 60_000 } as const;

export class Companions {
  readonly #now: () => number;
  readonly #perItem: (path: string) => number;
  #recent = new Map<string, Companion>();
  #older = new Map<string, Companion>();
  #turnedAt: number;

  constructor(now: () => number, perItem: (path: string) => number) {
    this.#now = now;
    this.#perItem = perItem;
    this.#turnedAt = now();
  }

  /** How long a call about them has to wait, in milliseconds; with 0 it is counted. */
  delay(path: string, { itemId, institutionId }: About): number {
    const now = this.#now();
    const most = this.#perItem(path);
    const key = `${path} item ${itemId}`;
    const item = itemId === undefined ? undefined : most < Infinity ? this.#get(key) : this.#find(key);
    const institution =
      typeof institutionId === "string" ? this.#find(`${path} institution ${institutionId}`) : undefined;
    const full = item && item.calls.length >= most ? item.calls.at(-most)! + windowMs : 0;
    const free = Math.max(
      full,
      item?.blockedUntil ?? 0,
      institution?.blockedUntil ?? 0,
      institution?.nextAt ?? 0,
    );
    if (free > now) return free - now;
    if (item && most < Infinity) this.#count(item, most, now);
    if (institution) {
      institution.nextAt = now + institution.intervalMs;
      institution.intervalMs *= 0.98; // faster again with each call that may go
    }
    return 0;
  }

  /** Counts a call about somebody who is known by another name than an Item's, such as a hash of the token. */
  count(path: string, name: string): void {
    const most = this.#perItem(path);
    if (most < Infinity) this.#count(this.#get(`${path} item ${name}`), most, this.#now());
  }

  /** Whether so many calls about them went out in the last minute that a 429 is likely to be their own. */
  isFull(path: string, name: string): boolean {
    const most = this.#perItem(path);
    const since = this.#now() - windowMs;
    const calls = this.#find(`${path} item ${name}`)?.calls.filter((at) => at > since).length ?? 0;
    return calls >= most * 0.8;
  }

  /** Makes them wait: the institution when the code is its own, else the Item. */
  refused(path: string, code: string, { itemId, institutionId }: About, retryMs = 0): void {
    const name =
      code === "INSTITUTION_RATE_LIMIT" && typeof institutionId === "string"
        ? `institution ${institutionId}`
        : itemId !== undefined && `item ${itemId}`;
    if (!name) return;
    const now = this.#now();
    const companion = this.#get(`${path} ${name}`);
    if (companion.blockedUntil > now) return;
    companion.pauseMs = Math.min(Math.max(companion.pauseMs * 2, pauses.first), pauses.longest);
    companion.blockedUntil = now + Math.max(companion.pauseMs, retryMs);
    companion.intervalMs = Math.max(250, companion.intervalMs * 2);
  }

  #count({ calls }: Companion, most: number, now: number): void {
    calls.push(now);
    if (calls.length > most) calls.shift();
  }

  #find(key: string): Companion | undefined {
    const now = this.#now();
    if (now - this.#turnedAt > windowMs || this.#recent.size >= mostKept) {
      this.#older = this.#recent;
      this.#recent = new Map();
      this.#turnedAt = now;
    }
    const found = this.#recent.get(key);
    if (found) return found;
    const older = this.#older.get(key);
    if (older) this.#recent.set(key, older);
    return older;
  }

  #get(key: string): Companion {
    let companion = this.#find(key);
    if (!companion) {
      companion = { calls: [], blockedUntil: 0, pauseMs: 0, intervalMs: 0, nextAt: 0 };
      this.#recent.set(key, companion);
    }
    return companion;
  }
}
