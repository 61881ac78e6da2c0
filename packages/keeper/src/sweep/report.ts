// What a sweep did to every one of its Items, and what a person must do about it: read in pages, written as CSV or as
// lines of JSON, in memory that does not grow with the fleet.

import { stringify } from "csv-stringify/sync";
import { describe, err, ok, type Result } from "sett";
import type { ItemState, SweepOutcome } from "../database/schema.ts";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import { databaseFailed, type Reading } from "../lifecycle/means.ts";
import { fateOf, type SweepAdvice } from "./fate.ts";
import { isOver, parametersOf, readSweep, type SweepItemRow, type SweepRow } from "./rows.ts";
import type { Finding, SweepFailure } from "./sweep.ts";

/** One Item of a sweep. Times are milliseconds since 1970. */
export interface ReportRow {
  readonly sweep_id: number;
  readonly position: number;
  readonly item_id: string;
  readonly user_id: string | null;
  readonly institution_id: string | null;
  /** As it is now; null where the Item is not here any more. */
  readonly state: ItemState | null;
  readonly outcome: SweepOutcome;
  readonly attempts: number;
  /** What happened, in a sentence. */
  readonly what: string;
  /** What a person must do, in a sentence; null for nothing. */
  readonly todo: string | null;
  readonly advice: SweepAdvice | null;
  readonly request_id: string | null;
  readonly settled_at: number | null;
  /** `webhook`: when Plaid acknowledged at the new address. */
  readonly acknowledged_at: number | null;
  /** The failure itself. */
  readonly failure: KeeperFailure | null;
  readonly findings: readonly Finding[];
}

const page = 1_000;

/** The rows of the report, in the order of the sweep. It ends after a failure. */
export async function* report(
  means: Reading,
  sweepId: number,
): AsyncGenerator<Result<ReportRow, SweepFailure>, void, undefined> {
  const found = await readSweep(means, sweepId);
  if (!found.ok) return void (yield found);
  const { operation, rolls_back } = found.value;
  // What is sealed is opened only where it tells something: whoever reads need not have the keys for the rest.
  const opened =
    operation === "webhook" && rolls_back === null ? await parametersOf(means, found.value) : undefined;
  if (opened?.ok === false) return void (yield opened);
  for (let after = -1; ;) {
    const read = await means.database.read((sql) =>
      sql
        .selectFrom("sweep_items")
        .leftJoin("items", "items.item_id", "sweep_items.item_id")
        .selectAll("sweep_items")
        .select(["items.user_id", "items.institution_id", "items.state as is_state"])
        .where("sweep_id", "=", sweepId)
        .where("position", ">", after)
        .orderBy("position")
        .limit(page)
        .execute(),
    );
    if (!read.ok) return void (yield err(databaseFailed(read.error)));
    for (const { user_id, institution_id, is_state: state, ...row } of read.value) {
      const awaits = operation === "webhook" && (opened ? opened.value.webhook : row.target) !== null;
      const { sweep_id, position, item_id, outcome, attempt: attempts } = row;
      const { request_id, settled_at, acknowledged_at } = row;
      const place = { sweep_id, position, item_id, user_id, institution_id, state, outcome, attempts };
      yield ok({ ...place, ...told(found.value, row, awaits), request_id, settled_at, acknowledged_at });
    }
    if (read.value.length < page) return;
    after = read.value.at(-1)!.position;
  }
}

type Told = Pick<ReportRow, "what" | "todo" | "advice" | "failure" | "findings">;

function told(sweep: SweepRow, row: SweepItemRow, awaits: boolean): Told {
  const nothing = { todo: null, advice: null, failure: null, findings: [] };
  const result = row.result === null ? null : (JSON.parse(row.result) as object);
  switch (row.outcome) {
    case "waiting":
      if (row.attempt > 0) return { ...nothing, ...begun(sweep) };
      return { ...nothing, what: isOver(sweep) ? "Not begun: the sweep was cancelled." : "Not begun yet." };
    case "skipped":
      return { ...nothing, what: `Left alone: ${(result as { why: string }).why}.` };
    case "done": {
      const { findings = [] } = (result ?? {}) as { findings?: readonly Finding[] };
      if (findings.length > 0) {
        const said = findings.map(ofFinding);
        const all = (name: "what" | "todo") => said.map((one) => one[name]).join(" ");
        return { ...nothing, what: all("what"), todo: all("todo"), findings };
      }
      const what = doneText[sweep.operation];
      if (!awaits || row.acknowledged_at !== null) return { ...nothing, what };
      if (!isOver(sweep)) return { ...nothing, what: `${what} Plaid has not acknowledged it yet.` };
      return {
        ...nothing,
        what: `${what} Plaid did not acknowledge it at the new address.`,
        todo: "See whether webhooks of this Item arrive at the new address, or roll back.",
      };
    }
    case "unfinished":
    case "failed": {
      const failure = result as KeeperFailure;
      const { advice, todo } = fateOf(failure);
      const again = row.outcome === "unfinished" && !isOver(sweep);
      const what = `${again ? "Not done yet, and tried again" : "Not done"}: ${inWords(failure)}.`;
      return { what, todo: again ? null : todo, advice, failure, findings: [] };
    }
  }
}

