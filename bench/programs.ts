// Hides the processes of a bench: how contenders and servers are started, asked and always ended, whatever happens to
// the bench itself. Each contender has a process of its own, so that none inherits another's warm or spoilt code.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Sample } from "./rounds.ts";

/** No answer of a process takes longer than this. */
const patienceMs = 60_000;

const running = new Set<ChildProcess>();
process.on("exit", endAll);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(1));

/** Ends every process that is still there. */
export function endAll(): void {
  for (const child of running) child.kill("SIGKILL");
  running.clear();
}

/** What a contender is asked to do for one round. */
export interface Round {
  readonly inFlight: number;
  readonly forMs: number;
}

/** A contender in its process. */
export interface Contender {
  run(round: Round): Promise<Sample>;
  end(): Promise<void>;
}

/** A server in its process. */
export interface Server {
  readonly origin: string;
  end(): Promise<void>;
}

/** Whether processes can be kept on one core here, with `taskset` of util-linux. */
export async function canPin(): Promise<boolean> {
  if (process.platform !== "linux" || availableParallelism() < 2) return false;
  const child = spawn("taskset", ["-c", "0", process.execPath, "--version"], { stdio: "ignore" });
  return once(child, "close").then(
    ([code]) => code === 0,
    () => false,
  );
}

const here = import.meta.dirname;

/** Starts a program of this bench, or any other, that is ended at the latest with the bench. */
export function start(command: readonly string[], ipc = false): ChildProcess {
  const [file, ...args] = command as [string, ...string[]];
  const child = spawn(file, args, {
    stdio: ["ignore", "ignore", "inherit", ...(ipc ? ["ipc" as const] : [])],
  });
  running.add(child);
  child.once("close", () => running.delete(child));
  return child;
}

/** User and system time of a process so far, as Linux counts it, in steps of 10 ms; null elsewhere. */
export async function cpuMsOf({ pid }: ChildProcess): Promise<number | null> {
  if (process.platform !== "linux") return null;
  const stat = await readFile(`/proc/${pid}/stat`, "latin1");
  // After the name, which may hold anything: utime and stime are the 14th and 15th field of all.
  const [user, system] = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13);
  return (Number(user) + Number(system)) * 10;
}

/** The command that runs one of the bench's own files on the sources of sett. */
const own = (file: string, ...args: string[]) => [
  process.execPath,
  "--conditions=@sett/source",
  "--disable-warning=ExperimentalWarning",
  join(here, file),
  ...args,
];

/**
 * Starts the contender `name` of a module whose `contenders` are functions that make one call. On one core, its helper
 * threads share that core with it.
 */
export async function startContender(
  module: string,
  name: string,
  setting: unknown = null,
  oneCore = false,
): Promise<Contender> {
  const url = pathToFileURL(join(here, module)).href;
  const command = own("contender.ts", url, name, JSON.stringify(setting));
  const child = start(oneCore ? ["taskset", "-c", "0", ...command] : command, true);
  await message(child, name);
  return {
    run: async (round) => {
      child.send(round);
      return (await message(child, name)) as Sample;
    },
    end: () => end(child),
  };
}

/** Starts a server of this bench, which tells the port it was given. */
export async function startServer(file: string, ...args: string[]): Promise<Server> {
  const child = start(own(file, ...args), true);
  const port = (await message(child, file)) as number;
  return { origin: `http://127.0.0.1:${port}`, end: () => end(child) };
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const closed = once(child, "close");
  child.kill("SIGKILL");
  await closed;
}

async function message(child: ChildProcess, name: string): Promise<unknown> {
  const stop = new AbortController();
  const { signal } = stop;
  const limit = setTimeout(() => stop.abort(new Error(`${name}: no answer in ${patienceMs} ms`)), patienceMs);
  const died = () => stop.abort(new Error(`${name}: its process ended`));
  child.once("exit", died);
  try {
    const [told] = (await once(child, "message", { signal })) as [unknown];
    return told;
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearTimeout(limit);
    child.off("exit", died);
  }
}
