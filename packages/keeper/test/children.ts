// Processes that a test starts to see them die, or to see several at work.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { built, type Built } from "../../../test/built.ts";

/** By file: each is built once by the test file that runs it. */
const programs = new Map<string, Promise<Built>>();

/** Runs a program of ours to its end. `killed`: it ended by SIGKILL; any other ending but a good one is a mistake. */
export async function runProgram(
  file: string,
  order: unknown,
): Promise<{ readonly killed: boolean; readonly stdout: string }> {
  if (!programs.has(file)) programs.set(file, built(file));
  const program = await programs.get(file)!;
  const child = spawn(process.execPath, [program.file, JSON.stringify(order)]);
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (text: string) => (said[name] += text));
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  const killed = signal === "SIGKILL";
  if (!killed && code !== 0) assert.fail(program.sourced(said.stderr));
  return { killed, stdout: said.stdout };
}

/** Does all of it, as many at a time as the machine has room for. */
export async function all<Task>(tasks: readonly Task[], work: (task: Task) => Promise<void>): Promise<void> {
  const left = [...tasks];
  const workers = Array.from({ length: Math.max(2, Math.min(8, availableParallelism())) }, async () => {
    for (let task = left.shift(); task !== undefined; task = left.shift()) await work(task);
  });
  await Promise.all(workers);
}

export const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);
