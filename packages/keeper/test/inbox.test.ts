// The inbox over both databases, with the sandbox as the Plaid that sends: nothing is lost, nothing counts twice,
// nothing secret is left behind.

import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { createSandbox, sandboxCredentials, type Sandbox } from "@sett/sandbox";
import { Item, Link, Sandbox as SandboxCalls, unwrap, type Config } from "sett";
import { plaidKeys, type Webhook } from "sett/webhook";
import { openDatabase, type Database } from "../src/database/database.ts";
import { DatabaseError, databaseFailure } from "../src/database/failure.ts";
import type { ItemState } from "../src/database/schema.ts";
import { storing } from "../src/inbox/deliveries.ts";
import { createInbox, type Inbox, type InboxOptions } from "../src/inbox/inbox.ts";
import { createUpdateToken } from "../src/inbox/update-mode.ts";
import { localKeyRing, newKey } from "../src/vault/ring.ts";
import { openVault, type Vault } from "../src/vault/vault.ts";
import { failure, itemRow, value, type Place } from "./contract/database.ts";
import { linkRequest } from "./keeper-stage.ts";
import { testPlaces } from "./places.ts";

const START = Date.UTC(2026, 0, 1);
const SECOND = 1_000;
const DAY = 24 * 3_600 * SECOND;
const key = newKey();

const { places, newFolder } = testPlaces("inbox");

/** What the sandbox sent, to be sent to an inbox as often as one likes. */
interface Sent {
  readonly text: string;
  readonly verification: string;
}
const request = ({ text, verification }: Sent) =>
  new Request("https://example.com/plaid", {
    method: "POST",
    headers: { "plaid-verification": verification },
    body: text,
  });

interface Plaid {
  readonly sandbox: Sandbox;
  readonly config: Config;
  readonly sent: Sent[];
  /** Decides what the sandbox is answered. */
  answer: (sent: Sent) => Promise<number> | number;
}

async function aPlaid(): Promise<Plaid> {
  const sent: Sent[] = [];
  const plaid = { sent, answer: () => 200 } as Omit<Plaid, "sandbox" | "config"> as Plaid;
  const sandbox = await createSandbox({
    now: START,
    deliver: async (request) => {
      const one = {
        text: await request.text(),
        verification: request.headers.get("plaid-verification")!,
      };
      sent.push(one);
      return new Response(null, { status: await plaid.answer(one) });
    },
  });
  const { client_id: clientId, secret } = sandboxCredentials;
  const config = { clientId, secret, post: sandbox.post, now: sandbox.control.clock.now, retries: 0 };
  return Object.assign(plaid, { sandbox, config });
}

async function anItem({ config }: Plaid, institution = "ins_109508") {
  const options = { webhook: "https://example.com/plaid" };
  const { public_token } = unwrap(
    await SandboxCalls.createPublicToken(institution, ["transactions"], config, options),
  );
  return unwrap(await Item.exchangePublicToken(public_token, config));
}

/** A link token of Hosted Link, whose webhooks bring the public token. */
async function aHostedLink({ config }: Plaid): Promise<string> {
  const webhook = "https://example.com/plaid";
  const request = { ...linkRequest, products: ["transactions" as const], webhook, hosted_link: {} };
  return unwrap(await Link.createToken(request, config)).link_token;
}

