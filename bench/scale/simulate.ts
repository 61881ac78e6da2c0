// What bounds a fleet: sweeps and webhooks of 10^6, 10^7 and 10^8 Items, minute by minute, from Plaid's published limits
// and from what was measured (figures.json; measure.ts measures anew). Prints the tables that docs/scale.md quotes; a
// test holds the page against them. Simulated is the flow, not the calls: each minute gives what the narrowest place lets
// through, and what failed comes again.
//
//   node bench/scale/simulate.ts

import { readFile } from "node:fs/promises";

/** As measured on one machine; see figures.json for which. */
export interface Figures {
  /** Calls a second that one worker makes and settles, Plaid answering at once. */
  readonly workerPerSecond: Readonly<Record<Operation, number>>;
  /** Items a second that the database settles, all workers together. */
  readonly settledPerSecond: Readonly<Record<Operation, number>>;
  /** Webhooks a second from receipt to applied, in one database. */
  readonly webhooksPerSecond: number;
  readonly submittedPerSecond: number;
  readonly reencryptedPerSecond: number;
  /** On disk with indexes: an Item with all that its linking leaves, an event, a sweep's row. */
  readonly bytes: { readonly item: number; readonly event: number; readonly sweepItem: number };
}

export type Operation = "audit" | "webhook" | "rotate" | "remove";

/** Calls a minute. No limit is published for the two of them: what the budget may grow to if Plaid never says 429. */
const allowances: Readonly<Record<Operation, { readonly perMinute: number; readonly published: boolean }>> = {
  audit: { perMinute: 5_000, published: true },
  webhook: { perMinute: 12_000, published: false },
  rotate: { perMinute: 12_000, published: false },
  remove: { perMinute: 2_000, published: true },
};

export interface Fleet {
  readonly items: number;
  readonly workers: number;
  /** Databases, each with its part of the Items. */
  readonly databases: number;
  /** How many times the published allowance Plaid gives. */
  readonly allowance: number;
  /** What is kept for live calls. */
  readonly share: number;
}

/** Of live /item/get calls a day for an Item; they follow the sun, three to one between noon and night. */
const liveCallsADay = 0.2;
/** 5xx, resets, time-outs: tried again. */
const transient = 0.01;
/** Plaid's webhooks for an Item with transactions, a day. */
const webhooksADay = 4;
/** Of the busiest minute over the mean. */
const peak = 3;

const sun = (minute: number) => 1 + 0.5 * Math.sin((minute / 1_440) * 2 * Math.PI);

export interface Course {
  readonly minutes: number;
  /** In how many of them which place was the narrowest. */
  readonly bound: Readonly<Record<"allowance" | "workers" | "database", number>>;
}

/** One sweep, begun at midnight. */
export function sweep(operation: Operation, fleet: Fleet, figures: Figures): Course {
  const { perMinute } = allowances[operation];
  const allowed = perMinute * fleet.allowance;
  const bound = { allowance: 0, workers: 0, database: 0 };
  let left = fleet.items;
  let minutes = 0;
  for (; left >= 1; minutes++) {
    const live = operation === "audit" ? (fleet.items * liveCallsADay * sun(minutes)) / 1_440 : 0;
    const places = {
      allowance: Math.max(0, Math.min(allowed * (1 - fleet.share), allowed - live)),
      workers: fleet.workers * figures.workerPerSecond[operation] * 60,
      database: fleet.databases * figures.settledPerSecond[operation] * 60,
    };
    const [narrowest, through] = (Object.entries(places) as [keyof typeof places, number][]).reduce((a, b) =>
      b[1] < a[1] ? b : a,
    );
    if (through === 0) return { minutes: Infinity, bound: { ...bound, [narrowest]: Infinity } };
    bound[narrowest]++;
    left -= Math.min(left, through) * (1 - transient);
  }
  return { minutes, bound };
}

