// Laws of keys, import, export and doctor: a key is changed without a token lost, a fleet moves sealed from keeper to
// keeper, and what is not right is said with what to do.

import assert from "node:assert/strict";
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { ok } from "sett";
import { openEscrow } from "../src/escrow/escrow.ts";
import { value } from "./contract/database.ts";
import { testPlaces } from "./places.ts";
import { cliWorld } from "./cli-world.ts";

const { places } = testPlaces("cli");
const MINUTE = 60_000;
const lines = (text: string) => text.split("\n").filter((line) => line !== "");
const objects = (text: string) => lines(text).map((line) => JSON.parse(line));

test("a key is changed: new, rotate, reencrypt, retire; without the old one every Item still works", async (t) => {
  const world = await cliWorld(t);
  const id = await world.link();
  const file = join(world.folder, "sett-keys/sett.key");
  const before = (await readFile(file, "utf8")).trim();
  const [made] = objects(await world.done(["keys", "new", "--json"]));
  const ring = lines(await readFile(file, "utf8"));
  assert.deepEqual([ring.length, ring[1]], [2, before]);
  const doctor = await world.sett(["doctor"]);
  assert.match(
    doctor.stdout,
    /warn +data keys +2 of 2 are wrapped by a key that is not the ring's first\n.*sett keys rotate/,
  );

  await world.done(["keys", "rotate"]);
  const listed = objects(await world.done(["keys", "list", "--json"]));
  assert.ok(listed.every(({ kek_id, wraps_now }) => kek_id === made.kek_id && wraps_now));
  assert.match(await world.done(["keys", "reencrypt"]), /sealed anew: 1 of 1/);
  assert.equal((await world.sett(["keys", "retire", "--all"])).code, 3);
  const early = await world.sett(["keys", "retire", "--all", "--yes"]);
  assert.equal(early.code, 1);
  assert.match(early.stderr, /may be retired from/);
  const now = () => Date.now() + 10 * MINUTE;
  assert.match(await world.done(["keys", "retire", "--all", "--yes"], { now }), /\tretired\n/);
  assert.equal((await world.sett(["keys", "retire", "0000000000000000", "--yes"])).code, 6);

  await writeFile(file, `${ring[0]}\n`);
  await world.done(["rotate", id]);
  await writeFile(file, `${before}\n`);
  const old = await world.sett(["rotate", id]);
  assert.equal(old.code, 1);
  assert.match(
    old.stderr,
    /the key ring has not the key .*Nothing is lost: give SETT_KEYS or SETT_KEY_FILE that key/,
  );
  const said = doctor.stdout + old.stderr + early.stderr;
  assert.ok(!said.includes("sett-kek-"));
});

test("init makes no key for a PostgreSQL that has been sealed with another", async (t) => {
  const world = await cliWorld(t);
  const env = {
    SETT_DATABASE: await places.PostgreSQL(),
    SETT_FOLDER: join(world.folder, "escrow"),
    SETT_KEY_FILE: "one.key",
  };
  await world.done(["init"], { env });
  await world.done(["init"], { env: { ...env, SETT_KEY_FILE: "two.key" } }); // nothing is sealed yet
  await world.done(["link", "--sandbox"], { env });
  const refused = await world.sett(["init"], { env: { ...env, SETT_KEY_FILE: "three.key" } });
  assert.equal(refused.code, 2, refused.stderr);
  assert.match(refused.stderr, /only the key that it was made with opens its tokens/);
  assert.ok(!(await readdir(world.folder)).includes("three.key"));
});

test("keys list says where the ring does not open what it lists", async (t) => {
  const world = await cliWorld(t);
  await world.link();
  await world.done(["keys", "new", "--out", "another.key"]);
  const env = { SETT_KEY_FILE: "another.key" };
  const { code, stdout, stderr } = await world.sett(["keys", "list"], { env });
  assert.equal(code, 0);
  assert.match(stdout, /^fingerprint-sandbox\t/);
  assert.match(stderr, /the key ring has not the key .* give SETT_KEYS or SETT_KEY_FILE that key as well/);
  assert.equal((await world.sett(["keys", "list"])).stderr, "");
});

test("keys from a variable are not changed behind its back", async (t) => {
  const world = await cliWorld(t);
  await world.link();
  const SETT_KEYS = (await readFile(join(world.folder, "sett-keys/sett.key"), "utf8")).trim();
  const { code, stderr } = await world.sett(["keys", "new"], { env: { SETT_KEYS } });
  assert.equal(code, 2);
  assert.match(stderr, /the keys come from SETT_KEYS/);
  const nowhere = await world.sett(["keys", "new", "--out", "no/such/folder/key"]);
  assert.equal(nowhere.code, 1);
  assert.match(nowhere.stderr, /^sett: ENOENT: no such file or directory/);
  await world.done(["keys", "new", "--out", "another.key"]);
  assert.equal((await world.sett(["keys", "new", "--out", "another.key"])).code, 2);
});

