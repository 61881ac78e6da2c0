// A whole file of Items that the application has held until now, in memory that does not grow with it. What has been done
// stands with the Items themselves, each with the fingerprint of the token it came with; so an import that was broken off
// is run again from its beginning, and Plaid is asked for the rest alone.

import { advice, err, ok, type Failure, type Result } from "sett";
import { callback, integer, oneOf, type FieldsOf } from "sett/kinds";
import type { DatabaseFailure } from "../database/failure.ts";
import type { ItemState } from "../database/schema.ts";
import { codeOf } from "../vault/sealed-stream.ts";
import type { OpenedExport } from "./export.ts";
import type { KeeperFailure } from "./failure.ts";
import { tokenFingerprint } from "./fingerprints.ts";
import { takeOver, type Arrival, type Taken } from "./import.ts";
import {
  rowFrom,
  rowsOf,
  type BadRow,
  type FormatFailure,
  type ImportFormat,
  type ImportRow,
} from "./import-rows.ts";
import { abortSignal } from "./known.ts";
import { databaseFailed, type Means } from "./means.ts";

export interface ImportOptions {
  /** What the file is; found out from its first line unless told. */
  readonly format?: ImportFormat | undefined;
  /** How many rows are worked on at a time; 8 unless told, 1 000 at most. The command line says so, too. */
  readonly concurrency?: number | undefined;
  /** Told how each row went, in no order, and waited for. */
  readonly onRow?: ((outcome: ImportOutcome) => unknown) | undefined;
  /** Told of the counts after each row. */
  readonly onProgress?: ((counts: ImportReport) => void) | undefined;
  /** Ends the import after the rows that are being worked on. */
  readonly signal?: AbortSignal | undefined;
}

export const importFields: FieldsOf<ImportOptions> = {
  "format?": oneOf("csv", "jsonl"),
  "concurrency?": integer(1, 1_000),
  "onRow?": callback,
  "onProgress?": callback,
  "signal?": abortSignal,
};

/** How one row went. `row` is its line in the file, from 1, or its place in an export. There is no token in it. */
export type ImportOutcome =
  /** It is in the vault: a new Item, or a stranded one that is whole again. */
  | { readonly row: number; readonly kind: "imported"; readonly item_id: string }
  /** It was here already, and stays as it is. */
  | { readonly row: number; readonly kind: "known"; readonly item_id: string }
  | {
      readonly row: number;
      readonly kind: "failed";
      readonly item_id: string | null;
      readonly reason: ImportReason;
      /** For `plaid`: what Plaid or the network said last. */
      readonly failure: Failure | null;
    };

/**
 * Why a row came to nothing. `other-item`: the token is not of the Item that the row names. `other-environment`: the
 * token says so itself. `removed`: the Item was removed here, and is not brought back. `removing`: it was being removed
 * where it was exported. The others are of the row alone.
 */
export type ImportReason =
  "plaid" | "other-item" | "other-environment" | "removed" | "removing" | BadRow["bad"];

/** What an import came to. */
export interface ImportReport {
  readonly rows: number;
  readonly imported: number;
  readonly known: number;
  readonly failed: number;
  /** How many of the rows Plaid was asked about. */
  readonly asked: number;
  /** Of the source, as far as it was read. */
  readonly bytes: number;
  /** How long it took so far, in milliseconds; `asked` over this is the rate. */
  readonly durationMs: number;
  /** Columns of a CSV that mean nothing here. */
  readonly ignored: readonly string[];
  /** Whether the source came to its end, or the signal came first. */
  readonly complete: boolean;
}

/** Why an import did not begin, or stopped. Plain data without a token. */
export type ImportFailure =
  | FormatFailure
  /** The export is of the other environment. */
  | { readonly kind: "other-environment"; readonly environment: string }
  /** Every row after this one would fail in the same way. What is imported is kept: run it again once the cause is gone. */
  | {
      readonly kind: "stopped";
      readonly cause:
        | KeeperFailure
        | { readonly kind: "source"; readonly detail: string }
        | { readonly kind: "export"; readonly detail: string };
      readonly report: ImportReport;
    };

/** What the keeper's other rooms do for an import. */
interface Around {
  /** Takes what Plaid says of an Item that is whole again. */
  heal(itemId: string): Promise<void>;
  /** Resolves when Plaid may be asked once more without taking from live calls, or when the signal has come. */
  permit(itemId: string | undefined): Promise<"go" | "stopped">;
}

type Row = (ImportRow & { readonly state?: ItemState | undefined }) | BadRow;
type Cause = Extract<ImportFailure, { kind: "stopped" }>["cause"];

/** A row is asked about so often, with longer and longer pauses, before it has failed. */
const maxRounds = 8;
const firstPauseMs = 1_000;
const longestPauseMs = 60_000;

