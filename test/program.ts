// Hides how another program is run to its end: in which environment, for how long at most, and where its output goes.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";

export const root = join(import.meta.dirname, "..");
const limitMs = 10 * 60_000;

interface Surroundings {
  readonly cwd?: string;
  readonly env?: Record<string, string>;
}

/** What came of a program: its exit code, null when it was killed, and all that it printed. */
export interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a program, its output going where ours goes, and throws if it failed. */
export async function run(
  command: string,
  args: readonly string[],
  surroundings: Surroundings,
): Promise<void> {
  const child = start(command, args, surroundings, "inherit");
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${command} ${args[0] ?? ""} ended with ${code}`);
}

/** Runs a program and keeps its output, whatever comes of it. */
export async function capture(
  command: string,
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<Ended> {
  const child = start(command, args, surroundings, "pipe");
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  const [code] = (await once(child, "close")) as [number | null];
  return { code, output };
}

/** Runs a program of one of the root's packages, by the Node that runs us. */
export const captureBin = (
  name: string,
  args: readonly string[],
  surroundings?: Surroundings,
): Promise<Ended> =>
  capture(process.execPath, [join(root, "node_modules/.bin", name), ...args], surroundings);

function start(
  command: string,
  args: readonly string[],
  { cwd = root, env = {} }: Surroundings,
  output: "inherit" | "pipe",
) {
  return spawn(command, args, {
    cwd,
    env: { ...environment(), ...env },
    stdio: ["ignore", output, output],
    signal: AbortSignal.timeout(limitMs),
    killSignal: "SIGKILL",
  });
}

// Our own Node first, which is what a program that asks for `node` is to get; no colours in what is kept to be read;
// no word of the test that runs us.
function environment(): NodeJS.ProcessEnv {
  const { NODE_TEST_CONTEXT: _, FORCE_COLOR: __, PATH = "", ...rest } = process.env;
  return { ...rest, NO_COLOR: "1", PATH: `${dirname(process.execPath)}:${PATH}` };
}
