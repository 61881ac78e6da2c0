#!/usr/bin/env node
// `sett`: the keeper on the command line, as a process. What it does is in cli/run.ts, which knows no process: here are
// the environment, the terminal, the signals and the exit code.

import { exits } from "./cli/exits.ts";
import { keepYoungSpaceSmall } from "./cli/heap.ts";
import { run } from "./cli/run.ts";

keepYoungSpaceSmall();

// The first signal asks for an end, and what was begun is finished; the second one is the system's again, and ends it.
const stopping = new AbortController();
const stop = (signal: NodeJS.Signals) => {
  if (process.stderr.isTTY)
    process.stderr.write("\nsett: finishing what was begun; once more ends it at once\n");
  stopping.abort(signal);
};
process.once("SIGINT", stop).once("SIGTERM", stop).once("SIGHUP", stop);

// So does a reader that is gone (`| head`), or a disk that is full: there may be an answer under way with a token in it.
let unwritten: NodeJS.ErrnoException | undefined;
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  unwritten ??= error;
  stopping.abort(error);
});
process.stderr.on("error", () => {}); // whom to tell?

const code = await run(process.argv.slice(2), {
  env: process.env,
  cwd: process.cwd(),
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  now: Date.now,
  signal: stopping.signal,
});
const isLost = unwritten !== undefined && unwritten.code !== "EPIPE";
if (isLost) process.stderr.write(`sett: what was to be said could not be written: ${unwritten?.code}\n`);
process.exitCode = isLost && code === exits.done.code ? exits.failed.code : code;
// A terminal that was read from would keep the process, and so would a call to Plaid that nobody waits for any more.
process.stdin.destroy();
const leave = (): unknown =>
  process.stdout.writableLength === 0 ? process.exit() : setTimeout(leave, 200).unref();
setTimeout(leave, 500).unref();
