// What a Plaid of one's own costs: from the start of its process to the first answer, under load, and in a test. Ours
// is built, packed and installed as users get it, and holds one Item.

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { build } from "esbuild";
import { cpuMsOf, end, start, startContender } from "../programs.ts";
import type { Comparison } from "../report.ts";
import { interleaved, median, middle, ratio, type Pace } from "../rounds.ts";
import { openStage, type Stage } from "../staging.ts";
import { connections, type Load } from "./contenders.ts";
import { openapi } from "./openapi.ts";

const bare = "bare node:http";
const sett = "sett-sandbox";
const prism = "Prism 5.16.0";
const names = [bare, sett, prism];

/** Prism takes seconds. */
const startLimitMs = 30_000;

const headers = {
  "content-type": "application/json",
  "plaid-client-id": "sandbox-client-id",
  "plaid-secret": "sandbox-secret",
};

export async function compareEmulators({ rounds, forMs }: Pace): Promise<Comparison[]> {
  using stage = await openStage();
  const commands = await prepare(stage);

  // A start is timed in fewer rounds than a call: Prism's takes long.
  const starts = await interleaved(names, Math.min(rounds, 7), async (name) => {
    const { child, ms } = await started(commands[name]!);
    await end(child);
    return ms;
  });
  const startRatio = (name: string) => ratio(starts, name, bare, (ms) => ms);

  const servers = new Map<string, ChildProcess>();
  const loads = new Map<string, Awaited<ReturnType<typeof startContender>>>();
  for (const name of names) {
    const { child, origin } = await started(commands[name]!);
    servers.set(name, child);
    const load: Load = { origin, headers, accessToken: await newItem(origin) };
    loads.set(name, await startContender("emulator/contenders.ts", "load", load));
  }
  const seen = await interleaved(names, rounds, async (name) => {
    const before = await cpuMsOf(servers.get(name)!);
    const { calls, elapsedMs, allCalls } = await loads.get(name)!.run({ inFlight: connections, forMs });
    const after = await cpuMsOf(servers.get(name)!);
    const serverMs = before === null || after === null ? null : after - before;
    return { rate: (calls * 1000) / elapsedMs, cpuMicros: serverMs && (serverMs * 1000) / allCalls };
  });
  await Promise.all([...[...loads.values()].map((load) => load.end()), ...[...servers.values()].map(end)]);

  const rate = (one: { readonly rate: number }) => one.rate;
  const cpu = (name: string) => {
    const counted = seen.get(name)!.flatMap(({ cpuMicros }) => cpuMicros ?? []);
    return counted.length > 0 ? median(counted) : null;
  };
  const made = (await interleaved(["in process"], rounds, () => inProcess(stage))).get("in process")!;
  const first = median(made.map(({ firstMs }) => firstMs));

  return [
    {
      title: "An emulator as a server",
      how:
        "From the start of the process to its first 200 (POST /sandbox/public_token/create), and POST /item/get over " +
        `${connections} connections, in ${rounds} interleaved rounds of ${forMs / 1000} s; medians. node:http sends a ` +
        "recorded body to whoever asks, and Prism an example from an OpenAPI document.",
      columns: [
        "server",
        "first 200 ms",
        "to node:http",
        "calls/s",
        "CPU µs/call",
        "to node:http ",
        "to Prism",
      ],
      rows: names.map((name) => [
        name,
        middle(starts, name, (ms) => ms),
        startRatio(name),
        middle(seen, name, rate),
        cpu(name),
        ratio(seen, name, bare, rate),
        ratio(seen, name, prism, rate),
      ]),
      promises: [
        { what: "first 200 of sett-sandbox to node:http", value: startRatio(sett), most: 2.5 },
        { what: "calls of sett-sandbox to node:http", value: ratio(seen, sett, bare, rate), least: 0.4 },
        { what: "calls of sett-sandbox to Prism", value: ratio(seen, sett, prism, rate), least: 3 },
      ],
    },
    {
      title: "An emulator in a test",
      how: `\`await createSandbox()\` in the process of a test, ${rounds} processes, medians.`,
      columns: ["createSandbox()", "ms"],
      rows: [
        ["the first in a process", first],
        ["later ones", median(made.map(({ laterMs }) => laterMs))],
      ],
      promises: [{ what: "the first createSandbox()", value: first, most: 5, unit: " ms" }],
    },
  ];
}

