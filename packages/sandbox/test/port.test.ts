// Law: on a port the sandbox is what it is in the process, a cut line is a reset socket, and the command says clearly
// why it cannot start.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { aPlaid } from "./plaid.ts";

const headers = {
  "content-type": "application/json",
  "plaid-client-id": "sandbox-client-id",
  "plaid-secret": "sandbox-secret",
};

test("the same bytes and status come over a port as in the process", async (t) => {
  const inProcess = await aPlaid();
  const onPort = await aPlaid();
  const { url } = await onPort.sandbox.listen();
  t.after(() => onPort.sandbox.close());
  const calls: readonly (readonly [string, object])[] = [
    ["/sandbox/public_token/create", { institution_id: "ins_109508", initial_products: ["auth"] }],
    ["/item/get", {}],
    ["//item/get", { access_token: "<&>" }],
    ["/transactions/sync", {}],
    ["/nothing", {}],
  ];
  for (const [path, body] of calls) {
    const answer = await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) });
    const expected = await inProcess.call(path, body);
    assert.deepEqual([answer.status, await answer.text()], [expected.status, expected.text]);
    for (const [name, value] of expected.headers) assert.equal(answer.headers.get(name), value);
  }
});

test("a cut line is a reset of the socket", async (t) => {
  const { sandbox, control } = await aPlaid();
  t.after(() => sandbox.close());
  const { url } = await sandbox.listen();
  for (const then of ["reset", "drop-after-commit"] as const) {
    control.faults.add({ path: "/item/get", then });
    const call = request(`${url}/item/get`, { method: "POST", headers });
    call.end("{}");
    const [error] = await once(call, "error");
    assert.equal(error.code, "ECONNRESET");
  }
});

test("the control is on the port too, beside Plaid's paths", async (t) => {
  const { sandbox } = await aPlaid();
  t.after(() => sandbox.close());
  const { url } = await sandbox.listen();
  const moved = await fetch(`${url}/_sandbox/clock/advance`, { method: "POST", body: '{"ms":1000}' });
  assert.equal((await moved.json()).now, "2026-01-01T00:00:01.000Z");
  const unknown = await fetch(`${url}/_sandbox`);
  assert.equal(unknown.status, 404);
});

test("webhooks go out over the network, by the platform's fetch", async (t) => {
  const { promise, resolve } = Promise.withResolvers<{ headers: unknown; body: string }>();
  const receiver = createServer(async (incoming, outgoing) => {
    resolve({ headers: incoming.headers, body: await text(incoming) });
    outgoing.end();
  });
  receiver.listen(0, "127.0.0.1");
  await once(receiver, "listening");
  t.after(() => receiver.close());
  const { port } = receiver.address() as AddressInfo;
  const { call, item, control, sandbox } = await aPlaid({ deliver: (request) => fetch(request) });
  t.after(() => sandbox.close());
  const { access_token } = await item(["auth"], { options: { webhook: `http://127.0.0.1:${port}/hook` } });
  await call("/sandbox/item/reset_login", { access_token });
  const received = await promise;
  assert.equal(JSON.parse(received.body).webhook_code, "ERROR");
  assert.match((received.headers as Record<string, string>)["plaid-verification"]!, /^ey/);
  await control.webhooks.idle();
  assert.equal(control.webhooks.list()[0]?.delivery_status, "DELIVERED");
});

const cli = join(import.meta.dirname, "../src/cli.ts");
const start = (...flags: string[]) =>
  spawn(process.execPath, ["--conditions=@sett/source", cli, ...flags], {
    stdio: ["ignore", "pipe", "pipe"],
  });
async function fails(...flags: string[]) {
  const child = start(...flags);
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  return { said, code };
}

test("the command serves, says where and with which credentials, and ends with 0 on SIGTERM", async () => {
  const child = start(
    "--port",
    "0",
    "--seed",
    "1",
    "--clock",
    "2026-01-01T00:00:00Z",
    "--switch",
    "revokedItem=ITEM_NOT_FOUND",
  );
  const [line] = await once(createInterface(child.stdout), "line");
  assert.match(
    line,
    /^sett-sandbox is ready on http:\/\/127\.0\.0\.1:\d+ \(client_id sandbox-client-id, secret sandbox-secret\)$/,
  );
  const url = /http:\S+/.exec(line)![0];
  const switches = (await (await fetch(`${url}/_sandbox/switches`)).json()) as Record<string, string>;
  assert.equal(switches["revokedItem"], "ITEM_NOT_FOUND");
  assert.equal(
    ((await (await fetch(`${url}/_sandbox/clock`)).json()) as { now: string }).now,
    "2026-01-01T00:00:00.000Z",
  );
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit"), [0, null]);
});

test("SIGTERM ends it at once, also while a receiver of webhooks hangs", async (t) => {
  const receiver = createServer(() => {}).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  t.after(() => {
    receiver.closeAllConnections();
    receiver.close();
  });
  const child = start("--port", "0", "--clock", "2026-01-01T00:00:00Z");
  t.after(() => child.kill("SIGKILL"));
  const [line] = await once(createInterface(child.stdout), "line");
  const url = /http:\S+/.exec(line)![0];
  const { port } = receiver.address() as AddressInfo;
  const body = JSON.stringify({
    institution_id: "ins_109508",
    initial_products: ["transactions"],
    options: { webhook: `http://127.0.0.1:${port}/` },
  });
  const reached = once(receiver, "request");
  assert.equal(
    (await fetch(`${url}/sandbox/public_token/create`, { method: "POST", headers, body })).status,
    200,
  );
  void fetch(`${url}/_sandbox/clock/advance`, { method: "POST", body: '{"ms":1000}' }).catch(() => {});
  await reached;
  child.kill("SIGTERM");
  assert.deepEqual(await once(child, "exit", { signal: AbortSignal.timeout(20_000) }), [0, null]);
});

test("it says its version, the package's, and serves nothing", async () => {
  const manifest = readFileSync(join(import.meta.dirname, "../package.json"), "utf8");
  const { version } = JSON.parse(manifest) as { version: string };
  for (const flag of ["--version", "-V"]) {
    const child = start(flag);
    const [said, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
    assert.deepEqual({ said, code }, { said: `${version}\n`, code: 0 });
  }
});

test("a port in use is said so, with exit code 1", async (t) => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  t.after(() => taken.close());
  const { port } = taken.address() as AddressInfo;
  const { said, code } = await fails("--port", `${port}`);
  assert.equal(
    said,
    `sett-sandbox: port ${port} on 127.0.0.1 is in use; choose another with --port, or 0 for any free one\n`,
  );
  assert.equal(code, 1);
});

test("wrong usage names the option and what was expected, with exit code 2", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "sett-sandbox-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "faults.json");
  writeFileSync(file, '[{ "path": "/item/get", "then": "explode" }]');
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [["--port", "99999"], /--port.*It must be a number from 0/],
    [["--clock", "soon"], /--clock.*It must be an ISO time/],
    [["--switch", "nothing=x"], /--switch.*nothing is not a switch/],
    [["--faults", file], /--faults.*Fault 1: then must be/],
    [["--faults", join(folder, "missing.json")], /--faults.*It must be a file of JSON/],
    [["--nothing"], /unknown option '--nothing'/],
  ];
  const outcomes = await Promise.all(wrong.map(([flags]) => fails(...flags)));
  for (const [index, { said, code }] of outcomes.entries()) {
    assert.match(said, wrong[index]![1]);
    assert.equal(code, 2);
  }
});