test("a fleet leaves sealed and arrives elsewhere; only the private key opens it", async (t) => {
  const world = await cliWorld(t);
  const ids = [await world.link("--user", "u_1"), await world.link("--user", "u_2")];
  const tokens = world.sandbox.control.items.list().map(({ access_token }) => access_token!);
  const key = await world.sett(["keys", "recipient", "--out", "recipient.key"]);
  assert.equal(key.code, 0);
  await writeFile(join(world.folder, "recipient.pub"), key.stdout);
  await world.done(["export", "--to", "recipient.pub", "--out", "items.sealed"]);
  const bytes = (await readFile(join(world.folder, "items.sealed"))).toString("latin1");
  assert.ok(tokens.every((token) => !bytes.includes(token)));
  assert.equal((await world.sett(["export", "--to", "recipient.pub", "--out", "items.sealed"])).code, 2);
  assert.equal((await world.sett(["export", "--to", "recipient.pub", "--json"])).code, 2);
  assert.equal((await world.sett(["export", "--to", "recipient.key", "--out", "x"])).code, 2);

  const env = { SETT_DATABASE: "other/data", SETT_KEY_FILE: "other/key/sett.key" };
  assert.match((await world.sett(["import", "items.sealed"], { env })).stderr, /--key must name the file/);
  const arrived = await world.sett(["import", "items.sealed", "--key", "recipient.key"], { env });
  assert.equal(arrived.code, 0, arrived.stderr);
  assert.match(arrived.stdout, /imported 2 of 2 rows/);
  const there = objects(await world.done(["items", "--json"], { env }));
  assert.deepEqual(there.map(({ item_id }) => item_id).sort(), [...ids].sort());
  assert.deepEqual(there.map(({ user_id }) => user_id).sort(), ["u_1", "u_2"]);
});

test("import takes CSV from stdin, tells of each row that failed, and goes on where it is asked again", async (t) => {
  const world = await cliWorld(t);
  await world.link();
  const { access_token } = world.sandbox.control.items.list()[0]!;
  const env = { SETT_DATABASE: "other/data", SETT_KEY_FILE: "other/key/sett.key" };
  const dead = "access-sandbox-00000000-0000-4000-8000-000000000000";
  const stdin = `access_token,user_id\n${access_token},u_1\n${dead},u_2\n`;
  const first = await world.sett(["import", "-"], { env, stdin });
  assert.equal(first.code, 4);
  assert.match(first.stderr, /line 3: .*INVALID_ACCESS_TOKEN/);
  assert.match(first.stdout, /imported 1 of 2 rows; 0 were here already, 1 failed/);
  assert.ok(!(first.stdout + first.stderr).includes(dead));
  const again = await world.sett(["import", "-", "--json"], {
    env,
    stdin: `access_token\n${access_token}\n`,
  });
  assert.equal(again.code, 0);
  assert.deepEqual(
    objects(again.stdout).map(({ kind, report }) => kind ?? report.known),
    ["known", 1],
  );
  assert.equal((await world.sett(["import", "none.csv"], { env })).code, 2);
  const nothing = await world.sett(["import", "-"], { env, stdin: "name\nx\n" });
  assert.equal(nothing.code, 2);
});

test("doctor: everything right ends with 0; each thing that is not is said, with what to do", async (t) => {
  const world = await cliWorld(t);
  const empty = await world.sett(["doctor"]);
  assert.equal(empty.code, 1);
  assert.match(empty.stdout, /fail +keys .*is not there/);
  await world.link();
  const well = await world.done(["doctor"]);
  for (const about of [
    "settings",
    "keys",
    "database",
    "data keys",
    "Plaid",
    "clock",
    "open",
    "stranded",
    "lost",
    "escrow",
    "webhooks",
    "disk",
  ])
    assert.match(well, new RegExp(`^(ok  |warn)  ${about} `, "m"), about);
  const findings = objects(await world.done(["doctor", "--json"]));
  assert.ok(findings.every(({ is, about, said }) => is && about && said));
  await mkdir(join(world.folder, "sett-data/keys"));
  for (const [place, is] of [
    ["sett-data/keys/sett.key", "warn"],
    ["sett-data/sett.key", "warn"],
    ["sett.key", "ok"],
  ] as const) {
    await copyFile(join(world.folder, "sett-keys/sett.key"), join(world.folder, place));
    const moved = await world.done(["doctor", "--offline"], { env: { SETT_KEY_FILE: place } });
    assert.match(moved, new RegExp(`^${is} +keys `, "m"), place);
  }

  const wrong = async (env: Record<string, string>, said: RegExp, code = 1, now = Date.now) => {
    const ended = await world.sett(["doctor"], { env, now });
    assert.match(ended.stdout, said);
    assert.equal(ended.code, code, ended.stdout);
  };
  await wrong({ PLAID_SECRET: "another-secret" }, /fail +Plaid .*INVALID_API_KEYS.*Look at PLAID_CLIENT_ID/);
  const gone = await world.sandbox.listen();
  await gone.close();
  await wrong({ SETT_PLAID_URL: gone.url }, /fail +Plaid .*ECONNREFUSED/);
  await wrong({ PLAID_CLIENT_ID: "" }, /fail +settings .*PLAID_CLIENT_ID must be set/);
  await wrong(
    {},
    /warn +clock +this machine's clock is \d+ s ahead of Plaid's/,
    0,
    () => Date.now() + 20_000,
  );
  await wrong(
    {},
    /fail +clock +this machine's clock is \d+ s behind Plaid's/,
    1,
    () => Date.now() - 5 * MINUTE,
  );
  await chmod(join(world.folder, "sett-keys/sett.key"), 0o640);
  await wrong({}, /fail +keys .*can be read by others \(mode 640\)/);
});

