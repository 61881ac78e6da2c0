// `import` and `export`: whole fleets of tokens, in and out. In from a file or standard input, in clear or sealed; out
// only sealed, to somebody's public key.

import { createReadStream, existsSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { InvalidArgumentError, Option } from "commander";
import type { Keeper } from "../keeper.ts";
import type { ExportReport, SealedExport } from "../lifecycle/export.ts";
import type { ImportOutcome, ImportReport } from "../lifecycle/import-many.ts";
import type { ImportFormat } from "../lifecycle/import-rows.ts";
import { publicFromText } from "../vault/recipient.ts";
import { readKeyFile } from "../vault/ring.ts";
import { unlessStopped } from "./ask.ts";
import type { Call, Register } from "./command.ts";
import { Stop, wrong, type Ending } from "./exits.ts";
import { makeIfNew } from "./init.ts";
import { filtered, selectionOf, whole, type Filters } from "./filters.ts";
import { actorOf, withKeeper } from "./open.ts";
import { newFile, writeOut } from "./output.ts";
import { createProgress } from "./progress.ts";
import { exportSaid, importSaid, orStop, rowSaid, sentence } from "./sentences.ts";
import { readGiven, soundSettings } from "./settings.ts";

interface ImportOptions {
  readonly format?: ImportFormat;
  readonly key?: string;
  readonly concurrency?: number;
}

interface ExportOptions extends Filters {
  readonly to: string;
  readonly out?: string;
}

/** As `importItems` has it. */
const mostRows = 1_000;
const exportBegins = "sett-export-";

export const register: Register = (cli) => {
  cli.add<ImportOptions>(
    {
      name: "import",
      does: "takes over the Items of a file of access tokens (CSV or JSON lines), or of an export; asked for again, it goes on",
      examples: [
        "sett import ./items.csv",
        "sett import ./items.sealed --key ./recipient.key",
        "sett import - < items.jsonl",
      ],
    },
    (command) =>
      command
        .argument("<file>", "columns access_token, and if you like user_id and item_id; - for standard input")
        .addOption(
          new Option("--format <format>", "where the first line does not show it").choices(["csv", "jsonl"]),
        )
        .option("--key <file>", "the private key that an export is sealed to")
        .option("--concurrency <number>", "rows at a time; 8 unless told, 1000 at most", rowsAtATime),
    async (call) => {
      const { context, globals } = call;
      const settings = soundSettings(context, globals.config);
      const source = await unlessStopped(context, sourceOf(call));
      await makeIfNew(call, settings);
      return withKeeper(call, (keeper) => importAll(call, keeper, source), { made: settings });
    },
  );

  cli.add<ExportOptions>(
    {
      name: "export",
      does: "writes Items with their access tokens, sealed to a public key; that it was done is in the history",
      examples: [
        "sett export --to ./recipient.pub --out ./items.sealed",
        "sett export --to ./recipient.pub --user u_42 > ./items.sealed",
      ],
    },
    (command) =>
      filtered(command)
        .requiredOption(
          "--to <file>",
          "the public key of who is to read it, as `sett keys recipient` writes it",
        )
        .option("--out <file>", "which must not be there yet; standard output unless told"),
    async (call) => {
      const { context, options, out } = call;
      const recipient = readGiven(context, "--to", options.to).trim();
      try {
        publicFromText(recipient);
      } catch (thrown) {
        throw wrong(`--to: ${(thrown as Error).message}`);
      }
      if (options.out === undefined && (out.json || context.stdout.isTTY))
        throw wrong(
          "the export goes to standard output, which is a terminal or has --json: name a file with --out",
        );
      const path = options.out === undefined ? undefined : newFile(context, options.out);
      return withKeeper(call, (keeper) => exportAll(call, keeper, recipient, path));
    },
  );
};

type Source = Parameters<Keeper["importItems"]>[0];

/** The bytes, opened if they are an export. */
async function sourceOf({ context, args, options }: Call<ImportOptions>): Promise<Source> {
  const [file = "-"] = args;
  const path = resolve(context.cwd, file);
  if (file !== "-" && !existsSync(path)) throw wrong(`the file ${path} is not there`);
  if (file !== "-" && statSync(path).isDirectory()) throw wrong(`it must be a file, and ${path} is a folder`);
  const bytes: AsyncIterable<Uint8Array> = file === "-" ? context.stdin : createReadStream(path);
  const { first, all } = await peek(bytes);
  const sealed = first.startsWith(exportBegins);
  if (options.key === undefined) {
    if (sealed)
      throw wrong(
        "this is a sealed export: --key must name the file of the private key that it is sealed to",
      );
    return all;
  }
  if (!sealed) throw wrong("--key is for an export of sett's, and this is none");
  const { openExport } = await import("../lifecycle/export.ts");
  const opened = await openExport(all, await privateKey(resolve(context.cwd, options.key)));
  if (!opened.ok) throw wrong(exportSaid(opened.error));
  return opened.value;
}

async function privateKey(path: string): Promise<Buffer> {
  const { recipientOf } = await import("../vault/recipient.ts");
  try {
    const text = await readKeyFile(path);
    recipientOf(text);
    return text;
  } catch (thrown) {
    throw wrong(`--key: ${(thrown as Error).message}`);
  }
}

/** The beginning of it as text, and all of it all the same. */
async function peek(bytes: AsyncIterable<Uint8Array>) {
  const reader = bytes[Symbol.asyncIterator]();
  const first = await reader.next();
  const all = async function* () {
    if (first.done) return;
    yield first.value;
    yield* { [Symbol.asyncIterator]: () => reader };
  };
  return { first: first.done ? "" : Buffer.from(first.value).toString("latin1", 0, 64), all: all() };
}

async function importAll(call: Call<ImportOptions>, keeper: Keeper, source: Source): Promise<Ending> {
  const { context, out, options } = call;
  const progress = createProgress(context, out, "rows", null);
  const result = await keeper.importItems(source, {
    format: options.format,
    concurrency: options.concurrency,
    signal: context.signal,
    // An export has no lines.
    onRow: (outcome) => tellRow(call, outcome, "rows" in source ? "row" : "line"),
    onProgress: ({ rows, imported, known, failed }) =>
      progress.at(rows, `${imported} imported, ${known} known, ${failed} failed`),
  });
  if (!result.ok) {
    const { text, ending } = importSaid(result.error);
    if (result.error.kind === "stopped") await summary(call, result.error.report);
    throw new Stop(ending, text);
  }
  await summary(call, result.value);
  const { complete, failed, rows } = result.value;
  if (!complete) return "interrupted";
  return failed === 0 ? "done" : failed === rows ? "failed" : "some";
}

async function tellRow({ out }: Call<ImportOptions>, outcome: ImportOutcome, unit: string): Promise<void> {
  const said = outcome.kind === "failed" ? { message: rowSaid(outcome) } : {};
  await out.record({ ...outcome, ...said });
  if (outcome.kind === "failed")
    out.note(
      `${unit} ${outcome.row}${outcome.item_id === null ? "" : ` (${outcome.item_id})`}: ${rowSaid(outcome)}`,
    );
}

async function summary({ out }: Call<ImportOptions>, report: ImportReport): Promise<void> {
  const { imported, known, failed, rows, ignored } = report;
  if (ignored.length > 0) out.note(`columns that mean nothing here: ${ignored.join(", ")}`);
  await out.line(`imported ${imported} of ${rows} rows; ${known} were here already, ${failed} failed`);
  await out.record({ report });
}

async function exportAll(
  call: Call<ExportOptions>,
  keeper: Keeper,
  recipient: string,
  path: string | undefined,
): Promise<Ending> {
  const { context, out } = call;
  const progress = createProgress(context, out, "Items", null);
  const sealed = orStop(
    await keeper.exportItems({
      recipient,
      selection: selectionOf(call),
      actor: actorOf(context),
      onProgress: ({ exported }) => progress.at(exported),
    }),
  );
  if (!(await writeOut(context, path, piecesOf(call, sealed))))
    throw new Stop("failed", "it could not be written on; what was written is no whole export");
  const report = sealed.report();
  await tellExport(call, report, sealed.recipient);
  return report.unreadable > 0 ? "some" : "done";
}

async function tellExport(
  { out }: Call<ExportOptions>,
  report: ExportReport,
  recipient: string,
): Promise<void> {
  for (const { item_id, failure } of report.failures) {
    const { text } = sentence(failure);
    out.note(text.includes(item_id) ? text : `${item_id}: ${text}`);
  }
  const left = report.unreadable > 0 ? `; ${report.unreadable} could not be opened and are not in it` : "";
  out.note(`exported ${report.exported} Items, sealed to ${recipient}${left}`);
  await out.record({ report, recipient });
}

/** The pieces; stops where there is an error, or where the program is to end. */
async function* piecesOf({ context }: Call<ExportOptions>, sealed: SealedExport): AsyncGenerator<Uint8Array> {
  for await (const piece of sealed) {
    const bytes = orStop(piece);
    if (context.signal.aborted) throw new Stop("interrupted", "stopped; what was written is no whole export");
    yield bytes;
  }
}

function rowsAtATime(given: string): number {
  if (whole(given) > mostRows) throw new InvalidArgumentError(`It must be at most ${mostRows}.`);
  return Number(given);
}
