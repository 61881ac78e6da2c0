// Export, and the way from one keeper to another: every Item arrives with its token, nobody else reads it, and the
// history says that it was done. Over both databases.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { inspect } from "node:util";
import { ok } from "sett";
import { openExport, type ExportOptions } from "../src/lifecycle/export.ts";
import type { ImportOutcome } from "../src/lifecycle/import-many.ts";
import type { Keeper } from "../src/keeper.ts";
import { newRecipient } from "../src/vault/recipient.ts";
import { sealStream } from "../src/vault/sealed-stream.ts";
import { failure, open, value, violations } from "./lifecycle-world.ts";
import { all, chunks, manyItems } from "./moving-world.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("export");
const count = 600;

for (const place of ["SQLite", "PostgreSQL"] as const) {
  describe(`an export: ${place}`, () => {
    const recipient = newRecipient();
    let world: Awaited<ReturnType<typeof manyItems>>;
    let keeper: Keeper;
    before(async () => {
      world = await manyItems(count);
      keeper = await open(await places[place](), escrowFolder(), world.plaid, { budget: false });
      const lines = world.items.map(({ access_token }, at) => `${access_token},u_${at % 10}`);
      value(await keeper.importItems(chunks(["access_token,user_id", ...lines].join("\n"), 4_096)));
    });
    after(async () => {
      await keeper.close();
      await world.sandbox.close();
    });

    const seal = async (more: Partial<ExportOptions> = {}) => {
      const sealed = value(await keeper.exportItems({ recipient: recipient.publicKey, ...more }));
      const bytes = Buffer.concat((await all(sealed)).map(value));
      return { bytes, report: sealed.report() };
    };
    const read = async (bytes: Uint8Array) =>
      (await all(value(await openExport(chunks(bytes, 1_000), recipient.privateKey)).rows)).map(value);
    const exported = () =>
      keeper.database.sql
        .selectFrom("events")
        .select(["actor", "detail"])
        .where("kind", "=", "items.exported")
        .orderBy("seq")
        .execute();

    test("has every Item with its token, and no token in clear", async () => {
      const { bytes, report } = await seal();
      assert.deepEqual(report, { selected: count, exported: count, unreadable: 0, failures: [] });
      const rows = await read(bytes);
      assert.deepEqual(
        new Map(rows.map(({ item_id, access_token }) => [item_id, access_token])),
        new Map(world.items.map(({ item_id, access_token }) => [item_id, access_token])),
      );
      assert.equal(rows.length, count);
      const text = bytes.toString("latin1");
      assert.ok(!text.includes("access-sandbox") && !text.includes(world.items[0]!.item_id));
    });

    test("has those alone that are selected, and follows a rotation", async () => {
      const selection = { userId: "u_3" };
      const { item_id } = value(await keeper.list(selection)).items[0]!;
      value(await keeper.rotate(item_id));
      const rows = await read((await seal({ selection })).bytes);
      assert.equal(rows.length, count / 10);
      const token = world.sandbox.control.items.get(item_id).access_token;
      assert.equal(rows.find((row) => row.item_id === item_id)?.access_token, token);
    });

    test("is in the history, with who and to whom, before the first token leaves", async () => {
      const before = (await exported()).length;
      const sealed = value(
        await keeper.exportItems({ recipient: recipient.publicKey, actor: "ops@example" }),
      );
      assert.equal(sealed.recipient, recipient.id);
      const events = await exported();
      assert.equal(events.length, before + 1);
      const { actor, detail } = events.at(-1)!;
      assert.deepEqual(
        [actor, JSON.parse(detail)],
        ["ops@example", { items: count, recipient: recipient.id }],
      );
      for (const wrong of ["", recipient.privateKey, `${recipient.publicKey}x`])
        await assert.rejects(keeper.exportItems({ recipient: wrong }), TypeError);
      // Each would be an export of all tokens.
      for (const wrong of [{ selection: { user_id: "u_1" } }, { selection: undefined }, { userId: "u_1" }])
        await assert.rejects(
          keeper.exportItems({ recipient: recipient.publicKey, ...(wrong as object) }),
          TypeError,
        );
      assert.equal((await exported()).length, before + 1);
    });

    test("moves Items to another keeper with all that belongs to them; again, it changes nothing", async () => {
      const { bytes } = await seal();
      const other = await open(await places[place](), escrowFolder(), world.plaid, { budget: false });
      try {
        const opened = value(await openExport(chunks(bytes, 5_000), recipient.privateKey));
        const asked = world.asked.count;
        const report = value(await other.importItems(opened));
        assert.deepEqual([report.imported, report.failed, report.complete], [count, 0, true]);
        assert.equal(world.asked.count - asked, count);
        assert.deepEqual(await violations(world.sandbox, other, { removals: new Set() }), []);
        for (const one of value(await keeper.list({}, { limit: count })).items) {
          const { user_id, institution_id, state, webhook } = value(await other.find(one.item_id));
          assert.deepEqual(
            [user_id, institution_id, state, webhook],
            [one.user_id, one.institution_id, one.state, one.webhook],
          );
        }
        const again = value(await openExport(chunks(bytes, 5_000), recipient.privateKey));
        const second = value(await other.importItems(again));
        assert.deepEqual([second.known, second.asked], [count, 0]);
      } finally {
        await other.close();
      }
    });

    test("of another environment, cut short or changed is refused; what came before is kept", async () => {
      const { bytes } = await seal();
      const other = await open(await places[place](), escrowFolder(), world.plaid, { budget: false });
      const production = await open(await places[place](), escrowFolder(), {
        ...world.plaid,
        env: "production",
        baseUrl: "http://127.0.0.1:9",
      });
      try {
        const opened = async (from: Uint8Array) =>
          value(await openExport(chunks(from, 5_000), recipient.privateKey));
        assert.deepEqual(failure(await production.importItems(await opened(bytes))), {
          kind: "other-environment",
          environment: "sandbox",
        });
        const cut = failure(await other.importItems(await opened(bytes.subarray(0, -100))));
        assert.ok(cut.kind === "stopped" && cut.cause.kind === "export");
        assert.match(cut.cause.detail, /^cut-short/);
        assert.ok(cut.report.imported > 0 && !cut.report.complete);
        const changed = Buffer.from(bytes);
        changed[changed.length - 100]! ^= 1;
        const damaged = failure(await other.importItems(await opened(changed)));
        assert.ok(damaged.kind === "stopped" && damaged.cause.kind === "export");
        assert.match(damaged.cause.detail, /^damaged/);
        const whole = value(await other.importItems(await opened(bytes)));
        assert.equal(whole.known, cut.report.imported, "what came before the cut is in");
        assert.equal(whole.imported, count - cut.report.imported);
      } finally {
        await other.close();
        await production.close();
      }
    });

    test("leaves out what cannot be read, and says which; an Item that is being removed is not taken over", async () => {
      const [a, b] = world.items;
      await keeper.database.sql
        .updateTable("items")
        .set({ token: Buffer.from("no envelope") })
        .where("item_id", "=", a!.item_id)
        .execute();
      await keeper.database.sql
        .updateTable("items")
        .set({ state: "removing" })
        .where("item_id", "=", b!.item_id)
        .execute();
      const { bytes, report } = await seal();
      assert.deepEqual([report.exported, report.unreadable], [count - 1, 1]);
      assert.equal(report.failures[0]!.item_id, a!.item_id);
      assert.equal(report.failures[0]!.failure.kind, "vault");
      const other = await open(await places[place](), escrowFolder(), world.plaid, { budget: false });
      try {
        const opened = value(await openExport(chunks(bytes, 5_000), recipient.privateKey));
        const failed: ImportOutcome[] = [];
        const onRow = (outcome: ImportOutcome) => void (outcome.kind === "failed" && failed.push(outcome));
        value(await other.importItems(opened, { onRow }));
        assert.deepEqual(
          failed.map((outcome) => [outcome.item_id, "reason" in outcome && outcome.reason]),
          [[b!.item_id, "removing"]],
        );
        assert.ok(!inspect([failed, report], { depth: null }).includes(b!.access_token));
      } finally {
        await other.close();
      }
    });

    test("by somebody who writes no Items is told of as damaged, and not a word of it", async () => {
      for (const line of ["access-sandbox-secret not JSON", "null", '{"item_id":"i_1"}']) {
        const pieces = async function* () {
          yield ok(`${line}\n`);
        };
        const begun = { environment: "sandbox", at: 1 } as const;
        const sealed = (await all(sealStream(recipient.publicKey, begun, pieces()))).map(value);
        const opened = value(await openExport(chunks(Buffer.concat(sealed)), recipient.privateKey));
        assert.deepEqual((await all(opened.rows)).map(failure), [
          { kind: "damaged", detail: "what was sealed in it is no Item" },
        ]);
      }
    });

    test("ends with an error when the database goes, so that nobody takes it for whole", async () => {
      const url = await places[place]();
      const short = await open(url, escrowFolder(), world.plaid, { budget: false });
      value(await short.importItem(world.items[2]!.access_token));
      const sealed = value(await short.exportItems({ recipient: recipient.publicKey }));
      await short.database.sql.schema.alterTable("items").renameTo("elsewhere").execute();
      const parts = await all(sealed);
      assert.equal(failure(parts.at(-1)!).kind, "database");
      const bytes = Buffer.concat(parts.slice(0, -1).map(value));
      const rows = await all(value(await openExport(chunks(bytes), recipient.privateKey)).rows);
      assert.equal(failure(rows.at(-1)!).kind, "cut-short");
      await short.close();
    });
  });
}