/** Of an Item whose worker was killed, or is at it. */
function begun(sweep: SweepRow): Pick<Told, "what" | "todo"> {
  if (!isOver(sweep)) return { what: "Begun.", todo: null };
  return {
    what: "Begun, and the sweep was cancelled before it was known how it went.",
    todo:
      sweep.operation === "webhook"
        ? "Roll back, or audit it: Plaid may have the new webhook."
        : "What was begun the keeper finishes by itself: look at the Item in some minutes.",
  };
}

const doneText: Record<SweepRow["operation"], string> = {
  audit: "Nothing to complain of.",
  webhook: "Its webhook was moved.",
  rotate: "It has a new access token.",
  remove: "It was removed.",
  reencrypt: "Its token is sealed with the key in use.",
};

function inWords(failure: KeeperFailure): string {
  if (failure.kind === "plaid") return describe(failure.failure);
  if (failure.kind === "unfinished") {
    const { cause } = failure;
    const why = cause === null ? "another has taken over" : "path" in cause ? describe(cause) : cause.detail;
    return `begun, and not at its end: ${why}`;
  }
  if (failure.kind === "vault") return `vault, ${failure.vault.kind}`;
  if (failure.kind === "database") return `database, ${failure.database.detail}`;
  if (failure.kind === "stranded") return "the token was lost with the answer of a rotation";
  return failure.kind;
}

function ofFinding(finding: Finding): { readonly what: string; readonly todo: string } {
  const day = (at: number) => new Date(at).toISOString().slice(0, 10);
  switch (finding.kind) {
    case "update-mode":
      return { what: `It is in ${finding.error_code}.`, todo: "Send the user through Link in update mode." };
    case "revoked":
      return { what: "The user has taken access back.", todo: "Remove it, and ask the user to link anew." };
    case "expires-in-7-days":
    case "expires-in-30-days":
      return {
        what: `Access ends on ${day(finding.at)}.`,
        todo: "Send the user through Link in update mode before then.",
      };
    case "silent":
      return {
        what:
          finding.last_webhook_at === null
            ? "No webhook ever came."
            : `No webhook has come since ${day(finding.last_webhook_at)}.`,
        todo: "See whether its webhook URL reaches you.",
      };
    case "unused":
      return {
        what:
          `It is billed for ${finding.billed.join(", ")}, and ` +
          (finding.used_at === null
            ? "nobody has ever used it."
            : `nobody has used it since ${day(finding.used_at)}.`),
        todo: "Use it, or remove it: it is billed as long as it lives.",
      };
    case "stale-webhook":
      return { what: `Its webhook is ${finding.webhook ?? "not set"}.`, todo: "Move it: a sweep `webhook`." };
    case "duplicate":
      return {
        what: `The same login as ${finding.of.join(", ")}.`,
        todo: "Keep one of them and remove the others: each is billed.",
      };
    case "stranded":
      return { what: "Its token was lost.", todo: finding.support };
  }
}

const columns = [
  "sweep_id",
  "position",
  "item_id",
  "user_id",
  "institution_id",
  "state",
  "outcome",
  "attempts",
  "what",
  "todo",
  "advice",
  "request_id",
  "settled_at",
  "acknowledged_at",
] as const satisfies readonly (keyof ReportRow)[];

type Rows = AsyncIterable<Result<ReportRow, SweepFailure>>;

/** A report as CSV, with a header, some hundred rows at a time. Times are in ISO form. */
export async function* reportCsv(rows: Rows): AsyncGenerator<Result<string, SweepFailure>, void, undefined> {
  yield ok(stringify([columns]));
  const time = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());
  for await (const some of chunks(rows)) {
    if (!some.ok) return void (yield some);
    yield ok(
      stringify(
        some.value.map((row) => ({
          ...row,
          settled_at: time(row.settled_at),
          acknowledged_at: time(row.acknowledged_at),
        })),
        // A cell that begins like a formula is one to a spreadsheet.
        { columns: [...columns], escape_formulas: true },
      ),
    );
  }
}

/** A report as lines of JSON, with failures and findings as data. */
export async function* reportJsonLines(
  rows: Rows,
): AsyncGenerator<Result<string, SweepFailure>, void, undefined> {
  for await (const some of chunks(rows)) {
    if (!some.ok) return void (yield some);
    yield ok(some.value.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }
}

async function* chunks(rows: Rows): AsyncGenerator<Result<ReportRow[], SweepFailure>, void, undefined> {
  let some: ReportRow[] = [];
  for await (const row of rows) {
    if (!row.ok) return void (yield row);
    some.push(row.value);
    if (some.length < 200) continue;
    yield ok(some);
    some = [];
  }
  if (some.length > 0) yield ok(some);
}
