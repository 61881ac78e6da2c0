// The law of the budget: all that Plaid allows is used and nothing more, by any number of processes, whatever kind of
// limit it is; a cut is found out, and so is its end. In a time of its own; the database is real.

import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { err } from "sett";
import { openBudget, type Budget } from "../src/budget/budget.ts";
import { openDatabase } from "../src/database/database.ts";
import { databaseFailure } from "../src/database/failure.ts";
import { fleet, path, VirtualTime, type Kind } from "./budget-world.ts";
import { value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const { places } = testPlaces("budget");
const minute = 60_000;
const limit = 1_000;

const runs: [Kind, keyof typeof places][] = [
  ["fixed window", "SQLite"],
  ["sliding log", "PostgreSQL"],
  ["token bucket", "SQLite"],
];
for (const [kind, place] of runs) {
  test(`${place}, ${kind}: processes use what is allowed; a cut to a tenth and its end are found out`, async () => {
    const skews = place === "SQLite" ? [0, 0, 0, 0] : [0, 0];
    const world = await fleet(await places[place](), kind, { limit, skews });
    await world.time.run(30_000);
    const steady = await world.during(2 * minute);
    assert.ok(steady.passed >= 0.97 * 2 * limit, JSON.stringify(steady));
    assert.ok(steady.refusals <= 0.001, JSON.stringify(steady));
    world.plaid.allow(limit / 10);
    await world.during(1.6 * minute);
    world.plaid.allow(limit);
    await world.during(2 * minute);
    const restored = await world.during(minute);
    assert.ok(restored.passed >= 0.9 * limit, JSON.stringify(restored));
    const { passed, refused } = world.plaid.counts;
    assert.ok(refused <= 0.02 * (passed + refused), `${refused} refused, ${passed} passed`);
    await world.close();
  });
}

test("live bursts within their share are not refused, and what they use beyond it is taken from the sweeps", async () => {
  const world = await fleet(await places.SQLite(), "sliding log", { limit, share: 0.3 });
  await world.time.run(70_000);
  const alone = await world.during(minute);
  assert.ok(alone.passed >= 0.97 * 0.7 * limit && alone.passed <= 0.7 * limit, JSON.stringify(alone));
  world.live(280);
  const burst = await world.during(minute);
  assert.equal(burst.refused, 0);
  assert.ok(burst.passed >= 0.95 * limit, JSON.stringify(burst));
  for (let at = 0; at < 120; at++) {
    world.live(10, at % 4); // 600 a minute
    await world.time.run(1_000);
  }
  const [state] = world.processes[0]!.budget.state();
  assert.ok(state!.liveInLastMinute > 580 && state!.usedInLastMinute <= limit, JSON.stringify(state));
  const { passed, refused } = world.plaid.counts;
  assert.ok(refused <= 0.01 * passed, `${refused} refused, ${passed} passed`);
  await world.close();
});

test("hosts whose clocks differ by two seconds share it fairly; one that dies takes only its block with it", async () => {
  const world = await fleet(await places.SQLite(), "fixed window", { limit, skews: [0, 2_000, -2_000, 700] });
  await world.time.run(30_000);
  const before = world.processes.map(({ sent }) => sent);
  const steady = await world.during(2 * minute);
  assert.ok(steady.passed >= 0.97 * 2 * limit && steady.refused <= 2, JSON.stringify(steady));
  const shares = world.processes.map(({ sent }, at) => sent - before[at]!);
  assert.ok(Math.min(...shares) > 0.7 * Math.max(...shares), JSON.stringify(shares));
  world.processes[1]!.die();
  const bereaved = await world.during(minute);
  assert.ok(bereaved.passed >= 0.97 * limit && bereaved.refused === 0, JSON.stringify(bereaved));
  await world.close();
});

const opened = async (more: Partial<Parameters<typeof openBudget>[0]> = {}) => {
  const time = new VirtualTime();
  const place = await places.SQLite();
  const database = time.watched(value(await openDatabase(place, { now: time.now })));
  const options = { database, clientId: "c", environment: "production" as const, random: () => 0.5 };
  const open = () => openBudget({ ...options, now: () => time.now, wait: time.wait, ...more });
  return { time, database, open, budget: open() };
};
const answer = (status: number, body = "{}", headers = new Map<string, string>()) => ({
  status,
  headers,
  body,
});
const send = (budget: Budget, what: ReturnType<typeof answer>, token = "t", to = path) =>
  budget.post(async () => what, "live")(
    `https://plaid.test${to}`,
    JSON.stringify({ access_token: token }),
    {},
    new AbortController().signal,
  );
const stateOf = (budget: Budget, of = path) => budget.state().find((state) => state.path === of)!;

test("an Item over its own limit waits by itself, and so does an institution; the client's allowance stays", async () => {
  const { time, budget, database } = await opened();
  for (let call = 0; call < 15; call++) void send(budget, answer(200), "busy");
  await time.run(600);
  await send(budget, answer(429, '{"error_code":"ITEM_GET_LIMIT"}'), "busy");
  await send(budget, answer(429, '{"error_code":"ITEM_GET_LIMIT"}'), "another");
  await send(budget, answer(200), "third");
  await send(budget, answer(429, '{"error_code":"INSTITUTION_RATE_LIMIT"}'), "third");
  assert.equal(stateOf(budget).generation, 0);
  budget.refused(path, "ITEM_GET_LIMIT", { itemId: "i1" });
  budget.refused(path, "INSTITUTION_RATE_LIMIT", { itemId: "i2", institutionId: "ins_1" });
  const gone: string[] = [];
  for (const [itemId, institutionId] of [
    ["i1", null],
    ["i2", null],
    ["i3", "ins_1"],
    ["i4", "ins_2"],
  ] as const)
    void budget.take(path, { itemId, institutionId }).then(() => gone.push(itemId));
  await time.run(2_000);
  assert.deepEqual(gone, ["i2", "i4"]);
  await time.run(20_000);
  assert.deepEqual(gone.sort(), ["i1", "i2", "i3", "i4"]);
  await budget.close();
  await database.close();
});

test("no Item is called more often in a minute than it may be", async () => {
  const { time, budget, database } = await opened();
  let went = 0;
  for (let call = 0; call < 40; call++)
    void budget.take(path, { itemId: "i1" }).then((may) => may === "go" && went++);
  await time.run(55_000);
  assert.equal(went, 15);
  await time.run(minute);
  assert.equal(went, 30);
  await Promise.all([budget.close(), time.run(10)]);
  await database.close();
});

test("two refusals in a row of different Items are the client's, and Plaid's own waiting time is kept", async () => {
  const { time, budget, database } = await opened();
  const refusal = answer(429, '{"error_code":"ITEM_GET_LIMIT"}', new Map([["retry-after", "30"]]));
  await send(budget, refusal, "one");
  assert.equal(stateOf(budget).pausedUntil, null);
  await send(budget, refusal, "two");
  await send(budget, refusal, "three");
  await time.run(1);
  assert.equal(stateOf(budget).generation, 1);
  assert.ok(stateOf(budget).pausedUntil! >= time.now + 29_000);
  let went = 0;
  for (let call = 0; call < 5; call++) void budget.take(path).then(() => went++);
  await time.run(29_000);
  assert.equal(went, 0);
  await time.run(2_000);
  assert.equal(went, 1); // the probe
  await send(budget, answer(200), "four");
  await time.run(10_000);
  assert.equal(went, 5);
  await budget.close();
  await database.close();
});

test("what is set by hand holds for all processes, at once here and with their next block elsewhere", async () => {
  const { time, budget, database, open } = await opened({ share: 0 });
  const other = open();
  const to = "/transactions/refresh";
  let went = 0;
  const call = async () => {
    while ((await other.take(to)) === "go") went++;
  };
  void call();
  await time.run(minute);
  assert.ok(went >= 98 && went <= 101, `${went}`);
  const set = budget.set(to, { perMinute: 1_200 });
  await time.run(2_000);
  assert.equal(value(await set).ceiling, 1_200);
  went = 0;
  await time.run(minute);
  assert.ok(went >= 1_164 && went <= 1_200, `${went}`);
  void budget.set(to, { perMinute: null, share: 0.5 });
  await time.run(70_000); // the minute before was too full
  went = 0;
  await time.run(minute);
  assert.ok(went >= 45 && went <= 51, `${went}`);
  await assert.rejects(budget.set(to, { perMinute: 0 }), TypeError);
  await assert.rejects(budget.set(to, { share: 1 }), TypeError);
  await Promise.all([budget.close(), other.close(), time.run(1_000)]);
  await database.close();
});

test("a path without its slash and a name that is misspelt are refused, and nothing is set", async () => {
  const { time, budget, database } = await opened();
  const wrong: readonly (readonly [RegExp, keyof Budget, readonly unknown[]])[] = [
    [/^the path must be an endpoint's, such as \/item\/get/, "set", ["item/get", { perMinute: 1 }]],
    [/^the path must be/, "read", ["item/get"]],
    [/^the path must be/, "take", ["item/get"]],
    [/^the path must be/, "refused", ["item/get", "RATE_LIMIT", {}]],
    [/^a budget's change must be an object/, "set", [path]],
    [/^a budget's change cannot have `perMin`; /, "set", [path, { perMin: 1 }]],
    [/^\/item\/get: perMinute must be/, "set", [path, { perMinute: "1" }]],
    [/^\/item\/get: share must be/, "set", [path, { share: "0.5" }]],
    [/^whom a call is about cannot have `item`; /, "take", [path, { item: "i" }]],
    [/^whom a call is about must be an object/, "refused", [path, "RATE_LIMIT"]],
    [/^post must be a function/, "post", []],
    [/^use must be one of live, sweep/, "post", [() => {}, "background"]],
  ];
  const loose = budget as unknown as Record<string, (...given: readonly unknown[]) => unknown>;
  for (const [message, name, given] of wrong)
    await assert.rejects(async () => loose[name]!(...given), { name: "TypeError", message });
  assert.deepEqual(budget.state(), []);
  await Promise.all([budget.close(), time.run(1_000)]);
  await database.close();
});

test("where Plaid publishes nothing it begins low and grows while it is used", async () => {
  const { time, budget, database } = await opened({ share: 0 });
  let went = 0;
  const to = "/item/webhook/update";
  const call = async () => {
    while ((await budget.take(to)) === "go") went++;
  };
  for (let caller = 0; caller < 20; caller++) void call();
  await time.run(5_000);
  assert.ok(went <= 70, `${went}`);
  await time.run(55_000);
  assert.ok(stateOf(budget, to).perMinute! > 6_000, JSON.stringify(stateOf(budget, to)));
  await Promise.all([budget.close(), time.run(1_000)]);
  await database.close();
});

test("those who wait are let go by their signal or by the end, and what was used is written down", async () => {
  const { time, budget, database, open } = await opened({ limits: { [path]: { perMinute: 1 } }, share: 0 });
  assert.equal(await Promise.race([budget.take(path), time.run(1_000)]), "go");
  const leaving = new AbortController();
  const first = budget.take(path, { signal: leaving.signal });
  const second = budget.take(path, { itemId: "i1" });
  leaving.abort();
  assert.equal(await first, "stopped");
  for (let call = 0; call < 7; call++) await send(budget, answer(200));
  const closed = budget.close();
  await time.run(10);
  await closed;
  assert.equal(await second, "stopped");
  assert.equal(await budget.take(path), "stopped");
  const next = open();
  void next.take(path);
  await time.run(10);
  // The permit, which no sweep's call has used, and the live calls.
  assert.equal(stateOf(next).usedInLastMinute, 8);
  await Promise.all([next.close(), time.run(10)]);
  await database.close();
});

test("reading writes nothing, and shows what all have used and what this process has not written down yet", async () => {
  const { time, budget, database, open } = await opened();
  const rows = () => database.sql.selectFrom("budgets").selectAll().execute();
  const untouched = value(await budget.read(path));
  assert.equal(untouched.perMinute, untouched.ceiling);
  assert.deepEqual([untouched.share, untouched.usedInLastMinute], [0.3, 0]);
  assert.deepEqual(await rows(), []);
  const other = open();
  for (let call = 0; call < 5; call++) await send(other, answer(200));
  await time.run(600);
  await other.set(path, { perMinute: 60, share: 0.5 });
  for (let call = 0; call < 3; call++) await send(budget, answer(200));
  const written = await rows();
  for (const reads of ["once", "again"]) {
    const state = value(await budget.read(path));
    assert.deepEqual([state.perMinute, state.share, state.usedInLastMinute], [60, 0.5, 8], reads);
  }
  assert.deepEqual(await rows(), written);
  await time.run(600);
  assert.equal(value(await other.read(path)).usedInLastMinute, 8);
  await Promise.all([budget.close(), other.close(), time.run(10)]);
  await database.close();
});

test("reading while a trade is under way counts what it takes along once", async () => {
  const { time, budget, database } = await opened();
  for (let call = 0; call < 4; call++) await send(budget, answer(200));
  const [set, read] = await Promise.all([budget.set(path, { share: 0.1 }), budget.read(path)]);
  assert.deepEqual([value(set).usedInLastMinute, value(read).usedInLastMinute], [4, 4]);
  await Promise.all([budget.close(), time.run(10)]);
  await database.close();
});

test("a cut that the database would not take is seen by the process that made it", async () => {
  const { time, database, budget } = await opened();
  const transaction = async () => err(databaseFailure("unavailable", "away"));
  const cut = openBudget({
    database: { ...database, transaction },
    clientId: "c",
    environment: "production",
    now: () => time.now,
    wait: time.wait,
    random: () => 0.5,
  });
  const refusal = answer(429, '{"error_code":"ITEM_GET_LIMIT"}');
  for (const token of ["one", "two"]) await send(cut, refusal, token);
  const seen = value(await cut.read(path));
  assert.deepEqual([seen.generation, seen.pausedUntil !== null], [1, true]);
  assert.equal(value(await budget.read(path)).generation, 0);
  await Promise.all([cut.close(), budget.close(), time.run(10)]);
  await database.close();
});

test("a signal that outlives thousands of takes keeps none of their listeners, and still ends those that wait", async () => {
  const { time, budget, database } = await opened();
  const long = new AbortController();
  const listeners = () => getEventListeners(long.signal, "abort").length;
  const ways: string[] = [];
  const takes = 1_200;
  for (let take = 0; take < takes; take++) {
    const itemId = `i${take % 60}`; // each of them is called more often than it may be
    void budget.take(path, { itemId, signal: long.signal }).then((way) => ways.push(way));
  }
  await time.run(minute / 2);
  assert.ok(listeners() > 0 && listeners() <= takes - ways.length, `${listeners()} of ${ways.length}`);
  await time.run(3 * minute);
  assert.deepEqual([ways.length, listeners()], [takes, 0]);
  const many = Array.from({ length: 30 }, () => budget.take(path, { itemId: "i1", signal: long.signal }));
  await time.run(10);
  long.abort();
  const ends = await Promise.all(many);
  assert.ok(ends.includes("stopped"));
  assert.equal(listeners(), 0);
  await Promise.all([budget.close(), time.run(10)]);
  await database.close();
});

test("without limits nobody waits and nothing is written, until one is set", async () => {
  const { time, budget, database, open } = await opened({ limits: "none" });
  for (let call = 0; call < 100; call++) assert.equal(await budget.take(path, { itemId: "i1" }), "go");
  await send(budget, answer(429, '{"error_code":"RATE_LIMIT"}'));
  assert.deepEqual(await database.sql.selectFrom("budgets").selectAll().execute(), []);
  assert.equal(stateOf(budget).perMinute, null);
  const other = open();
  const set = other.set(path, { perMinute: 60 });
  await time.run(6_000);
  assert.equal(value(await set).perMinute, 60);
  void budget.take(path);
  await time.run(10);
  assert.equal(stateOf(budget).perMinute, 60);
  await Promise.all([budget.close(), other.close(), time.run(10)]);
  await database.close();
});
