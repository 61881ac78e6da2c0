// Runs one suite on every runtime that sett promises to run on, and says what each made of it. Hides what the
// runtimes are, how they are installed, fed, watched and ended; `suite.ts` says what a suite has to be.
//
//   node --conditions=@sett/source test/runtimes/run.ts [suite file] [base URL]
//
// Without arguments it runs `smoke.ts`, which tests the platforms alone, against a server of its own.

import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { runBun, runDeno, runNode, runWorkerd } from "./child.ts";
import { runChromium } from "./chromium.ts";
import { complete, installRuntimes } from "./install.ts";
import { Unavailable, type Job, type Outcome, type Report, type SuiteEnv } from "./suite.ts";

const limitMs = 60_000;

const runtimes: Record<string, (job: Job) => Promise<Report>> = {
  "Node 22": (job) => runNode("node22", job),
  "Node 24": (job) => runNode("node24", job),
  "Node 26": (job) => runNode("node26", job),
  Bun: runBun,
  Deno: runDeno,
  workerd: runWorkerd,
  Chromium: runChromium,
};

/** Tests over all runtimes: a test that passes on seven counts seven times. */
export interface Totals {
  readonly passed: number;
  readonly failed: number;
}

/** Runs the suite on one runtime after the other, as they share the server, and prints what came of it. */
export async function runRuntimes(suiteFile: string, env: SuiteEnv): Promise<Totals> {
  await installRuntimes();
  const folder = await mkdtemp(join(tmpdir(), "sett-runtimes-"));
  const stop = new AbortController();
  const onSignal = (name: string): void => stop.abort(new Error(`stopped by ${name}`));
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  try {
    await bundle(suiteFile, join(folder, "suite.mjs"));
    let totals: Totals = { passed: 0, failed: 0 };
    const expected = new Set<string>();
    for (const [name, run] of Object.entries(runtimes)) {
      const { passed, failed } = await runOne(name, run, { folder, env, signal: stop.signal }, expected);
      stop.signal.throwIfAborted();
      totals = { passed: totals.passed + passed, failed: totals.failed + failed };
    }
    return totals;
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

// `expected` gathers the names of the tests, so that a runtime which leaves out what an earlier one ran is
// told on.
async function runOne(
  name: string,
  run: (job: Job) => Promise<Report>,
  job: Job,
  expected: Set<string>,
): Promise<Totals> {
  const started = performance.now();
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(new Error(`did not end within ${limitMs / 1000} s`)), limitMs);
  let report: Report;
  try {
    report = await run({ ...job, signal: AbortSignal.any([job.signal, limit.signal]) });
    const names = new Set(report.outcomes.map((outcome) => outcome.name));
    const missing = [...expected].filter((test) => !names.has(test));
    for (const test of names) expected.add(test);
    const told = missing.map((test): Outcome => ({ name: test, error: `was not run by ${name}` }));
    report = { ...report, outcomes: [...report.outcomes, ...told] };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof Unavailable && !complete) {
      console.log(`${name.padEnd(9)} not run: ${message}`);
      return { passed: 0, failed: 0 };
    }
    report = { version: "?", outcomes: [{ name: "(the run itself)", error: message }], log: "" };
  } finally {
    clearTimeout(timer);
  }
  const { version, outcomes, log } = report;
  const failures = outcomes.filter((outcome) => outcome.error !== undefined);
  const passed = outcomes.length - failures.length;
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(
    `${name.padEnd(9)} ${version.padEnd(14)} ${passed} passed, ${failures.length} failed  ${seconds} s`,
  );
  for (const failure of failures) console.log(indented(`${failure.name}\n${indented(failure.error ?? "")}`));
  if (failures.length > 0 && log !== "") console.log(indented(`printed by ${name}:\n${indented(log)}`));
  return { passed, failed: failures.length };
}

// One file for all, in the syntax that `tsc` gives to users too (ES2024). For a neutral platform esbuild
// finds no `node:` module, so a suite that wants one does not get as far as the runtime on which it would
// have worked.
async function bundle(suiteFile: string, outfile: string): Promise<void> {
  const { build } = (await import("esbuild" as string)) as {
    build(options: Record<string, unknown>): Promise<unknown>;
  };
  await build({
    entryPoints: [resolve(suiteFile)],
    outfile,
    bundle: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    conditions: ["@sett/source"],
    target: "es2024",
    logLevel: "silent", // what is wrong is in the error that it throws
  });
}

function indented(text: string): string {
  return text.trimEnd().replace(/^/gm, "    ");
}

async function main(suiteFile: string, baseUrl: string | undefined): Promise<void> {
  if (baseUrl !== undefined) return finish(await runRuntimes(suiteFile, { baseUrl }));
  const server = createServer(async (request, response) => {
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "*");
    if (request.method === "OPTIONS") return void response.writeHead(204).end();
    if (request.url === "/hang") return;
    if (request.url === "/reset") return void request.socket.destroy();
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ method: request.method, header: request.headers["plaid-secret"], body }));
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  try {
    const { port } = server.address() as AddressInfo;
    finish(await runRuntimes(suiteFile, { baseUrl: `http://127.0.0.1:${port}` }));
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

function finish({ passed, failed }: Totals): void {
  console.log(`${passed} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
}

if (import.meta.main) {
  const [suiteFile = join(import.meta.dirname, "smoke.ts"), baseUrl] = process.argv.slice(2);
  await main(suiteFile, baseUrl);
}
