// `sett sweep list|status|pause|resume|cancel|budget`: how sweeps stand, and what changes it.

import * as endpoints from "sett/endpoints";
import type { BudgetState } from "../budget/budget.ts";
import type { Books } from "../books.ts";
import type { Sweeps } from "../sweep/sweeps.ts";
import { pathOf, type Sweep, type SweepStatus } from "../sweep/sweep.ts";
import { readAllowance, usedPercent } from "./allowances.ts";
import type { Call } from "./command.ts";
import { Stop, wrong, type Ending } from "./exits.ts";
import { withBooks } from "./open.ts";
import { databaseSaid, orStop, readOrStop } from "./sentences.ts";
import { settingsTable, type Settings } from "./settings.ts";
import { moment, moments, span } from "./spans.ts";
import { follow, tellCounts, tellEnd } from "./sweep-follow.ts";
import { countsOf, titleOf } from "./sweep-words.ts";
import { writeFacts, writeTable, type Column } from "./table.ts";

export interface BudgetOptions {
  /** `default`: what holds without. */
  readonly set?: number | "default";
  readonly share?: number | "default";
}

export const list = (call: Call<{ readonly limit: number }>): Promise<Ending> =>
  withBooks(call, async ({ sweeps }) => {
    const { out, options } = call;
    const found = orStop(await sweeps.list({ limit: options.limit }));
    for (const sweep of found) await out.record(sweep);
    await writeTable(out, sweepColumns, found);
    if (found.length === 0) out.note("no sweeps yet");
    return "done";
  });

const sweepColumns: readonly Column<Sweep>[] = [
  { head: "SWEEP", of: ({ sweep_id }) => String(sweep_id), whole: true },
  { head: "OPERATION", of: ({ operation }) => operation, whole: true },
  { head: "STATE", of: ({ state }) => state, whole: true },
  { head: "ITEMS", of: ({ total }) => String(total), whole: true },
  { head: "SUBMITTED", of: ({ submitted_at }) => moments(submitted_at) },
  { head: "ENDED", of: ({ ended_at }) => moments(ended_at) },
  { head: "PUTS BACK", of: ({ rolls_back }) => (rolls_back === null ? "-" : `sweep ${rolls_back}`) },
  { head: "NOTE", of: ({ note }) => note ?? "-" },
];

/** The number that was given, or the latest sweep's. */
export async function namedOrLatest(
  { sweeps }: { readonly sweeps: Pick<Sweeps, "list"> },
  given: number | undefined,
): Promise<number> {
  if (given !== undefined) return given;
  const [latest] = orStop(await sweeps.list({ limit: 1 }));
  if (!latest) throw new Stop("unknown", "there are no sweeps yet");
  return latest.sweep_id;
}

export const status = (call: Call<{ readonly watch?: true }>, given: number | undefined): Promise<Ending> =>
  withBooks(call, async (books) => {
    const { out, options, context } = call;
    const id = await namedOrLatest(books, given);
    if (options.watch) {
      const over = await follow(call, books, id);
      return over ? tellEnd(call, over) : "interrupted";
    }
    const sweep = orStop(await books.sweeps.status(id));
    const path = sweep.ended_at === null ? pathOf[sweep.operation] : undefined;
    const allowance = path === undefined ? null : await readAllowance(books.budget, path);
    await out.record({ ...sweep, allowance });
    await tell(call, sweep, allowance, context.now());
    return "done";
  });

async function tell(
  { out }: Pick<Call<unknown>, "out">,
  sweep: SweepStatus,
  allowance: BudgetState | null,
  now: number,
): Promise<void> {
  const { state, total, note, order, ratePerSecond, etaMs, submitted_at, ended_at } = sweep;
  const pace = [
    ...(ratePerSecond === null ? [] : [`${ratePerSecond.toFixed(1)} Items/s`]),
    ...(etaMs === null ? [] : [`${span(etaMs)} left`]),
  ].join(", ");
  const selected = Object.entries(sweep.selection).map(
    ([name, value]) => `${name} ${name === "tokenBefore" ? moments(value as number) : String(value)}`,
  );
  await out.line(out.paint("bold", titleOf(sweep)));
  await writeFacts(out, {
    state,
    Items: `${total}: ${countsOf(sweep)}`,
    selected: `${selected.length === 0 ? "all" : selected.join(", ")}, by ${order}`,
    submitted: `${moments(submitted_at)} (${span(now - submitted_at)} ago)`,
    ended: ended_at === null ? null : moment(ended_at),
    pace: pace === "" ? null : pace,
    allowance: allowance === null || allowance.perMinute === null ? null : allowanceText(allowance),
    note,
  });
  tellCounts(out, sweep);
}

