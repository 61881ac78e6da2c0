// What `close` promises: what is under way comes to its end, with its result, before anything is let go of; what is asked
// afterwards is refused; and whoever opens the keeper again finds every Item with its token. Over both databases.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { describe, test } from "node:test";
import { Item, Link, unwrap } from "sett";
import { nodeFiles } from "../src/escrow/files.ts";
import type { Keeper } from "../src/keeper.ts";
import { openExport } from "../src/lifecycle/export.ts";
import { newRecipient } from "../src/vault/recipient.ts";
import { closeDuring, createWorld, type Place, type World } from "./closing-world.ts";
import { linkRequest, webhook } from "./keeper-stage.ts";
import { failure, paths, value } from "./lifecycle-world.ts";
import { all, chunks } from "./moving-world.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("closing");
const closed = { name: "TypeError", message: "the keeper has been closed" };
const keyPath = "/webhook_verification_key/get";

for (const [name, empty] of Object.entries(places)) {
  describe(`a keeper that is closed: ${name}`, () => {
    const inWorld = (title: string, play: (world: World) => Promise<void>) => {
      test(title, async () => {
        const world = await createWorld(await empty(), escrowFolder());
        try {
          await play(world);
        } finally {
          await world.end();
        }
      });
    };
    const around = (path: string) => [
      { path, when: "before" as const },
      { path, when: "after" as const },
    ];

    inWorld("ends the links that are under way, at whichever step", async (world) => {
      let keeper = await world.reopen();
      const steps = (["begin", "intended", "answered", "committed", "settled"] as const).map(
        (step) => `link: ${step}` as const,
      );
      for (const place of [...steps, ...around(paths.exchange)]) {
        const token = await world.publicToken();
        const gate = world.hold(place);
        const { item_id } = value(await closeDuring(keeper, gate, keeper.link(token)));
        keeper = await world.again();
        assert.equal(value(await keeper.find(item_id)).state, "healthy");
        value(await keeper.get(item_id));
      }
    });

    inWorld("ends rotations, removals and moved webhooks, at whichever step", async (world) => {
      let keeper = await world.reopen();
      const ahead = ["begin", "intended", "answered", "committed"] as const;
      for (const [what, path, act] of [
        ["rotate", paths.rotate, (itemId: string) => keeper.rotate(itemId)],
        ["webhook", paths.webhook, (itemId: string) => keeper.updateWebhook(itemId, "https://b.example/")],
        ["remove", paths.remove, (itemId: string) => keeper.remove(itemId)],
      ] as const) {
        const steps = [...ahead.map((step) => `${what}: ${step}` as const), ...around(path)];
        for (const place of what === "rotate" ? [...steps, "rotate: settled" as const] : steps) {
          const item_id = await world.link(keeper);
          if (what === "remove") world.removals.add(item_id);
          const gate = world.hold(place);
          value(await closeDuring(keeper, gate, act(item_id)));
          keeper = await world.again();
          const item = value(await keeper.find(item_id));
          if (what === "rotate") assert.equal(item.token_version, 2);
          if (what === "webhook") assert.equal(item.webhook, "https://b.example/");
          assert.equal(item.state, what === "remove" ? "removed" : "healthy");
        }
      }
    });

    inWorld("lets work with a lent token end, and refuses what that work asks", async (world) => {
      let keeper = await world.reopen();
      const item_id = await world.link(keeper);
      const gate = world.hold();
      const used = keeper.use(item_id, async (token) => {
        await gate.pass();
        await assert.rejects(keeper.find(item_id), closed);
        return Item.get(token, world.plaid);
      });
      assert.equal(unwrap(value(await closeDuring(keeper, gate, used))).item.item_id, item_id);

      keeper = await world.again();
      const failing = world.hold();
      const thrown = keeper.use(item_id, async () => {
        await failing.pass();
        throw new RangeError("the work's own");
      });
      await assert.rejects(closeDuring(keeper, failing, thrown), RangeError);
      await world.again();
    });

    inWorld("keeps what Plaid answers about an Item", async (world) => {
      let keeper = await world.reopen();
      const item_id = await world.link(keeper);
      await world.clock.advance(1_000);
      value(await keeper.updateWebhook(item_id, null)); // so that the answer alone tells
      world.sandbox.control.items.loginRequired(item_id);
      const gate = world.hold({ path: paths.get, when: "after" });
      const got = value(await closeDuring(keeper, gate, keeper.get(item_id)));
      assert.equal(got.item.error?.error_code, "ITEM_LOGIN_REQUIRED");
      keeper = await world.again();
      assert.equal(value(await keeper.find(item_id)).state, "login_required");
    });

    inWorld(
      "takes the webhook that has come, and leaves to Plaid the one that comes later",
      async (world) => {
        let keeper = await world.reopen();
        const item_id = await world.link(keeper);
        await world.clock.advance(1_000);
        const { webhooks, items } = world.sandbox.control;
        const codes = async (of: Keeper) =>
          (
            await of.database.sql.selectFrom("deliveries").select(["webhook_code", "applied_at"]).execute()
          ).filter(({ webhook_code }) => webhook_code === "ERROR");
        keeper = await world.again(); // which knows no key of Plaid's
        const gate = world.hold({ path: keyPath, when: "before" });
        items.loginRequired(item_id);
        await closeDuring(keeper, gate, world.clock.advance(1_000));
        assert.deepEqual(
          (await webhooks.list()).filter(({ webhook_code }) => webhook_code === "ERROR").length,
          1,
        );
        const late = await keeper.receive(new Request("https://keeper.example/", { method: "POST" }));
        assert.equal(late.status, 503);
        keeper = await world.again();
        assert.deepEqual(
          (await codes(keeper)).map(({ applied_at }) => applied_at !== null),
          [true],
        );
        assert.equal(value(await keeper.find(item_id)).state, "login_required");
      },
    );

    inWorld("links the public token of a webhook that is being applied", async (world) => {
      for (const place of [...around(paths.exchange), "link: committed" as const, "at the application"]) {
        const own = typeof place === "string" && place.startsWith("at");
        const gate = world.hold(own ? undefined : (place as Place));
        const linkFromWebhooks = async () => {
          if (own) await gate.pass();
          return {};
        };
        const keeper = await world.reopen({ linkFromWebhooks });
        const { link_token } = unwrap(
          await Link.createToken(
            { ...linkRequest, products: ["transactions"], webhook, hosted_link: {} },
            world.plaid,
          ),
        );
        const { item_id } = world.sandbox.control.link.complete(link_token);
        const sent = world.clock.advance(1_000);
        await gate.reached;
        await closeDuring(
          keeper,
          gate,
          sent.then(() => gate.reached),
        );
        const next = await world.again();
        assert.equal(value(await next.find(item_id)).state, "healthy");
      }
    });

    inWorld("gives the event at hand to its subscriber, and the others to the next", async (world) => {
      let keeper = await world.reopen();
      await world.link(keeper);
      const gate = world.hold();
      const told: number[] = [];
      keeper.subscribe("audit", async ({ seq }) => {
        await gate.pass();
        told.push(seq);
      });
      await gate.reached;
      // More to tell, and some who wait for the first telling to end.
      await world.link(keeper);
      keeper.subscribe("other", () => {});
      await closeDuring(keeper, gate, Promise.resolve());
      assert.equal(told.length, 1);

      keeper = await world.again();
      const { fence } = await keeper.database.sql
        .selectFrom("leases")
        .select("fence")
        .where("name", "=", "subscriber:sandbox:audit")
        .executeTakeFirstOrThrow();
      assert.equal(fence, 1, "nobody began another round");
      const { n } = await keeper.database.sql
        .selectFrom("events")
        .select((row) => row.fn.countAll().as("n"))
        .executeTakeFirstOrThrow();
      const rest = Promise.withResolvers<void>();
      keeper.subscribe("audit", ({ seq }) => {
        told.push(seq);
        if (told.length === Number(n)) rest.resolve();
      });
      await rest.promise; // no lease of the first is in the way
      assert.deepEqual(
        told,
        told.toSorted((one, other) => one - other),
      );
      assert.equal(new Set(told).size, told.length);
    });

    inWorld("ends an import after the rows at hand; the next run does the rest", async (world) => {
      let keeper = await world.reopen();
      const lines = ["access_token"];
      for (let made = 0; made < 12; made++) {
        const token = await world.publicToken();
        lines.push(unwrap(await Item.exchangePublicToken(token, world.plaid)).access_token);
      }
      for (const when of ["before", "after"] as const) {
        const gate = world.hold({ path: paths.get, when });
        const importing = keeper.importItems(chunks(lines.join("\n")), { concurrency: 1 });
        const report = value(await closeDuring(keeper, gate, importing));
        assert.deepEqual([report.imported, report.failed, report.complete], [1, 0, false]);
        keeper = await world.reopen();
      }
      const whole = value(await keeper.importItems(chunks(lines.join("\n"))));
      assert.deepEqual([whole.known, whole.imported, whole.complete], [2, 10, true]);
      await world.again();
    });

    inWorld("cuts an export short, and whoever reads the file can tell", async (world) => {
      const keeper = await world.reopen();
      const item_id = await world.link(keeper);
      const { publicKey, privateKey } = newRecipient();
      const read = async (parts: readonly Uint8Array[]) => {
        const opened = value(await openExport(chunks(Buffer.concat(parts)), privateKey));
        return all(opened.rows);
      };
      const idle = value(await keeper.exportItems({ recipient: publicKey }));
      const sealed = value(await keeper.exportItems({ recipient: publicKey }));
      const pieces = sealed[Symbol.asyncIterator]();
      const parts: Uint8Array[] = [];
      const take = async () => parts.push(value((await pieces.next()).value!));
      await take(); // its first line
      // The token is waited for, as it is being rotated.
      const gate = world.hold({ path: paths.rotate, when: "after" });
      const rotated = keeper.rotate(item_id);
      await gate.reached;
      await closeDuring(keeper, gate, take());
      value(await rotated);
      assert.deepEqual(sealed.report(), { selected: 1, exported: 1, unreadable: 0, failures: [] });
      // All Items are in it, and it is not whole all the same.
      await assert.rejects(pieces.next(), closed);
      assert.deepEqual(await pieces.next(), { done: true, value: undefined });
      const [row, end] = await read(parts);
      const { access_token } = world.sandbox.control.items.get(item_id);
      assert.equal(value(row!).access_token, access_token);
      assert.equal(failure(end!).kind, "cut-short");
      await assert.rejects(all(idle), closed);
      await world.again();
    });

    inWorld("waits for the calls of its workers, and gives the rest back", async (world) => {
      let keeper = await world.reopen();
      const items: string[] = [];
      for (let made = 0; made < 4; made++) items.push(await world.link(keeper));
      const { sweep_id } = value(await keeper.sweep("rotate"));
      const rows = keeper.sweeps.report(sweep_id)[Symbol.asyncIterator]();
      value((await rows.next()).value!);
      const gate = world.hold({ path: paths.rotate, when: "after" });
      const worker = keeper.sweeps.work({ inFlight: 1, shards: 1, pollMs: 1 });
      await closeDuring(keeper, gate, gate.reached);
      assert.equal(worker.busy, 0);
      await assert.rejects(rows.next(), closed);

      keeper = await world.again();
      const status = value(await keeper.sweeps.status(sweep_id));
      assert.deepEqual([status.done, status.waiting, status.failed], [1, 3, 0]);
      const over = Promise.withResolvers<void>();
      const again = value(await keeper.sweep("rotate", { onDone: () => over.resolve() }));
      assert.equal(again.sweep_id, sweep_id);
      keeper.sweeps.work({ pollMs: 1 });
      await over.promise;
      for (const item_id of items) assert.equal(value(await keeper.find(item_id)).token_version, 2);
      // And while somebody waits for the end of a sweep that nobody works on.
      value(await keeper.sweep("audit", { onDone: () => assert.fail("it is not over") }));
      await world.again();
    });

    inWorld("waits for a worker's rotation longer than the worker does", async (world) => {
      let keeper = await world.reopen();
      const item_id = await world.link(keeper);
      value(await keeper.sweep("rotate"));
      const gate = world.hold({ path: paths.rotate, when: "after" });
      keeper.sweeps.work({ pollMs: 1, graceMs: 0 });
      await closeDuring(keeper, gate, gate.reached);
      keeper = await world.again();
      assert.equal(value(await keeper.find(item_id)).token_version, 2);
      assert.equal(value(await keeper.find(item_id)).state, "healthy");
    });

    inWorld("ends the recovery that is under way, asked for or by itself", async (world) => {
      for (const recoverEveryMs of [0, 1]) {
        let keeper = await world.reopen();
        const token = await world.publicToken();
        world.sandbox.control.faults.add({ path: paths.exchange, times: 2, then: "reset" });
        assert.equal(failure(await keeper.link(token)).kind, "unfinished");
        // The recovery at open finds Plaid still out of reach.
        world.sandbox.control.faults.add({ path: paths.exchange, then: "reset" });
        keeper = await world.reopen({ recoverEveryMs });
        const gate = world.hold({ path: paths.exchange, when: "after" });
        const recovering = recoverEveryMs === 0 ? keeper.recover() : gate.reached;
        await closeDuring(keeper, gate, Promise.resolve<unknown>(recovering));
        keeper = await world.again();
        const { item_id } = value(await keeper.link(token));
        assert.equal(value(await keeper.find(item_id)).state, "healthy");
        assert.equal(world.sandbox.control.items.list().length, recoverEveryMs + 1);
      }
    });

    inWorld("is closed once, however often and by however many", async (world) => {
      const keeper = await world.reopen();
      const token = await world.publicToken();
      const gate = world.hold("link: answered");
      const linking = keeper.link(token);
      await gate.reached;
      const first = keeper.close();
      await closeDuring(keeper, gate, linking); // the second waits as the first does
      await Promise.all([first, keeper.close()]);
      await world.again();
    });

    inWorld("lets go of everything, whatever one of its rooms says, and tells of it", async (world) => {
      const mistake = new Error("the disk is gone");
      const remove = async (path: string) => {
        if (path.endsWith(".journal")) throw mistake; // the last thing that the escrow asks for, at its close
        return nodeFiles.remove(path);
      };
      const keeper = await world.reopen({ files: { ...nodeFiles, remove } });
      const item_id = await world.link(keeper);
      await assert.rejects(keeper.close(), mistake);
      await assert.rejects(keeper.close(), mistake);
      world.forget();
      const read = await keeper.database.read((sql) => sql.selectFrom("items").select("item_id").execute());
      assert.equal(failure(read).detail, "the database has been closed");
      const seal = () => keeper.vault.seal(Buffer.from("x"), { purpose: "token", subject: item_id });
      await assert.rejects(seal(), /the vault has been closed/);
      // Its locks too: the journal that is left is one of the dead.
      const next = await world.again();
      assert.deepEqual(value(next.recovered).open, []);
      assert.equal((await readdir(world.folder)).filter((file) => file.endsWith(".journal")).length, 1);
    });

    inWorld("refuses everything that is asked afterwards", async (world) => {
      const keeper = await world.reopen();
      const item_id = await world.link(keeper);
      const { sweep_id } = value(await keeper.sweep("audit"));
      const token = await world.publicToken();
      await keeper.close();
      const { sweeps } = keeper;
      const recipient = newRecipient().publicKey;
      const answer = {} as never;
      const asked: (() => Promise<unknown>)[] = [
        () => keeper.link(token),
        () => keeper.importItem("access-sandbox-x"),
        () => keeper.importItems(chunks("access_token\n")),
        () => keeper.exportItems({ recipient }),
        () => keeper.abandon(item_id, { note: "x" }),
        () => keeper.forgetUser("u"),
        () => keeper.list(),
        () => keeper.find(item_id),
        () => keeper.get(item_id),
        () => keeper.use(item_id, async () => {}),
        () => keeper.rotate(item_id),
        () => keeper.updateWebhook(item_id, null),
        () => keeper.remove(item_id),
        () => keeper.observe(item_id, { kind: "answer", answer, at: 0 }),
        () => keeper.updateMode(item_id, linkRequest),
        () => keeper.recover(),
        () => keeper.sweep("audit"),
        () => sweeps.list(),
        () => sweeps.status(sweep_id),
        () => sweeps.pause(sweep_id),
        () => sweeps.resume(sweep_id),
        () => sweeps.cancel(sweep_id),
        () => sweeps.rollback(sweep_id),
        () => all(sweeps.report(sweep_id)),
      ];
      for (const ask of asked) await assert.rejects(ask(), closed, String(ask));
      assert.throws(() => keeper.subscribe("late", () => {}), closed);
      assert.throws(() => sweeps.work(), closed);
      await world.again();
    });
  });
}
