// Hides how the suite is run by a program of its own (Node, Bun, Deno, workerd): what the program is given,
// how its outcomes come back as one marked line of its output, and that it ends, one way or the other.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { program } from "./install.ts";
import { readOutcomes, type Job, type Report } from "./suite.ts";

const mark = "outcomes-of-the-suite ";
/** A suite that is done must let its program end by itself: a timer or socket left behind is a fault, too. */
const lingerMs = 5_000;

export async function runNode(name: "node22" | "node24" | "node26", job: Job): Promise<Report> {
  return runScript(program(name), [], "process.versions.node", job);
}

export async function runBun(job: Job): Promise<Report> {
  return runScript(program("bun"), ["--no-install"], "Bun.version", job);
}

export async function runDeno(job: Job): Promise<Report> {
  // All ports of the one host, since tests also call a port on which nobody listens.
  const net = `--allow-net=${new URL(job.env.baseUrl).hostname}`;
  const flags = ["run", "--no-prompt", "--no-config", "--no-lock", "--no-npm", "--no-remote", net];
  return runScript(program("deno"), flags, "Deno.version.deno", job);
}

/**
 * The suite runs within a fetch handler, as it would when deployed. `workerd test` calls that handler and
 * then ends, so that no server is left behind. No nodejs_compat flag, and the date of a Worker that was
 * deployed a good while ago.
 */
export async function runWorkerd(job: Job): Promise<Report> {
  const workerd = program("workerd");
  const worker = `
import suite from "./suite.mjs";
const uncaught = [];
addEventListener("unhandledrejection", (event) => void uncaught.push(event.reason));
export default {
  async fetch(request) {
    const outcomes = await suite(await request.json());
    if (uncaught.length > 0) throw uncaught[0]; // everywhere else it ends the program by itself
    return Response.json(outcomes);
  },
  async test(_, { self }) {
    const answer = await self.fetch("http://worker/", { method: "POST", body: ${quoted(job.env)} });
    console.log(${JSON.stringify(mark)} + (await answer.text()));
  },
};`;
  const config = `
using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .main), (name = "internet", network = (allow = ["private"]))],
);
const main :Workerd.Worker = (
  modules = [
    (name = "worker.mjs", esModule = embed "worker.mjs"),
    (name = "suite.mjs", esModule = embed "suite.mjs"),
  ],
  bindings = [(name = "self", service = "main")],
  compatibilityDate = "2025-01-01",
);`;
  await writeFile(join(job.folder, "worker.mjs"), worker);
  await writeFile(join(job.folder, "worker.capnp"), config);
  const { answer, log } = await runProgram(workerd, ["test", "worker.capnp"], job);
  const { version } = createRequire(import.meta.url)("workerd/package.json") as { version: string };
  return { version, outcomes: readOutcomes(answer), log };
}

async function runScript(file: string, flags: string[], version: string, job: Job): Promise<Report> {
  const script = `
import suite from "./suite.mjs";
const outcomes = await suite(JSON.parse(${quoted(job.env)}));
console.log(${JSON.stringify(mark)} + JSON.stringify({ version: ${version}, outcomes }));`;
  await writeFile(join(job.folder, "main.mjs"), script);
  const { answer, log } = await runProgram(file, [...flags, "main.mjs"], job);
  const { version: told, outcomes } = answer as { version: string; outcomes: unknown };
  return { version: told, outcomes: readOutcomes(outcomes), log };
}

async function runProgram(file: string, args: string[], job: Job): Promise<{ answer: unknown; log: string }> {
  // Nothing of our own environment goes in: a proxy or a flag of the caller's would change what is tested.
  const env = {
    NO_COLOR: "1",
    DO_NOT_TRACK: "1",
    DENO_NO_UPDATE_CHECK: "1",
    DENO_DIR: job.folder,
    HOME: job.folder,
  };
  const child = spawn(file, args, {
    cwd: job.folder,
    env,
    stdio: ["ignore", "pipe", "pipe"],
    signal: job.signal,
    killSignal: "SIGKILL",
  });
  let line: string | undefined;
  let stdout = "";
  let log = "";
  let lingered = false;
  let linger: NodeJS.Timeout | undefined;
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    if (line !== undefined) return;
    line = stdout
      .split("\n")
      .slice(0, -1)
      .find((candidate) => candidate.startsWith(mark));
    if (line === undefined) return;
    linger = setTimeout(() => {
      lingered = true;
      child.kill("SIGKILL");
    }, lingerMs);
  });
  try {
    const [code, signal] = (await once(child, "close")) as [number | null, string | null];
    if (lingered) throw new Error(`had its outcomes, but did not end within ${lingerMs / 1000} s of that`);
    if (code !== 0) throw new Error(`ended with ${signal ?? `exit code ${code}`}`);
    if (line === undefined) throw new Error("ended without giving back outcomes");
    return { answer: JSON.parse(line.slice(mark.length)), log };
  } catch (error) {
    const reason: unknown = job.signal.aborted ? job.signal.reason : error;
    throw new Error(
      [reason instanceof Error ? reason.message : String(reason), log.trim()].join("\n").trim(),
    );
  } finally {
    clearTimeout(linger);
  }
}

/** The JSON of a value as the source text of a string. */
function quoted(value: unknown): string {
  return JSON.stringify(JSON.stringify(value));
}