function inboxContract(place: Place): void {
  describe(`an inbox over ${place.name}`, () => {
    let url: string;
    let database: Database;
    let vault: Vault;
    const open = async () => value(await openDatabase(url, { now: START }));
    const vaultOf = async (of: Database) => {
      const ring = localKeyRing(key);
      return value(await openVault({ database: of, ring, environment: "sandbox", now: () => START }));
    };

    before(async () => {
      url = await place.empty();
      database = await open();
      vault = await vaultOf(database);
    });
    after(async () => {
      vault.close();
      await database.close();
    });

    const inboxOf = ({ sandbox, config }: Plaid, more: Partial<InboxOptions> = {}): Inbox =>
      createInbox({
        database,
        vault,
        keys: plaidKeys(config, { now: sandbox.control.clock.now }),
        now: sandbox.control.clock.now,
        ...more,
      });
    const link = async (item_id: string, access_token: string, state: ItemState = "healthy") => {
      const { bytes, key_id } = value(
        await vault.seal(Buffer.from(access_token), { purpose: "token", subject: item_id }),
      );
      await database.sql
        .insertInto("items")
        .values(itemRow(item_id, { token: bytes, key_id, state, linked_at: START, token_at: START }))
        .execute();
    };
    const row = (item_id: string) =>
      database.sql.selectFrom("items").selectAll().where("item_id", "=", item_id).executeTakeFirstOrThrow();
    const events = async (item_id: string) => {
      const all = await database.sql
        .selectFrom("events")
        .selectAll()
        .where("item_id", "=", item_id)
        .orderBy("seq")
        .execute();
      // eslint-disable-next-line @typescript-eslint/no-explicit-any
      return all.map((event) => ({ ...event, detail: JSON.parse(event.detail) as any }));
    };
    /** What waits, of these Items. */
    const waiting = async (...items: (string | null)[]) => {
      const all = await database.sql
        .selectFrom("deliveries")
        .select(["item_id", "webhook_code"])
        .where("applied_at", "is", null)
        .execute();
      return all.filter(({ item_id }) => items.includes(item_id));
    };

    test("a webhook moves the Item, once, and leaves its event and no body", async () => {
      const plaid = await aPlaid();
      const { item_id, access_token } = await anItem(plaid);
      await link(item_id, access_token);
      const inbox = inboxOf(plaid);
      plaid.answer = async (sent) => (await inbox.receive(request(sent))).status;
      plaid.sandbox.control.items.loginRequired(item_id);
      await plaid.sandbox.control.webhooks.idle();
      value(await inbox.apply());
      const after = await row(item_id);
      assert.equal(after.state, "login_required");
      assert.equal(after.error_code, "ITEM_LOGIN_REQUIRED");
      assert.equal(after.last_webhook_at, START);
      assert.equal(after.revision, 2);
      assert.deepEqual(
        (await events(item_id)).map(({ kind, actor, detail }) => [kind, actor, detail.from, detail.to]),
        [
          ["webhook", "webhook", undefined, undefined],
          ["item.state", "webhook", "healthy", "login_required"],
        ],
      );
      assert.equal((await events(item_id))[1]!.detail.why, "ITEM: ERROR");
      const delivery = await database.sql
        .selectFrom("deliveries")
        .selectAll()
        .where("item_id", "=", item_id)
        .executeTakeFirstOrThrow();
      assert.equal(delivery.body, null);
      assert.equal(delivery.applied_at, START);

      // The same again: to this inbox, which remembers, and to another, which finds it in the database.
      assert.equal((await inbox.receive(request(plaid.sent[0]!))).status, 200);
      const other = inboxOf(plaid);
      assert.equal((await other.receive(request(plaid.sent[0]!))).status, 200);
      assert.equal(value(await other.apply()).applied, 0);
      assert.equal((await events(item_id)).length, 2);
      await Promise.all([inbox.close(), other.close(), plaid.sandbox.close()]);
    });

    test("what is not Plaid's is refused, and nothing of it is kept", async () => {
      const plaid = await aPlaid();
      const refused: string[] = [];
      const inbox = inboxOf(plaid, { onRefusal: ({ reason }) => refused.push(reason) });
      const { item_id, access_token } = await anItem(plaid);
      await link(item_id, access_token);
      plaid.sandbox.control.items.loginRequired(item_id);
      await plaid.sandbox.control.webhooks.idle();
      const [sent] = plaid.sent;
      const status = async (one: Sent) => (await inbox.receive(request(one))).status;
      assert.equal(await status({ ...sent!, text: `${sent!.text} ` }), 401);
      assert.equal(await status({ ...sent!, verification: "" }), 401);
      await plaid.sandbox.control.clock.advance(301 * SECOND);
      assert.equal(await status(sent!), 401);
      plaid.sandbox.control.faults.add({
        path: "/webhook_verification_key/get",
        times: 9,
        then: { status: 500 },
      });
      const fresh = inboxOf(plaid, { onRefusal: ({ reason }) => refused.push(reason) });
      assert.equal((await fresh.receive(request(sent!))).status, 503);
      assert.deepEqual(refused, ["body-mismatch", "malformed", "stale", "keys-unavailable"]);
      value(await inbox.apply());
      assert.deepEqual(await events(item_id), []);
      await Promise.all([inbox.close(), fresh.close(), plaid.sandbox.close()]);
    });

    test("what was stored before a crash is applied after it", async () => {
      const plaid = await aPlaid();
      const { item_id, access_token } = await anItem(plaid);
      await link(item_id, access_token);
      const dying = inboxOf(plaid);
      // Closed at once, it stores and does not apply: as if the process had died in between.
      await dying.close();
      plaid.answer = async (sent) => (await dying.receive(request(sent))).status;
      plaid.sandbox.control.items.fail(item_id, "ITEM_LOCKED");
      await plaid.sandbox.control.webhooks.idle();
      assert.equal((await row(item_id)).state, "healthy");
      assert.equal((await waiting(item_id)).length, 1);

      const reopened = await open();
      const again = await vaultOf(reopened);
      const inbox = inboxOf(plaid, { database: reopened, vault: again });
      assert.equal(value(await inbox.apply()).applied, 1);
      assert.equal((await row(item_id)).state, "error");
      assert.deepEqual(await waiting(item_id), []);
      await inbox.close();
      again.close();
      await reopened.close();
      await plaid.sandbox.close();
    });

    test("a database that is gone answers 500, so that Plaid sends it again", async () => {
      const plaid = await aPlaid();
      const { item_id } = await anItem(plaid);
      const gone = await open();
      const problems: unknown[] = [];
      const closedVault = await vaultOf(gone);
      value(await closedVault.seal(Buffer.from("x"), { purpose: "webhook", subject: "x" }));
      const inbox = inboxOf(plaid, {
        database: gone,
        vault: closedVault,
        onProblem: (problem) => problems.push(problem),
      });
      await gone.close();
      plaid.sandbox.control.items.loginRequired(item_id);
      await plaid.sandbox.control.webhooks.idle();
      assert.equal((await inbox.receive(request(plaid.sent[0]!))).status, 500);
      assert.equal(problems.length, 1);
      await inbox.close();
      closedVault.close();
      await plaid.sandbox.close();
    });

    test("a webhook that comes before its Item waits for it, and is missed once", async () => {
      const plaid = await aPlaid();
      const { item_id, access_token } = await anItem(plaid);
      const inbox = inboxOf(plaid);
      plaid.answer = async (sent) => (await inbox.receive(request(sent))).status;
      plaid.sandbox.control.items.loginRequired(item_id, "x");
      await plaid.sandbox.control.clock.advance(SECOND);
      plaid.sandbox.control.items.newAccounts(item_id);
      await plaid.sandbox.control.clock.advance(SECOND);
      const { applied, early } = value(await inbox.apply());
      assert.deepEqual([applied, early], [0, 3]); // and INITIAL_UPDATE
      assert.deepEqual(
        (await events(item_id)).map(({ kind }) => kind),
        ["webhook.unknown_item"],
      );
      await link(item_id, access_token);
      assert.equal(value(await inbox.apply()).applied, 3);
      assert.equal((await row(item_id)).state, "login_required");
      assert.deepEqual(await waiting(item_id), []);

      // One whose Item never comes is given up.
      const { item_id: stranger } = await anItem(plaid);
      plaid.sandbox.control.items.loginRequired(stranger);
      await plaid.sandbox.control.webhooks.idle();
      value(await inbox.apply());
      await plaid.sandbox.control.clock.advance(7 * DAY);
      value(await inbox.apply());
      const last = (await events(stranger)).filter(({ kind }) => kind === "webhook.given_up");
      assert.equal(last[0]!.detail.webhook_code, "ERROR");
      await inbox.close();
      await plaid.sandbox.close();
    });

    test("several that apply at once apply each webhook once", async () => {
      const plaid = await aPlaid();
      const items = [await anItem(plaid), await anItem(plaid), await anItem(plaid)];
      for (const { item_id, access_token } of items) await link(item_id, access_token);
      const store = inboxOf(plaid);
      await store.close();
      plaid.answer = async (sent) => (await store.receive(request(sent))).status;
      for (let times = 0; times < 6; times++) {
        for (const { item_id } of items) {
          if (times % 2 === 0) plaid.sandbox.control.items.loginRequired(item_id);
          else plaid.sandbox.control.items.repairLogin(item_id);
        }
        await plaid.sandbox.control.clock.advance(SECOND);
      }
      const many = (await waiting(...items.map(({ item_id }) => item_id))).length;
      assert.ok(many >= 18, `${many}`);
      const places = await Promise.all(
        [1, 2, 3].map(async () => {
          const own = await open();
          const ownVault = await vaultOf(own);
          return { own, ownVault, inbox: inboxOf(plaid, { database: own, vault: ownVault }) };
        }),
      );
      const outcomes = await Promise.all(places.map(async ({ inbox }) => value(await inbox.apply())));
      assert.equal(
        outcomes.reduce((sum, { applied }) => sum + applied, 0),
        many,
      );
      assert.deepEqual(
        outcomes.flatMap(({ failures }) => failures),
        [],
      );
      for (const { item_id } of items) {
        const states = (await events(item_id)).filter(({ kind }) => kind === "webhook");
        assert.equal(states.length, plaid.sent.filter(({ text }) => text.includes(item_id)).length);
        assert.equal((await row(item_id)).state, "healthy");
      }
      for (const { own, ownVault, inbox } of places) {
        await inbox.close();
        ownVault.close();
        await own.close();
      }
      await plaid.sandbox.close();
    });

    test("what waits is applied together, and leaves what it leaves one by one", async () => {
      const plaid = await aPlaid();
      const { items, clock, webhooks } = plaid.sandbox.control;
      const linked = [await anItem(plaid), await anItem(plaid), await anItem(plaid)];
      /** An inbox with a database of its own, whose first transactions fail when all is done. */
      const anInbox = async (failing: number) => {
        const own = value(await openDatabase(await place.empty(), { now: START }));
        const ownVault = await vaultOf(own);
        for (const { item_id, access_token } of linked) {
          const { bytes, key_id } = value(
            await ownVault.seal(Buffer.from(access_token), { purpose: "token", subject: item_id }),
          );
          await own.sql
            .insertInto("items")
            .values(itemRow(item_id, { token: bytes, key_id }))
            .execute();
        }
        const outcomes: boolean[] = [];
        const watched: Database = {
          ...own,
          transaction: async (work, options) => {
            const isToFail = outcomes.length < failing;
            const done = await own.transaction(async (sql) => {
              const done = await work(sql);
              if (isToFail) throw new DatabaseError(databaseFailure("busy", "at the last moment"));
              return done;
            }, options);
            outcomes.push(done.ok);
            return done;
          },
        };
        const inbox = inboxOf(plaid, { database: watched, vault: ownVault });
        const left = async () => {
          const events = await own.sql.selectFrom("events").selectAll().orderBy("seq").execute();
          const rows = await own.sql.selectFrom("items").selectAll().orderBy("item_id").execute();
          return {
            events: Object.groupBy(
              events.map(({ seq: _, at: __, ...event }) => event),
              ({ item_id }) => item_id!,
            ),
            rows: rows.map(({ token: _, key_id: __, ...row }) => row),
          };
        };
        const close = async () => {
          await inbox.close();
          ownVault.close();
          await own.close();
        };
        return { inbox, outcomes, left, close };
      };
      const [singly, together, failing] = [await anInbox(0), await anInbox(0), await anInbox(1)];
      for (const { inbox } of [together, failing]) await inbox.close();
      plaid.answer = async (sent) => {
        for (const { inbox } of [singly, together, failing])
          assert.equal((await inbox.receive(request(sent))).status, 200);
        value(await singly.inbox.apply());
        return 200;
      };
      const [one, other, third] = linked.map(({ item_id }) => item_id) as [string, string, string];
      for (const happens of [
        () => {}, // the first transactions
        () => items.loginRequired(one),
        () => items.newAccounts(other),
        () => items.fail(third, "ITEM_LOCKED"),
        () => items.repairLogin(one),
        () => items.newAccounts(one),
      ]) {
        happens();
        // So long that no order is in doubt.
        await clock.advance(25 * 3_600 * SECOND);
        await webhooks.idle();
      }
      const { applied } = value(await together.inbox.apply());
      assert.deepEqual(together.outcomes, [true]);
      assert.ok(applied > 5 && singly.outcomes.length > 5, `${applied}`);
      assert.equal(value(await failing.inbox.apply()).applied, applied);
      assert.deepEqual(failing.outcomes, [false, ...Array.from({ length: applied }, () => true)]);
      const left = await singly.left();
      assert.equal(left.rows.find(({ item_id }) => item_id === one)!.state, "new_accounts");
      assert.deepEqual(await together.left(), left);
      assert.deepEqual(await failing.left(), left);
      for (const { close } of [singly, together, failing]) await close();
      await plaid.sandbox.close();
    });

    test("where the order is in doubt, Plaid is asked before it is believed", async () => {
      const plaid = await aPlaid();
      const { item_id, access_token } = await anItem(plaid);
      await link(item_id, access_token);
      let asked = 0;
      const inbox = inboxOf(plaid, {
        heal: () => {
          asked++;
          return Item.get(access_token, plaid.config);
        },
      });
      value(await inbox.heal(item_id));
      assert.equal(asked, 1);
      // The error's webhook fails at first, and comes when it is long over.
      let failing = true;
      plaid.answer = async (sent) => {
        if (failing && sent.text.includes('"ERROR"')) return 500;
        return (await inbox.receive(request(sent))).status;
      };
      plaid.sandbox.control.items.loginRequired(item_id);
      await plaid.sandbox.control.clock.advance(10 * SECOND);
      plaid.sandbox.control.items.repairLogin(item_id);
      failing = false;
      await plaid.sandbox.control.clock.advance(60 * SECOND);
      value(await inbox.apply());
      assert.ok(plaid.sent.filter(({ text }) => text.includes('"ERROR"')).length > 1);
      assert.equal((await row(item_id)).state, "healthy");
      assert.ok(asked > 1);

      // Without an answer the webhook is believed, and says that nobody confirmed it.
      plaid.sandbox.control.faults.add({ path: "/item/get", times: 9, then: { status: 500 } });
      plaid.sandbox.control.items.loginRequired(item_id);
      await plaid.sandbox.control.webhooks.idle();
      value(await inbox.apply());
      assert.equal((await row(item_id)).state, "login_required");
      const believed = (await events(item_id)).filter(({ kind }) => kind === "webhook").at(-1)!;
      assert.equal(believed.detail.unconfirmed, true);
      plaid.sandbox.control.faults.clear();
      await inbox.close();
      await plaid.sandbox.close();
    });

    test("a check that changed nothing is remembered: what is older is not believed after it", async () => {
      const plaid = await aPlaid();
      const { items, clock, webhooks } = plaid.sandbox.control;
      const { item_id, access_token } = await anItem(plaid);
      await link(item_id, access_token);
      const inbox = inboxOf(plaid, { heal: () => Item.get(access_token, plaid.config) });
      const silent = inboxOf(plaid);
      plaid.answer = async (sent) => (await silent.receive(request(sent))).status;
      items.loginRequired(item_id);
      await clock.advance(10 * SECOND);
      items.repairLogin(item_id);
      await clock.advance(10 * SECOND);
      value(await silent.apply());
      plaid.answer = () => 200; // on its way, and slow
      items.loginRequired(item_id);
      await webhooks.idle();
      const late = plaid.sent.at(-1)!;
      items.completeUpdateMode(item_id);
      await clock.advance(100 * SECOND);
      const before = (await events(item_id)).length;
      assert.equal(value(await inbox.heal(item_id)), true);
      assert.equal((await events(item_id)).length, before);
      await clock.advance(30 * SECOND);
      assert.equal((await silent.receive(request(late))).status, 200);
      value(await silent.apply());
      assert.equal((await row(item_id)).state, "healthy");
      assert.equal((await events(item_id)).length, before + 1);
      await Promise.all([inbox.close(), silent.close(), plaid.sandbox.close()]);
    });

    test("the answer to a webhook does not wait for Plaid's to a question about it", async () => {
      const plaid = await aPlaid();
      const { item_id, access_token } = await anItem(plaid);
      await link(item_id, access_token);
      let open = () => {};
      const gate = new Promise<void>((resolve) => (open = resolve));
      const heal = async () => {
        await gate;
        return Item.get(access_token, plaid.config);
      };
      const inbox = inboxOf(plaid, { heal });
      plaid.answer = async (sent) => (await inbox.receive(request(sent))).status;
      plaid.sandbox.control.items.loginRequired(item_id);
      plaid.sandbox.control.items.repairLogin(item_id); // in the same second: in doubt
      await plaid.sandbox.control.webhooks.idle();
      assert.ok(
        plaid.sandbox.control.webhooks.list().every(({ delivery_status }) => delivery_status === "DELIVERED"),
      );
      assert.ok((await waiting(item_id)).length > 0);
      open();
      value(await inbox.apply());
      assert.equal((await row(item_id)).state, "healthy");
      await inbox.close();
      await plaid.sandbox.close();
    });

    test("a true history through a bad line, then one heal: the state is the sandbox's", async () => {
      const happenings = fc.constantFrom("break", "lock", "mend", "revoke", "warn", "pass", "long");
      await fc.assert(
        fc.asyncProperty(
          fc.array(happenings, { maxLength: 8 }),
          fc.array(fc.constantFrom("take", "twice", "take, say no", "refuse", "lose", "later"), {
            minLength: 1,
            maxLength: 9,
          }),
          fc.boolean(),
          fc.boolean(),
          async (history, line, linkedLate, healing) => {
            const plaid = await aPlaid();
            const { items, clock, webhooks } = plaid.sandbox.control;
            const { item_id, access_token } = await anItem(plaid, "ins_117650");
            if (!linkedLate) await link(item_id, access_token);
            const heal = () => Item.get(access_token, plaid.config);
            const inbox = inboxOf(plaid, healing ? { heal } : {});
            const healer = inboxOf(plaid, { heal });
            const later: Sent[] = [];
            let turn = 0;
            plaid.answer = async (sent) => {
              const take = async () => (await inbox.receive(request(sent))).status;
              switch (line[turn++ % line.length]) {
                case "take":
                  return take();
                case "twice":
                  await Promise.all([take(), healer.receive(request(sent))]);
                  return 200;
                case "take, say no":
                  await take();
                  return 500;
                case "refuse":
                  return 500;
                case "later":
                  later.push(sent);
                  return 200;
                default:
                  return 200;
              }
            };
            for (const happening of history) {
              if (happening === "break") items.loginRequired(item_id);
              if (happening === "lock") items.fail(item_id, "ITEM_LOCKED");
              if (happening === "mend") items.repairLogin(item_id);
              if (happening === "revoke") items.revokePermission(item_id);
              if (happening === "warn") items.pendingExpiration(item_id);
              await clock.advance(
                happening === "long" ? 8 * DAY : happening === "pass" ? 100 * SECOND : SECOND,
              );
              for (const sent of later.splice(0).reverse()) await inbox.receive(request(sent));
            }
            await webhooks.idle();
            if (linkedLate) await link(item_id, access_token);
            value(await inbox.apply());
            await clock.advance(SECOND);
            assert.equal(value(await healer.heal(item_id)), true);
            const { error, consent_expires_at } = items.get(item_id);
            const code = error?.error_code ?? null;
            const soon = consent_expires_at! > clock.now() && consent_expires_at! - clock.now() <= 7 * DAY;
            const expected =
              code === "ITEM_LOGIN_REQUIRED"
                ? "login_required"
                : code === "USER_PERMISSION_REVOKED"
                  ? "revoked"
                  : code !== null
                    ? "error"
                    : soon
                      ? "pending_expiration"
                      : "healthy";
            const is = await row(item_id);
            assert.deepEqual([is.state, is.error_code], [expected, code]);
            assert.equal(is.checked_at, clock.now());
            await Promise.all([inbox.close(), healer.close()]);
            assert.deepEqual(await waiting(item_id), []);
            await plaid.sandbox.close();
          },
        ),
        { numRuns: 20 },
      );
    });

    test("public tokens that come by webhook are handed over, and are nowhere in the database", async () => {
      const plaid = await aPlaid();
      const taken: string[] = [];
      let refuse = true;
      const inbox = inboxOf(plaid, {
        takePublicToken: async ({ public_token }) => {
          if (refuse) return false;
          taken.push(public_token);
          return true;
        },
      });
      plaid.answer = async (sent) => (await inbox.receive(request(sent))).status;
      const link_token = await aHostedLink(plaid);
      const { public_token } = plaid.sandbox.control.link.complete(link_token);
      await plaid.sandbox.control.webhooks.idle();
      value(await inbox.apply());
      assert.ok(plaid.sent.some(({ text }) => text.includes(public_token!)));
      const codes = async () => (await waiting(null)).map(({ webhook_code }) => webhook_code);
      assert.ok((await codes()).includes("SESSION_FINISHED"), "it waits until somebody takes it");
      refuse = false;
      value(await inbox.apply());
      assert.ok(taken.includes(public_token!));
      await inbox.close();

      const tables = ["items", "events", "deliveries", "leases", "intents", "cursors", "keys"] as const;
      let everything = "";
      for (const table of tables) {
        const rows = await database.sql.selectFrom(table).selectAll().execute();
        everything += JSON.stringify(rows, (_, cell: unknown) => cell);
        for (const one of rows)
          for (const cell of Object.values(one))
            if (Buffer.isBuffer(cell)) everything += cell.toString("latin1");
      }
      assert.ok(everything.includes("SESSION_FINISHED"));
      for (const secret of [public_token!, link_token]) assert.ok(!everything.includes(secret));
      if (database.name === "sqlite") {
        for (const file of await readdir(url)) {
          const bytes = await readFile(join(url, file));
          for (const secret of [public_token!, link_token]) assert.equal(bytes.indexOf(secret), -1, file);
        }
      }
      await plaid.sandbox.close();
    });

    test("a body that somebody damaged holds up nobody else, and is given up in the end", async () => {
      const plaid = await aPlaid();
      const one = await anItem(plaid);
      const other = await anItem(plaid);
      for (const { item_id, access_token } of [one, other]) await link(item_id, access_token);
      const store = inboxOf(plaid);
      await store.close();
      plaid.answer = async (sent) => (await store.receive(request(sent))).status;
      plaid.sandbox.control.items.loginRequired(one.item_id);
      plaid.sandbox.control.items.loginRequired(other.item_id);
      await plaid.sandbox.control.webhooks.idle();
      await database.sql
        .updateTable("deliveries")
        .set({ body: Buffer.alloc(200, 1) })
        .where("item_id", "=", one.item_id)
        .execute();
      const inbox = inboxOf(plaid);
      const round = value(await inbox.apply());
      assert.deepEqual([round.applied, round.failures.length], [1, 1]);
      assert.equal(round.failures[0]!.kind, "vault");
      assert.equal((await row(other.item_id)).state, "login_required");
      plaid.answer = () => 200;
      await plaid.sandbox.control.clock.advance(7 * DAY);
      assert.equal(value(await inbox.apply()).givenUp, 1);
      const before = await database.sql.selectFrom("deliveries").select("iat").execute();
      assert.ok(value(await inbox.forget(DAY)) >= 2);
      assert.ok((await database.sql.selectFrom("deliveries").select("iat").execute()).length < before.length);
      await inbox.close();
      await plaid.sandbox.close();
    });

    test("a body of a shape that nobody knows holds up nobody else, and is put away in the end", async () => {
      const plaid = await aPlaid();
      const { clock } = plaid.sandbox.control;
      const [odd, one, other] = [await anItem(plaid), await anItem(plaid), await anItem(plaid)];
      for (const { item_id, access_token } of [odd, one, other]) await link(item_id, access_token);
      const session = { webhook_type: "LINK", webhook_code: "SESSION_FINISHED", status: "SUCCESS" };
      const failing = { webhook_type: "ITEM", webhook_code: "ERROR", item_id: one.item_id };
      const store = storing(database, vault);
      const bodies = [
        { ...session, public_tokens: 7 },
        { ...session, public_tokens: { a: "public-sandbox-1" } },
        { ...failing, item_id: odd.item_id, error: { error_code: { of: "no text" } } },
        { ...failing, error: { error_code: "ITEM_LOGIN_REQUIRED" } },
        { ...failing, item_id: other.item_id, error: { error_code: "ITEM_LOGIN_REQUIRED" } },
      ];
      for (const [at, body] of bodies.entries()) {
        const webhook = body as unknown as Webhook;
        const delivery = { webhook, bodySha256: `odd ${at}`, iatSeconds: START / SECOND };
        value(await store(webhook, delivery, START + at));
      }
      const problems: unknown[] = [];
      const inbox = inboxOf(plaid, {
        takePublicToken: async () => true,
        onProblem: (problem) => void problems.push(problem),
      });
      const round = value(await inbox.apply());
      assert.deepEqual([round.applied, round.early, round.failures], [2, 3, []]);
      assert.equal(problems.length, 3);
      for (const { item_id } of [one, other]) assert.equal((await row(item_id)).state, "login_required");
      plaid.answer = () => 200;
      await clock.advance(8 * DAY);
      const last = value(await inbox.apply());
      assert.deepEqual([last.applied, last.givenUp], [2, 1]);
      assert.deepEqual(await waiting(null, odd.item_id, one.item_id, other.item_id), []);
      await inbox.close();
      await plaid.sandbox.close();
    });

    test("update mode for an Item that needs it, and its end", async () => {
      const plaid = await aPlaid();
      const { item_id, access_token } = await anItem(plaid);
      await link(item_id, access_token);
      const inbox = inboxOf(plaid, { heal: () => Item.get(access_token, plaid.config) });
      plaid.answer = async (sent) => (await inbox.receive(request(sent))).status;
      const options = {
        database,
        environment: "sandbox",
        plaid: plaid.config,
        use: (_: string, call: (token: string) => ReturnType<typeof Link.createToken>) => call(access_token),
      } as const;
      const kind = async (id = item_id) => {
        const { kind } = failure(await createUpdateToken(options, id, linkRequest));
        return kind;
      };
      assert.equal(await kind("nobody"), "unknown-item");
      assert.equal(await kind(), "not-needed");
      plaid.sandbox.control.items.loginRequired(item_id);
      plaid.sandbox.control.items.newAccounts(item_id);
      await plaid.sandbox.control.webhooks.idle();
      value(await inbox.apply());
      const { link_token } = value(await createUpdateToken(options, item_id, linkRequest));
      const made = plaid.sandbox.control
        .snapshot()
        .changes.find(([table, name]) => table === "link_tokens" && name === link_token)![2];
      assert.deepEqual((made as { request: { update: unknown } }).request.update, {
        account_selection_enabled: true,
      });
      plaid.sandbox.control.link.complete(link_token);
      await plaid.sandbox.control.clock.advance(SECOND);
      const at = plaid.sandbox.control.clock.now();
      value(await inbox.observe(item_id, { kind: "updated", accountsSelected: true, at }));
      assert.equal((await row(item_id)).state, "healthy");
      for (const state of ["stranded", "removing"] as const) {
        await database.sql.updateTable("items").set({ state }).where("item_id", "=", item_id).execute();
        assert.equal(await kind(), "beyond-repair");
      }
      // A refusal of Plaid's comes through as it is.
      await database.sql
        .updateTable("items")
        .set({ state: "login_required" })
        .where("item_id", "=", item_id)
        .execute();
      const refused = failure(await createUpdateToken(options, item_id, { ...linkRequest, language: "xx" }));
      assert.equal(refused.kind, "refused");
      assert.equal(value(await inbox.observe("nobody", { kind: "refused", error_code: "X", at })), false);
      await inbox.close();
      await plaid.sandbox.close();
    });
  });
}

