// SIGKILL at every step of a webhook's way: received, stored, answered, applied, told on. What was answered with 200 is
// never sent again, and what was not is: then each webhook counts once, and the subscriber hears of every event, in order.

import assert from "node:assert/strict";
import { appendFileSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createSandbox, type Sandbox } from "@sett/sandbox";
import { Item, Sandbox as Make, unwrap } from "sett";
import { openDatabase } from "../src/database/database.ts";
import type { KeeperEvent } from "../src/inbox/events.ts";
import { createSubscriptions } from "../src/inbox/subscriptions.ts";
import { all, runProgram, upTo } from "./children.ts";
import type { InboxOrder, Sent } from "./crash-inbox.ts";
import { configFor, institution, open, value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const program = join(import.meta.dirname, "crash-inbox.ts");
const { places, copies, remove, escrowFolder, copyFolder } = testPlaces("crash-inbox");

/** What a day brought an Item, as it was sent; the first of it twice. */
interface Day {
  readonly sandbox: Sandbox;
  readonly sent: readonly Sent[];
  readonly item_id: string;
  readonly access_token: string;
  readonly baseUrl: string;
}

let day: Day;
let logs: string;
let made = 0;
before(async () => {
  logs = await mkdtemp(join(tmpdir(), "sett-crash-inbox-"));
  const sent: Sent[] = [];
  const sandbox = await createSandbox({
    now: Date.UTC(2026, 0, 1),
    deliver: async (request) => {
      sent.push({
        text: await request.text(),
        verification: request.headers.get("plaid-verification")!,
      });
      return new Response();
    },
  });
  const plaid = configFor(sandbox);
  const { public_token } = unwrap(
    await Make.createPublicToken(institution.institution_id, ["transactions"], plaid, {
      webhook: "https://example.com/plaid",
    }),
  );
  // Not a keeper's: there is one sandbox, and there are many databases.
  const { access_token, item_id } = unwrap(await Item.exchangePublicToken(public_token, plaid));
  const { clock, items, webhooks } = sandbox.control;
  await clock.advance(1_000);
  sent.length = 0; // INITIAL_UPDATE: one more of the same
  items.loginRequired(item_id);
  await clock.advance(1_000);
  items.repairLogin(item_id);
  await clock.advance(1_000);
  await webhooks.idle();
  const { url: baseUrl } = await sandbox.listen();
  day = { sandbox, sent: [sent[0]!, ...sent], item_id, access_token, baseUrl };
});
after(async () => {
  await day.sandbox.close();
  await rm(logs, { recursive: true });
});

/** A keeper that has the Item, closed: where each death begins, with a copy of it. */
async function begin(place: keyof typeof places) {
  const { sandbox, access_token } = day;
  const [url, escrow] = [await places[place](), escrowFolder()];
  const keeper = await open(url, escrow, configFor(sandbox), { now: sandbox.control.clock.now });
  value(await keeper.importItem(access_token));
  await keeper.close();
  return { url, escrow };
}
const beginnings: { [Place in keyof typeof places]?: ReturnType<typeof begin> } = {};

/** A process that dies at the step, and one after it that does not. Gives what is wrong, and how many steps there were. */
async function crash(place: keyof typeof places, killAt: number) {
  const { sandbox, access_token, baseUrl, sent, item_id } = day;
  const { now } = sandbox.control.clock;
  const begun = await (beginnings[place] ??= begin(place));
  const url = await copies[place](begun.url);
  const escrow = await copyFolder(begun.escrow);
  const log = join(logs, String(++made));
  appendFileSync(log, "");

  const order: InboxOrder = { url, baseUrl, log, now: now(), access_token, sent, killAt };
  const first = await runProgram(program, order);
  assert.equal(first.killed && killAt === 0, false);
  const answered = new Set(first.stdout.match(/^\d+$/gm)?.map(Number));
  const steps = Number(/^steps (\d+)$/m.exec(first.stdout)?.[1] ?? 0);

  // Plaid sends again what was not answered. The lease of a subscriber that died runs out by the clock.
  const later = () => now() + 61_000;
  const second = await open(url, escrow, configFor(sandbox), { now: later });
  for (const [index, one] of sent.entries()) {
    if (answered.has(index)) continue;
    const headers = { "plaid-verification": one.verification };
    const request = new Request("https://example.com/", { method: "POST", headers, body: one.text });
    assert.equal((await second.receive(request)).status, 200);
  }
  await second.close();
  const database = value(await openDatabase(url, { now: now() }));
  const options = { database, environment: "sandbox", now: later, holder: "second" } as const;
  const subscriptions = createSubscriptions(options);
  subscriptions.subscribe("log", ({ seq }) => appendFileSync(log, `${seq}\n`));
  const { sql } = database;
  const events = await sql.selectFrom("events").selectAll().orderBy("seq").execute();
  const told = () => readFileSync(log, "utf8").trim().split("\n").map(Number);
  // How far the events are complete, PostgreSQL says only when what was open elsewhere on the server is over.
  for (const end = performance.now() + 20_000; performance.now() < end;) {
    value(await subscriptions.drain("log"));
    if (told().includes(events.at(-1)!.seq)) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await subscriptions.close();

  const said: string[] = [];
  const deliveries = await sql.selectFrom("deliveries").selectAll().execute();
  const distinct = new Set(sent.map(({ verification }) => verification)).size;
  if (deliveries.length !== distinct) said.push(`${deliveries.length} deliveries of ${distinct}`);
  if (deliveries.some(({ applied_at }) => applied_at === null)) said.push("one was not applied");
  const webhooks = events.filter(({ kind }) => kind === "webhook");
  const codes = webhooks.map(
    ({ detail }) =>
      (JSON.parse(detail) as (KeeperEvent & { kind: "webhook" })["detail"]).webhook.webhook_code,
  );
  if (codes.length !== distinct || new Set(codes).size !== distinct) said.push(`applied: ${codes.join()}`);
  const heard = [...new Set(told())];
  const wanted = events.map(({ seq }) => seq);
  if (heard.join() !== wanted.join()) said.push(`heard ${heard.join()} of ${wanted.join()}`);
  const { state } = await sql
    .selectFrom("items")
    .select("state")
    .where("item_id", "=", item_id)
    .executeTakeFirstOrThrow();
  if (state !== "healthy") said.push(state);
  await database.close();
  await remove[place](url);
  return { said, steps, killed: first.killed };
}

for (const place of ["SQLite", "PostgreSQL"] as const) {
  test(`killed at every step of the inbox: ${place}`, async (t) => {
    const whole = await crash(place, 0);
    assert.deepEqual(whole.said, []);
    assert.ok(whole.steps > 20);
    const complaints: string[] = [];
    let deaths = 0;
    await all(upTo(whole.steps), async (killAt) => {
      const { said, killed } = await crash(place, killAt);
      if (killed) deaths++;
      complaints.push(...said.map((one) => `${killAt} of ${whole.steps}: ${one}`));
    });
    assert.deepEqual(complaints, []);
    // How often a round looks around is chance; what it does is not.
    assert.ok(deaths > 0.7 * whole.steps, `${deaths} of ${whole.steps}`);
    t.diagnostic(`${deaths} deaths`);
  });
}
