// The sandbox's time. It runs with the machine's, shifted, or stands still until it is moved. Moving it stops at
// every instant at which something is due, does that, waits for what it set off, and only then goes on; so a
// month passes in a moment, and everything in it happens in its order.

/** How long a moving clock waits, in real milliseconds, for work that does not end (a receiver that hangs). */
const PATIENCE_MS = 1_000;
/** The clock goes no further: years of five digits have no place in Plaid's dates. */
export const LATEST_MS = Date.parse("9999-12-31T23:59:59.999Z");

export type ClockState = { readonly offset: number } | { readonly stopped_at: number };

export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Does `work` when the time has come, or at once if it has; returns how to call it off. */
  at(time: number, work: () => void): () => void;
  /** Resolves when the time has come. Unlike work that is due, somebody who waits keeps the process alive. */
  until(time: number): Promise<void>;
  /** Work that a moving clock waits for: ours until it ends, a receiver's as long as patience lasts. */
  track(work: Promise<unknown>, whose: "ours" | "receiver's"): void;
  /** When nothing is tracked any more. */
  idle(): Promise<void>;
  /** Moves on; `patienceMs` is how long to wait, in real time, for work that does not end by itself. */
  advance(ms: number, patienceMs?: number): Promise<void>;
  /** Moves on to a time, if it is not there already when its turn comes. */
  set(time: number, patienceMs?: number): Promise<void>;
  stop(): void;
  run(): void;
  state(): ClockState;
  /** Takes over a state, and forgets everything that was due; whoever waits need wait no longer. */
  reset(state: ClockState): void;
  close(): void;
}

interface Due {
  readonly time: number;
  readonly work: () => void;
  /** Somebody waits for it, and is let go if it is forgotten. */
  readonly awaited: boolean;
  live: boolean;
}

/** `changed` is told each new state, to keep it. */
export function createClock(initial: ClockState, changed: (state: ClockState) => void): Clock {
  let state = initial;
  /** Whether it runs when nobody moves it; a clock that is being moved stands from instant to instant. */
  let runs = "offset" in initial;
  /** In order of time; among equals, in the order in which they came. */
  let due: Due[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let moving: Promise<void> = Promise.resolve();
  let closed = false;
  let waiting = 0;
  /** Counts resets, so that a move learns that its time is no more. */
  let resets = 0;
  /** What `resets` was when the move under way began; another number once that move's time is no more. */
  let moveOf: number | undefined;
  const ours = new Set<Promise<unknown>>();
  const receivers = new Set<Promise<unknown>>();

  const now = () => ("stopped_at" in state ? state.stopped_at : Date.now() + state.offset);
  const become = (next: ClockState) => changed((state = next));
  /** What is to be kept of an instant: whether it runs on from there, in case the process dies. */
  const kept = (time: number): ClockState => (runs ? { offset: time - Date.now() } : { stopped_at: time });
  const inMove = () => moveOf === resets;
  const turn = (on: boolean) => {
    runs = on;
    if (inMove()) return changed(kept(now()));
    become(kept(now()));
    wind();
  };

  /** Runs what is due by now, then sets the alarm for what is due next. */
  const ring = () => {
    timer = undefined;
    while (!closed && due[0] && (due[0].time <= now() || !due[0].live)) {
      const first = due.shift()!;
      if (first.live) first.work();
    }
    wind();
  };
  const wind = () => {
    clearTimeout(timer);
    timer = undefined;
    const first = due[0];
    if (closed || !first) return;
    if ("stopped_at" in state && first.time > state.stopped_at) return;
    const wait = first.time - now();
    // The longest time a timer can take; it then rings for nothing and is wound again.
    timer = setTimeout(ring, Math.min(Math.max(wait, 0), 2 ** 31 - 1));
    // What nobody waits for must not keep a test's process alive.
    if (wait > 0 && waiting === 0) (timer as { unref?: () => void }).unref?.();
  };

  const settled = async (patienceMs: number) => {
    while (ours.size + receivers.size > 0) {
      if (ours.size > 0) {
        await Promise.all(ours);
        continue;
      }
      let expire: ReturnType<typeof setTimeout> | undefined;
      const patience = new Promise<"expired">((resolve) => {
        if (patienceMs < 2 ** 31) expire = setTimeout(resolve, patienceMs, "expired");
      });
      const first = await Promise.race([Promise.all(receivers), patience]);
      clearTimeout(expire);
      if (first === "expired") return;
    }
  };

  const move = async (targetFrom: (now: number) => number, patienceMs: number) => {
    const began = (moveOf = resets);
    const target = Math.min(targetFrom(now()), LATEST_MS);
    const stand = (time: number) => {
      changed(kept(time));
      state = { stopped_at: time };
    };
    stand(now());
    clearTimeout(timer);
    // What is due already belongs to the time before the move.
    ring();
    await settled(patienceMs);
    while (due[0] && due[0].time <= target && !closed && resets === began) {
      const { time, live } = due[0];
      if (live) stand(Math.max(time, now()));
      ring();
      await settled(patienceMs);
    }
    if (closed || resets !== began) return;
    become(kept(target));
    wind();
  };
  /** Moves come one after the other. */
  const inTurn = (targetFrom: (now: number) => number, patienceMs = PATIENCE_MS) => {
    const asked = resets;
    const moved = moving
      .then(() => (asked === resets ? move(targetFrom, patienceMs) : undefined))
      .finally(() => {
        moveOf = undefined;
      });
    moving = moved.catch(() => undefined);
    return moved;
  };

  const add = (entry: Due) => {
    let low = 0;
    for (let high = due.length; low < high;) {
      const middle = (low + high) >>> 1;
      if (due[middle]!.time <= entry.time) low = middle + 1;
      else high = middle;
    }
    due.splice(low, 0, entry);
    if (low === 0 || entry.awaited) wind();
    return () => {
      entry.live = false;
    };
  };

  return {
    now,
    at: (time, work) => add({ time, work, awaited: false, live: true }),
    until: (time) =>
      new Promise((resolve) => {
        waiting++;
        const work = () => {
          waiting--;
          resolve();
        };
        add({ time, work, awaited: true, live: true });
      }),
    track(work, whose) {
      const set = whose === "ours" ? ours : receivers;
      const quiet: Promise<unknown> = work.catch(() => undefined).finally(() => set.delete(quiet));
      set.add(quiet);
    },
    async idle() {
      while (ours.size + receivers.size > 0 || (due[0] && due[0].time <= now())) {
        ring();
        await settled(Infinity);
      }
    },
    advance: (ms, patienceMs) => inTurn((from) => from + ms, patienceMs),
    set: (time, patienceMs) => inTurn((from) => Math.max(time, from), patienceMs),
    stop: () => turn(false),
    run: () => turn(true),
    state: () => (inMove() ? kept(now()) : state),
    reset(next) {
      resets++;
      runs = "offset" in next;
      for (const { awaited, work } of due.splice(0)) if (awaited) work();
      become(next);
      wind();
    },
    close() {
      closed = true;
      due = [];
      clearTimeout(timer);
    },
  };
}
