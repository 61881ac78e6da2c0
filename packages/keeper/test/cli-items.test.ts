// Laws of the commands over Items: what is shown is what is there, what cannot be undone is confirmed, and one of several
// that fails does not hide the others.

import assert from "node:assert/strict";
import { test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import { cliWorld, terminalInput, type CliWorld } from "./cli-world.ts";

const DAY = 86_400_000;
const lines = (text: string) => text.split("\n").filter((line) => line !== "");

test("items: a table that fits the terminal, tabs in a pipe, JSON when asked", async (t) => {
  const world = await cliWorld(t);
  const id = await world.link("--user", "u_1");
  await world.done(["link", "--sandbox", "--user", "a user with a long, long name of many words indeed"]);

  for (const columns of [64, 80, 200]) {
    const table = lines(stripVTControlCharacters(await world.done(["items"], { terminal: columns })));
    assert.match(table[0]!, /^ITEM +STATE +[A-Z]/);
    assert.equal(table.length, 3);
    assert.ok(
      table.some((line) => line.startsWith(id)),
      "an id is never cut",
    );
    assert.ok(
      table.every((line) => line.length <= columns),
      table.join("\n"),
    );
  }
  const unknown = lines(stripVTControlCharacters(await world.done(["items"], { terminal: 0 })));
  assert.match(unknown[0]!, /^ITEM +STATE +[A-Z]/, "a terminal without a width is one of 80 columns");
  const escapes = "\u001b[";
  assert.ok((await world.done(["items"], { terminal: 80 })).includes(escapes));
  assert.ok(!(await world.done(["items"], { terminal: 80, env: { NO_COLOR: "1" } })).includes(escapes));

  const piped = lines(await world.done(["items"]));
  assert.ok(piped.every((line) => line.split("\t").length === 7 && !line.includes(escapes)));
  const objects = lines(await world.done(["items", "--json"])).map((line) => JSON.parse(line));
  assert.deepEqual(
    objects.map(({ item_id }) => item_id).sort(),
    piped.map((line) => line.split("\t")[0]).sort(),
  );
  assert.ok(objects.every((object) => !("token" in object)));
});

test("items: filters must all hold, pages follow one another, and a limit is said", async (t) => {
  const world = await cliWorld(t);
  const [one, two, three] = [
    await world.link("--user", "u_1"),
    await world.link("--user", "u_2"),
    await world.link(),
  ];
  const ids = async (...argv: string[]) =>
    lines(await world.done(["items", ...argv])).map((line) => line.split("\t")[0]);
  assert.deepEqual(await ids("--user", "u_1"), [one]);
  assert.deepEqual(await ids("--user", "u_1", "--state", "error,revoked"), []);
  assert.deepEqual((await ids("--state", "healthy", "--state", "error")).length, 3);
  assert.deepEqual(await ids("--institution", "ins_1"), []);
  assert.deepEqual(await ids("--older-than", "1d"), []);
  assert.deepEqual(await ids("--older-than", "999999999w"), []);
  const now = () => Date.now() + 2 * DAY;
  assert.equal(lines(await world.done(["items", "--older-than", "1d"], { now })).length, 3);
  const limited = await world.sett(["items", "--limit", "2"]);
  assert.equal(lines(limited.stdout).length, 2);
  assert.match(limited.stderr, /the first 2; --all lists all/);
  await world.done(["remove", two, "--yes"]);
  assert.deepEqual((await ids()).sort(), [one, three].sort());
  assert.deepEqual(await ids("--state", "removed"), [two]);
  for (const wrong of [
    ["--older-than", "soon"],
    ["--limit", "0"],
    ["--state", "ill"],
    ["--all", "--limit", "1"],
  ])
    assert.equal((await world.sett(["items", ...wrong])).code, 2, wrong.join(" "));
});

test("show: where an Item stands, what is to be done, its history; 6 for one that is not here", async (t) => {
  const world = await cliWorld(t);
  const id = await world.link("--user", "u_1");
  await world.done(["rotate", id]);
  const shown = await world.done(["show", id]);
  for (const said of [/state +healthy/, /user +u_1/, /token +number 2/, /item\.rotated/, /item\.linked/])
    assert.match(shown, said);
  const record = JSON.parse(await world.done(["show", id, "--json", "--events", "1"]));
  assert.equal(record.item.item_id, id);
  assert.deepEqual(
    record.events.map(({ kind }: { kind: string }) => kind),
    ["item.rotated"],
  );
  const missing = await world.sett(["show", "nobody"]);
  assert.equal(missing.code, 6);
  assert.match(missing.stderr, /the keeper has no Item nobody/);
});

test("a rotation whose answer is lost ends with 7 and the text for support, and show repeats it; abandon ends it", async (t) => {
  const world = await cliWorld(t);
  const id = await world.link();
  world.sandbox.control.faults.add({ path: "/item/access_token/invalidate", then: "drop-after-commit" });
  const rotated = await world.sett(["rotate", id]);
  assert.equal(rotated.code, 7);
  assert.match(rotated.stderr, /is stranded.*To Plaid's support: "Item /);
  const shown = await world.done(["show", id]);
  assert.match(shown, /to do +its token is lost: send Plaid's support/);
  assert.match(shown, /to Plaid's support:\n {2}Item /);
  const doctor = await world.sett(["doctor"]);
  assert.equal(doctor.code, 1);
  assert.match(doctor.stdout, new RegExp(`fail +stranded +1: ${id}`));

  assert.equal((await world.sett(["abandon", id, "--note", "ticket 4711"])).code, 3);
  assert.equal((await world.sett(["abandon", id, "--note", "x".repeat(513), "--yes"])).code, 2);
  await world.done(["abandon", id, "--note", "ticket 4711", "--yes"]);
  assert.match(await world.done(["show", id]), /state +removed/);
});

test("what was begun and may have happened ends with 5, is seen, and is finished by the next that changes something", async (t) => {
  const world = await cliWorld(t);
  const id = await world.link();
  world.sandbox.control.faults.add({ path: "/item/remove", times: 3, then: "reset" });
  const asked = await world.sett(["remove", id, "--yes", "--json"]);
  assert.equal(asked.code, 5);
  const { ok, failure, message } = JSON.parse(asked.stdout);
  assert.deepEqual([ok, failure.kind], [false, "unfinished"]);
  assert.match(message, /do not ask again/);
  const seen = await world.sett(["show", id]);
  assert.match(seen.stdout, /state +removing\n[^]*open +remove since/);
  assert.match(seen.stderr, /is finished by .*sett worker --until-idle/);
  const next = await world.sett(["worker", "--until-idle"]);
  assert.match(next.stderr, /finished what was left open: 1/);
  const over = await world.sett(["show", id]);
  assert.match(over.stdout, /state +removed/);
  assert.doesNotMatch(over.stderr, /is finished by/);
});

test("rotate: several want a yes; ids come from stdin as items writes them; one that fails is told among the others", async (t) => {
  const world = await cliWorld(t);
  const ids = [await world.link(), await world.link(), await world.link()];
  const refused = await world.sett(["rotate", ...ids]);
  assert.equal(refused.code, 3);
  assert.match(refused.stderr, /rotate the tokens of 3 Items: say --yes/);
  assert.deepEqual(await versions(world), [1, 1, 1]);

  for (const json of [[], ["--json"]]) {
    const listed = await world.done(["items", "--all", ...json]);
    const rotated = await world.sett(["rotate", "-", "--yes"], { stdin: listed });
    assert.equal(rotated.code, 0, rotated.stderr);
    assert.equal(lines(rotated.stdout).length, 3);
    assert.match(rotated.stderr, /rotated 3 of 3/);
  }
  assert.deepEqual(await versions(world), [3, 3, 3]);

  const mixed = await world.sett(["rotate", ids[0]!, "nobody", "--yes", "--json"]);
  assert.equal(mixed.code, 4);
  const outcomes = lines(mixed.stdout).map((line) => JSON.parse(line));
  assert.deepEqual(
    outcomes.map(({ item_id, ok }) => [item_id, ok]).sort(),
    [
      [ids[0], true],
      ["nobody", false],
    ].sort(),
  );
  assert.equal((await world.sett(["rotate", "nobody"])).code, 6);
  assert.equal((await world.sett(["rotate", "-", ids[0]!, "--yes"])).code, 2);
  assert.equal((await world.sett(["rotate", "-", "--yes"], { stdin: "{not json" })).code, 2);
});

test("a signal ends a run over many after those under way, and says so with 130", async (t) => {
  const world = await cliWorld(t);
  const ids = [await world.link(), await world.link()];
  const stopped = await world.sett(["rotate", ...ids, "--yes"], { signal: AbortSignal.abort() });
  assert.equal(stopped.code, 130);
  assert.deepEqual(await versions(world), [1, 1]);
});

test("webhook: to a URL, away from it, and nothing that is no URL", async (t) => {
  const world = await cliWorld(t);
  const id = await world.link();
  const url = "https://app.example/plaid";
  assert.equal(await world.done(["webhook", url, id]), `${id}\twebhook: ${url}\n`);
  assert.equal(world.sandbox.control.items.get(id).webhook, url);
  assert.equal(await world.done(["webhook", "--none", "-"], { stdin: `${id}\n` }), `${id}\twebhook: none\n`);
  for (const argv of [
    ["webhook", id],
    ["webhook", url],
    ["webhook", "ftp://x", id],
    ["webhook", "--none"],
    ["webhook", "--none", url, id],
  ])
    assert.equal((await world.sett(argv)).code, 2, argv.join(" "));
});

test("remove: only after a yes, typed or given; a reason is held against Plaid's", async (t) => {
  const world = await cliWorld(t);
  const id = await world.link();
  assert.equal((await world.sett(["remove", id])).code, 3);
  const none = await world.sett(["remove", "-"], { stdin: "\n" });
  assert.deepEqual([none.code, none.stderr], [0, "no Items were given\n"]);
  const no = await world.sett(["remove", id], { stdin: terminalInput("no\n"), terminal: 80 });
  assert.equal(no.code, 3);
  assert.match(no.stderr, /remove .* for good\? Type yes:/);
  const bored = await world.sett(["remove", id, "--reason-code", "BORED", "--yes"]);
  assert.equal(bored.code, 2);
  assert.match(bored.stderr, /It must be one of FRAUD_FIRST_PARTY, .*, OTHER\.\n/);
  assert.equal(world.sandbox.control.items.get(id).removed_at, null);
  const yes = await world.sett(["remove", id, "--reason-code", "OTHER"], {
    stdin: terminalInput("yes\n"),
    terminal: 80,
  });
  assert.equal(yes.code, 0, yes.stderr);
  assert.notEqual(world.sandbox.control.items.get(id).removed_at, null);
});

test("a login that the user has already is refused before its token is spent, unless allowed", async (t) => {
  const world = await cliWorld(t);
  await world.done(["link", "--sandbox", "--user", "u_1"]);
  const { writeFile } = await import("node:fs/promises");
  const metadata = {
    institution: { institution_id: "ins_109508", name: "First Platypus Bank" },
    accounts: [],
  };
  await writeFile(`${world.folder}/onSuccess.json`, JSON.stringify(metadata));
  const argv = ["link", "--user", "u_1", "--metadata", "onSuccess.json"];
  const token = await world.publicToken();
  const refused = await world.sett(argv, { stdin: token });
  assert.equal(refused.code, 1);
  assert.match(refused.stderr, /has this login already.*--allow-duplicate/);
  const allowed = await world.sett([...argv, "--allow-duplicate"], { stdin: token });
  assert.equal(allowed.code, 0, allowed.stderr);
  assert.match(allowed.stderr, /the user has this login already/);
});

async function versions(world: CliWorld): Promise<number[]> {
  return lines(await world.done(["items", "--json", "--all"])).map((line) => JSON.parse(line).token_version);
}
