// Laws of `sett sweep` and `sett worker`: what is asked for is done to each Item once and told, what cannot be undone
// easily is confirmed, a signal or a SIGKILL loses nothing, and no secret is said.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "csv-parse/sync";
import { sentence } from "../src/cli/sentences.ts";
import { endingOf } from "../src/cli/sweep-words.ts";
import { openDatabase } from "../src/database/database.ts";
import { claimLease } from "../src/database/leases.ts";
import { leaseOfShard } from "../src/sweep/rows.ts";
import type { SweepStatus } from "../src/sweep/sweep.ts";
import { cliWorld, terminalInput, type CliWorld, type Ended, type How } from "./cli-world.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("cli-sweep");

const lines = (text: string) => text.split("\n").filter((line) => line !== "");
const objects = (text: string) => lines(text).map((line) => JSON.parse(line));

/** How many tokens each Item has had. */
const versions = async (world: CliWorld, how?: How): Promise<number[]> =>
  objects(await world.done(["items", "--all", "--json"], how)).map(({ token_version }) => token_version);

async function linked(world: CliWorld, count: number, how: How = {}): Promise<string[]> {
  const ids: string[] = [];
  for (let number = 1; number <= count; number++)
    ids.push(
      (
        await world.done(["link", "--user", `u_${number}`], { ...how, stdin: await world.publicToken() })
      ).trim(),
    );
  return ids.sort();
}

/** Nothing that was said holds a secret. */
function refuteSecrets(world: CliWorld, ...said: readonly (string | Ended)[]): void {
  const text = said.map((one) => (typeof one === "string" ? one : one.stdout + one.stderr)).join("\n");
  const tokens = world.sandbox.control.items.list().map(({ access_token }) => access_token);
  for (const secret of [world.env["PLAID_SECRET"]!, "access-sandbox-", "sett-kek-", ...tokens])
    assert.ok(secret === null || !text.includes(secret));
}

test("every failure of a sweep is a sentence, and how a sweep ends is how its command ends", () => {
  const said = [
    sentence({ kind: "unknown-sweep", sweep_id: 7 }),
    sentence({ kind: "wrong-state", sweep_id: 7, state: "done" }),
    sentence({ kind: "wrong-state", sweep_id: 7, state: "running" }),
    sentence({ kind: "busy", item_id: "an-item" }),
  ];
  assert.deepEqual(
    said.map(({ ending }) => ending),
    ["unknown", "failed", "failed", "failed"],
  );
  assert.ok(said.every(({ text }) => text.length > 10 && !/undefined|null/.test(text)));
  const at = { state: "done", total: 2, done: 0, skipped: 0, failed: 0, waiting: 0, unacknowledged: 0 };
  const ending = (more: object) => endingOf({ ...at, failures: {}, ...more } as SweepStatus);
  assert.equal(ending({ done: 1, skipped: 1 }), "done");
  assert.equal(ending({ done: 1, failed: 1 }), "some");
  assert.equal(ending({ done: 2, unacknowledged: 1 }), "some");
  assert.equal(ending({ failed: 2, failures: { relink: 2 } }), "failed");
  assert.equal(ending({ failed: 2, failures: { support: 2 } }), "person");
  assert.equal(ending({ state: "cancelled", waiting: 2 }), "failed");
  assert.equal(ending({ state: "cancelled", done: 1, waiting: 1 }), "some");
});

