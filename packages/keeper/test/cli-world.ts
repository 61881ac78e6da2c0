// The command line as tests call it: as a function, with streams that are read afterwards, or as the real program; in a
// folder of its own, with a sandbox on a port.

import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import type { TestContext } from "node:test";
import { createSandbox, sandboxCredentials, type Sandbox } from "@sett/sandbox";
import { Sandbox as Make, unwrap, type Config } from "sett";
import { run } from "../src/cli/run.ts";
import type { Context, Input } from "../src/cli/context.ts";

export const program = join(import.meta.dirname, "../bin/sett.js");

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface How {
  readonly stdin?: string | Input;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Columns, where all three streams are a terminal. */
  readonly terminal?: number;
  readonly now?: () => number;
  readonly signal?: AbortSignal;
}

export interface CliWorld {
  readonly folder: string;
  readonly sandbox: Sandbox;
  readonly plaid: Config;
  readonly env: Readonly<Record<string, string>>;
  /** Calls the command line in this process. */
  sett(argv: readonly string[], how?: How): Promise<Ended>;
  /** The same, and it must end with 0. Gives what it said on stdout. */
  done(argv: readonly string[], how?: How): Promise<string>;
  /** A public token as Link would give one. */
  publicToken(): Promise<string>;
  /** Links an Item and gives its id. */
  link(...more: readonly string[]): Promise<string>;
  /** Starts the real program. It is told to end when the test ends, if it has not ended. */
  start(argv: readonly string[], how?: Pick<How, "env" | "cwd">): Running;
}

export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** Resolves with the match once stdout or stderr holds one. */
  says(pattern: RegExp): Promise<RegExpExecArray>;
}

/** A stream that a person types into. */
export function terminalInput(text: string): Input & { readonly raw: boolean[] } {
  const raw: boolean[] = [];
  const stream = Object.assign(new PassThrough(), {
    isTTY: true,
    raw,
    setRawMode: (on: boolean) => raw.push(on),
  });
  stream.write(text);
  return stream;
}

export async function cliWorld(
  t: TestContext,
  options: Parameters<typeof createSandbox>[0] = {},
): Promise<CliWorld> {
  const folder = await mkdtemp(join(tmpdir(), "sett-cli-"));
  const sandbox = await createSandbox({ now: Date.now(), ...options });
  const { url } = await sandbox.listen();
  const { client_id, secret } = sandboxCredentials;
  const env = { PLAID_CLIENT_ID: client_id, PLAID_SECRET: secret, SETT_PLAID_URL: url };
  const plaid: Config = { clientId: client_id, secret, baseUrl: url };
  const children: ChildProcess[] = [];
  t.after(async () => {
    // Not with SIGKILL: it may have a program of its own to end.
    await Promise.all(
      children.map((child) => {
        if (child.exitCode !== null || child.signalCode !== null) return undefined;
        child.kill("SIGTERM");
        return once(child, "close");
      }),
    );
    await sandbox.close();
    await rm(folder, { recursive: true });
  });

  const sett = async (argv: readonly string[], how: How = {}): Promise<Ended> => {
    const { stdin = "", terminal } = how;
    const read = (stream: PassThrough) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      return () => Buffer.concat(chunks).toString();
    };
    const shown = { isTTY: terminal !== undefined, ...(terminal !== undefined && { columns: terminal }) };
    const [stdout, stderr] = [
      Object.assign(new PassThrough(), shown),
      Object.assign(new PassThrough(), shown),
    ];
    const [out, said] = [read(stdout), read(stderr)];
    const context: Context = {
      env: { ...env, ...how.env },
      cwd: how.cwd ?? folder,
      stdin:
        typeof stdin === "string"
          ? Readable.from(stdin === "" ? [] : [Buffer.from(stdin)], { objectMode: false })
          : stdin,
      stdout,
      stderr,
      now: how.now ?? Date.now,
      signal: how.signal ?? new AbortController().signal,
    };
    const code = await run(argv, context);
    return { code, stdout: out(), stderr: said() };
  };
  const done = async (argv: readonly string[], how?: How) => {
    const ended = await sett(argv, how);
    assert.equal(ended.code, 0, `sett ${argv.join(" ")}: ${ended.stderr}${ended.stdout}`);
    return ended.stdout;
  };
  const publicToken = async () =>
    unwrap(await Make.createPublicToken("ins_109508", ["transactions"], plaid)).public_token;

  return {
    folder,
    sandbox,
    plaid,
    env,
    sett,
    done,
    publicToken,
    link: async (...more) => (await done(["link", ...more], { stdin: await publicToken() })).trim(),
    start(argv, how = {}) {
      const child = spawn(process.execPath, [program, ...argv], {
        cwd: how.cwd ?? folder,
        env: { PATH: process.env["PATH"], ...env, ...how.env },
        stdio: ["ignore", "pipe", "pipe"],
      });
      children.push(child);
      return running(child);
    },
  };
}

function running(child: ChildProcess): Running {
  let [stdout, stderr] = ["", ""];
  let over = false;
  const waiting = new Set<() => void>();
  const look = () => [...waiting].forEach((one) => one());
  child.stdout!.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
    look();
  });
  child.stderr!.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
    look();
  });
  const ended = new Promise<Ended>((resolve) =>
    child.once("close", (code) => {
      over = true;
      look();
      resolve({ code: code ?? -1, stdout, stderr });
    }),
  );
  return {
    child,
    ended,
    says: (pattern) =>
      new Promise((resolve, reject) => {
        const one = () => {
          const found = pattern.exec(stdout) ?? pattern.exec(stderr);
          if (!found && !over) return;
          waiting.delete(one);
          if (found) resolve(found);
          else reject(new Error(`it ended without saying ${pattern}: ${stdout}${stderr}`));
        };
        waiting.add(one);
        one();
      }),
  };
}
