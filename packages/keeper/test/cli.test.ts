// Laws of the command line: from nothing to an Item with one command, secrets never where others read, results on stdout
// and the rest on stderr, and an exit code that says how it ended.

import assert from "node:assert/strict";
import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { newKey } from "../src/vault/ring.ts";
import { cliWorld, terminalInput } from "./cli-world.ts";

test("in an empty folder, with Plaid's variables alone, one command links an Item", async (t) => {
  const world = await cliWorld(t);
  const { code, stdout, stderr } = await world.start(["link", "--sandbox"]).ended;
  assert.equal(code, 0, stderr);
  const [item] = world.sandbox.control.items.list();
  assert.equal(stdout, `${item!.item_id}\n`);
  assert.match(stderr, /there was no keeper here; made sett-keys\/sett\.key, sett-data/);
  assert.match(stderr, /linked at First Platypus Bank/);
  assert.ok(!(stdout + stderr).includes(item!.access_token!));

  assert.equal((await stat(join(world.folder, "sett-keys/sett.key"))).mode & 0o777, 0o600);
  assert.equal((await stat(join(world.folder, "sett-data"))).mode & 0o777, 0o700);
  assert.match(await world.done(["items"]), new RegExp(`^${item!.item_id}\thealthy\t`));
});

test("init makes what is missing, once, and never a new key for a database that has another", async (t) => {
  const world = await cliWorld(t);
  assert.match(await world.done(["init"]), /made sett-keys\/sett\.key\nmade sett-data\nmade sett\.json\n/);
  const settings = JSON.parse(await readFile(join(world.folder, "sett.json"), "utf8"));
  assert.deepEqual(settings, {
    clientId: "sandbox-client-id",
    env: "sandbox",
    plaidUrl: world.env["SETT_PLAID_URL"],
    database: "./sett-data",
    keyFile: "./sett-keys/sett.key",
  });
  assert.match(await world.done(["init"]), /everything is there already/);
  assert.equal(await world.done(["items"]), "");
  await world.link();

  const moved = { SETT_KEY_FILE: "elsewhere.key" };
  const refused = await world.sett(["init"], { env: moved });
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /only the key that it was made with opens its tokens/);
  assert.equal((await world.sett(["rotate", "x"], { env: moved })).code, 2);
  assert.deepEqual((await readdir(world.folder)).sort(), ["sett-data", "sett-keys", "sett.json"]);
});

test("a public token comes from stdin, from a file, or from a terminal that does not show it", async (t) => {
  const world = await cliWorld(t);
  await world.link();
  await writeFile(join(world.folder, "token"), await world.publicToken());
  await world.done(["link", "--public-token-file", "token"]);

  const token = await world.publicToken();
  const stdin = terminalInput(`${token}\r`);
  const typed = await world.sett(["link"], { stdin, terminal: 80 });
  assert.equal(typed.code, 0, typed.stderr);
  assert.deepEqual(stdin.raw, [true, false]);
  assert.ok(!typed.stderr.includes(token) && !typed.stdout.includes(token));
  assert.equal((await world.done(["items"])).trim().split("\n").length, 3);

  const stopped = await world.sett(["link"], { stdin: terminalInput("public-\u0003"), terminal: 80 });
  assert.equal(stopped.code, 130);
  for (const [stdin, said] of [
    ["", /standard input must hold the public token/],
    ["two words", /must be one word/],
    ["access-sandbox-1", /sett import takes those/],
  ] as const) {
    const refused = await world.sett(["link"], { stdin });
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, said);
  }
});

test("an argument that looks like a secret is refused, and not repeated, whatever the command", async (t) => {
  const world = await cliWorld(t);
  const secrets = [
    await world.publicToken(),
    "access-production-3f1c0a52-6d6f-4a8d-9d0e-6d1f8a2b3c4d",
    `sett-kek-1:${"A".repeat(43)}`,
    `sett-recipient-key-1:${"A".repeat(43)}`,
    "postgres://sett:hunter22@db.example/sett",
    "0123456789abcdef0123456789abcd",
    world.env["PLAID_SECRET"]!,
  ];
  for (const secret of secrets)
    for (const argv of [
      ["link", secret],
      ["rotate", secret],
      [secret],
      ["items", `--user=${secret}`],
      ["sandbox", secret],
    ]) {
      const { code, stdout, stderr } = await world.sett(argv);
      assert.equal(code, 2, argv.join(" "));
      assert.match(stderr, /argument \d looks like/);
      assert.ok(!(stdout + stderr).includes(secret));
    }
  assert.deepEqual(await readdir(world.folder), []);
});

