// What Plaid allows, as the budget has it: in words beside a sweep's progress, and as metrics.

import type { Budget, BudgetState } from "../budget/budget.ts";
import type { SweepOperation } from "../database/schema.ts";
import { pathOf } from "../sweep/sweep.ts";
import { gauge, type Family } from "./exposition.ts";
import { readOrStop } from "./sentences.ts";

/** Where an endpoint stands for all processes, read from the database. */
export const readAllowance = async (budget: Pick<Budget, "read">, path: string): Promise<BudgetState> =>
  readOrStop(await budget.read(path));

/** How much of a minute's calls is used; null where there is no budget. */
export const usedPercent = ({ perMinute, usedInLastMinute }: BudgetState): number | null =>
  perMinute === null ? null : Math.round((usedInLastMinute * 100) / perMinute);

/** `allowance 68 % used`, as this process last saw it; empty where there is none. */
export function allowanceSaid(budget: Pick<Budget, "state">, operation: SweepOperation): string {
  const seen = budget.state().find(({ path }) => path === pathOf[operation]);
  const used = seen ? usedPercent(seen) : null;
  if (!seen || used === null) return "";
  return `allowance ${used} % used${seen.pausedUntil === null ? "" : " (waiting: Plaid answers 429)"}`;
}

/** For /metrics: of each endpoint that this process has used. */
export function allowanceFamilies(budget: Budget): readonly Family[] {
  const states = budget.state().filter(({ perMinute }) => perMinute !== null);
  const each = (name: string, help: string, of: (state: BudgetState) => number) =>
    gauge(
      name,
      help,
      states.map((state) => ({ labels: { path: state.path }, value: of(state) })),
    );
  return [
    each("sett_budget_per_minute", "Calls a minute that may be made now.", ({ perMinute }) => perMinute!),
    each("sett_budget_ceiling", "What that grows back to.", ({ ceiling }) => ceiling ?? Infinity),
    each(
      "sett_budget_used",
      "Calls of all processes in the last minute.",
      ({ usedInLastMinute }) => usedInLastMinute,
    ),
    each("sett_budget_share", "The part that is kept free for live calls.", ({ share }) => share),
    each("sett_budget_paused", "1 while nothing is sent because of a 429.", ({ pausedUntil }) =>
      Number(pausedUntil !== null),
    ),
    each("sett_budget_waiting", "How many of this process wait for a permit.", ({ waiting }) => waiting),
  ];
}