/** Imports, with options that are as {@link importFields} says: see `Keeper.importItems`. */
export async function importItems(
  means: Means,
  source: AsyncIterable<Uint8Array | string> | OpenedExport,
  options: ImportOptions,
  around: Around,
): Promise<Result<ImportReport, ImportFailure>> {
  if (!(Object(source) === source && (Symbol.asyncIterator in source || "rows" in source)))
    throw new TypeError("the source must be an async iterable of bytes or text, or an opened export");
  const work = new Import(means, options, around);
  if ("rows" in source) {
    const { environment } = source;
    if (environment !== means.environment) return err({ kind: "other-environment", environment });
    return work.run(exported(source, (cause) => work.stop(cause)));
  }
  const count = (length: number) => (work.counts.bytes += length);
  const begun = await work.fromSource(rowsOf(source, options.format, count));
  if (!begun) return work.ended();
  if (!begun.ok) return begun;
  work.counts.ignored = begun.value.ignored;
  return work.run(begun.value.rows);
}

async function* exported(source: OpenedExport, stop: (cause: Cause) => void): AsyncGenerator<Row[], void> {
  let row = 0;
  for await (const item of source.rows) {
    if (!item.ok) {
      const { kind } = item.error;
      return stop({
        kind: "export",
        detail: "detail" in item.error ? `${kind}: ${item.error.detail}` : kind,
      });
    }
    const { access_token, user_id, item_id, state } = item.value;
    yield [{ ...rowFrom(++row, { access_token, user_id, item_id }), state }];
  }
}

class Import {
  readonly counts = {
    rows: 0,
    imported: 0,
    known: 0,
    failed: 0,
    asked: 0,
    bytes: 0,
    ignored: [] as readonly string[],
    complete: false,
  };
  readonly #means: Means;
  readonly #options: ImportOptions;
  readonly #around: Around;
  readonly #find: (values: { fingerprint: Buffer }) => Promise<Result<Found[], DatabaseFailure>>;
  readonly #startedAt: number;
  readonly #concurrency: number;
  #cause: Cause | undefined;
  /** While Plaid asks for a pause, nobody asks Plaid. */
  #pause: Promise<unknown> | undefined;
  #pauseMs = firstPauseMs;
  /** Rows that failed one after the other because Plaid gave no answer that counts. */
  #unheard = 0;
  /** Whoever is waiting now for something that may never come. */
  readonly #waiting = new Set<() => void>();

