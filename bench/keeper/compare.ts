// Items kept a second: what the intent, the escrow, the history and the vault cost over the bare driver and node:crypto,
// on both databases. PostgreSQL is a real server of the bench's own, with fsync on.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startPostgres } from "../../test/postgres/start.ts";
import { startContender } from "../programs.ts";
import type { Comparison, Promised } from "../report.ts";
import {
  cpuMicros,
  interleaved,
  middle,
  perSecond,
  ratio,
  type Rounds,
  type Sample,
  type Pace,
} from "../rounds.ts";

/** Where the contenders keep what they keep: databases and folders that nobody has used. */
export interface Places {
  readonly database: Readonly<Record<"SQLite" | "PostgreSQL", (name: string) => Promise<string>>>;
  folder(name: string): string;
}

/** Gives the places for as long as the work lasts. */
export async function withPlaces<Value>(work: (places: Places) => Promise<Value>): Promise<Value> {
  const root = await mkdtemp(join(tmpdir(), "sett-bench-keeper-"));
  const postgres = await startPostgres();
  try {
    return await work({
      database: {
        SQLite: async (name) => join(root, `${name}.db`),
        PostgreSQL: (name) => postgres.createDatabase(name),
      },
      folder: (name) => join(root, name),
    });
  } finally {
    await postgres.stop();
    await rm(root, { recursive: true, force: true, maxRetries: 3 });
  }
}

interface Part {
  readonly title: string;
  readonly how: string;
  /** The contenders are `<name>, <peer>` for each peer, and `<name>, sett`. */
  readonly name: "link" | "use";
  /** What is promised is to the first. */
  readonly peers: readonly [string, ...string[]];
  readonly least: Readonly<Record<string, number>>;
}

/** The many first: after them all code is warm, which so few calls one at a time would not make it. */
const atOnce = [50, 1] as const;

export const compareLinks = (pace: Pace): Promise<Comparison> =>
  compare(pace, {
    title: "Items linked a second",
    how:
      "`keeper.link`, on disk when it resolves, against a loop that makes the same call, seals with node:crypto and inserts " +
      "one row (`pg`; better-sqlite3 in WAL with synchronous = full). The loop with an intent writes down before the call " +
      "what it is about to ask, as whoever is to find an Item after a crash must, and closes that with the row: nothing " +
      "that makes two syncs of one can be faster. Plaid is a function that answers at once, so that nothing hides behind " +
      "its answer",
    name: "link",
    peers: ["bare", "intent"],
    least: { "SQLite 1": 0.6, "SQLite 50": 3, "PostgreSQL 1": 0.6, "PostgreSQL 50": 0.6 },
  });

export const compareUses = (pace: Pace): Promise<Comparison> =>
  compare(pace, {
    title: "Tokens lent a second",
    how: "`keeper.use` of a thousand Items in turn against a select and a decryption",
    name: "use",
    peers: ["bare"],
    least: { "SQLite 1": 0.7, "SQLite 50": 0.7, "PostgreSQL 1": 0.7, "PostgreSQL 50": 0.7 },
  });

function compare({ rounds, forMs }: Pace, { title, how, name, peers, least }: Part): Promise<Comparison> {
  // Many short rounds: on a disk that others use, a second is another than the one before.
  const shortMs = Math.max(100, forMs / 4);
  const many = rounds * 2 + 1;
  const sides = [...peers, "sett"];
  return withPlaces(async ({ database, folder }) => {
    const rows: Comparison["rows"][number][] = [];
    const promises: Promised[] = [];
    for (const place of ["SQLite", "PostgreSQL"] as const) {
      const started = new Map(
        await Promise.all(
          sides.map(async (side) => {
            const where = {
              url: await database[place](`${name}-${side}`),
              folder: folder(`${place}-${side}`),
            };
            return [side, await startContender("keeper/contenders.ts", `${name}, ${side}`, where)] as const;
          }),
        ),
      );
      for (const inFlight of atOnce) {
        const seen: Rounds<Sample> = await interleaved(sides, many, (side) =>
          started.get(side)!.run({ inFlight, forMs: shortMs }),
        );
        const what = `${place}, ${inFlight === 1 ? "one at a time" : `${inFlight} in flight`}`;
        const to = peers.map((peer) => ratio(seen, "sett", peer, perSecond));
        rows.push([
          what,
          ...sides.map((side) => middle(seen, side, perSecond)),
          ...to,
          ...sides.map((side) => middle(seen, side, cpuMicros)),
        ]);
        promises.push({ what, value: to[0]!, least: least[`${place} ${inFlight}`]! });
      }
      for (const program of started.values()) await program.end();
    }
    return {
      title,
      how: `${how}; ${many} interleaved rounds of ${shortMs / 1000} s, medians.`,
      columns: [
        "",
        ...sides.map((side) => `${side}/s`),
        ...peers.map((peer) => `sett to ${peer}`),
        ...sides.map((side) => `${side} CPU µs`),
      ],
      rows,
      promises,
    };
  });
}
