// Subscribers over both databases: every event, in order, at least once, over throws, restarts and other processes.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import { openDatabase, type Database } from "../src/database/database.ts";
import type { KeeperEvent } from "../src/inbox/events.ts";
import { createSubscriptions, type SubscriptionsOptions } from "../src/inbox/subscriptions.ts";
import { failure, now as start, value, type Place } from "./contract/database.ts";
import { testPlaces } from "./places.ts";

const { places } = testPlaces("subscriptions");

function subscriptionsContract(place: Place): void {
  describe(`subscriptions over ${place.name}`, () => {
    let url: string;
    let database: Database;
    let clock = start;
    const open = async () => value(await openDatabase(url, { now: start }));
    before(async () => {
      url = await place.empty();
      database = await open();
    });
    after(() => database.close());

    const made = (more: Partial<SubscriptionsOptions> = {}) =>
      createSubscriptions({ database, environment: "sandbox", now: () => clock, holder: "one", ...more });
    const add = async (...kinds: string[]) => {
      for (const kind of kinds) {
        await database.sql
          .insertInto("events")
          .values({ environment: "sandbox", at: clock, item_id: "i", kind, detail: `{"of":"${kind}"}` })
          .execute();
      }
    };
    const writer = () => {
      const kinds: string[] = [];
      return { kinds, take: (event: KeeperEvent) => void kinds.push(event.kind) };
    };
    /** The horizon of PostgreSQL needs a second look when another transaction was open at the first. */
    const drained = async (subscriptions: ReturnType<typeof made>, name: string) => {
      const outcome = value(await subscriptions.drain(name));
      value(await subscriptions.drain(name));
      return outcome;
    };

    test("events come in order with what they say, and go on where they were after a restart", async () => {
      await add("a", "b", "c");
      const first = writer();
      const subscriptions = made();
      const details: unknown[] = [];
      subscriptions.subscribe("ledger", (event) => {
        first.take(event);
        details.push(event.detail);
      });
      await drained(subscriptions, "ledger");
      assert.deepEqual(first.kinds, ["a", "b", "c"]);
      assert.deepEqual(details[0], { of: "a" });
      await subscriptions.close();

      await add("d");
      const reopened = await open();
      const second = writer();
      const again = made({ database: reopened, holder: "two" });
      again.subscribe("ledger", second.take);
      await drained(again, "ledger");
      assert.deepEqual(second.kinds, ["d"]);

      const late = writer();
      again.subscribe("from now", late.take, { from: "now" });
      await drained(again, "from now");
      await add("e");
      await drained(again, "from now");
      assert.deepEqual(late.kinds, ["e"]);
      await again.close();
      await reopened.close();
    });

    test("a handler that throws keeps its place, is tried again later, and holds up nobody", async () => {
      const problems: unknown[] = [];
      const subscriptions = made({ onProblem: (name, problem) => problems.push([name, problem]) });
      const good = writer();
      const bad = writer();
      let broken = true;
      const mistake = new Error("not today");
      subscriptions.subscribe("good", good.take, { from: "now" });
      subscriptions.subscribe(
        "bad",
        (event) => {
          const kind: string = event.kind;
          if (broken && kind === "y") throw mistake;
          bad.take(event);
        },
        { from: "now" },
      );
      await subscriptions.tick();
      await add("x", "y", "z");
      await subscriptions.tick();
      await subscriptions.tick();
      assert.deepEqual(good.kinds, ["x", "y", "z"]);
      assert.deepEqual(bad.kinds, ["x"]);
      assert.deepEqual(problems, [["bad", mistake]]);
      broken = false;
      await subscriptions.tick();
      assert.deepEqual(bad.kinds, ["x"], "not due yet");
      clock += 1_000;
      await subscriptions.tick();
      assert.deepEqual(bad.kinds, ["x", "y", "z"]);
      await subscriptions.close();
    });

    test("of several processes one at a time hands out, and whoever lost the lease moves nothing", async () => {
      let open = () => {};
      const gate = new Promise<void>((resolve) => (open = resolve));
      let entered = () => {};
      const inside = new Promise<void>((resolve) => (entered = resolve));
      const slow = made({ holder: "slow" });
      const quick = made({ holder: "quick" });
      const seenBySlow = writer();
      const seenByQuick = writer();
      slow.subscribe(
        "shared",
        async (event) => {
          seenBySlow.take(event);
          entered();
          await gate;
        },
        { from: "now" },
      );
      quick.subscribe("shared", seenByQuick.take, { from: "now" });
      await drained(quick, "shared");
      await add("p", "q");
      const slowly = slow.drain("shared");
      await inside;
      assert.equal(value(await quick.drain("shared")).stopped, "elsewhere");
      clock += 61_000;
      await drained(quick, "shared");
      assert.deepEqual(seenByQuick.kinds, ["p", "q"]);
      open();
      assert.equal(value(await slowly).stopped, "elsewhere");
      assert.deepEqual(seenBySlow.kinds, ["p"]);
      await drained(quick, "shared");
      assert.deepEqual(seenByQuick.kinds, ["p", "q"]);
      await Promise.all([slow.close(), quick.close()]);
    });

    test("with writers at work and throws and restarts in between, nothing is left out or out of order", async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.nat(9), { minLength: 1, maxLength: 30 }),
          fc.integer({ min: 1, max: 130 }),
          async (throws, many) => {
            const name = `crowd ${++subscriber}`;
            const seqs: number[] = [];
            let calls = 0;
            let fine = false;
            const handler = ({ seq }: KeeperEvent) => {
              if (!fine && throws[calls++ % throws.length]! > 7) throw new Error("again");
              seqs.push(seq);
            };
            let subscriptions = made();
            subscriptions.subscribe(name, handler, { from: "now" });
            await drained(subscriptions, name);
            const rows = await database.sql.selectFrom("events").select("seq").execute();
            const from = Math.max(...rows.map(({ seq }) => seq));
            const written = Promise.all(Array.from({ length: many }, (_, n) => add(`n${n}`)));
            for (let times = 0; times < 4; times++) {
              value(await subscriptions.drain(name));
              await subscriptions.close();
              subscriptions = made();
              subscriptions.subscribe(name, handler);
            }
            await written;
            fine = true;
            await drained(subscriptions, name);
            const wanted = await database.sql
              .selectFrom("events")
              .select("seq")
              .where("seq", ">", from)
              .orderBy("seq")
              .execute();
            const once = seqs.filter((seq, at) => seqs.indexOf(seq) === at);
            assert.deepEqual(
              once,
              wanted.map(({ seq }) => seq),
            );
            await subscriptions.close();
          },
        ),
        { numRuns: 5 },
      );
    });
    let subscriber = 0;

    test("mistakes are told at once, a database that is gone is a value", async () => {
      const subscriptions = made();
      subscriptions.subscribe("once", () => {});
      assert.throws(() => subscriptions.subscribe("once", () => {}), TypeError);
      await assert.rejects(subscriptions.drain("nobody"), TypeError);
      if (database.name === "sqlite") return;
      const gone = await open();
      await gone.close();
      const lost = made({ database: gone });
      lost.subscribe("lost", () => {});
      assert.equal(failure(await lost.drain("lost")).kind, "unavailable");
    });

    test("keepers of both environments may use one name: each has its own place, and gets all that is its own", async () => {
      const names = ["sandbox", "production"] as const;
      const all = names.map((environment) => {
        const subscriptions = made({ environment });
        const seen = writer();
        subscriptions.subscribe("of both", seen.take, { from: "now" });
        return { environment, subscriptions, seen };
      });
      for (const { subscriptions } of all) await drained(subscriptions, "of both");
      const item = { at: clock, item_id: "i", detail: "{}" };
      for (const [at, environment] of [...names, ...names].entries())
        await database.sql
          .insertInto("events")
          .values({ ...item, environment, kind: `${environment} ${at}` })
          .execute();
      for (const { subscriptions } of all) await drained(subscriptions, "of both");
      assert.deepEqual(
        all.map(({ seen }) => seen.kinds),
        [
          ["sandbox 0", "sandbox 2"],
          ["production 1", "production 3"],
        ],
      );
      for (const { subscriptions } of all) await subscriptions.close();
    });
  });
}

for (const [name, empty] of Object.entries(places)) subscriptionsContract({ name, empty });