  constructor(means: Means, options: ImportOptions, around: Around) {
    this.#means = means;
    this.#around = around;
    this.#options = options;
    this.#startedAt = means.now();
    this.#concurrency = options.concurrency ?? 8;
    options.signal?.addEventListener("abort", () => this.#waiting.forEach((leave) => leave()), {
      once: true,
    });
    this.#find = means.database.statement<{ fingerprint: Buffer }, Found>((sql, value) =>
      sql
        .selectFrom("fingerprints")
        .innerJoin("items", "items.item_id", "fingerprints.item_id")
        .select(["items.item_id", "items.state"])
        .where("fingerprint", "=", value("fingerprint"))
        .where("environment", "=", means.environment),
    );
  }

  stop(cause: Cause): undefined {
    this.#cause ??= cause;
  }

  report(): ImportReport {
    return { ...this.counts, durationMs: this.#means.now() - this.#startedAt };
  }

  ended(): Result<ImportReport, ImportFailure> {
    const cause = this.#cause;
    return cause ? err({ kind: "stopped", cause, report: this.report() }) : ok(this.report());
  }

  /** What comes of it, or undefined once the signal has come. */
  #unlessAborted<Value>(work: Promise<Value>): Promise<Value | undefined> {
    return new Promise((resolve, reject) => {
      const leave = () => resolve(undefined);
      this.#waiting.add(leave);
      if (this.#isAborted()) leave(); // what the work comes to is nobody's then, also where it fails
      void work.then(resolve, reject).finally(() => this.#waiting.delete(leave));
    });
  }

  /** The same of what is read, whose failure ends the import. */
  fromSource<Value>(work: Promise<Value>): Promise<Value | undefined> {
    return this.#unlessAborted(work).catch((thrown: unknown) =>
      this.stop({ kind: "source", detail: codeOf(thrown) }),
    );
  }

  /** Workers take rows from one iterator, as fast as they can work on them and no faster. */
  async run(batches: AsyncIterable<readonly Row[]>): Promise<Result<ImportReport, ImportFailure>> {
    const rows = each(batches);
    let thrown: { readonly error: unknown } | undefined;
    let ended = false;
    let leftOut = false;
    const isOver = () => this.#cause !== undefined || thrown !== undefined || this.#isAborted();
    const worker = async () => {
      while (!isOver()) {
        const next = await this.fromSource(rows.next());
        if (!next) return;
        if (next.done) return void (ended = true);
        try {
          const outcome = isOver() ? undefined : await this.#one(next.value);
          if (outcome) await this.#tell(outcome);
          else leftOut = true;
        } catch (error) {
          thrown ??= { error };
        }
      }
    };
    await Promise.all(Array.from({ length: this.#concurrency }, worker));
    this.counts.complete = ended && !leftOut && this.#cause === undefined;
    const closed = rows.return().catch(() => {});
    if (!this.#isAborted()) await closed; // a source that was left in the middle of a read may never say so
    if (thrown) throw thrown.error;
    return this.ended();
  }

  async #tell(outcome: ImportOutcome): Promise<void> {
    this.counts.rows++;
    this.counts[outcome.kind]++;
    await this.#options.onRow?.(outcome);
    this.#options.onProgress?.(this.report());
  }

  /** Undefined when the import stopped before the row was done. */
  async #one(row: Row): Promise<ImportOutcome | undefined> {
    if ("bad" in row) return failed(row.row, null, row.bad);
    const { row: place, access_token, user_id, item_id } = row;
    if (row.state === "removing") return failed(place, item_id, "removing");
    const [, environment] = /^access-(sandbox|production|development)-/.exec(access_token) ?? [];
    if (environment !== undefined && environment !== this.#means.environment)
      return failed(place, item_id, "other-environment");
    const fingerprint = await tokenFingerprint(this.#means.vault, access_token);
    if (!fingerprint.ok) return this.stop(fingerprint.error);
    const found = await this.#find({ fingerprint: fingerprint.value });
    if (!found.ok) return this.stop(databaseFailed(found.error));
    const [known] = found.value;
    // A stranded Item may be whole again with this token, if Plaid says that it works.
    if (known && known.state !== "stranded")
      return item_id === null || item_id === known.item_id
        ? { row: place, kind: "known", item_id: known.item_id }
        : failed(place, item_id, "other-item");

    const taken = await this.#ask({ access_token, user_id, item_id, fingerprint: fingerprint.value });
    if (!taken) return undefined;
    if (!taken.ok) {
      if (taken.error.kind !== "plaid") return this.stop(taken.error);
      const { failure } = taken.error;
      if (this.#isForAll(failure)) return this.stop(taken.error);
      return failed(place, item_id, "plaid", failure);
    }
    if (taken.value.how === "other") return failed(place, item_id, "other-item");
    const { item, how } = taken.value;
    if (item.state === "removed") return failed(place, item.item_id, "removed");
    if (how === "healed") await this.#around.heal(item.item_id);
    return { row: place, kind: how === "known" ? "known" : "imported", item_id: item.item_id };
  }

  /** Asks until there is an answer that will not be another one soon. Undefined when the import ended first. */
  async #ask(arrival: Arrival): Promise<Result<Taken, KeeperFailure> | undefined> {
    for (let round = 1; ; round++) {
      while (this.#pause) await this.#pause;
      const may = await this.#around.permit(arrival.item_id ?? undefined);
      if (may === "stopped" || this.#cause || this.#isAborted()) return undefined;
      if (round === 1) this.counts.asked++;
      const taken = await takeOver(this.#means, arrival);
      const failure = !taken.ok && taken.error.kind === "plaid" ? taken.error.failure : undefined;
      if (!failure || !isPassing(failure)) {
        this.#pauseMs = firstPauseMs;
        this.#unheard = 0;
        return taken;
      }
      if (round === maxRounds) {
        this.#unheard++;
        return taken;
      }
      this.#pause ??= this.#rest().finally(() => (this.#pause = undefined));
    }
  }

  #isAborted(): boolean {
    return this.#options.signal?.aborted === true;
  }

  async #rest(): Promise<void> {
    await this.#unlessAborted(this.#means.wait(this.#pauseMs, this.#options.signal));
    this.#pauseMs = Math.min(this.#pauseMs * 2, longestPauseMs);
  }

  /** Whether the rows to come would fare no better: the credentials are wrong, or Plaid has not answered for long. */
  #isForAll(failure: Failure): boolean {
    const nobodyIsAtHome = this.#unheard >= Math.max(8, this.#concurrency);
    return nobodyIsAtHome || advice(failure).action === "fix-credentials";
  }
}

interface Found {
  readonly item_id: string;
  readonly state: ItemState;
}

/** Whether the same question may have another answer soon. */
const isPassing = (failure: Failure): boolean => {
  const { action } = advice(failure);
  return action === "retry" || action === "wait";
};

const failed = (
  row: number,
  item_id: string | null,
  reason: ImportReason,
  failure: Failure | null = null,
): ImportOutcome => ({ row, kind: "failed", item_id, reason, failure });

async function* each(batches: AsyncIterable<readonly Row[]>): AsyncGenerator<Row, void> {
  for await (const batch of batches) yield* batch;
}