for (const [name, empty] of Object.entries(places)) inboxContract({ name, empty });

test("a public token at rest is sealed: what a webhook brought is unreadable before it is applied, too", async () => {
  const plaid = await aPlaid();
  const place = newFolder();
  const database = value(await openDatabase(place, { now: START }));
  const vault = value(
    await openVault({ database, ring: localKeyRing(key), environment: "sandbox", now: () => START }),
  );
  const { now } = plaid.sandbox.control.clock;
  const inbox = createInbox({
    database,
    vault,
    keys: async (kid) => plaidKeys(plaid.config, { now })(kid),
    now,
  });
  await inbox.close();
  plaid.answer = async (sent) => (await inbox.receive(request(sent))).status;
  const link_token = await aHostedLink(plaid);
  const { public_token } = plaid.sandbox.control.link.complete(link_token);
  await plaid.sandbox.control.webhooks.idle();
  const { n } = await database.sql
    .selectFrom("deliveries")
    .select((is) => is.fn.countAll().as("n"))
    .executeTakeFirstOrThrow();
  assert.ok(Number(n) > 0);
  for (const file of await readdir(place)) {
    const bytes = await readFile(join(place, file));
    for (const secret of [public_token!, link_token]) assert.equal(bytes.indexOf(secret), -1, file);
  }
  vault.close();
  await database.close();
  await plaid.sandbox.close();
});
