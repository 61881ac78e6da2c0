// Hides node:test: which files are run, on the sources, two at a time and the slowest first, and what a failure looks like
// to who reads it.

import { globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { run } from "node:test";
import { inspect } from "node:util";
import { folderInMemory } from "./memory.ts";
import { root } from "./program.ts";

/** What came of a step: how many of its tests passed and failed, and what is to be read if any failed. */
export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly details: string;
}

/** For one test, and for the silence after which a file is taken for one that will not end. */
const limitMs = 90_000;

// Each file, and each process that one starts to see it die, loads the same sources: what is compiled once is kept.
process.env["NODE_COMPILE_CACHE"] ??= join(root, "node_modules/.cache/compiled");

const temporary = process.env["TMPDIR"] ?? folderInMemory();
if (temporary !== undefined) process.env["TMPDIR"] = temporary;

/** The seconds that each file took when it was last run here. */
const timesFile = join(root, "node_modules/.cache/test-times.json");

/** The files of the patterns, relative to the root, but for those whose name is in `except`. */
export function testFiles(patterns: readonly string[], except: readonly string[] = []): string[] {
  return globSync(patterns, { cwd: root, exclude: (path) => path.split("/").includes("node_modules") })
    .filter((file) => !except.includes(file))
    .sort();
}

/** Runs test files. A test that was skipped has failed: what nobody runs, nobody knows. */
export async function runTests(files: readonly string[]): Promise<Outcome> {
  const failures: string[] = [];
  const failedFiles = new Set<string>();
  const printed = new Map<string, string>();
  let passed = 0;
  // Whose suite failed before they began; the suite says why.
  let cancelled = 0;

  const fail = (file: string | undefined, line: number | undefined, name: string, why: string) => {
    if (file !== undefined) failedFiles.add(file);
    failures.push(`${place(file)}:${line ?? 1}  ${name}\n${indented(why)}`);
  };
  const keep = ({ file, message }: { file?: string | undefined; message: string }) => {
    printed.set(file ?? "", (printed.get(file ?? "") ?? "") + message);
  };

  // node:test waits for ever for a file whose tests are done but which keeps a server or a timer.
  const running = new Set<string>();
  const [before, times] = [lastTimes(), {} as Record<string, number>];
  const giveUp = new AbortController();
  const watch = setTimeout(() => {
    for (const file of running)
      fail(file, 1, "(the file)", "its tests are stuck, or done and it did not end");
    giveUp.abort();
  }, limitMs + 10_000);

  const events = run({
    cwd: root,
    // What only waits runs beside what computes, and none is left to end alone. A file's own test has the name that is
    // given here; what it tells of its file is the whole path.
    files: files
      .toSorted((one, other) => (before[other] ?? 0) - (before[one] ?? 0))
      .map((file) => join(root, file)),
    execArgv: ["--conditions=@sett/source", `--import=${join(root, "test/light-hooks.ts")}`],
    concurrency: 2,
    timeout: limitMs,
    signal: giveUp.signal,
  });
  events.on("test:dequeue", ({ name, file }) => {
    watch.refresh();
    if (name === file) running.add(file);
  });
  events.on("test:complete", ({ name, file, details }) => {
    watch.refresh();
    if (name !== file) return;
    running.delete(file);
    times[relative(root, file)] = Math.round(details.duration_ms) / 1_000;
  });
  events.on("test:stdout", keep);
  events.on("test:stderr", keep);
  events.on("test:diagnostic", ({ file, message }) => keep({ file, message: `${message}\n` }));
  events.on("test:fail", ({ file, line, name, details }) => {
    const { failureType, cause } = details.error as Error & { failureType?: string };
    if (failureType === "cancelledByParent") cancelled++;
    else if (failureType !== "subtestsFailed" && !giveUp.signal.aborted) {
      fail(file, line, name === file ? "(the file)" : name, inspect(cause ?? details.error));
    }
  });
  events.on("test:pass", ({ file, line, name, details, skip, todo }) => {
    if ((skip ?? todo ?? false) !== false) fail(file, line, name, "was skipped");
    else if (name === file) fail(file, line, "(the file)", "has no tests");
    else if (details.type !== "suite") passed++;
  });
  for await (const _ of events);
  clearTimeout(watch);
  mkdirSync(dirname(timesFile), { recursive: true });
  writeFileSync(timesFile, JSON.stringify({ ...lastTimes(), ...times }, null, 2));

  const output = [...failedFiles].map((file) => printed.get(file) ?? "").filter((text) => text.trim() !== "");
  return { passed, failed: failures.length + cancelled, details: [...failures, ...output].join("\n\n") };
}

function lastTimes(): Record<string, number> {
  try {
    return JSON.parse(readFileSync(timesFile, "utf8")) as Record<string, number>;
  } catch {
    return {}; // it was not written yet, or not to its end
  }
}

const place = (file: string | undefined): string => (file === undefined ? "?" : relative(root, file));
const indented = (text: string): string => text.trimEnd().replace(/^/gm, "    ");
