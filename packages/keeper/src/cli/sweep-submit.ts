// `sett sweep audit|webhook|rotate|remove|reencrypt|rollback`: says what would be done, asks where it cannot be undone
// easily, submits it, and works on it in this process until it is over.

import type { SweepOperation } from "../database/schema.ts";
import type { Keeper } from "../keeper.ts";
import type { DryRun, Submitted, SweepOptions, SweepOrder, SweepStatus } from "../sweep/sweep.ts";
import { confirm } from "./ask.ts";
import type { Call } from "./command.ts";
import { Stop, wrong, type Ending } from "./exits.ts";
import { selectionOf, type Filters } from "./filters.ts";
import { columns } from "./items.ts";
import { withBooks, withKeeper } from "./open.ts";
import { sayProblems } from "./problems.ts";
import { orStop } from "./sentences.ts";
import { span } from "./spans.ts";
import { follow, tellEnd } from "./sweep-follow.ts";
import { inWords, someItems, titleOf } from "./sweep-words.ts";
import { writeTable } from "./table.ts";

/** So long whoever is told of the end may take. */
const patienceMs = 10_000;

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
    return withBooks(call, async ({ sweeps }) =>
      tellDry(call, orStop(await sweeps.dryRun(operation, sweep)), own.webhook),
    );
  return withSweeps(call, async (keeper) => {
    const dry = orStop(await keeper.sweep(operation, { ...sweep, dryRun: true }));
    // What is sealed beside the tokens is there without any Item.
    if (dry.total === 0 && operation !== "reencrypt") {
      call.out.note("no such Items; nothing was submitted");
      return "done";
    }
    const what = `${inWords(operation, someItems(dry.total), own.webhook)}${estimated(dry)}`;
    if (operation === "audit" || operation === "reencrypt") call.out.note(what);
    else await confirm(call, what);
    return workOn(call, keeper, orStop(await keeper.sweep(operation, sweep)));
  });
}

/** Puts back what another sweep of webhooks has moved. */
export async function rollBack(call: Call<Submitting>, sweepId: number): Promise<Ending> {
  return withSweeps(call, async (keeper) => {
    const old = orStop(await keeper.sweeps.status(sweepId));
    const { operation, ended_at, begun_at, done, waiting } = old;
    const nothing = `${titleOf(old)} moved no webhooks: there is nothing to put back`;
    if (operation !== "webhook") throw wrong(nothing);
    // One that was cancelled with calls out may have moved some that are not counted yet.
    if (ended_at !== null && done === 0 && (begun_at === null || waiting === 0)) {
      call.out.note(nothing);
      return "done";
    }
    await confirm(call, inWords("webhook", `up to ${someItems(done)}`));
    const submitted = await keeper.sweeps.rollback(sweepId);
    if (!submitted.ok && submitted.error.kind === "wrong-state" && submitted.error.state === "cancelled")
      throw new Stop("failed", `calls of ${titleOf(old)} are still out: try again in a moment`);
    return workOn(call, keeper, orStop(submitted));
  });
}

/** A keeper that finishes what is left open, and says what goes wrong in the background. */
const withSweeps = (call: Call<Submitting>, work: (keeper: Keeper) => Promise<Ending>): Promise<Ending> => {
  const { inFlight } = call.options;
  return withKeeper(call, work, { inFlight, recoverEveryMs: 30_000, onProblem: sayProblems(call) });
};

async function workOn(call: Call<Submitting>, keeper: Keeper, sweep: Submitted): Promise<Ending> {
  const { out, options } = call;
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
  const worker = keeper.sweeps.work({ inFlight: options.inFlight, onProblem: sayProblems(call) });
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

/**
 * Tells somebody's URL that a sweep is over: what `sett sweep status --json` says, posted once, with nothing secret in
 * it. The sweep is over whether it arrives or not.
 */
async function postEnd({ out }: Pick<Call<unknown>, "out">, url: string, sweep: SweepStatus): Promise<void> {
  // The URL itself may be a secret.
  const { host } = new URL(url);
  try {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ event: "ended", sweep }),
      redirect: "error",
      signal: AbortSignal.timeout(patienceMs),
    });
    await answer.body?.cancel();
    if (!answer.ok) out.note(`${host} was told that it is over, and answered ${answer.status}`);
  } catch (thrown) {
    const { name, cause } = thrown as Error;
    const why = (Object(cause) as { code?: unknown }).code;
    out.note(`${host} could not be told that it is over: ${typeof why === "string" ? why : name}`);
  }
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