const spelled = (minutes: number) =>
  !Number.isFinite(minutes)
    ? "never"
    : minutes < 90
      ? `${minutes} min`
      : minutes < 48 * 60
        ? `${(minutes / 60).toFixed(1)} h`
        : `${(minutes / 1_440).toFixed(1)} days`;

const size = (bytes: number) => {
  const [divisor, unit] = bytes < 1e12 ? [1e9, "GB"] : [1e12, "TB"];
  return `${Number((bytes / divisor).toPrecision(2))} ${unit}`;
};
const power = (items: number) => `10^${Math.log10(items)}`;
const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

const fleets = [1e6, 1e7, 1e8];

/** The page's tables, by name. */
export function tables(figures: Figures): Readonly<Record<string, string>> {
  const base = { workers: 4, databases: 1, allowance: 1, share: 0.3 };
  const operations = Object.keys(allowances) as Operation[];
  const narrowest = ({ bound }: Course) => Object.entries(bound).reduce((a, b) => (b[1] > a[1] ? b : a))[0];
  return {
    sweeps: table(
      ["one sweep, 4 workers", "calls a minute", ...fleets.map(power), "bound by"],
      operations.flatMap((operation) => {
        const { perMinute, published } = allowances[operation];
        return [1, 10].map((allowance) => {
          const courses = fleets.map((items) => sweep(operation, { ...base, items, allowance }, figures));
          const bounds = [...new Set(courses.map(narrowest))].join(", then ");
          const rate = `${(perMinute * allowance).toLocaleString("en").replaceAll(",", " ")}${published ? "" : " (none published)"}`;
          return [operation, rate, ...courses.map(({ minutes }) => spelled(minutes)), bounds];
        });
      }),
    ),
    night: table(
      ["Items that one night (8 h) audits by /item/get", "share for live calls 30 %", "share 0 at night"],
      [1, 10].map((allowance) => [
        `${5_000 * allowance} calls a minute`,
        ...[0.3, 0].map(
          (share) =>
            `${((480 * 5_000 * allowance * (1 - share) * (1 - transient)) / 1e6).toFixed(1)} million`,
        ),
      ]),
    ),
    database: table(
      ["", ...fleets.map(power)],
      [
        ["Items and what their linking leaves", ...fleets.map((items) => size(items * figures.bytes.item))],
        [
          "changes of a year in the history, one a week for an Item",
          ...fleets.map((items) => size(items * 52 * figures.bytes.event)),
        ],
        [
          `webhooks of 90 days in the history, ${webhooksADay} a day for an Item`,
          ...fleets.map((items) => size(items * 90 * webhooksADay * figures.bytes.event)),
        ],
        ["jobs of one sweep, of 500 Items", ...fleets.map((items) => String(items / 500))],
        ["rows of one sweep", ...fleets.map((items) => size(items * figures.bytes.sweepItem))],
        [
          "submitting it",
          ...fleets.map((items) => spelled(Math.ceil(items / figures.submittedPerSecond / 60))),
        ],
        [
          "sealing all tokens anew",
          ...fleets.map((items) => spelled(Math.ceil(items / figures.reencryptedPerSecond / 60))),
        ],
        [
          `webhooks a second, mean and peak (${webhooksADay} a day for an Item)`,
          ...fleets.map((items) => {
            const mean = (items * webhooksADay) / 86_400;
            return `${Math.round(mean)}, ${Math.round(mean * peak)}`;
          }),
        ],
        [
          "databases for the peak of the webhooks",
          ...fleets.map((items) =>
            String(Math.ceil((items * webhooksADay * peak) / 86_400 / figures.webhooksPerSecond)),
          ),
        ],
      ],
    ),
  };
}

if (import.meta.main) {
  const figures = JSON.parse(await readFile(new URL("figures.json", import.meta.url), "utf8")) as Figures;
  for (const [name, text] of Object.entries(tables(figures))) console.log(`\n## ${name}\n\n${text}`);
}