test("rotate: a dry run does nothing; without --yes it ends with 3; then each Item has a new token, once", async (t) => {
  const world = await cliWorld(t);
  const ids = await linked(world, 3);
  const dry = await world.sett(["sweep", "rotate", "--dry-run", "--order", "riskiest"]);
  assert.equal(dry.code, 0);
  const soon = "less than a second, within what Plaid allows";
  assert.ok(dry.stdout.startsWith(`would rotate the tokens of 3 Items (${soon})\n  3 healthy\n`), dry.stdout);
  for (const id of ids) assert.ok(dry.stdout.includes(id));
  const [told] = objects(await world.done(["sweep", "rotate", "--dry-run", "--json"]));
  assert.deepEqual([told.total, told.states, told.first.length], [3, { healthy: 3 }, 3]);

  const refused = await world.sett(["sweep", "rotate"]);
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /rotate the tokens of 3 Items.*: say --yes/);
  const person = await world.sett(["sweep", "rotate"], { terminal: 90, stdin: terminalInput("no\n") });
  assert.equal(person.code, 3);
  assert.match((await world.sett(["sweep", "list"])).stderr, /no sweeps yet/);
  assert.deepEqual(await versions(world), [1, 1, 1]);

  const ended = await world.sett(["sweep", "rotate", "--yes", "--note", "half-yearly"]);
  assert.equal(ended.code, 0, ended.stderr);
  assert.match(ended.stdout, /^sweep 1 \(rotate\) is done: 3 done\n$/);
  assert.deepEqual(await versions(world), [2, 2, 2]);
  assert.match(await world.done(["sweep", "list"]), /^1\trotate\tdone\t3\t.*half-yearly\n$/);
  assert.match(await world.done(["show", ids[0]!]), /item\.rotated/);
  refuteSecrets(world, dry, refused, ended);
});

test("what is under way already is the same sweep; pause, resume and cancel change it; 6 for one that is not there", async (t) => {
  const world = await cliWorld(t);
  await linked(world, 2);
  // On the same day 1d is the same moment.
  const now = () => Date.UTC(2099, 0, 2, 9) + Math.floor(Math.random() * 3_600_000);
  const argv = ["sweep", "rotate", "--older-than", "1d", "--yes", "--detach"];
  assert.equal(await world.done(argv, { now }), "1\n");
  const again = await world.sett(argv, { now });
  assert.deepEqual([again.code, again.stdout], [0, "1\n"]);
  assert.match(again.stderr, /this is sweep 1 \(rotate\), which is under way already/);

  assert.match(await world.done(["sweep", "pause", "1"]), /is paused/);
  const held = await world.sett(argv.slice(0, -1), { now });
  assert.equal(held.code, 1);
  assert.match(held.stderr, /it is paused: sett sweep resume 1/);
  assert.match(await world.done(["sweep", "resume", "1"]), /is waiting/);
  const shown = await world.done(["sweep", "status"]);
  assert.match(shown, /^sweep 1 \(rotate\)\nstate +waiting\nItems +2: 0 done, 2 waiting\n/);
  assert.match(shown, /allowance +\d+ % of \d+ calls a minute used, 30 % kept/);
  const [status] = objects(await world.done(["sweep", "status", "1", "--json"]));
  assert.deepEqual([status.total, status.waiting, status.allowance.share], [2, 2, 0.3]);

  assert.match(await world.done(["sweep", "cancel", "1"]), /is cancelled/);
  const watched = await world.sett(["sweep", "status", "--watch"]);
  assert.equal(watched.code, 1);
  assert.match(watched.stdout, /is cancelled: 0 done, 2 waiting/);
  assert.equal((await world.sett(["sweep", "pause", "1"])).code, 1);
  assert.deepEqual(await versions(world), [1, 1]);
  for (const command of ["status", "pause", "resume", "cancel", "rollback", "report"])
    assert.equal((await world.sett(["sweep", command, "99"])).code, 6, command);
});