const allowanceText = (state: BudgetState): string =>
  `${usedPercent(state)} % of ${state.perMinute} calls a minute used, ${Math.round(state.share * 100)} % kept for live calls` +
  (state.pausedUntil === null ? "" : "; waiting, for Plaid answers 429");

export const changeSweep = (
  call: Call<object>,
  id: number,
  how: "pause" | "resume" | "cancel",
): Promise<Ending> =>
  withBooks(call, async ({ sweeps }) => {
    const { out } = call;
    const changed = orStop(await sweeps[how](id));
    await out.record(changed);
    await out.line(`${titleOf(changed)} is ${changed.state}`);
    if (how === "resume") out.note("workers do it: sett worker");
    return "done";
  });

export async function budget(call: Call<BudgetOptions>): Promise<Ending> {
  const { options, out, args } = call;
  const [path] = args;
  const { set, share } = options;
  if (path === undefined && (set !== undefined || share !== undefined))
    throw wrong("of which endpoint? Give its path, such as /item/get");
  if (path !== undefined && !/^\/[a-z_/]{1,100}$/.test(path))
    throw wrong("an endpoint is named by its path, such as /item/get");
  if (path === undefined || (set === undefined && share === undefined))
    return withBooks(call, async (books) =>
      tellBudgets(call, books, path === undefined ? await pathsOf(books) : [path]),
    );
  return withBooks(call, async (books, settings) => {
    if (settings.clientId === null) await refuseUnlessOne(books, settings, path);
    const done = await books.budget.set(path, { perMinute: given(set), share: given(share) });
    if (!done.ok) throw new Stop("failed", databaseSaid(done.error));
    if (!Object.values(endpoints).some((endpoint) => endpoint.path === path))
      out.note(`sett itself never calls ${path}: this is for calls of the application's, or else misspelt`);
    out.note("set; every process follows within seconds");
    return tellBudgets(call, books, [path]);
  });
}

/** Without a client_id it is known whose allowance is meant where one client's calls are counted, and no other's. */
async function refuseUnlessOne(
  { database }: Pick<Books, "database">,
  { env }: Settings,
  path: string,
): Promise<void> {
  const read = await database.read((sql) =>
    sql
      .selectFrom("budgets")
      .select("name")
      .where("path", "=", path)
      .where("environment", "=", env)
      .limit(2)
      .execute(),
  );
  const clients = readOrStop(read).length;
  if (clients === 1) return;
  throw wrong(
    `${settingsTable.clientId.env} must be set, to say whose allowance: ` +
      (clients === 0 ? `no call to ${path} is counted yet` : `several clients call ${path}`),
  );
}

async function tellBudgets(
  { out }: Pick<Call<unknown>, "out">,
  { budget }: Pick<Books, "budget">,
  paths: readonly string[],
): Promise<Ending> {
  const states: BudgetState[] = [];
  for (const path of paths) states.push(await readAllowance(budget, path));
  for (const state of states) await out.record(state);
  await writeTable(out, budgetColumns, states);
  return "done";
}

const given = (value: number | "default" | undefined) => (value === "default" ? null : value);

const budgetColumns: readonly Column<BudgetState>[] = [
  { head: "ENDPOINT", of: ({ path }) => path, whole: true },
  { head: "PER MINUTE", of: ({ perMinute }) => (perMinute === null ? "no limit" : String(perMinute)) },
  { head: "USED", of: (state) => (state.perMinute === null ? "-" : `${usedPercent(state)} %`) },
  { head: "UP TO", of: ({ ceiling }) => (ceiling === null ? "-" : String(ceiling)) },
  { head: "FOR LIVE CALLS", of: ({ share }) => `${Math.round(share * 100)} %` },
  { head: "NOW", of: ({ pausedUntil }) => (pausedUntil === null ? "-" : "waiting: 429") },
];

/** Those that sweeps call, and all that are kept an account of. */
async function pathsOf({ database }: Pick<Books, "database">): Promise<readonly string[]> {
  const read = await database.read((sql) =>
    sql.selectFrom("budgets").select("path").distinct().orderBy("path").execute(),
  );
  const called = Object.values(pathOf).filter((path) => path !== undefined);
  return [...new Set([...called, ...readOrStop(read).map(({ path }) => path)])];
}
