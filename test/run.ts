// What `npm test` runs: every step, one line each, and all that a step said when it failed. The last line is
// "N passed, N failed"; the exit code is 1 if anything failed.
//
//   node test/run.ts                    all steps
//   node test/run.ts unit               one of them
//   node test/run.ts unit webhook       of its test files, those with "webhook" in their path

import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { buildPackages } from "./build.ts";
import { checks, installChecks } from "./install.ts";
import { runTests, testFiles, type Outcome } from "./node-tests.ts";
import { capture, captureBin, root, type Ended } from "./program.ts";

const suite = "test/contract/suite.ts";

/** Test files that are a step of their own. */
const stepFiles = ["architecture", "bundle", "docs", "packed"].map((name) => `test/${name}.test.ts`);

const steps: Record<string, () => Promise<Outcome>> = {
  types: () =>
    check(
      () => captureBin("tsc", ["-p", root]),
      ...globSync("packages/*/tsconfig.isomorphic.json", { cwd: root }).map(
        (project) => () => captureBin("tsc", ["-p", join(root, project)]),
      ),
    ),
  format: () => check(() => captureBin("prettier", ["--check", "--log-level=warn", root])),
  async lint() {
    await installChecks();
    const found = await check(
      () => captureBin("tsc", ["-p", checks]),
      () => capture(process.execPath, [join(checks, "lint.ts")]),
    );
    return sum(found, await tests(["test/checks/*.test.ts"]));
  },
  unit: () => tests(["packages/*/test/**/*.test.ts", "test/*.test.ts"], stepFiles),
  packed: () => tests(["test/packed.test.ts"]),
  bundle: () => tests(["test/bundle.test.ts"]),
  architecture: () => tests(["test/architecture.test.ts"]),
  official: () => tests(["test/official/**/*.test.ts"]),
  runtimes: () =>
    counted(() => capture(process.execPath, ["--conditions=@sett/source", "test/contract.ts", suite])),
  docs: () => tests(["test/docs.test.ts"]),
};

/** These run in turn, and the others in turn beside them: while the one waits for something, the other has the core. */
const line = ["types", "format", "unit"];
const lines = [line, Object.keys(steps).filter((name) => !line.includes(name))];

const [asked, ...namePart] = process.argv.slice(2);

/** One check, of as many programs as it takes: passed if all of them ended with 0. */
async function check(...programs: readonly (() => Promise<Ended>)[]): Promise<Outcome> {
  const failures: string[] = [];
  for (const program of programs) {
    const { code, output } = await program();
    if (code !== 0) failures.push(output.trim() || `ended with ${code}`);
  }
  const failed = failures.length > 0 ? 1 : 0;
  return { passed: 1 - failed, failed, details: failures.join("\n\n") };
}

async function tests(patterns: readonly string[], except: readonly string[] = []): Promise<Outcome> {
  const files = testFiles(patterns, except).filter((file) => namePart.every((part) => file.includes(part)));
  if (files.length === 0)
    return { passed: 0, failed: 1, details: `there is no test file ${patterns.join(", ")}` };
  return runTests(files);
}

/** A program that counts by itself and says so in its last line. */
async function counted(program: () => Promise<Ended>): Promise<Outcome> {
  const { code, output } = await program();
  const [, passed = 0, failed = 0] = /(\d+) passed, (\d+) failed\s*$/.exec(output) ?? [];
  const lost = code !== 0 && Number(failed) === 0 ? 1 : 0;
  return { passed: Number(passed), failed: Number(failed) + lost, details: output.trim() };
}

const sum = (one: Outcome, other: Outcome): Outcome => ({
  passed: one.passed + other.passed,
  failed: one.failed + other.failed,
  details: [one.details, other.details].filter((text) => text !== "").join("\n\n"),
});

interface Timed {
  readonly outcome: Outcome;
  readonly seconds: number;
}

async function timed(step: () => Promise<Outcome>): Promise<Timed> {
  const started = performance.now();
  const outcome = await step().catch((thrown: unknown): Outcome => {
    const details = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    return { passed: 0, failed: 1, details };
  });
  return { outcome, seconds: (performance.now() - started) / 1000 };
}

function tell(name: string, { outcome, seconds }: Timed): void {
  const verdict = outcome.failed > 0 ? "FAILED" : "ok";
  const count = `${outcome.passed} passed, ${outcome.failed} failed`;
  console.log(`${name.padEnd(13)} ${verdict.padEnd(7)} ${seconds.toFixed(1).padStart(6)} s   ${count}`);
  if (outcome.failed > 0) console.log(outcome.details.replace(/^(?=.)/gm, "    "));
}

async function main(): Promise<void> {
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    devDependencies: { node: string };
  };
  const [major] = devDependencies.node.split(".");
  if (process.versions.node.split(".")[0] !== major) {
    console.error(
      `This takes Node ${major}, not ${process.versions.node}: npm ci installs it, npm test uses it.`,
    );
    process.exitCode = 1;
    return;
  }
  if (asked === "build") return buildPackages();
  if (asked !== undefined && !Object.hasOwn(steps, asked)) {
    console.error(
      `There is no step ${asked}. The steps are: ${[...Object.keys(steps), "build"].join(", ")}.`,
    );
    process.exitCode = 1;
    return;
  }
  let total: Outcome = { passed: 0, failed: 0, details: "" };
  await Promise.all(
    lines.map(async (names) => {
      for (const name of names) {
        if (asked !== undefined && asked !== name) continue;
        const done = await timed(steps[name]!);
        tell(name, done);
        total = sum(total, done.outcome);
      }
    }),
  );
  console.log(`${total.passed} passed, ${total.failed} failed`);
  if (total.failed > 0) process.exitCode = 1;
}

await main();
