// How much of Plaid's allowance a sweep uses, and how seldom it is refused, beside a pool of promises with the official
// client: under a steady allowance, and under one that is cut to a tenth in the middle and given back.

import type { Comparison } from "../report.ts";
import type { Pooled, PoolOrder } from "./pool.ts";
import { startProgram } from "./program.ts";
import type { Allow, SandboxOrder } from "./sandbox.ts";
import { stopped, withScene } from "./scene.ts";
import { added, binMs, within, type Bins } from "./tally.ts";
import { clockOf, newTempo, type Tempo } from "./tempo.ts";
import type { Pace } from "../rounds.ts";

/** What Plaid publishes for /item/get. */
const perMinute = 5_000;
/** So fast runs the clock. Faster, and the machine's own speed would be measured. */
const speed = 5;
const workers = 4;
/** Of the pool, and of all workers together. */
const inFlight = 64;
const minute = 60_000;

/** In minutes of the clock after the first call. */
interface Cut {
  readonly at: number;
  readonly until: number;
}

interface Run {
  readonly bins: Bins;
  /** Of the first call and the last, by the clock. */
  readonly from: number;
  readonly to: number;
}

type Work = (baseUrl: string, tempo: Tempo, begins: () => void) => Promise<Bins>;

/** One run against a Plaid of its own; `begins` is called when the calls do. */
async function run(items: number, cut: Cut | undefined, work: Work): Promise<Run> {
  const tempo = newTempo(speed);
  const { now, wait } = clockOf(tempo);
  const sandbox = startProgram<SandboxOrder, string>("sandbox.ts", { items, tempo, limits: true });
  const change = async ({ at, until }: Cut) => {
    const begun = now();
    await wait(at * minute);
    sandbox.send({ perMinute: perMinute / 10 } satisfies Allow);
    await wait(begun + until * minute - now());
    sandbox.send({ perMinute } satisfies Allow);
  };
  let from = 0;
  try {
    const bins = await work(await sandbox.next(), tempo, () => {
      from = now();
      if (cut) void change(cut);
    });
    const last = Math.max(...Object.keys(bins).map(Number));
    return { bins, from, to: last * binMs };
  } finally {
    await sandbox.end();
  }
}

const sett =
  (items: number): Work =>
  (baseUrl, tempo, begins) =>
    withScene("sweep", { baseUrl, tempo }, async ({ fill, workers: start, sweep }) => {
      await fill(items);
      const started = await start(workers, { share: 0, inFlight: inFlight / workers });
      begins();
      const { status } = await sweep("audit");
      const worked = await stopped(started);
      if (status.done !== items) throw new Error(`${status.done} of ${items} Items were audited`);
      return added(worked.map(({ bins }) => bins));
    });

const official =
  (items: number): Work =>
  async (baseUrl, tempo, begins) => {
    const order: PoolOrder = { baseUrl, items, inFlight, call: "audit", tempo };
    const pool = startProgram<PoolOrder, Pooled>("pool.ts", order);
    begins();
    const { bins } = await pool.next();
    return bins;
  };

/** Whole minutes of Plaid's between the first and the last. */
const steady = ({ bins, from, to }: Run) => {
  const [first, last] = [Math.ceil(from / minute) * minute, Math.floor(to / minute) * minute];
  const { passed } = within(bins, first, last);
  return passed / (((last - first) / minute) * perMinute);
};

const refusals = ({ bins, from, to }: Run) => {
  const { passed, refused } = within(bins, from - minute, to + minute);
  return refused / (passed + refused);
};

const percent = (part: number) => part * 100;
const names = { sett: `sett, ${workers} workers`, official: "plaid 47.0.0 (official), pool" };
const clockSaid = `The clock runs ${speed} times as fast as the machine's.`;

export async function compareAllowance({ rounds, full }: Pace): Promise<Comparison> {
  const items = full ? 100_000 : rounds > 3 ? 25_000 : 15_000;
  const seen = {
    sett: await run(items, undefined, sett(items)),
    official: await run(items, undefined, official(items)),
  };
  return {
    title: "Plaid's allowance, used",
    how:
      `${items} Items audited (/item/get, ${perMinute} a minute) at the sandbox with Plaid's limits: ${workers} worker processes on ` +
      `PostgreSQL, share for live calls 0, against ${inFlight} calls in flight of the official client, which waits out each 429, ` +
      `twice as long each time. Used: in whole minutes of Plaid's. ${clockSaid}`,
    columns: ["", "allowance used %", "answers 429 %", "calls", "minutes"],
    rows: (["sett", "official"] as const).map((name) => {
      const one = seen[name];
      const { passed, refused } = within(one.bins, one.from - minute, one.to + minute);
      const took = (one.to - one.from) / minute;
      return [names[name], percent(steady(one)), percent(refusals(one)), passed + refused, took];
    }),
    promises: [
      { what: "allowance used", value: percent(steady(seen.sett)), least: 97, unit: " %" },
      { what: "answers 429", value: percent(refusals(seen.sett)), most: 0.1, unit: " %" },
    ],
  };
}

/** Minutes from `restored` until the calls of ten seconds are at 90 % of the allowance. */
function back({ bins, to }: Run, restored: number): number {
  const window = 10_000;
  for (let at = restored; at + window <= to; at += binMs)
    if (within(bins, at, at + window).passed >= 0.9 * perMinute * (window / minute))
      return (at + window - restored) / minute;
  return Infinity;
}

export async function compareCut({ rounds, full }: Pace): Promise<Comparison> {
  const cut = { at: 3, until: 6 };
  const items = full ? 60_000 : rounds > 3 ? 35_000 : 30_000;
  const seen = { sett: await run(items, cut, sett(items)), official: await run(items, cut, official(items)) };
  const minutesBack = (one: Run) => back(one, one.from + cut.until * minute);
  return {
    title: "An allowance that is cut and given back",
    how:
      `The same with ${items} Items; ${cut.at} minutes after the beginning the allowance is cut to a tenth, and ${cut.until - cut.at} minutes later ` +
      `it is whole again. Back: until the calls of ten seconds are at 90 % of it. ${clockSaid}`,
    columns: ["", "answers 429 %", "back after min", "used while cut %", "minutes"],
    rows: (["sett", "official"] as const).map((name) => {
      const one = seen[name];
      const [begins, ends] = [one.from + cut.at * minute, one.from + cut.until * minute];
      const used = within(one.bins, begins, ends).passed / ((perMinute / 10) * (cut.until - cut.at));
      return [
        names[name],
        percent(refusals(one)),
        minutesBack(one),
        percent(used),
        (one.to - one.from) / minute,
      ];
    }),
    promises: [
      { what: "answers 429", value: percent(refusals(seen.sett)), most: 2, unit: " %" },
      { what: "back at 90 %", value: minutesBack(seen.sett), most: 2, unit: " minutes" },
    ],
  };
}
