// Import of whole files, over both databases: what each row came to, that nothing is asked or kept twice, and that an
// import that was killed anywhere goes on where it was.

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { inspect } from "node:util";
import { Item, unwrap } from "sett";
import type { ImportOptions, ImportOutcome } from "../src/lifecycle/import-many.ts";
import type { Keeper, KeeperOptions } from "../src/keeper.ts";
import { runProgram } from "./children.ts";
import type { ImportOrder } from "./import-child.ts";
import { failure, institution, open, publicToken, value, violations } from "./lifecycle-world.ts";
import { chunks, manyItems } from "./moving-world.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("import");
const none = new Set<string>();

for (const place of ["SQLite", "PostgreSQL"] as const) {
  describe(`an import: ${place}`, () => {
    let world: Awaited<ReturnType<typeof manyItems>>;
    let keeper: Keeper;
    before(async () => {
      world = await manyItems(12);
    });
    after(() => world.sandbox.close());

    /** A keeper of its own for each test: what one has imported, the next has not. */
    const withKeeper = async (work: () => Promise<void>, more: Partial<KeeperOptions> = {}) => {
      keeper = await open(await places[place](), escrowFolder(), world.plaid, { budget: false, ...more });
      try {
        await work();
      } finally {
        await keeper.close();
      }
    };
    const run = async (text: string, options: ImportOptions = {}) => {
      const outcomes: ImportOutcome[] = [];
      const before = world.asked.count;
      const onRow = (outcome: ImportOutcome) => void outcomes.push(outcome);
      const done = await keeper.importItems(chunks(text), { onRow, ...options });
      const said = inspect([done, outcomes], { depth: null });
      for (const { access_token } of world.items) assert.ok(!said.includes(access_token), "a token was told");
      outcomes.sort((one, other) => one.row - other.row);
      return { done, outcomes, asked: world.asked.count - before };
    };
    const count = async () => value(await keeper.list()).items.length;

    test("of a CSV takes what is right and names what is not, by line and without a token", () =>
      withKeeper(async () => {
        const [a, b, c, d, e, f, g] = world.items as [(typeof world.items)[0], ...(typeof world.items)[0][]];
        const text = [
          "\uFEFFNote,user_id,Access_Token,item_id",
          `"several\r\nlines, with ""quotes""",u_1,${a.access_token},`,
          `,u_2,"${b!.access_token}",${b!.item_id}`,
          `,u_3,${c!.access_token},${a.item_id}`,
          ",u_4,,",
          "",
          `,u_5,${d!.access_token.replace("sandbox", "production")},`,
          ",u_6,access-sandbox-00000000-0000-0000-0000-000000000000,",
          `"never closed,u_7,${e!.access_token},`,
          `a stray "quote,u_8,${f!.access_token},`,
          `,u_9,${a.access_token},,,too many`,
          "x".repeat(70_000),
          `,,${g!.access_token}`,
        ].join("\r\n");
        const { done, outcomes, asked } = await run(text);
        assert.deepEqual(
          outcomes.map((outcome) => [outcome.row, outcome.kind, "reason" in outcome ? outcome.reason : ""]),
          [
            [2, "imported", ""],
            [4, "imported", ""],
            [5, "failed", "other-item"],
            [6, "failed", "no-token"],
            [8, "failed", "other-environment"],
            [9, "failed", "plaid"],
            [10, "failed", "malformed"],
            [11, "failed", "malformed"],
            [12, "failed", "malformed"],
            [13, "failed", "too-long"],
            [14, "imported", ""],
          ],
        );
        const { rows, imported, known, failed, complete, ignored, bytes } = value(done);
        assert.deepEqual({ rows, imported, known, failed }, { rows: 11, imported: 3, known: 0, failed: 8 });
        assert.deepEqual([complete, ignored, bytes], [true, ["note"], Buffer.byteLength(text)]);
        assert.equal(asked, 5);
        assert.equal(await count(), 3);
        const item = value(await keeper.find(b!.item_id));
        assert.deepEqual([item.user_id, item.state], ["u_2", "healthy"]);
        assert.equal(value(await keeper.use(b!.item_id, async (token) => token)), b!.access_token);
        assert.equal(value(await keeper.find(g!.item_id)).user_id, null);
      }));

    test("of JSON lines, of CSV with semicolons or tabs, and of text in place of bytes comes to the same", () =>
      withKeeper(async () => {
        const [a, b, c, d] = world.items;
        const lines = [
          JSON.stringify({ access_token: a!.access_token, user_id: "u_1", more: { of: ["it"] } }),
          "{",
          "[]",
          JSON.stringify({ access_token: 7 }),
          JSON.stringify({ user_id: "u_2" }),
          JSON.stringify({ access_token: b!.access_token }),
        ].join("\n");
        const { outcomes } = await run(`\n${lines}\n`);
        assert.deepEqual(
          outcomes.map((outcome) => [outcome.row, "reason" in outcome ? outcome.reason : outcome.kind]),
          [
            [2, "imported"],
            [3, "malformed"],
            [4, "malformed"],
            [5, "not-text"],
            [6, "no-token"],
            [7, "imported"],
          ],
        );
        assert.equal(value((await run(`user_id;access_token\nu;${c!.access_token}\n`)).done).imported, 1);
        const texts = (async function* () {
          yield "access_";
          yield `token\tx\n${d!.access_token}`;
        })();
        assert.equal(value(await keeper.importItems(texts)).imported, 1);
        assert.equal(await count(), 4);
      }));

    test("in which nothing can be right is one failure, before Plaid is asked", () =>
      withKeeper(async () => {
        const token = world.items[0]!.access_token;
        const cases = {
          "": "empty",
          "\n\n": "empty",
          [`${token},u_1\n${token},u_2\n`]: "no-access-token",
          [`[{"access_token":"${token}"}]`]: "json-array",
        };
        for (const [text, reason] of Object.entries(cases)) {
          const { done, outcomes, asked } = await run(text);
          const said = failure(done);
          assert.deepEqual([said.kind, "reason" in said && said.reason], ["format", reason]);
          assert.deepEqual([outcomes, asked], [[], 0]);
        }
        assert.equal(value((await run("access_token\n")).done).rows, 0);
        await assert.rejects(keeper.importItems(chunks(""), { concurrency: 0 }), TypeError);
        await assert.rejects(keeper.importItems([] as never), TypeError);
      }));

    test("that is run again asks Plaid nothing, also after a rotation; nothing is here twice", () =>
      withKeeper(async () => {
        const items = world.items.slice(0, 8);
        const text = ["access_token", ...items.map(({ access_token }) => access_token)].join("\n");
        assert.equal(value((await run(`${text}\n${items[0]!.access_token}`)).done).rows, 9);
        assert.equal(await count(), 8);
        const [rotated] = items;
        value(await keeper.rotate(rotated!.item_id));
        const again = await run(text);
        assert.deepEqual([again.asked, value(again.done).known, value(again.done).asked], [0, 8, 0]);
        assert.equal(
          value(await keeper.find(rotated!.item_id)).token_version,
          2,
          "the dead token did not come back",
        );
        const named = await run(`access_token,item_id\n${items[1]!.access_token},${items[2]!.item_id}`);
        assert.deepEqual(
          named.outcomes.map((outcome) => "reason" in outcome && outcome.reason),
          ["other-item"],
        );
        world.items[0] = {
          ...rotated!,
          access_token: value(await keeper.use(rotated!.item_id, async (token) => token)),
        };
        assert.deepEqual(
          await violations(world.sandbox, keeper, { removals: none }).then((said) => said.length),
          1,
        );
      }));

    test("makes a stranded Item whole, leaves a removed one removed, and finds the login of an imported Item", () =>
      withKeeper(async () => {
        const item = value(await keeper.link(await publicToken(world.plaid), { userId: "u_s", institution }));
        const token = value(await keeper.use(item.item_id, async (access_token) => access_token));
        await keeper.database.sql
          .updateTable("items")
          .set({ state: "stranded" })
          .where("item_id", "=", item.item_id)
          .execute();
        const healed = await run(`access_token\n${token}`);
        assert.equal(value(healed.done).imported, 1);
        assert.equal(value(await keeper.find(item.item_id)).state, "healthy");

        await keeper.database.sql
          .updateTable("items")
          .set({ state: "removed", removed_at: 1, token: null, key_id: null })
          .where("item_id", "=", item.item_id)
          .execute();
        await keeper.database.sql.deleteFrom("fingerprints").where("item_id", "=", item.item_id).execute();
        for (const _ of ["once", "again"]) {
          const { outcomes } = await run(`access_token\n${token}`);
          assert.deepEqual(
            outcomes.map((outcome) => "reason" in outcome && outcome.reason),
            ["removed"],
          );
        }
        assert.equal(value(await keeper.find(item.item_id)).state, "removed");

        const other = unwrap(await Item.exchangePublicToken(await publicToken(world.plaid), world.plaid));
        value((await run(`access_token,user_id\n${other.access_token},u_d`)).done);
        const accounts = [{ mask: "0000", name: "Checking" }];
        const second = await keeper.link(await publicToken(world.plaid), {
          userId: "u_d",
          institution,
          accounts,
        });
        assert.deepEqual(failure(second), { kind: "duplicate", of: [other.item_id] });
      }));

    test("pauses while Plaid says 429, and then comes to its end", () => {
      const pauses: number[] = [];
      const wait = async (ms: number) => {
        pauses.push(ms);
        if (pauses.length === 3) world.sandbox.control.faults.clear();
      };
      return withKeeper(
        async () => {
          world.sandbox.control.faults.add({ path: "/item/get", times: 1_000, then: "RATE_LIMIT" });
          const text = ["access_token", ...world.items.slice(1).map((item) => item.access_token)].join("\n");
          const { done } = await run(text, { concurrency: 4 });
          assert.deepEqual(pauses.slice(0, 3), [1_000, 2_000, 4_000]);
          assert.equal(value(done).imported, 11);
        },
        { wait },
      );
    });

    test("waits for what the keepers' budget allows, and takes nothing from live calls", () =>
      withKeeper(
        async () => {
          const text = ["access_token", ...world.items.slice(1).map((item) => item.access_token)].join("\n");
          assert.equal(value((await run(text)).done).imported, 11);
          const state = keeper.budget.state().find(({ path }) => path === "/item/get")!;
          assert.ok(state.usedInLastMinute >= 11);
          assert.equal(state.liveInLastMinute, 0);
        },
        { budget: { limits: { "/item/get": { perMinute: 6_000 } } } },
      ));

    test("stops where every row would fail in the same way, and goes on when that is mended", () =>
      withKeeper(
        async () => {
          const text = ["access_token", ...world.items.slice(1).map((item) => item.access_token)].join("\n");
          for (const then of ["INVALID_API_KEYS", { status: 502 }] as const) {
            world.sandbox.control.faults.add({ path: "/item/get", times: 100_000, then });
            const stopped = failure((await run(text)).done);
            assert.ok(stopped.kind === "stopped" && stopped.cause.kind === "plaid", JSON.stringify(stopped));
            assert.equal(stopped.report.imported, 0);
            assert.equal(stopped.report.complete, false);
            world.sandbox.control.faults.clear();
          }
          const source = async function* () {
            yield Buffer.from(text.slice(0, -10));
            throw Object.assign(new Error("secret words"), { code: "EIO" });
          };
          const broken = failure(await keeper.importItems(source()));
          assert.ok(broken.kind === "stopped");
          assert.deepEqual(broken.cause, { kind: "source", detail: "EIO" });
          assert.equal(value((await run(text)).done).rows, 11);
          assert.equal(await count(), 11);
        },
        { wait: async () => {} },
      ));

    test("reads no further ahead than it works, so that a file of any length takes the same memory", () =>
      withKeeper(async () => {
        const text = ["access_token", ...world.items.slice(1).map((item) => item.access_token)];
        let read = 0;
        let told = 0;
        let ahead = 0;
        const source = async function* () {
          for (const line of [...text, ...Array<string>(500).fill(",too,many")]) {
            read++;
            yield Buffer.from(`${line}\n`);
          }
        };
        const onRow = () => void (ahead = Math.max(ahead, read - ++told));
        const report = value(await keeper.importItems(source(), { concurrency: 3, onRow }));
        assert.equal(report.rows, 511);
        assert.ok(ahead <= 5, `${ahead} lines were read ahead`);
      }));

    test("that stops before the end of its source lets go of that", () =>
      withKeeper(async () => {
        const mistake = new RangeError("the caller's own");
        for (const [head, line] of [
          ["access_token\n", "\n,too,many\n"],
          ["{}\n", "{}\n"],
        ] as const) {
          let closed = 0;
          const source = async function* () {
            try {
              yield head;
              for (;;) yield line;
            } finally {
              closed++;
            }
          };
          const onRow = () => {
            throw mistake;
          };
          await assert.rejects(keeper.importItems(source(), { onRow }), mistake);
          assert.equal(closed, 1, head);
        }
      }));

    test("ends after the rows at hand when its signal comes or the keeper is closed, even if its source is silent", () =>
      withKeeper(async () => {
        const text = ["access_token", ...world.items.slice(1).map((item) => item.access_token)].join("\n");
        const stop = new AbortController();
        const seen: number[] = [];
        const { done } = await run(text, {
          concurrency: 1,
          signal: stop.signal,
          onProgress: ({ rows }) => {
            seen.push(rows);
            if (rows === 3) stop.abort();
          },
        });
        assert.deepEqual([value(done).rows, value(done).complete, seen], [3, false, [1, 2, 3]]);
        await assert.rejects(
          run(text, {
            onRow: () => {
              throw new RangeError("the caller's own");
            },
          }),
          RangeError,
        );
        const silent = async function* () {
          yield "access_token\n";
          await new Promise(() => {});
        };
        const waiting = keeper.importItems(silent());
        await keeper.close();
        assert.equal(value(await waiting).complete, false);
      }));
  });
}