test("without Plaid's credentials it says what to set, and makes nothing", async (t) => {
  const world = await cliWorld(t);
  const env = { PLAID_CLIENT_ID: "", PLAID_SECRET: undefined };
  for (const argv of [
    ["link", "--sandbox"],
    ["import", "-"],
  ]) {
    const { code, stderr } = await world.sett(argv, { env });
    assert.equal(code, 2);
    assert.match(stderr, /PLAID_CLIENT_ID and PLAID_SECRET must be set.*dashboard\.plaid\.com/);
  }
  assert.deepEqual(await readdir(world.folder), []);
  assert.match((await world.sett(["items"])).stderr, /there is no keeper at .*: `sett init` makes one/);
  assert.deepEqual(await readdir(world.folder), []);
});

test("a variable wins over the file, a file over nothing; secrets may lie in files", async (t) => {
  const world = await cliWorld(t);
  await world.link();
  const { env } = world;
  const at = (name: string) => join(world.folder, name);
  await mkdir(at("etc"));
  await writeFile(at("etc/secret"), `${env["PLAID_SECRET"]}\n`);
  const settings = {
    clientId: "wrong",
    database: "../sett-data",
    keyFile: "../sett-keys/sett.key",
    plaidUrl: env["SETT_PLAID_URL"],
  };
  await writeFile(at("etc/sett.json"), JSON.stringify(settings));
  const bare = { PLAID_SECRET: undefined, SETT_PLAID_URL: undefined, PLAID_SECRET_FILE: "etc/secret" };
  assert.match(await world.done(["--config", "etc/sett.json", "items"], { env: bare }), /healthy/);
  assert.match(await world.done(["items"], { env: { ...bare, SETT_CONFIG: "etc/sett.json" } }), /healthy/);
  const keys = { SETT_KEYS_FILE: "sett-keys/sett.key", ...bare };
  assert.match(
    await world.done(["items"], { env: { ...keys, SETT_PLAID_URL: env["SETT_PLAID_URL"] } }),
    /healthy/,
  );
  const inVariable = (await readFile(at("sett-keys/sett.key"), "utf8")).trim();
  assert.match(await world.done(["items"], { env: { SETT_KEYS: inVariable } }), /healthy/);
});

test("keys in a variable, or their file's name in one, win over either in the file of settings", async (t) => {
  const world = await cliWorld(t);
  await world.link();
  const at = (name: string) => join(world.folder, name);
  const right = (await readFile(at("sett-keys/sett.key"), "utf8")).trim();
  const list = async (fields: object, env: Record<string, string> = {}) => {
    await writeFile(at("sett.json"), JSON.stringify(fields), { mode: 0o600 });
    const { code, stderr } = await world.sett(["keys", "list"], { env });
    return `${code} ${stderr}`;
  };
  const wrong = { keyFile: "none.key" };
  assert.match(await list(wrong, { SETT_KEYS: right }), /^0 /);
  assert.match(await list(wrong, { SETT_KEYS_FILE: "sett-keys/sett.key" }), /^0 /);
  assert.match(await list({ keys: newKey() }, { SETT_KEY_FILE: "sett-keys/sett.key" }), /^0 /);
  const both = await list({}, { SETT_KEYS: right, SETT_KEY_FILE: "sett-keys/sett.key" });
  assert.match(both, /^2 .*SETT_KEYS and SETT_KEY_FILE both give keys: leave one of them out/);
  assert.match(await list({ keys: right, ...wrong }), /^2 .*: keys and .*: keyFile both give keys/);
});