test("doctor tells of what is open and of exchanges that are lost", async (t) => {
  const world = await cliWorld(t);
  const id = await world.link();
  world.sandbox.control.faults.add({ path: "/item/remove", times: 9, then: "reset" });
  await world.sett(["remove", id, "--yes"]);
  assert.match(await world.done(["doctor"]), /ok +open +1 remove; the oldest since/);
  const later = () => Date.now() + 60 * MINUTE;
  assert.match(
    (await world.sett(["doctor", "--offline"], { now: later })).stdout,
    /warn +open +1 remove; the oldest since 1h/,
  );

  world.sandbox.control.faults.clear();
  world.sandbox.control.faults.add({ path: "/item/public_token/exchange", then: "drop-after-commit" });
  const lost = await world.sett(["link"], { stdin: await world.publicToken() });
  assert.equal(lost.code, 7);
  assert.match(lost.stderr, /the exchange's answer is lost.*To Plaid's support/);
  assert.match(await world.done(["doctor"]), /warn +lost +the exchange of .*\n.*to Plaid's support/);
});

test("doctor tells what waits in the escrow, whoever's it is, and touches nothing of it", async (t) => {
  const world = await cliWorld(t);
  await world.link();
  const folder = join(world.folder, "sett-data/escrow");
  const at = Date.now();
  const said = async (now: number) =>
    (await world.sett(["doctor", "--offline"], { now: () => now })).stdout.match(/^\w+ +escrow .*/gm);
  assert.deepEqual(await said(at), [`ok    escrow       ${folder}: nothing waits`]);
  const living = value(await openEscrow(folder, { mint: () => "living" }));
  const about = { id: "a", at, meta: { environment: "sandbox" } };
  value(await living.record(about, async () => ok(Buffer.from("sealed"))));
  const files = await readdir(folder);
  assert.match((await said(at + 5_000))!.join(), /^ok +escrow .*on their way to the database: 1$/);
  assert.match((await said(at + MINUTE))!.join(), /^warn +escrow +tokens that wait to be brought in: 1, /);
  assert.deepEqual(await readdir(folder), files);
  value(await living.settle("a"));
  assert.match((await said(at + MINUTE))!.join(), /nothing waits$/);
  await living.close();
  if (process.getuid?.() !== 0) {
    await chmod(folder, 0o500);
    assert.match((await said(at))!.join(), /fail +escrow +the escrow's folder cannot be used: EACCES/);
    await chmod(folder, 0o700);
  }
  const file = await world.sett(["doctor", "--offline"], { env: { SETT_FOLDER: "sett-keys/sett.key" } });
  assert.match(file.stdout, /fail +escrow +the escrow's folder cannot be used: ENOTDIR/);
});

for (const [database, place] of Object.entries(places)) {
  test(`${database}: the same commands on the same settings`, async (t) => {
    const world = await cliWorld(t);
    const env = { SETT_DATABASE: await place(), SETT_FOLDER: join(world.folder, "escrow") };
    await world.done(["init"], { env });
    const id = (await world.done(["link", "--sandbox", "--user", "u_1"], { env })).trim();
    for (const argv of [
      ["rotate", id],
      ["webhook", "https://app.example/plaid", id],
      ["keys", "rotate"],
      ["keys", "reencrypt"],
      ["doctor"],
      ["show", id],
      ["remove", id, "--yes"],
    ])
      await world.done(argv, { env });
    assert.match(await world.done(["items", "--state", "removed"], { env }), new RegExp(`^${id}\tremoved\t`));
    const doctor = await world.done(["doctor"], { env });
    assert.match(doctor, new RegExp(`ok +database +${database === "SQLite" ? "SQLite" : "PostgreSQL"}`));
    assert.ok(!doctor.includes(env.SETT_DATABASE) || database === "SQLite", "a URL may hold a password");
  });
}

test("a database that is not to be reached is said so, without its URL's password", async (t) => {
  const world = await cliWorld(t);
  await world.done(["init"]);
  const env = { SETT_DATABASE: "postgres://sett:hunter22@127.0.0.1:1/sett", SETT_FOLDER: "escrow" };
  for (const argv of [["items"], ["doctor"]]) {
    const { code, stdout, stderr } = await world.sett(argv, { env });
    assert.equal(code, 1);
    assert.match(stdout + stderr, /the database is not to be reached/);
    assert.ok(!(stdout + stderr).includes("hunter22"));
  }
});
