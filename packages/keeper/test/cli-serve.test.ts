// Laws of `sett serve`, the real program on a port: a signed webhook of Plaid's changes its Item, what is not signed is
// refused and counted, those who watch see both, and a signal ends it with nothing lost and no secret said.

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { test } from "node:test";
import { createServer } from "../src/cli/server.ts";
import { cliWorld, type CliWorld, type Running } from "./cli-world.ts";

async function serving(
  world: CliWorld,
  ...more: readonly string[]
): Promise<Running & { readonly url: string }> {
  const running = world.start(["serve", "--port", "0", ...more]);
  const [, url] = await running.says(/ready on (http:\/\/\S+?);/);
  return { ...running, url: url! };
}

const stop = async ({ child, ended }: Running) => {
  child.kill("SIGTERM");
  return ended;
};

test("a webhook that Plaid signed changes its Item; one that nobody signed is refused and counted", async (t) => {
  const world = await cliWorld(t);
  const { items, clock } = world.sandbox.control;
  const id = await world.link();
  const served = await serving(world);
  await world.done(["webhook", `${served.url}/webhook`, id]);
  items.loginRequired(id);
  await clock.advance(2_000);
  const forged = await fetch(`${served.url}/webhook`, { method: "POST", body: '{"item_id":"x"}' });
  assert.equal(forged.status, 401);
  assert.equal((await fetch(`${served.url}/webhook`)).status, 405);
  assert.equal((await fetch(`${served.url}/access-sandbox-1-secret`)).status, 404);

  const metrics = await (await fetch(`${served.url}/metrics`)).text();
  assert.match(metrics, /sett_http_requests_total\{route="\/webhook",status="200"\} [1-9]/);
  assert.match(metrics, /sett_webhooks_refused_total\{reason="malformed"\} 1\n/);

  const { code, stdout, stderr } = await stop(served);
  assert.equal(code, 0, stderr);
  assert.match(await world.done(["show", id]), /state +login_required/);

  const log = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.ok(
    log.some(({ event, route, status }) => event === "request" && route === "/webhook" && status === 200),
  );
  assert.ok(log.some(({ event, reason }) => event === "webhook refused" && reason === "malformed"));
  assert.deepEqual(
    log.slice(-2).map(({ event }) => event),
    ["stopping", "stopped"],
  );
  const said = stdout + stderr;
  assert.ok(!said.includes("access-sandbox-") && !said.includes(world.env["PLAID_SECRET"]!), said);
});

test("healthz, readyz and metrics say what is so", async (t) => {
  const world = await cliWorld(t);
  await world.link();
  const removed = await world.link();
  await world.done(["remove", removed, "--yes"]);
  const served = await serving(world);
  const health = await fetch(`${served.url}/healthz`);
  assert.deepEqual(
    [health.status, await health.json()],
    [200, { ok: true, parts: { database: null, keys: null } }],
  );
  assert.equal((await fetch(`${served.url}/readyz`)).status, 200);

  const answer = await fetch(`${served.url}/metrics`);
  assert.equal(answer.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  const text = await answer.text();
  for (const line of text.trim().split("\n"))
    assert.match(
      line,
      /^(# (HELP|TYPE) sett_\w+ .+|sett_\w+(\{\w+="[^"\n]*"(,\w+="[^"\n]*")*\})? -?[\d.e+-]+)$/,
    );
  for (const sample of [
    /^sett_items\{state="healthy"\} 1$/m,
    /^sett_items\{state="removed"\} 1$/m,
    /^sett_items\{state="stranded"\} 0$/m,
    /^sett_intents_open\{kind="rotate"\} 0$/m,
    /^sett_healthy\{part="keys"\} 1$/m,
    /^sett_recover_ok 1$/m,
    /^sett_escrow_waiting 0$/m,
  ])
    assert.match(text, sample);
  const types = [...text.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name);
  assert.equal(new Set(types).size, types.length, "a family stands once");
  assert.equal((await stop(served)).code, 0);
});

test("no secret stands in the arguments of the process, and calls to Plaid are counted by what came of them", async (t) => {
  const world = await cliWorld(t);
  const id = await world.link();
  // Left open, for the service to finish.
  world.sandbox.control.faults.add({ path: "/item/remove", times: 3, then: "reset" });
  assert.equal((await world.sett(["remove", id, "--yes"])).code, 5);
  const served = await serving(world);
  const argv = readFileSync(`/proc/${served.child.pid}/cmdline`, "utf8");
  assert.ok(argv.includes("serve") && !argv.includes(world.env["PLAID_SECRET"]!));
  const metrics = await (await fetch(`${served.url}/metrics`)).text();
  assert.match(
    metrics,
    /sett_plaid_attempts_total\{path="\/item\/remove",outcome="answered",error_code=""\} 1\n/,
  );
  assert.match(metrics, /sett_recovered_total\{ending="finished"\} 1\n/);
  const { stdout } = await stop(served);
  assert.match(stdout, /"event":"recovered"/);
  assert.equal(world.sandbox.control.items.get(id).removed_at !== null, true);
});

test("once told to end it takes no more requests, also on a connection that is kept alive", async (t) => {
  const world = await cliWorld(t);
  await world.link();
  const served = await serving(world);
  const socket = connect(Number(new URL(served.url).port), "127.0.0.1");
  t.after(() => socket.destroy());
  const answers: string[] = [];
  socket.setEncoding("utf8").on("data", (text: string) => answers.push(text));
  const closed = new Promise((resolve) => socket.on("error", () => {}).once("close", resolve));
  socket.write("POST /webhook HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
  await once(socket, "data"); // it is under way
  served.child.kill("SIGTERM");
  await served.says(/"stopping"/);
  socket.write("{}");
  await once(socket, "data");
  socket.write("GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
  await closed;
  const { code, stdout } = await served.ended;
  assert.equal(code, 0);
  assert.match(stdout, /"route":"\/webhook","status":401/);
  assert.ok(!stdout.includes("/healthz"), stdout);
});

test("metrics say in time that the database does not answer", { timeout: 20_000 }, async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const app = createServer({
    health: async () => ({ ok: false, parts: { database: "no answer", keys: null } }),
    gauges: () => new Promise(() => {}),
    families: () => [],
    request: () => {},
    ready: () => true,
    now: () => 0,
    log: () => {},
  });
  const answer = app.fetch(new Request("http://sett.example/metrics"));
  await Promise.resolve();
  t.mock.timers.tick(9_000);
  const { status, text } = await Promise.resolve(answer).then(async (response) => ({
    status: response.status,
    text: await response.text(),
  }));
  assert.equal(status, 200);
  assert.match(text, /^sett_healthy\{part="database"\} 0$/m);
});

test("a port that is in use ends it with 1 and the way out; without a keeper it does not begin", async (t) => {
  const world = await cliWorld(t);
  const without = await world.sett(["serve", "--port", "0"]);
  assert.equal(without.code, 2);
  assert.match(without.stderr, /there is no keeper at/);
  await world.link();
  const { port } = new URL(world.env["SETT_PLAID_URL"]!);
  const taken = await world.sett(["serve", "--port", port]);
  assert.equal(taken.code, 1);
  assert.match(
    taken.stderr,
    new RegExp(`port ${port} on 127\\.0\\.0\\.1 is in use: choose another with --port`),
  );
  assert.equal((await world.sett(["serve", "--port", "70000"])).code, 2);
});