test("what is wrong with the settings is said with its name and what was expected, and without the value", async (t) => {
  const world = await cliWorld(t);
  const id = await world.link();
  // It needs every setting there is, and does no harm.
  const argv = ["webhook", "--none", id];
  const at = (name: string) => join(world.folder, name);
  const cases: readonly (readonly [Record<string, string>, RegExp])[] = [
    [{ PLAID_ENV: "hunter22" }, /PLAID_ENV must be sandbox or production/],
    [{ SETT_PLAID_URL: "ftp://hunter22" }, /SETT_PLAID_URL must be an http\(s\) URL/],
    [
      { SETT_DATABASE: "mysql://hunter22" },
      /SETT_DATABASE must be a folder, "sqlite:" and a file, or a postgres/,
    ],
    [{ SETT_KEYS: "hunter22" }, /SETT_KEYS: key 1 of the ring is not/],
    [{ PLAID_SECRET_FILE: "etc/none" }, /PLAID_SECRET and PLAID_SECRET_FILE are both set/],
    [{ SETT_CONFIG: "none.json" }, /none\.json, must be a file that can be read: ENOENT/],
    [{ SETT_DATABASE: "postgres://127.0.0.1:1/hunter22" }, /SETT_FOLDER must be set/],
    [{ SETT_KEY_FILE: "none.key" }, /the key file .*none\.key is not there/],
  ];
  for (const [env, said] of cases) {
    const { code, stdout, stderr } = await world.sett(argv, { env });
    assert.equal(code, 2, stderr);
    assert.match(stderr, said);
    assert.ok(!/hunter22/.test(stdout + stderr), stderr);
  }
  const file = async (
    fields: object | string,
    mode = 0o600,
    bare: string | undefined = world.env["PLAID_SECRET"],
  ) => {
    await writeFile(at("sett.json"), typeof fields === "string" ? fields : JSON.stringify(fields));
    await chmod(at("sett.json"), mode);
    const { code, stderr } = await world.sett(argv, { env: { PLAID_SECRET: bare } });
    assert.ok(!/hunter22/.test(stderr));
    return `${code} ${stderr}`;
  };
  assert.match(
    await file({ secert: "hunter22" }),
    /^2 .*there is no setting secert; there are clientId, secret, /,
  );
  assert.match(
    await file({ secret: "hunter22" }, 0o644, ""),
    /^2 .*secret is a secret in a file that others can read \(mode 644\)/,
  );
  for (const url of [
    "postgres://u:hunter22@h/db",
    "postgres://u@h:hunter22@h/db",
    "postgres://u:hunter 22@h/db",
    "postgres://h/db?user=u&password=hunter22",
  ])
    assert.match(await file({ database: url }, 0o644), /^2 .*database is a secret in a file that others/);
  assert.match(await file({ folder: 7 }), /^2 .*folder must be a text/);
  assert.match(await file("hunter22"), /^2 .*must be an object of JSON/);
  assert.match(await file({}, 0o666), /^2 .*can be changed by others/);
  assert.match(await file({}), /^0 /);
  await chmod(at("sett-keys/sett.key"), 0o644);
  assert.match(await file({}), /^2 .*SETT_KEY_FILE: .*can be read by others \(mode 644\)/);
});

test("what cannot be an id, a token or a number is refused as the caller's mistake, and nothing is made", async (t) => {
  const world = await cliWorld(t);
  const at = (name: string) => join(world.folder, name);
  const long = "x".repeat(256);
  await writeFile(at("empty"), "\n");
  await writeFile(at("metadata"), JSON.stringify({ institution: { institution_id: "ins\0" } }));
  await writeFile(at("items.csv"), "access_token\n");
  const stdin = await world.publicToken();
  const made = await readdir(world.folder);
  for (const [argv, given = stdin] of [
    [["link", "--user", ""]],
    [["link", "--user", long]],
    [["link", "--sandbox", ""]],
    [["link", "--link-token-file", "empty"]],
    [["link", "--metadata", "metadata"]],
    [["link"], `public-sandbox-${"0".repeat(2_000)}`],
    [["items", "--user", ""]],
    [["items", "--institution", long]],
    [["forget", "", "--yes"]],
    [["import", "items.csv", "--concurrency", "1001"]],
    [["webhook", `https://app.example/${"x".repeat(9_000)}`, "i_1"]],
  ] as const) {
    const { code, stderr } = await world.sett(argv, { stdin: given });
    assert.equal(code, 2, `${argv.join(" ").slice(0, 80)}: ${stderr}`);
    assert.ok(!/a mistake in sett/.test(stderr), stderr);
  }
  for (const [argv, said] of [
    [["items", "--state", "helthy"], /must be one of healthy, login_required, .*, or several/],
    [["sweep", "budget", "/item/get", "--set", "x"], /whole number above 0, none or default/],
    [["import", "."], /must be a file, and \S+ is a folder/],
  ] as const) {
    const { code, stderr } = await world.sett(argv);
    assert.equal(code, 2, stderr);
    assert.match(stderr, said);
  }
  assert.deepEqual(await readdir(world.folder), made);
});

