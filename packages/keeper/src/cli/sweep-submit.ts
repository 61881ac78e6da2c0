// `sett sweep audit|webhook|rotate|remove|reencrypt|rollback`: says what would be done, asks where it cannot be undone
// easily, submits it, and works on it in this process until it is over.

import type { Result } from "sett";
import type { SweepOperation } from "../database/schema.ts";
import type { Keeper, KeeperOptions } from "../keeper.ts";
import type { DryRun, Submitted, SweepFailure, SweepOptions, SweepOrder } from "../sweep/sweep.ts";
import { confirm } from "./ask.ts";
import type { Call } from "./command.ts";
import { Stop, type Ending } from "./exits.ts";
import { selectionOf, type Filters } from "./filters.ts";
import { columns } from "./items.ts";
import { withBooks, withKeeper } from "./open.ts";
import { createProblems } from "./problems.ts";
import { span } from "./spans.ts";
import { follow, tellEnd } from "./sweep-follow.ts";
import { postEnd } from "./sweep-told.ts";
import { inWords, someItems, stopWith, titleOf } from "./sweep-words.ts";
import { writeTable } from "./table.ts";

/** What every submission may be told. */
export interface Submitting extends Filters {
  readonly dryRun?: true;
  readonly order?: SweepOrder;
  readonly inFlight?: number;
  readonly note?: string;
  readonly yes?: true;
  readonly detach?: true;
  readonly onDoneUrl?: string;
}

/** What it would come to is asked first, and shown. */
export async function submitSweep(
  call: Call<Submitting>,
  operation: SweepOperation,
  own: SweepOptions = {},
): Promise<Ending> {
  const { options } = call;
  const sweep: SweepOptions = {
    selection: selectionOf(call, { wholeUnits: true }),
    order: options.order ?? (options.olderThan === undefined ? undefined : "oldest"),
    note: options.note,
    ...own,
  };
  if (options.dryRun)
    return withBooks(call, async ({ sweeps }) => {
      const dry = await sweeps.dryRun(operation, sweep);
      if (!dry.ok) throw stopWith(dry.error);
      return tellDry(call, dry.value, own.webhook);
    });
  return withSweeps(call, async (keeper) => {
    const dry = await keeper.sweep(operation, { ...sweep, dryRun: true });
    if (!dry.ok) throw stopWith(dry.error);
    // What is sealed beside the tokens is there without any Item.
    if (dry.value.total === 0 && operation !== "reencrypt") return nothing(call);
    const what = `${inWords(operation, someItems(dry.value.total), own.webhook)}${estimated(dry.value)}`;
    if (operation === "audit" || operation === "reencrypt") call.out.note(what);
    else await confirm(call, { yes: options.yes === true, what });
    return workOn(call, keeper, await keeper.sweep(operation, sweep));
  });
}

/** Puts back what another sweep of webhooks has moved. */
export async function rollBack(call: Call<Submitting>, sweepId: number): Promise<Ending> {
  return withSweeps(call, async (keeper) => {
    const old = await keeper.sweeps.status(sweepId);
    if (!old.ok) throw stopWith(old.error);
    if (old.value.operation !== "webhook")
      throw new Stop("usage", `${titleOf(old.value)} moved no webhooks: there is nothing to be put back`);
    // One that was cancelled with calls out may have moved some that are not counted yet.
    const { ended_at, begun_at, done, waiting } = old.value;
    if (ended_at !== null && done === 0 && (begun_at === null || waiting === 0)) return nothing(call);
    const what = inWords("webhook", `up to ${someItems(done)}`);
    await confirm(call, { yes: call.options.yes === true, what });
    const submitted = await keeper.sweeps.rollback(sweepId);
    if (!submitted.ok && submitted.error.kind === "wrong-state" && submitted.error.state === "cancelled")
      throw new Stop("failed", `calls of ${titleOf(old.value)} are still out: try again in a moment`);
    return workOn(call, keeper, submitted);
  });
}

function nothing({ out }: Call<unknown>): Ending {
  out.note("no such Items; nothing was submitted");
  return "done";
}

/** A keeper that finishes what is left open, and says what goes wrong in the background. */
function withSweeps(call: Call<unknown>, work: (keeper: Keeper) => Promise<Ending>): Promise<Ending> {
  const { onProblem } = createProblems(call);
  const more: Partial<KeeperOptions> = { recoverEveryMs: 30_000, onProblem };
  return withKeeper(call, work, undefined, { more });
}

async function workOn(
  call: Call<Submitting>,
  keeper: Keeper,
  submitted: Result<Submitted, SweepFailure>,
): Promise<Ending> {
  const { out, options } = call;
  if (!submitted.ok) throw stopWith(submitted.error);
  const sweep = submitted.value;
  const { sweep_id, again, state } = sweep;
  await out.record({ event: "submitted", sweep });
  out.note(
    again
      ? `this is ${titleOf(sweep)}, which is under way already (${state}): nothing was added`
      : `${titleOf(sweep)}: ${someItems(sweep.total)}`,
  );
  if (options.detach) {
    await out.line(String(sweep_id));
    out.note(`workers do it: sett worker; how it stands: sett sweep status ${sweep_id}`);
    return "done";
  }
  if (state === "paused")
    throw new Stop(
      "failed",
      `it is paused: sett sweep resume ${sweep_id}, then sett worker or the same again`,
    );
  const { onProblem } = createProblems(call);
  const worker = keeper.sweeps.work({ inFlight: options.inFlight, onProblem });
  let status;
  try {
    status = await follow(call, keeper, sweep_id);
  } finally {
    await worker.close();
  }
  if (!status)
    throw new Stop(
      "interrupted",
      `stopped; what was begun is finished, and the sweep stays. Go on: the same again, or sett worker. ` +
        `End it: sett sweep cancel ${sweep_id}`,
    );
  const ended = { ...status, again };
  const ending = await tellEnd(call, ended);
  if (options.onDoneUrl !== undefined) await postEnd(call, options.onDoneUrl, status);
  return ending;
}

const estimated = ({ estimateMs }: DryRun): string =>
  estimateMs === null || estimateMs === 0
    ? ""
    : ` (${estimateMs < 1_000 ? "less than a second" : `${span(estimateMs)} or more`}, within what Plaid allows)`;

async function tellDry(
  { out, context }: Call<Submitting>,
  dry: DryRun,
  webhook: string | null | undefined,
): Promise<Ending> {
  await out.record(dry);
  const { operation, total, states, first } = dry;
  await out.line(`would ${inWords(operation, someItems(total), webhook)}${estimated(dry)}`);
  for (const [state, count] of Object.entries(states)) await out.line(`  ${count} ${state}`);
  if (!out.json && first.length > 0) {
    await out.line(first.length < total ? `the first ${first.length}:` : "these:");
    await writeTable(out, columns(context.now(), out.paint), first);
  }
  out.note("nothing was done");
  return "done";
}
