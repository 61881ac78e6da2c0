// Keepers against the sandbox's own limits, on its clock: what Plaid's answers really look like.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createSandbox } from "@sett/sandbox";
import { Item, unwrap, type Config, type Post } from "sett";
import { openBudget } from "../src/budget/budget.ts";
import { openDatabase } from "../src/database/database.ts";
import { path, VirtualTime } from "./budget-world.ts";
import { configFor, open, publicToken, value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("budget-sandbox");

test("a sweep over the sandbox keeps to its limits; an Item that is asked too often does not hold it up", async () => {
  const time = new VirtualTime();
  const limits = { [path]: { item: 40, client: 600, code: "ITEM_GET_LIMIT" as const } };
  const sandbox = await createSandbox({ now: time.now });
  const plaid = configFor(sandbox, { retries: 0, sleep: time.wait });
  const tokens: string[] = [];
  for (let item = 0; item < 30; item++)
    tokens.push(unwrap(await Item.exchangePublicToken(await publicToken(plaid), plaid)).access_token);
  sandbox.control.limits.set(true, limits);
  const database = time.watched(value(await openDatabase(await places.SQLite(), { now: time.now })));
  const counts = { passed: 0, item: 0, client: 0 };
  const post: Post = async (...request) => {
    await time.wait(50);
    await time.hold(sandbox.control.clock.set(new Date(time.now).toISOString()));
    return time.hold(sandbox.post(...request));
  };
  const budgets = [1, 2].map((seed) =>
    openBudget({
      database,
      clientId: plaid.clientId,
      environment: "sandbox",
      now: () => time.now,
      wait: time.wait,
      random: () => seed / 3,
      limits: { [path]: { perMinute: 600, perItem: 40 } },
      share: 0.1,
    }),
  );
  const get = async (token: string, config: Config) => {
    const answer = await Item.get(token, config);
    if (answer.ok) counts.passed++;
    else if (answer.error.kind === "refused" && answer.error.status === 429)
      counts[token === tokens[0] ? "item" : "client"]++;
    else assert.fail(JSON.stringify(answer.error));
  };
  let next = 0;
  for (const budget of budgets) {
    const config = { ...plaid, post: budget.post(post, "sweep") };
    const caller = async () => {
      for (;;) {
        const at = 1 + (next++ % 29);
        if ((await budget.take(path, { itemId: `item ${at}` })) === "stopped") return;
        await get(tokens[at]!, config);
      }
    };
    for (let count = 0; count < 10; count++) void caller();
  }
  await time.run(60_000);
  const live = { ...plaid, post: budgets[0]!.post(post, "live") };
  counts.passed = 0;
  for (let call = 0; call < 50; call++) {
    void get(tokens[0]!, live);
    await time.run(100);
  }
  await time.run(115_000);
  assert.equal(counts.client, 0);
  assert.ok(counts.item > 0, JSON.stringify(counts));
  assert.ok(counts.passed >= 0.97 * 2 * 0.9 * 600, JSON.stringify(counts));
  assert.equal(budgets[0]!.state()[0]!.generation, 0);
  await Promise.all([...budgets.map((budget) => budget.close()), time.run(1_000)]);
  await database.close();
  await sandbox.close();
});

test("a keeper's own calls are counted, for all who share its database, unless it is told not to", async () => {
  const sandbox = await createSandbox({ now: Date.now() });
  const place = await places.SQLite();
  const plaid = configFor(sandbox);
  const keeper = await open(place, escrowFolder(), plaid);
  const { item_id } = value(await keeper.link(await publicToken(plaid)));
  for (let call = 0; call < 3; call++) value(await keeper.get(item_id));
  const used = () => keeper.budget.state().find((state) => state.path === path)!.liveInLastMinute;
  const before = used();
  assert.ok(before >= 3, `${before}`);
  const uncounted = await open(place, escrowFolder(), plaid, { budget: false });
  value(await uncounted.get(item_id));
  assert.equal(await uncounted.budget.take(path), "go");
  await uncounted.close();
  await keeper.close();
  const again = await open(place, escrowFolder(), plaid);
  assert.equal(await again.budget.take(path), "go");
  assert.ok(again.budget.state()[0]!.liveInLastMinute >= before);
  await again.close();
  await sandbox.close();
});
