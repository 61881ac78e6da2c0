// Laws of looking, and of changing the database alone: a command whose help says that it changes nothing changes nothing,
// calls nobody and says the same with Plaid's credentials and without; one that says that it needs none of them changes
// what it should without them; every other one still names the credential that it misses.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { test, type TestContext } from "node:test";
import BetterSqlite from "better-sqlite3";
import type { Command } from "commander";
import { createProgram } from "../src/cli/run.ts";
import { cliWorld, type CliWorld } from "./cli-world.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("cli-look");

const missing = { PLAID_CLIENT_ID: undefined, PLAID_SECRET: undefined, SETT_PLAID_URL: undefined };
const url = "https://app.example/plaid";
const dashboard = /PLAID_SECRET must be set.*dashboard\.plaid\.com/;

/** By the names of commands; an Item and sweeps that there are in `begun`. */
const looks = (id: string): Readonly<Record<string, readonly string[]>> => ({
  items: ["items", "--all"],
  show: ["show", id],
  "keys list": ["keys", "list"],
  prune: ["prune", "--older-than", "1d", "--dry-run"],
  "sweep list": ["sweep", "list"],
  "sweep status": ["sweep", "status"],
  "sweep report": ["sweep", "report", "1"],
  "sweep budget": ["sweep", "budget"],
  "sweep audit": ["sweep", "audit", "--dry-run"],
  "sweep webhook": ["sweep", "webhook", url, "--dry-run"],
  "sweep rotate": ["sweep", "rotate", "--dry-run"],
  "sweep remove": ["sweep", "remove", "--dry-run"],
  "sweep reencrypt": ["sweep", "reencrypt", "--dry-run"],
});

/** In an order in which each has something to do. */
const changes: Readonly<Record<string, readonly string[]>> = {
  forget: ["forget", "u_3", "--yes"],
  "sweep pause": ["sweep", "pause", "3"],
  "sweep resume": ["sweep", "resume", "3"],
  "sweep cancel": ["sweep", "cancel", "3"],
  "sweep budget": ["sweep", "budget", "/item/get", "--set", "5", "--share", "0.1"],
  "keys new": ["keys", "new"],
  "keys rotate": ["keys", "rotate"],
  "keys reencrypt": ["keys", "reencrypt"],
  "keys retire": ["keys", "retire", "--all", "--yes"],
  prune: ["prune", "--older-than", "1d", "--yes"],
};

const acts = (id: string): Readonly<Record<string, readonly string[]>> => ({
  link: ["link", "--sandbox"],
  rotate: ["rotate", id],
  webhook: ["webhook", "--none", id],
  remove: ["remove", id, "--yes"],
  abandon: ["abandon", id, "--note", "lost", "--yes"],
  "sweep audit": ["sweep", "audit"],
  "sweep webhook": ["sweep", "webhook", url, "--yes"],
  "sweep rotate": ["sweep", "rotate", "--yes"],
  "sweep remove": ["sweep", "remove", "--yes"],
  "sweep reencrypt": ["sweep", "reencrypt"],
  "sweep rollback": ["sweep", "rollback", "2", "--yes"],
  worker: ["worker", "--until-idle"],
  import: ["import", "-"],
  export: ["export", "--to", "recipient.pub", "--out", "items.sealed"],
  serve: ["serve", "--port", "0"],
});

/** Those that open no keeper. */
const others = ["init", "keys recipient", "doctor", "sandbox"];

/** A keeper with two Items, a sweep that is done, one that moved webhooks, one that waits, and a removal that is open. */
async function begun(world: CliWorld): Promise<string> {
  const id = await world.link("--user", "u_1");
  const other = await world.link("--user", "u_2");
  await world.done(["sweep", "audit"]);
  await world.done(["sweep", "webhook", "--none", "--yes"]);
  await world.done(["sweep", "audit", "--user", "u_1", "--detach"]);
  world.sandbox.control.faults.add({ path: "/item/remove", times: 3, then: "reset" });
  assert.equal((await world.sett(["remove", other, "--yes"])).code, 5);
  return id;
}