test("audit finds what is wrong, and its report says what a person must do, as CSV and as JSON lines", async (t) => {
  const world = await cliWorld(t);
  const [ill, well] = await linked(world, 2);
  world.sandbox.control.items.loginRequired(ill!);
  const ended = await world.sett(["sweep", "audit", "--json"]);
  assert.equal(ended.code, 0, ended.stderr);
  const [submitted, over] = objects(ended.stdout);
  assert.deepEqual([submitted.event, over.event, over.sweep.state], ["submitted", "ended", "done"]);
  assert.deepEqual(over.sweep.findings, { "update-mode": 1 });

  const csv = await world.done(["sweep", "report"]);
  const rows = parse(csv, { columns: true }) as Record<string, string>[];
  assert.deepEqual(
    rows.map(({ item_id, outcome, todo }) => [item_id, outcome, todo]),
    [
      [ill, "done", "Send the user through Link in update mode."],
      [well, "done", ""],
    ],
  );
  const todo = objects(await world.done(["sweep", "report", "1", "--only", "failed,todo", "--json"]));
  assert.deepEqual(
    todo.map(({ item_id, findings }) => [item_id, findings]),
    [[ill, [{ kind: "update-mode", error_code: "ITEM_LOGIN_REQUIRED" }]]],
  );
  // A bar would be drawn into the rows.
  const shown = await world.sett(["sweep", "report"], { terminal: 100 });
  assert.deepEqual([shown.stdout, shown.stderr], [csv, ""]);
  const file = await world.sett(["sweep", "report", "--format", "jsonl", "--out", "report.jsonl"]);
  assert.match(file.stderr, /2 rows of sweep 1 are in .*report\.jsonl/);
  assert.equal(objects(await readFile(join(world.folder, "report.jsonl"), "utf8")).length, 2);
  for (const wrong of [
    ["report", "--out", "report.jsonl"],
    ["report", "--only", "everything"],
    ["report", "one"],
    ["audit", "--silent-after", "soon"],
    ["audit", "--note", ""],
    ["webhook", "ftp://x.example"],
    ["webhook"],
    ["budget", "--set", "5"],
    ["rollback", "1", "--yes"],
  ])
    assert.equal((await world.sett(["sweep", ...wrong])).code, 2, wrong.join(" "));
  refuteSecrets(world, ended, csv, JSON.stringify(todo));
});

test("some that fail end it with 4, all with 1; the report names them and what is to be done", async (t) => {
  const world = await cliWorld(t);
  await linked(world, 2);
  const { faults } = world.sandbox.control;
  faults.add({ path: "/item/access_token/invalidate", times: 1, then: "INVALID_FIELD" });
  const some = await world.sett(["sweep", "rotate", "--yes"]);
  assert.equal(some.code, 4);
  assert.match(some.stdout, /is done: 1 done, 1 failed/);
  assert.match(some.stderr, /failed: 1 fix-request: Plaid refuses the call as it is\n.*report 1 --only todo/);
  assert.equal(lines(await world.done(["sweep", "report", "--only", "failed"])).length, 2);
  faults.add({ path: "/item/access_token/invalidate", times: 2, then: "INVALID_FIELD" });
  assert.equal((await world.sett(["sweep", "rotate", "--yes"])).code, 1);
  refuteSecrets(world, some);
});

test("webhook: what Plaid acknowledges at sett serve is done; what it does not ends it with 4; rollback puts back", async (t) => {
  const world = await cliWorld(t);
  world.sandbox.control.clock.run();
  const [id] = await linked(world, 2);
  const served = world.start(["serve", "--port", "0"]);
  const [, url] = await served.says(/ready on (http:\/\/\S+?);/);
  const moved = await world.sett(["sweep", "webhook", `${url}/webhook`, "--yes"]);
  assert.equal(moved.code, 0, moved.stderr);
  assert.match(moved.stdout, /is done: 2 done\n/);

  const nowhere = ["sweep", "webhook", "--none", "--yes"];
  assert.equal((await world.sett(nowhere)).code, 0);
  assert.match(await world.done(["show", id!]), /^webhook +none$/m);
  assert.equal((await world.sett(["sweep", "rollback", "2"])).code, 3);
  const back = await world.sett(["sweep", "rollback", "2", "--yes"]);
  assert.match(back.stdout, /^sweep 3 \(webhook, puts back sweep 2\) is done: 2 done/);
  assert.match(await world.done(["show", id!]), new RegExp(`^webhook +${url}/webhook$`, "m"));

  const lost = ["sweep", "webhook", "http://127.0.0.1:9/lost", "--acknowledge-within", "1s", "--yes"];
  const silent = await world.sett(lost);
  assert.equal(silent.code, 4);
  assert.match(silent.stdout, /2 done, 2 not acknowledged/);
  assert.equal(lines(await world.done(["sweep", "report", "--only", "unacknowledged"])).length, 3);
});