const rows = 2_000;

describe("an import of 2 000 rows that is killed", () => {
  let world: Awaited<ReturnType<typeof manyItems>>;
  let folder: string;
  let file: string;
  let baseUrl: string;
  before(async () => {
    world = await manyItems(rows);
    baseUrl = (await world.sandbox.listen()).url;
    folder = await mkdtemp(join(tmpdir(), "sett-import-file-"));
    file = join(folder, "items.csv");
    const lines = world.items.map(({ access_token, item_id }, at) => `${access_token},u_${at},${item_id}`);
    await writeFile(file, ["access_token,user_id,item_id", ...lines].join("\n"));
  });
  after(async () => {
    await world.sandbox.close();
    await rm(folder, { recursive: true });
  });

  for (const place of ["SQLite", "PostgreSQL"] as const) {
    for (const killAt of [
      { what: "answered", count: 9 },
      { what: "told", count: 700 },
      { what: "asked", count: 1_500 },
    ] as const) {
      test(`${place}, at "${killAt.what}" ${killAt.count}: the second run asks for the rest alone`, async () => {
        const order: ImportOrder = {
          url: await places[place](),
          folder: escrowFolder(),
          baseUrl,
          file,
          killAt,
        };
        const { killed } = await runProgram(join(import.meta.dirname, "import-child.ts"), order);
        assert.ok(killed);

        const keeper = await open(order.url, order.folder, world.plaid, { budget: false });
        try {
          const { n } = await keeper.database.sql
            .selectFrom("items")
            .select((row) => row.fn.countAll().as("n"))
            .executeTakeFirstOrThrow();
          const kept = Number(n);
          if (killAt.what === "told") assert.ok(kept >= killAt.count, "a row that was told of was not kept");
          const asked = world.asked.count;
          const lines = (async function* () {
            yield "access_token,user_id,item_id\n";
            for (const [at, { access_token, item_id }] of world.items.entries())
              yield `${access_token},u_${at},${item_id}\n`;
          })();
          const report = value(await keeper.importItems(lines));
          const { imported, known, failed, complete } = report;
          assert.deepEqual(
            { imported, known, failed, complete },
            { imported: rows - kept, known: kept, failed: 0, complete: true },
          );
          assert.equal(world.asked.count - asked, rows - kept);
          assert.equal(report.asked, rows - kept);
          assert.deepEqual(await violations(world.sandbox, keeper, { removals: none }), []);
          const events = await keeper.database.sql
            .selectFrom("events")
            .select(["item_id"])
            .where("kind", "=", "item.imported")
            .execute();
          assert.equal(new Set(events.map(({ item_id }) => item_id)).size, rows);
          assert.equal(events.length, rows, "an Item came in twice");
        } finally {
          await keeper.close();
        }
      });
    }
  }
});
