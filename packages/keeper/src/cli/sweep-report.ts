// `sett sweep report`: the rows of a sweep, all or some of them, as CSV or JSON lines, to standard output or a file that
// is there when it is whole.

import type { Result } from "sett";
import type { SweepFailure } from "../sweep/sweep.ts";
import { reportCsv, reportJsonLines, type ReportRow } from "../sweep/report.ts";
import type { Call } from "./command.ts";
import { Stop, wrong, type Ending } from "./exits.ts";
import { oneOf } from "./filters.ts";
import { withBooks } from "./open.ts";
import { newFile, writeOut } from "./output.ts";
import { createProgress } from "./progress.ts";
import { masked, secretsOf } from "./secret-words.ts";
import { namedOrLatest } from "./sweep-shown.ts";
import { orStop } from "./sentences.ts";

export interface ReportOptions {
  readonly format?: "csv" | "jsonl";
  readonly out?: string;
  readonly only?: string;
}

type Only = (row: ReportRow, isWebhook: boolean) => boolean;

const outcome =
  (name: ReportRow["outcome"]): Only =>
  (row) =>
    row.outcome === name;

const onlys: Readonly<Record<string, Only>> = {
  done: outcome("done"),
  skipped: outcome("skipped"),
  failed: outcome("failed"),
  unfinished: outcome("unfinished"),
  waiting: outcome("waiting"),
  unacknowledged: (row, isWebhook) => isWebhook && row.outcome === "done" && row.acknowledged_at === null,
  todo: ({ todo }) => todo !== null,
};

export async function writeReport(call: Call<ReportOptions>, given: number | undefined): Promise<Ending> {
  const { context, options, out } = call;
  const only = onlyOf(options.only);
  const path = options.out === undefined ? undefined : newFile(context, options.out);
  return withBooks(call, async (books) => {
    const id = await namedOrLatest(books, given);
    const { operation, total } = orStop(await books.sweeps.status(id));
    const isWebhook = operation === "webhook";
    // A terminal that shows the rows shows nothing between them.
    const isShown = path === undefined && context.stdout.isTTY === true;
    const progress = isShown ? undefined : createProgress(context, out, "Items", total);
    let rows = 0;
    const some = async function* () {
      for await (const row of books.sweeps.report(id)) {
        if (context.signal.aborted)
          throw new Stop("interrupted", "stopped; what was written is no whole report");
        if (row.ok) progress?.at(row.value.position + 1);
        if (row.ok && !only(row.value, isWebhook)) continue;
        rows++;
        yield row;
      }
    };
    const json = options.format === "jsonl" || (options.format === undefined && out.json);
    const text = textOf(call, json ? reportJsonLines(some()) : reportCsv(some()));
    await writeOut(context, path, text);
    if (path !== undefined)
      out.note(
        `${rows === 1 ? "1 row" : `${rows} rows`} of sweep ${id} ${rows === 1 ? "is" : "are"} in ${path}`,
      );
    return "done";
  });
}

function onlyOf(given: string | undefined): Only {
  if (given === undefined) return () => true;
  const chosen = given.split(",").map((name) => {
    const only = Object.hasOwn(onlys, name.trim()) ? onlys[name.trim()] : undefined;
    if (!only) throw wrong(`--only ${oneOf(Object.keys(onlys))}`);
    return only;
  });
  return (row, isWebhook) => chosen.some((only) => only(row, isWebhook));
}

async function* textOf(
  { context: { env } }: Call<ReportOptions>,
  pieces: AsyncIterable<Result<string, SweepFailure>>,
): AsyncGenerator<string> {
  for await (const piece of pieces) yield masked(orStop(piece), secretsOf(env));
}