test("rollback says when there is nothing to put back, and when it is too early to know", async (t) => {
  const world = await cliWorld(t);
  await linked(world, 1);
  const nowhere = ["sweep", "webhook", "--none", "--yes"];
  await world.done([...nowhere, "--detach"]);
  await world.done(["sweep", "cancel", "1"]);
  const idle = await world.sett(["sweep", "rollback", "1", "--yes", "--json"]);
  assert.deepEqual([idle.code, idle.stdout], [0, ""]);
  assert.equal(idle.stderr, "sweep 1 (webhook) moved no webhooks: there is nothing to put back\n");

  // As if a worker had begun with it, whose call is out.
  const database = await openDatabase(join(world.folder, "sett-data"), { now: Date.now() });
  assert.ok(database.ok);
  const { sql } = database.value;
  const name = leaseOfShard(1, 0);
  await sql.updateTable("sweeps").set({ begun_at: 1 }).execute();
  assert.ok(await claimLease(sql, { name, holder: "a worker", now: Date.now(), forMs: 60_000 }));
  const early = await world.sett(["sweep", "rollback", "1", "--yes"]);
  assert.deepEqual([early.code, early.stdout], [1, ""]);
  assert.match(early.stderr, /calls of sweep 1 \(webhook\) are still out: try again in a moment/);
  await sql.updateTable("leases").set({ until_ms: 0 }).execute();
  await database.value.close();

  await world.done(nowhere);
  const back = objects(await world.done(["sweep", "rollback", "2", "--yes", "--json"]));
  assert.deepEqual(
    back.map(({ event, sweep: { total, again } }) => [event, total, again]),
    [
      ["submitted", 1, false],
      ["ended", 1, false],
    ],
  );
});