type Command = (port: number) => readonly string[];

/** Lays the programs out as their users have them: plain JavaScript, nothing to be compiled at the start. */
async function prepare(stage: Stage): Promise<Record<string, Command>> {
  const tarballs = [await stage.pack("sett"), await stage.pack("sandbox")];
  const project = await stage.install("emulator", tarballs);
  const bareFile = join(stage.folder, "bare-server.mjs");
  const entryPoints = [join(import.meta.dirname, "..", "bare-server.ts")];
  await build({ entryPoints, outfile: bareFile, bundle: true, format: "esm", platform: "node" });
  const document = join(stage.folder, "openapi.json");
  await writeFile(document, JSON.stringify(openapi));
  await writeFile(join(project, "in-process.mjs"), inProcessProgram);

  const cli = join(project, "node_modules/@sett/sandbox/dist/cli.js");
  const prismCli = join(import.meta.dirname, "../node_modules/@stoplight/prism-cli/dist/index.js");
  const prismFlags = ["--host", "127.0.0.1", "--verboseLevel", "silent"];
  return {
    [bare]: (port) => [process.execPath, bareFile, String(port)],
    [sett]: (port) => [process.execPath, cli, "--port", String(port)],
    [prism]: (port) => [process.execPath, prismCli, "mock", document, "--port", String(port), ...prismFlags],
  };
}

async function started(command: Command): Promise<{ child: ChildProcess; origin: string; ms: number }> {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const begun = performance.now();
  const child = start(command(port));
  while (!(await accepts(port))) {
    if (child.exitCode !== null) throw new Error(`${command(port)[1]} ended with ${child.exitCode}`);
    if (performance.now() - begun > startLimitMs) throw new Error(`nobody listens at ${origin}`);
    await pause(1);
  }
  await createPublicToken(origin);
  return { child, origin, ms: performance.now() - begun };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

/** Whether anybody listens yet. A fetch that fails costs more than the start that is timed. */
function accepts(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, "127.0.0.1");
  socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}

/** A public token; "none" of the bare server, which has one body for all. */
async function createPublicToken(origin: string): Promise<string> {
  const request = { institution_id: "ins_109508", initial_products: ["auth", "transactions"] };
  return (await post(`${origin}/sandbox/public_token/create`, request))["public_token"] ?? "none";
}

async function newItem(origin: string): Promise<string> {
  const public_token = await createPublicToken(origin);
  return (await post(`${origin}/item/public_token/exchange`, { public_token }))["access_token"] ?? "none";
}

async function post(url: string, body: object): Promise<Record<string, string>> {
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  if (answer.status !== 200) throw new Error(`${url} answered ${answer.status}: ${await answer.text()}`);
  return (await answer.json()) as Record<string, string>;
}

interface Made {
  readonly firstMs: number;
  readonly laterMs: number;
}

const inProcessProgram = `
import { createSandbox } from "@sett/sandbox";
const times = [];
for (let i = 0; i < 21; i++) {
  const begun = performance.now();
  const sandbox = await createSandbox();
  times.push(performance.now() - begun);
  await sandbox.close();
}
const [firstMs, ...later] = times;
process.send({ firstMs, laterMs: later.sort((a, b) => a - b)[10] });
`;

async function inProcess(stage: Stage): Promise<Made> {
  const child = start([process.execPath, join(stage.folder, "emulator", "in-process.mjs")], true);
  const [made] = (await once(child, "message", { signal: AbortSignal.timeout(startLimitMs) })) as [Made];
  await end(child);
  return made;
}
