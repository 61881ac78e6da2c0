// Laws of an end that comes from outside: a reader that is gone, a terminal that is closed, a source that is silent. What was
// begun is finished, for an answer with a token may be under way, and the exit code does not say that all was done.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { test, type TestContext } from "node:test";
import { cliWorld, program, terminalInput, type CliWorld } from "./cli-world.ts";
import { configFor, open, value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("endings");

/** Before the sandbox: Plaid does what it is asked for, and its rotations are answered as the test says. */
async function inFront(t: TestContext, { env }: CliWorld, late: (nth: number) => Promise<unknown>) {
  let rotations = 0;
  const server = createServer(async (request, response) => {
    const { url = "", method = "" } = request;
    const body = await buffer(request);
    const headers = Object.fromEntries(
      ["plaid-client-id", "plaid-secret", "plaid-version", "content-type"].map((name) => [
        name,
        String(request.headers[name]),
      ]),
    );
    const answer = await fetch(env["SETT_PLAID_URL"] + url, { method, headers, body });
    const text = await answer.text();
    if (url === "/item/access_token/invalidate") await late(++rotations);
    response.writeHead(answer.status, { "content-type": "application/json" }).end(text);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    rotations: () => rotations,
  };
}

/** The program, its stdout a pipe that the test reads, or whatever it is given. */
function start(
  world: CliWorld,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
  stdout: "pipe" | number = "pipe",
) {
  const child = spawn(process.execPath, [program, ...argv], {
    cwd: world.folder,
    env: { PATH: process.env["PATH"], ...world.env, ...env },
    stdio: ["pipe", stdout, "pipe"],
  });
  let said = "";
  child.stderr!.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const ended = once(child, "close").then(([code]) => ({ code: code as number | null, stderr: said }));
  return { child, ended };
}

const linked = async (world: CliWorld, count: number) => {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) ids.push(await world.link());
  return ids;
};

/** Nothing is open, and each Item's token is the one that Plaid has. */
async function holds(world: CliWorld, ids: readonly string[]) {
  assert.match(await world.done(["doctor", "--offline"]), /ok +open +nothing is left open/);
  for (const id of ids) await world.done(["webhook", "--none", id]);
}

for (const [what, gone] of [
  ["a reader that has gone", undefined],
  ["a disk that is full", "/dev/full"],
  ["a terminal that is closed", "SIGHUP"],
] as const)
  test(`${what} ends \`sett rotate\` once the rotations under way are in`, async (t) => {
    const world = await cliWorld(t);
    const ids = await linked(world, 8); // six can be begun before the rest is answered
    const rest = Promise.withResolvers<unknown>();
    const four = Promise.withResolvers<unknown>();
    // Two are answered; those after them only when the program has had the time to notice, or is gone.
    const plaid = await inFront(t, world, async (nth) => {
      if (nth === 4) four.resolve(undefined);
      await (nth <= 2 ? four.promise : rest.promise);
    });
    const full = gone === "/dev/full" ? openSync(gone, "w") : undefined;
    const { child, ended } = start(
      world,
      ["rotate", ...ids, "--yes"],
      { SETT_PLAID_URL: plaid.url },
      full ?? "pipe",
    );
    if (full !== undefined) closeSync(full);
    else if (gone === "SIGHUP") child.stdout!.once("data", () => child.kill("SIGHUP"));
    else child.stdout!.once("data", () => child.stdout!.destroy());
    await four.promise;
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 700))]);
    rest.resolve(undefined);
    const { code, stderr } = await ended;
    assert.equal(code, 130, stderr);
    await holds(world, ids);
  });

test("a reader that has seen enough is no failure of a command that looks, but one of an export", async (t) => {
  const world = await cliWorld(t);
  await linked(world, 2);
  const looking = start(world, ["items", "--all"]);
  looking.child.stdout!.destroy();
  assert.deepEqual(await looking.ended, { code: 0, stderr: "" });

  await writeFile(join(world.folder, "to.pub"), await world.done(["keys", "recipient", "--out", "to.key"]));
  const exporting = start(world, ["export", "--to", "to.pub"]);
  exporting.child.stdout!.destroy();
  const { code, stderr } = await exporting.ended;
  assert.ok(code === 1 || code === 130, `${code}: ${stderr}`);
  assert.match(stderr, /what was written is no whole export/);

  const served = start(world, ["serve", "--port", "0"]);
  const [ready] = (await once(served.child.stderr!, "data")) as [Buffer];
  served.child.stdout!.destroy();
  await fetch(`${/http:\/\/[^;]+/.exec(ready.toString())![0]}/healthz`).catch(() => {});
  assert.equal((await served.ended).code, 1, "nobody has told it to end");
});

test("an import from a source that is silent ends when it is told to", { timeout: 30_000 }, async (t) => {
  const world = await cliWorld(t);
  await world.link();
  await world.done(["keys", "recipient", "--out", "to.key"]);
  for (const begun of [undefined, "sett-export-1 ", "access_token\n"]) {
    const stop = new AbortController();
    let asked = 0;
    const stdin = new Readable({
      read() {
        if (asked++ === 0 && begun !== undefined) this.push(begun);
        else stop.abort();
      },
    });
    const argv = begun?.startsWith("sett") ? ["import", "-", "--key", "to.key"] : ["import", "-"];
    assert.equal((await world.sett(argv, { stdin, signal: stop.signal })).code, 130);
  }
});

test(
  "a token that is asked for on a terminal is not waited for once it is told to end",
  { timeout: 30_000 },
  async (t) => {
    const world = await cliWorld(t);
    const stop = new AbortController();
    const stdin = terminalInput("public-sandbox-not-yet-all-of");
    stdin.on("resume", () => stop.abort());
    const { code, stderr } = await world.sett(["link"], { stdin, terminal: 80, signal: stop.signal });
    assert.equal(code, 130);
    assert.match(stderr, /nothing was begun/);
    assert.deepEqual(stdin.raw, [true, false], "the terminal is as it was");
  },
);

test("an import whose signal came before it leaves a source that fails to itself", async (t) => {
  const world = await cliWorld(t);
  const keeper = await open(await places.SQLite(), escrowFolder(), configFor(world.sandbox));
  try {
    const failing = async function* () {
      yield "access_token";
      throw new Error("the disk");
    };
    const ended = value(await keeper.importItems(failing(), { signal: AbortSignal.abort() }));
    assert.deepEqual([ended.rows, ended.complete], [0, false]);
  } finally {
    await keeper.close();
  }
});