test("remove and reencrypt do what they say; forget then takes the user's name off", async (t) => {
  const world = await cliWorld(t);
  const [id] = await linked(world, 2);
  await world.done(["keys", "rotate"]);
  assert.match(await world.done(["sweep", "reencrypt"]), /is done: 2 done/);
  const user = objects(await world.done(["items", "--json"])).find(({ item_id }) => item_id === id).user_id;
  assert.equal((await world.sett(["forget", user, "--yes"])).code, 1);
  const gone = await world.sett(["sweep", "remove", "--user", user, "--reason-code", "OTHER", "--yes"]);
  assert.match(gone.stdout, /is done: 1 done/);
  assert.notEqual(world.sandbox.control.items.get(id!).removed_at, null);
  assert.equal((await world.sett(["forget", user])).code, 3);
  assert.match(await world.done(["forget", user, "--yes"]), /forgotten: 1 removed Item is nobody's now/);
  assert.match(await world.done(["show", id!], { env: { USER: "anna" } }), /^user +-$/m);
  const none = await world.sett(["sweep", "remove", "--user", user, "--yes"]);
  assert.deepEqual([none.code, none.stdout], [0, ""]);
  assert.match(none.stderr, /no such Items; nothing was submitted/);
  // What else is sealed is there nevertheless.
  assert.match(await world.done(["sweep", "reencrypt", "--user", user]), /\(reencrypt\) is done: 0 done/);
});

test("the history says which user of the machine asked", async (t) => {
  const world = await cliWorld(t);
  const [id] = await linked(world, 1, { env: { USER: "anna" } });
  await world.done(["rotate", id!], { env: { USER: "bob; rm -rf" } });
  const shown = await world.done(["show", id!]);
  assert.match(shown, /item\.linked +cli:anna/);
  assert.match(shown, /item\.rotated +cli:bobrm-rf/);
});

test("the budget is shown and set for all, and a look changes nothing that was learned", async (t) => {
  const world = await cliWorld(t);
  await linked(world, 1);
  const path = "/item/webhook/update";
  const known = await world.sett(["sweep", "budget", path, "--set", "600", "--share", "0.1"]);
  assert.deepEqual([known.code, /never calls/.test(known.stderr)], [0, false]);
  for (let look = 0; look < 2; look++) {
    const shown = objects(await world.done(["sweep", "budget", "--json"]));
    const { perMinute, share } = shown.find((state) => state.path === path);
    assert.deepEqual([perMinute, share], [600, 0.1]);
  }
  await world.done(["sweep", "budget", path, "--share", "default"]);
  assert.match(await world.done(["sweep", "budget", path]), /^\/item\/webhook\/update\t600\t.*\t30 %\t-\n$/);
  assert.match(await world.done(["sweep", "budget", path, "--set", "none"]), /\tno limit\t/);

  // Where Plaid publishes nothing the rate grows while it is used: from 600.
  await world.done(["sweep", "rotate", "--yes"]);
  const rotation = ["sweep", "budget", "/item/access_token/invalidate", "--json"];
  const [learned] = objects(await world.done(rotation));
  assert.ok(learned.perMinute > 600, `${learned.perMinute}`);
  await world.done(["sweep", "rotate", "--dry-run"]);
  assert.equal(objects(await world.done(rotation))[0].perMinute, learned.perMinute);
});

test("a signal lets go of a sweep, which stays, and the same command goes on with it", async (t) => {
  const world = await cliWorld(t);
  await linked(world, 4);
  const path = "/item/access_token/invalidate";
  await world.done(["sweep", "budget", path, "--set", "60"]);
  const slow = world.start(["sweep", "rotate", "--yes", "--in-flight", "1"]);
  await slow.says(/sweep 1 \(rotate\): 4 Items/);
  slow.child.kill("SIGINT");
  const stopped = await slow.ended;
  assert.equal(stopped.code, 130, stopped.stderr);
  assert.match(stopped.stderr, /the sweep stays.*sett sweep cancel 1/);
  await world.done(["sweep", "budget", path, "--set", "none"]);
  const ended = await world.sett(["sweep", "rotate", "--yes"], { terminal: 120 });
  assert.equal(ended.code, 0, ended.stderr);
  assert.match(ended.stderr, /under way already/);
  assert.match(ended.stderr, /[█░]{10} Items \d of 4/);
  assert.deepEqual(await versions(world), [2, 2, 2, 2]);
});

test("a budget for what sett does not know is set, and said to be so", async (t) => {
  const world = await cliWorld(t);
  await linked(world, 1);
  const other = await world.sett(["sweep", "budget", "/item/nosuch", "--set", "5"]);
  assert.equal(other.code, 0);
  assert.match(other.stderr, /sett itself never calls \/item\/nosuch/);
});

test("--on-done-url is told without secrets, and one that does not answer is no failure", async (t) => {
  const world = await cliWorld(t);
  await linked(world, 1);
  const heard: string[] = [];
  const server = createServer((request, response) => {
    request.on("data", (chunk: Buffer) => heard.push(chunk.toString()));
    request.on("end", () => response.writeHead(204).end());
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  await world.done(["sweep", "audit", "--on-done-url", `http://127.0.0.1:${port}/done`]);
  const { event, sweep } = JSON.parse(heard.join(""));
  assert.deepEqual([event, sweep.sweep_id, sweep.state], ["ended", 1, "done"]);
  const deaf = await world.sett(["sweep", "audit", "--on-done-url", "http://127.0.0.1:9/a-secret-path"]);
  assert.equal(deaf.code, 0);
  assert.match(deaf.stderr, /127\.0\.0\.1:9 could not be told/);
  assert.ok(!deaf.stderr.includes("a-secret-path"));
  refuteSecrets(world, ...heard);
});

test("worker: ends when nothing is left, serves metrics without /webhook, and says which database", async (t) => {
  const world = await cliWorld(t);
  await linked(world, 2);
  await world.done(["sweep", "rotate", "--yes", "--detach"]);
  const idle = await world.sett(["worker", "--until-idle", "--json"]);
  assert.equal(idle.code, 0, idle.stderr);
  assert.deepEqual(
    objects(idle.stdout).map(({ event }) => event),
    ["ready", "ended", "stopped"],
  );
  assert.match(idle.stderr, /SQLite .*sett\.db, where one process at a time/);
  assert.deepEqual(await versions(world), [2, 2]);

  await world.done(["sweep", "budget", "/item/get", "--set", "1"]);
  await world.done(["sweep", "audit", "--detach"]);
  const working = world.start(["worker", "--metrics-port", "0"]);
  const [, url] = await working.says(/metrics on (http:\S+)\/metrics/);
  const metrics = await (await fetch(`${url}/metrics`)).text();
  assert.match(metrics, /^sett_sweep_items\{operation="audit",outcome="waiting"\} [12]$/m);
  assert.match(metrics, /^sett_sweeps\{operation="audit",state="paused"\} 0$/m);
  assert.equal((await fetch(`${url}/readyz`)).status, 200);
  assert.equal((await fetch(`${url}/webhook`, { method: "POST" })).status, 404);
  working.child.kill("SIGTERM");
  const ended = await working.ended;
  assert.equal(ended.code, 0, ended.stderr);
  assert.match(ended.stderr, /giving back the rest/);
  refuteSecrets(world, idle, ended, metrics);
});

test("worker: its calls go over pooled connections, and are counted", async (t) => {
  const world = await cliWorld(t);
  await linked(world, 2);
  await world.done(["sweep", "audit", "--detach"]);
  const { mock } = t.mock.method(globalThis, "fetch");
  await world.done(["worker", "--until-idle"]);
  assert.equal(mock.callCount(), 0);
  mock.restore();
  const working = world.start(["worker", "--metrics-port", "0"]);
  const [, url] = await working.says(/metrics on (http:\S+)\/metrics/);
  await world.done(["sweep", "audit", "--detach"]);
  const counted = /^sett_plaid_attempts_total\{path="\/item\/get",outcome="answered",error_code=""\} 2$/m;
  for (let metrics = ""; !counted.test(metrics);) metrics = await (await fetch(`${url}/metrics`)).text();
});

test("worker: a call that hangs does not hold up its end beyond 10 seconds", async (t) => {
  const world = await cliWorld(t);
  await linked(world, 1);
  world.sandbox.control.faults.add({ path: "/item/get", times: 5, then: "hang" });
  await world.done(["sweep", "audit", "--detach"]);
  const working = world.start(["worker"]);
  await working.says(/ready/);
  while (world.sandbox.control.faults.list()[0]?.times === 5)
    await new Promise((resolve) => setImmediate(resolve));
  const asked = Date.now();
  working.child.kill("SIGTERM");
  assert.equal((await working.ended).code, 0);
  assert.ok(Date.now() - asked < 15_000, `${Date.now() - asked} ms`);
});

test("PostgreSQL: of two workers one is killed and the other finishes; every Item is rotated once", async (t) => {
  const world = await cliWorld(t);
  const url = (await places.PostgreSQL()).replace("postgres@", "postgres:a-password@");
  const how = { env: { SETT_DATABASE: url, SETT_FOLDER: escrowFolder() } };
  await world.done(["init"], how);
  await linked(world, 8, how);
  const path = "/item/access_token/invalidate";
  await world.done(["sweep", "budget", path, "--set", "6"], how);
  await world.done(["sweep", "rotate", "--yes", "--detach"], how);
  const argv = ["worker", "--lease", "5s", "--in-flight", "3"];
  const killed = world.start(argv, how);
  await killed.says(/ready: PostgreSQL 127\.0\.0\.1:\d+\/\S+, with any number of others/);
  while (Math.max(...(await versions(world, how))) === 1) continue;
  killed.child.kill("SIGKILL");
  const { stdout, stderr } = await killed.ended;
  await world.done(["sweep", "budget", path, "--set", "none"], how);
  const other = world.start([...argv, "--until-idle"], how);
  const ended = await other.ended;
  assert.equal(ended.code, 0, ended.stderr);
  assert.match(ended.stderr, /sweep 1 \(rotate\) is done: 8 done/);
  assert.deepEqual(await versions(world, how), Array(8).fill(2));
  assert.ok(!`${stdout}${stderr}${ended.stdout}${ended.stderr}`.includes("a-password"));
  refuteSecrets(world, ended, stdout + stderr);
});