type Row = Readonly<Record<string, unknown>>;

/** All that is in the database. */
function rowsOf(world: CliWorld): Readonly<Record<string, readonly unknown[]>> {
  const database = new BetterSqlite(join(world.folder, "sett-data/sett.db"), { readonly: true });
  try {
    const tables = database.prepare("select name from sqlite_master where type = 'table' order by name");
    return Object.fromEntries(
      (tables.pluck().all() as string[]).map((name) => [
        name,
        database.prepare(`select * from ${name}`).all(),
      ]),
    );
  } finally {
    database.close();
  }
}

/** A Plaid that counts who asks it, and answers nobody. */
async function countingPlaid(t: TestContext) {
  const asked: string[] = [];
  const server = createServer((request) => {
    asked.push(request.url ?? "");
    request.socket.destroy();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** Every command that has none below it, by its name. */
function commandNames(): readonly string[] {
  const stdout = new PassThrough();
  const outside = { env: {}, cwd: "/", stdin: Readable.from([]), stdout, stderr: stdout, now: Date.now };
  const below = (command: Command, path: readonly string[]): readonly string[] =>
    command.commands.length === 0
      ? [path.join(" ")]
      : command.commands.flatMap((one) => below(one, [...path, one.name()]));
  return below(
    createProgram({ ...outside, signal: new AbortController().signal }, () => {}),
    [],
  );
}

test("what its help says of a command is held here: it only looks, or changes the database, or acts, or opens no keeper", async (t) => {
  const world = await cliWorld(t);
  const looking: string[] = [];
  const changing: string[] = [];
  for (const name of commandNames().filter((name) => name !== "sandbox")) {
    const help = await world.done([...name.split(" "), "--help"]);
    if (/changes nothing(, and needs none of|. It never needs) Plaid's/.test(help)) looking.push(name);
    if (/\n\nIt needs none of Plaid's|. It never needs Plaid's/.test(help)) changing.push(name);
  }
  assert.deepEqual(looking.sort(), Object.keys(looks("")).sort());
  assert.deepEqual(changing.sort(), [...Object.keys(changes), "keys recipient"].sort());
  assert.deepEqual(
    [...new Set([looks(""), changes, acts("")].flatMap(Object.keys).concat(others))].sort(),
    commandNames().toSorted(),
  );
});

test("looking needs no credentials, says the same with them, calls nobody, and changes nothing", async (t) => {
  const world = await cliWorld(t);
  const id = await begun(world);
  const plaid = await countingPlaid(t);
  const more = [
    ["sweep", "status", "1", "--watch"],
    ["sweep", "status", "3", "--json"],
    ["sweep", "report", "2"],
    ["sweep", "budget", "/item/get", "--json"],
    ["show", id, "--json"],
  ];
  await rm(join(world.folder, "sett-data/escrow"), { recursive: true });
  const at = Date.now();
  const now = () => at;
  const before = rowsOf(world);
  for (const argv of [...Object.values(looks(id)), ...more]) {
    const said = await world.done(argv, { env: missing, now });
    assert.notEqual(said, "", argv.join(" "));
    const withThem = await world.sett(argv, { env: { SETT_PLAID_URL: plaid.url }, now });
    assert.deepEqual([withThem.code, withThem.stdout], [0, said], argv.join(" "));
  }
  assert.deepEqual(plaid.asked, []);
  assert.deepEqual(rowsOf(world), before);
  assert.ok(!existsSync(join(world.folder, "sett-data/escrow")), "whoever looks needs no escrow");
  const [waiting] = before["sweeps"]!.filter((row) => (row as { sweep_id: number }).sweep_id === 3);
  assert.equal((waiting as { state: string }).state, "waiting");
  const status = JSON.parse(await world.done(["sweep", "status", "3", "--json"], { env: missing, now }));
  assert.ok(status.allowance.usedInLastMinute > 0, "the allowance is that of the client that was counted");
});

test("the keys are needed only where something sealed is opened, and to say which of them wraps", async (t) => {
  const world = await cliWorld(t);
  const id = await begun(world);
  const env = { ...missing, SETT_KEY_FILE: "none.key" };
  for (const [name, argv] of Object.entries(looks(id)).filter(([name]) => name !== "keys list"))
    assert.equal((await world.sett(argv, { env })).code, 0, name);
  for (const argv of [
    ["keys", "list"],
    ["sweep", "report", "2"],
  ]) {
    const { code, stderr } = await world.sett(argv, { env });
    assert.equal(code, 2, argv.join(" "));
    assert.match(stderr, /the key file .*none\.key is not there/);
  }
});

test("what changes the database alone needs no credentials and no escrow, calls nobody, and finishes nothing", async (t) => {
  const world = await cliWorld(t);
  await world.done(["remove", await world.link("--user", "u_3"), "--yes"]);
  await begun(world);
  const plaid = await countingPlaid(t);
  await rm(join(world.folder, "sett-data/escrow"), { recursive: true });
  const env = { ...missing, SETT_PLAID_URL: plaid.url, USER: "anna" };
  const open = () => rowsOf(world)["intents"]!.filter((row) => (row as Row)["settled_at"] === null).length;
  const left = open();
  assert.equal(left, 1);
  const seen = rowsOf(world)["events"]!.length;
  const at = Date.now();
  const later: Readonly<Record<string, number>> = { "keys retire": 10 * 60_000, prune: 2 * 86_400_000 };
  for (const [name, argv] of Object.entries(changes)) {
    const before = rowsOf(world);
    await world.done(argv, { env, now: () => at + (later[name] ?? 0) });
    if (name !== "keys new") assert.notDeepEqual(rowsOf(world), before, name);
  }
  assert.equal(open(), left);
  assert.deepEqual(plaid.asked, []);
  assert.ok(!existsSync(join(world.folder, "sett-data/escrow")));
  const events = rowsOf(world)["events"]!.slice(seen) as readonly Row[];
  assert.deepEqual(
    [...new Set(events.map(({ kind, actor }) => `${kind} by ${actor}`))],
    [
      "user.forgotten by cli:anna",
      "sweep.cancelled by cli:anna",
      "key.retired by cli:anna",
      "sweep.pruned by cli:anna",
    ],
  );
  const [item] = JSON.parse(`[${await world.done(["items", "--user", "u_1", "--json"], { env })}]`) as Row[];
  await world.done(["rotate", item!["item_id"] as string]);
  const [told] = JSON.parse(`[${await world.done(["sweep", "budget", "/item/get", "--json"], { env })}]`);
  assert.deepEqual([told.perMinute, told.share], [5, 0.1]);
});

test("a budget is set without a client_id where it is one client's, and else it is to be said whose it is", async (t) => {
  const world = await cliWorld(t);
  await begun(world);
  const set = (path: string, env: Readonly<Record<string, string | undefined>>) =>
    world.sett(["sweep", "budget", path, "--set", "5"], { env });
  const nobodys = await set("/accounts/get", missing);
  assert.equal(nobodys.code, 2);
  assert.match(nobodys.stderr, /PLAID_CLIENT_ID must be set.*no call to \/accounts\/get is counted yet/);
  assert.equal((await set("/accounts/get", { ...missing, PLAID_CLIENT_ID: "another" })).code, 0);
  assert.equal((await set("/accounts/get", missing)).code, 0);
  assert.equal((await set("/item/get", { ...missing, PLAID_CLIENT_ID: "another" })).code, 0);
  const before = rowsOf(world);
  const several = await set("/item/get", missing);
  assert.equal(several.code, 2);
  assert.match(several.stderr, /PLAID_CLIENT_ID must be set.*several clients call \/item\/get/);
  assert.deepEqual(rowsOf(world), before);
});

test("a ring that does not fit the database changes nothing", async (t) => {
  const world = await cliWorld(t);
  await begun(world);
  await world.done(["keys", "rotate"]);
  await world.done(["keys", "reencrypt"]);
  await world.done(["keys", "new", "--out", "another.key"]);
  const before = rowsOf(world);
  const now = () => Date.now() + 10 * 60_000;
  for (const name of ["keys rotate", "keys reencrypt", "keys retire"]) {
    const { code, stderr } = await world.sett(changes[name]!, { env: { SETT_KEY_FILE: "another.key" }, now });
    assert.equal(code, 1, name);
    assert.match(stderr, /the key ring has not the key/, name);
  }
  assert.deepEqual(rowsOf(world), before);
});

test("whatever acts names the credential that is missing, and does nothing", async (t) => {
  const world = await cliWorld(t);
  const id = await begun(world);
  const publicKey = await world.done(["keys", "recipient", "--out", "recipient.key"]);
  await writeFile(join(world.folder, "recipient.pub"), publicKey);
  const before = rowsOf(world);
  for (const [name, argv] of Object.entries(acts(id))) {
    const { code, stderr } = await world.sett(argv, { env: { PLAID_SECRET: undefined } });
    assert.equal(code, 2, name);
    assert.match(stderr, dashboard, name);
  }
  assert.deepEqual(rowsOf(world), before);
});

test("where there is no keeper, whoever looks or changes is told so, and makes none", async (t) => {
  const world = await cliWorld(t);
  const { "keys new": _, ...changing } = changes;
  for (const [name, argv] of Object.entries({ ...looks("nobody"), ...changing })) {
    const { code, stderr } = await world.sett(argv, { env: missing });
    assert.equal(code, 2, name);
    assert.match(
      stderr,
      /there is no keeper at .*`sett init` makes one there, and so does the first `sett link`/,
    );
  }
  assert.deepEqual(await readdir(world.folder), []);
});

test("the doctor says what is missing, and looks at all the rest", async (t) => {
  const world = await cliWorld(t);
  await world.link();
  const doctor = await world.sett(["doctor"], { env: missing });
  assert.equal(doctor.code, 1);
  assert.match(doctor.stdout, /fail +settings +PLAID_CLIENT_ID and PLAID_SECRET must be set/);
  for (const about of ["keys", "database", "data keys", "open", "escrow", "webhooks", "disk"])
    assert.match(doctor.stdout, new RegExp(`^(ok|warn) +${about} `, "m"));
  assert.doesNotMatch(doctor.stdout, /^\w+ +Plaid /m);
  const keyless = await world.sett(["doctor"], { env: { ...missing, SETT_KEY_FILE: "none.key" } });
  assert.equal(keyless.code, 1);
  assert.match(keyless.stdout, /fail +keys +SETT_KEY_FILE: the key file .* is not there/);
  assert.match(keyless.stdout, /^ok +database /m);
});

test("PostgreSQL: neither looking nor changing the database alone needs credentials or a folder for the escrow", async (t) => {
  const world = await cliWorld(t);
  const env = { SETT_DATABASE: await places.PostgreSQL() };
  const how = { env: { ...env, SETT_FOLDER: escrowFolder() } };
  await world.done(["init"], how);
  await rm(join(world.folder, "sett.json"));
  const linked = await world.done(["link", "--sandbox"], how);
  await world.done(["sweep", "audit"], how);
  const looking = { env: { ...env, ...missing } };
  assert.ok((await world.done(["items"], looking)).startsWith(linked.trim()));
  for (const argv of [
    ["sweep", "status"],
    ["sweep", "report"],
    ["sweep", "budget"],
    ["keys", "list"],
  ])
    assert.notEqual(await world.done(argv, looking), "", argv.join(" "));
  await world.done(["sweep", "audit", "--detach"], how);
  for (const argv of [
    ["sweep", "pause", "2"],
    ["sweep", "cancel", "2"],
    ["sweep", "budget", "/item/get", "--set", "default", "--share", "0.1"],
    ["forget", "u_1", "--yes"],
    ["keys", "rotate"],
    ["keys", "reencrypt"],
  ])
    await world.done(argv, looking);
  const acting = await world.sett(["rotate", linked.trim()], { env });
  assert.deepEqual([acting.code, /SETT_FOLDER must be set/.test(acting.stderr)], [2, true]);
});