test("help names every command with an example, the settings and the exit codes", async (t) => {
  const world = await cliWorld(t);
  const help = await world.done(["--help"], { env: {} });
  for (const said of [/PLAID_CLIENT_ID/, /SETT_FOLDER/, /Exit codes:/, /130 {2}stopped by a signal/])
    assert.match(help, said);
  const commands = [...help.matchAll(/^ {2}([a-z]+) /gm)]
    .map(([, name]) => name!)
    .filter((name) => name !== "help");
  assert.ok(commands.length >= 12, commands.join());
  for (const name of commands.filter((name) => name !== "sandbox"))
    assert.match(await world.done([name, "--help"]), new RegExp(`Examples?:\n {2}\\$ sett ${name}`));
  assert.match(await world.done(["sweep", "list", "--help"]), /--config <file>.*\n(.*\n)*.*--json/);
  assert.match(await world.done(["--version"]), /^\d+\.\d+\.\d+\n$/);
  assert.equal((await world.sett([])).code, 2);
  assert.equal((await world.sett(["itmes"])).code, 2);
});

test("sandbox hands its arguments on to the local Plaid's own program", async (t) => {
  const world = await cliWorld(t);
  assert.match(await world.done(["sandbox", "--help"]), /Usage: sett-sandbox/);
  const before = await world.sett(["--json", "sandbox"]);
  assert.equal(before.code, 2, before.stdout);
  assert.match(before.stderr, /^sett: nothing may stand before `sandbox`/);
  const running = world.start(["sandbox", "--port", "0"]);
  const [, url] = await running.says(/ready on (\S+)/);
  assert.equal((await fetch(`${url}/_sandbox/clock`)).status, 200);
  running.child.kill("SIGTERM");
  assert.equal((await running.ended).code, 0);
});

test("help for a command that is misspelt says that there is none of this name, and which is meant", async (t) => {
  const world = await cliWorld(t);
  for (const argv of [
    ["help", "itmes"],
    ["--help", "itmes"],
    ["itmes", "--help"],
    ["--json", "help", "itmes"],
  ]) {
    const { code, stdout, stderr } = await world.sett(argv);
    assert.deepEqual([code, stdout], [2, ""], argv.join(" "));
    assert.match(stderr, /^error: unknown command 'itmes'\n\(Did you mean items\?\)\n/);
    assert.ok(!stderr.includes("Usage:"), stderr);
  }
  for (const argv of [
    ["help", "keys", "lits"],
    ["keys", "help", "lits"],
    ["keys", "lits", "--help"],
    ["keys", "--help", "lits"],
    ["--help", "keys", "lits"],
  ]) {
    const { code, stdout, stderr } = await world.sett(argv);
    assert.deepEqual([code, stdout], [2, ""], argv.join(" "));
    assert.match(stderr, /^error: unknown command 'lits'\n\(Did you mean list\?\)\n/);
  }
});

test("help is of the command that is named, wherever it is asked for", async (t) => {
  const world = await cliWorld(t);
  const item = "eVBnVMp7zdTJLkRNr33Rs6zr7KNJqBFL9DrE6";
  for (const [argv, shown] of [
    [["help"], "Usage: sett [options] [command]\n"],
    [["help", "help"], "Usage: sett [options] [command]\n"],
    [["help", "items"], "Usage: sett items [options]\n"],
    [["help", "show", item], "Usage: sett show [options] <item_id>\n"],
    [["show", item, "--help"], "Usage: sett show [options] <item_id>\n"],
    [["keys", "help"], "Usage: sett keys [options] [command]\n"],
    [["help", "keys", "list"], "Usage: sett keys list [options]\n"],
    [["--json", "help", "keys", "list"], "Usage: sett keys list [options]\n"],
    [["keys", "help", "list"], "Usage: sett keys list [options]\n"],
    [["--help", "keys", "list"], "Usage: sett keys list [options]\n"],
  ] as const)
    assert.equal((await world.done(argv)).slice(0, shown.length), shown, argv.join(" "));
  // What stands where an argument does is no call for help.
  assert.equal((await world.sett(["show", "help"])).code, 2);
  assert.match((await world.sett(["abandon", item, "--note", "--help"])).stderr, /^sett: /);
});
