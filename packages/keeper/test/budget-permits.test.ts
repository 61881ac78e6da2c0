// Who counts as what: a permit is for one call of a sweep, then and there, and what is live is counted as live. And a
// host's clock may be set while sweeps run: the time that all share goes on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { openBudget } from "../src/budget/budget.ts";
import { openDatabase } from "../src/database/database.ts";
import { path, VirtualTime } from "./budget-world.ts";
import { value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const { places } = testPlaces("budget-permits");
const minute = 60_000;
const hour = 60 * minute;
const url = `https://plaid.test${path}`;

async function opened(perMinute: number, share = 0.3) {
  const time = new VirtualTime();
  const place = await places.SQLite();
  const database = time.watched(value(await openDatabase(place, { now: time.now })));
  /** A process whose host's clock is off by what `skew` says. */
  const open = (skew = () => 0) => {
    const budget = openBudget({
      database,
      clientId: "c",
      environment: "production",
      now: () => time.now + skew(),
      wait: time.wait,
      random: () => 0.5,
      limits: { [path]: { perMinute } },
      share,
    });
    const call = async (use: "live" | "sweep") => {
      const post = budget.post(async () => {
        if (use === "sweep") await time.wait(100);
        return { status: 200, headers: new Map<string, string>(), body: "{}" };
      }, use);
      await post(url, "{}", {}, new AbortController().signal);
    };
    const counts = { sent: 0 };
    const sweep = async () => {
      while ((await budget.take(path)) === "go") {
        counts.sent++;
        await call("sweep");
      }
    };
    return { budget, call, counts, sweep: (width: number) => Array.from({ length: width }, sweep) };
  };
  return { time, database, open };
}

const read = async (time: VirtualTime, budget: ReturnType<typeof openBudget>) =>
  value(await time.hold(budget.read(path)));

test("a live call is counted as one, however many permits nobody has used", async () => {
  const { time, database, open } = await opened(1_000);
  const { budget, call } = open();
  let given = 0;
  for (let taken = 0; taken < 40; taken++) void budget.take(path).then((may) => may === "go" && given++);
  await time.run(5_000);
  assert.equal(given, 40);
  for (let calls = 0; calls < 30; calls++) await call("live");
  await time.run(2_000);
  const { liveInLastMinute, usedInLastMinute } = await read(time, budget);
  assert.equal(liveInLastMinute, 30);
  // And the rest of a block.
  assert.ok(usedInLastMinute >= 70 && usedInLastMinute <= 75, `${usedInLastMinute}`);
  await Promise.all([budget.close(), time.run(10)]);
  await database.close();
});

test("a permit that was not used then and there is used by no later call; one that was is counted once", async () => {
  const { time, database, open } = await opened(1_000);
  const { budget, call } = open();
  for (let taken = 0; taken < 40; taken++) void budget.take(path);
  await time.run(5_000);
  for (let calls = 0; calls < 40; calls++) void call("sweep");
  await time.run(5_000);
  const { usedInLastMinute } = await read(time, budget);
  assert.ok(usedInLastMinute >= 40 && usedInLastMinute <= 45, `${usedInLastMinute}`);
  for (let taken = 0; taken < 40; taken++) void budget.take(path);
  await time.run(hour);
  // As a call that is sent once more by itself.
  for (let calls = 0; calls < 25; calls++) void call("sweep");
  await time.run(2_000);
  assert.equal((await read(time, budget)).usedInLastMinute, 25);
  await Promise.all([budget.close(), time.run(10)]);
  await database.close();
});

test("permits that go unused while others are used are not kept for those that come later", async () => {
  const { time, database, open } = await opened(1_000, 0);
  const { budget, call } = open();
  for (let taken = 0; taken < 40; taken++) void budget.take(path);
  await time.run(3_000);
  const working = open().sweep; // another process, so that slots are scarce
  void working(2);
  for (let second = 0; second < 30; second++) {
    void budget.take(path).then(async (may) => {
      if (may === "go") await call("sweep");
    });
    await time.run(1_000);
  }
  const before = await read(time, budget);
  for (let calls = 0; calls < 25; calls++) void call("sweep");
  const after = await read(time, budget);
  assert.equal(after.usedInLastMinute - before.usedInLastMinute, 25);
  await Promise.all([budget.close(), time.run(200)]);
  await database.close();
});

const settings: Record<string, Record<number, number>> = {
  "back by an hour": { 3: -hour },
  "back by 30 seconds": { 3: -minute / 2 },
  "ahead by an hour, and back later": { 3: hour, 5: -hour },
};
for (const [what, steps] of Object.entries(settings)) {
  test(`a host's clock is set ${what}: its sweeps go on as before, and so do those of others`, async () => {
    const limit = 600;
    const { time, database, open } = await opened(limit, 0);
    let skew = 0;
    const [one, other] = [open(() => skew), open()];
    for (const { sweep } of [one, other]) void sweep(16);
    await time.run(minute);
    for (let at = 1; at <= 8; at++) {
      skew += steps[at] ?? 0;
      const before = [one.counts.sent, other.counts.sent] as const;
      await time.run(minute);
      const each = [one.counts.sent - before[0], other.counts.sent - before[1]] as const;
      const said = `minute ${at}: ${each.join(" and ")}`;
      assert.ok(each[0] + each[1] >= 0.95 * limit && each[0] + each[1] <= 1.01 * limit, said);
      assert.ok(Math.min(...each) > 0.3 * limit, said);
    }
    // One that is opened now, by the right time.
    const late = open();
    void late.sweep(16);
    await time.run(2 * minute);
    assert.ok(late.counts.sent > 0.2 * 2 * limit, `${late.counts.sent}`);
    await Promise.all([one.budget.close(), other.budget.close(), late.budget.close(), time.run(200)]);
    await database.close();
  });
}

test("an Item that had all its calls does not wait for as long as the clock is set back", async () => {
  const { time, database, open } = await opened(1_000);
  let skew = 0;
  const { budget } = open(() => skew);
  let gone = 0;
  const take = () => void budget.take(path, { itemId: "i1" }).then((may) => may === "go" && gone++);
  for (let taken = 0; taken < 15; taken++) take();
  await time.run(minute / 2);
  assert.equal(gone, 15);
  skew = -hour;
  take();
  await time.run(minute);
  assert.equal(gone, 16);
  await Promise.all([budget.close(), time.run(10)]);
  await database.close();
});

test("until when it is paused is told by the process's own clock, also after that was set back", async () => {
  const { time, database, open } = await opened(1_000);
  let skew = 0;
  const { budget } = open(() => skew);
  await read(time, budget);
  skew = -hour;
  const headers = new Map([["retry-after", "30"]]);
  const refused = { status: 429, headers, body: '{"error_code":"ACCOUNTS_BALANCE_GET_LIMIT"}' };
  await budget.post(async () => refused, "live")(url, "{}", {}, new AbortController().signal);
  await time.run(10);
  const { pausedUntil } = await read(time, budget);
  const inMs = pausedUntil! - (time.now + skew);
  assert.ok(inMs > 29_000 && inMs <= 30_000, `${inMs}`);
  await Promise.all([budget.close(), time.run(10)]);
  await database.close();
});

test("once it is closed nobody may call, not even an endpoint that nobody had used before", async () => {
  const { time, database, open } = await opened(1_000);
  const { budget } = open();
  await Promise.all([budget.close(), time.run(10)]);
  for (const asked of [path, "/item/remove"]) {
    const may = budget.take(asked);
    await time.run(5_000);
    assert.equal(await may, "stopped");
  }
  await database.close();
});
