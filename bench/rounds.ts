// Hides how contenders are compared fairly on a machine that does other things too: they take turns, one short round
// each, A B C A B C, so that a busy minute slows them all; a ratio is the median of the ratios within the rounds.

/** How long to look. */
export interface Pace {
  readonly rounds: number;
  /** Of one contender's turn. */
  readonly forMs: number;
  /** As many Items as was promised, however long it takes. */
  readonly full: boolean;
}

/** What one contender did in one round. */
export interface Sample {
  readonly calls: number;
  /** With those of the warm-up. */
  readonly allCalls: number;
  readonly elapsedMs: number;
  /** User and system time of the contender's whole process, its helper threads included. */
  readonly cpuMs: number;
}

/** What each contender did, round by round, under its name. */
export type Rounds<Seen> = ReadonlyMap<string, readonly Seen[]>;

/** Lets everyone have a turn that does not count, then `rounds` that do. */
export async function interleaved<Seen>(
  names: readonly string[],
  rounds: number,
  turn: (name: string) => Promise<Seen>,
): Promise<Rounds<Seen>> {
  const seen = new Map(names.map((name) => [name, [] as Seen[]]));
  for (let round = 0; round <= rounds; round++) {
    for (const name of names) {
      const outcome = await turn(name);
      if (round > 0) seen.get(name)!.push(outcome);
    }
  }
  return seen;
}

/** Keeps `inFlight` calls going for `forMs` and counts those that ended. A call that fails ends the bench. */
export async function drive(once: () => Promise<unknown>, inFlight: number, forMs: number): Promise<Sample> {
  const startCpu = process.cpuUsage();
  const start = performance.now();
  let calls = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() - start < forMs) {
      await once();
      calls++;
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
  const { user, system } = process.cpuUsage(startCpu);
  return { calls, allCalls: calls, elapsedMs: performance.now() - start, cpuMs: (user + system) / 1000 };
}

export const perSecond = ({ calls, elapsedMs }: Sample): number => (calls * 1000) / elapsedMs;

export const cpuMicros = ({ calls, cpuMs }: Sample): number => (cpuMs * 1000) / calls;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) throw new Error("there is no median of nothing");
  return sorted.length % 2 === 1 ? upper : (sorted[middle - 1]! + upper) / 2;
}

/** The middle of what a contender's rounds read. */
export function middle<Seen>(rounds: Rounds<Seen>, name: string, read: (seen: Seen) => number): number {
  return median((rounds.get(name) ?? []).map(read));
}

/** How one contender's readings relate to another's of the same rounds. */
export function ratio<Seen>(
  rounds: Rounds<Seen>,
  name: string,
  base: string,
  read: (seen: Seen) => number,
): number {
  const bases = rounds.get(base) ?? [];
  return median((rounds.get(name) ?? []).map((seen, round) => read(seen) / read(bases[round]!)));
}
