// `sandbox`: a local Plaid, which is another package's program: its arguments are handed on as they are.

import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Register } from "./command.ts";
import type { Context } from "./context.ts";
import { exits, wrong } from "./exits.ts";

const name = "@sett/sandbox";

/** For `sett --help`: `run` forwards before anything is parsed, where it is the first word. */
export const register: Register = (cli) => {
  cli.add(
    {
      name: "sandbox",
      does: `a local Plaid for development and tests (package ${name}); \`sett sandbox --help\` says how it is told`,
      examples: ["sett sandbox --port 4242"],
    },
    (command) => command.argument("[arguments...]"),
    async () => {
      throw wrong("nothing may stand before `sandbox`: what follows it is handed on as it is");
    },
  );
};

/** Runs the program until it ends, or hands on the signal to end. */
export async function forward(args: readonly string[], context: Context): Promise<number> {
  const { stdout, stderr, env, cwd, signal } = context;
  const program = find();
  if (program === undefined) {
    stderr.write(`sett: the local Plaid is a package of its own: npm install --save-dev ${name}\n`);
    return exits.failed.code;
  }
  const own = stdout === process.stdout;
  const child = spawn(process.execPath, [program, ...args], {
    cwd,
    env: env as NodeJS.ProcessEnv,
    stdio: own ? "inherit" : ["ignore", "pipe", "pipe"],
  });
  child.stdout?.pipe(stdout, { end: false });
  child.stderr?.pipe(stderr, { end: false });
  const stop = () => child.kill("SIGTERM");
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  return new Promise((resolve) => {
    child.once("close", (code) => {
      signal.removeEventListener("abort", stop);
      resolve(code ?? exits.interrupted.code);
    });
    child.once("error", (error) => {
      stderr.write(`sett: ${name} does not start: ${error.message}\n`);
      resolve(exits.failed.code);
    });
  });
}

function find(): string | undefined {
  try {
    const manifest = import.meta.resolve(`${name}/package.json`);
    const { bin } = JSON.parse(readFileSync(new URL(manifest), "utf8")) as { bin: Record<string, string> };
    return fileURLToPath(new URL(bin["sett-sandbox"]!, manifest));
  } catch {
    return undefined;
  }
}
