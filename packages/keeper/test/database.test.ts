// The contract over both databases, and what only one of them has.

import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { sql as raw } from "kysely";
import { ok } from "sett";
import { startPostgres, type TestPostgres } from "../../../test/postgres/start.ts";
import { openDatabase } from "../src/database/database.ts";
import { fromPostgres, type DatabaseFailure } from "../src/database/failure.ts";
import { claimLease } from "../src/database/leases.ts";
import { checksum } from "../src/database/migrate.ts";
import { migrations } from "../src/database/migrations.ts";
import { databaseContract, failure, itemRow, keyRow, now, value } from "./contract/database.ts";

let folder: string;
let postgres: TestPostgres;
let made = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "sett-database-"));
  postgres = await startPostgres();
});
after(async () => {
  await postgres.stop();
  await rm(folder, { recursive: true });
});

databaseContract({ name: "SQLite", empty: async () => join(folder, `data-${++made}`) });
databaseContract({ name: "PostgreSQL", empty: () => postgres.createDatabase(`data-${++made}`) });

test("the steps of the schema are those that databases in the world were made by", () => {
  // A line is added with each new step. Once a version with a step has been published, its line never changes.
  const published = [
    "b6e0568a9748cb5370477a2b2417f4e8268364f1f54e355ce74a5fb8f59d82a8",
    "d8a67e519fe2ca74aded83d8721e1687b0c6461a1e25a184fe7aa09152334689",
    "4488ebb0d021a193d4386cd42da00221ad9d3a06f82fe3f1754e3f7209588585",
    "3965af3312d2f838ba6ba215b6b5474468e6c770af1d6d5eb322dc5fed8044c7",
    "ae46e0959fb169dcfc45e7f96ac264faa0f3f34508a20fc81f1e116c3589db4c",
    "1e05631b52aaf38dde3ef5b7fdb19aee97b56c51e7115049abdb7603d8956889",
    "313d6a8d72de35a1339efe4724011854d1bd840658d29830e5c20e103989d92f",
    "5337253d9b70e87634a6b57e4067c0efe09ba8916bfae4122c5d845537b1a42e",
  ];
  assert.deepEqual(migrations.map(checksum), published);
  assert.deepEqual(
    migrations.map(({ number }) => number),
    migrations.map((_, index) => index + 1),
  );
});

test("SQLite: a full disk fails the whole batch, keeps what was before, and heals", async () => {
  const database = value(await openDatabase(join(folder, "full"), { now }));
  await database.sql.insertInto("keys").values(keyRow).execute();
  const limit = (pages: number) =>
    database.transaction(async (sql) => {
      await raw`${raw.raw(`pragma max_page_count = ${pages}`)}`.execute(sql);
      return ok(undefined);
    });
  const add = (id: string, bytes: number) =>
    database.transaction(async (sql) => {
      await sql
        .insertInto("items")
        .values(itemRow(id, { token: Buffer.alloc(bytes, 1) }))
        .execute();
      return ok(id);
    });
  value(await add("before", 10));
  await limit(60);
  const outcomes = await Promise.all([add("small", 10), add("huge", 1_000_000), add("later", 10)]);
  const kinds = outcomes.map((outcome) => (outcome.ok ? "ok" : (outcome.error as DatabaseFailure).kind));
  assert.equal(kinds[1], "full");
  for (const outcome of outcomes)
    if (!outcome.ok) assert.equal((outcome.error as DatabaseFailure).committed, "no");
  const there = await database.sql.selectFrom("items").select("item_id").orderBy("item_id").execute();
  const said = outcomes.flatMap((outcome) => (outcome.ok ? [outcome.value] : []));
  assert.deepEqual(
    there.map(({ item_id }) => item_id),
    ["before", ...said].sort(),
  );
  await limit(1_000_000);
  value(await add("after", 1_000_000));
  await database.close();
});

test("SQLite: a file that is none is refused, and the database's file is its owner's alone", async () => {
  await mkdir(join(folder, "none"));
  await writeFile(
    join(folder, "none/sett.db"),
    "this is no database, though it is long enough to look like one ".repeat(9),
  );
  assert.equal(failure(await openDatabase(join(folder, "none"), { now })).kind, "damaged");
  const database = value(await openDatabase(`sqlite:${join(folder, "deep/er/items.db")}`, { now }));
  assert.equal((await stat(join(folder, "deep/er/items.db"))).mode & 0o777, 0o600);
  assert.equal((await stat(join(folder, "deep"))).mode & 0o777, 0o700);
  await database.close();
});

test("SQLite: one process that writes without a pause lets another in", async () => {
  const [one, other] = await Promise.all([
    openDatabase(join(folder, "fair"), { now }),
    openDatabase(join(folder, "fair"), { now }),
  ]);
  const busy = value(one);
  let stop = false;
  const writers = Array.from({ length: 20 }, async (_, writer) => {
    for (let index = 0; !stop; index++) {
      await claimLease(busy.sql, { name: `w${writer}`, holder: String(index), now: index, forMs: 0 });
    }
  });
  let longest = 0;
  for (let index = 0; index < 20; index++) {
    const begun = performance.now();
    await claimLease(value(other).sql, { name: "other", holder: "o", now: index, forMs: 0 });
    longest = Math.max(longest, performance.now() - begun);
  }
  stop = true;
  await Promise.all(writers);
  assert.ok(longest < 5_000, `waited ${longest} ms`);
  await busy.close();
  await value(other).close();
});

test("what is no database is a mistake of the caller's", async () => {
  for (const url of ["", "mysql://host/db", "sqlite:", "sqlite::memory:", ":memory:", "http://x"]) {
    await assert.rejects(openDatabase(url, { now }), TypeError, url);
  }
});

test("a process killed while it writes loses nothing that it was told is there", async () => {
  for (const url of [join(folder, "killed"), await postgres.createDatabase("killed")]) {
    const child = fork(join(import.meta.dirname, "contract/writer.ts"), [url, "k", "tell"], {
      execArgv: ["--conditions=@sett/source"],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const told: string[] = [];
    child.on("message", (id: string) => {
      told.push(id);
      if (told.length === 150) child.kill("SIGKILL");
    });
    await once(child, "close");
    const database = value(await openDatabase(url, { now }));
    const there = new Set(
      (await database.sql.selectFrom("items").select("item_id").execute()).map(({ item_id }) => item_id),
    );
    for (const id of told) assert.ok(there.has(id), id);
    await database.close();
  }
});

test("PostgreSQL: killed in the middle of transactions, it is unavailable, then back with all it had said", async () => {
  const own = await startPostgres();
  try {
    const database = value(await openDatabase(own.url, { now }));
    await database.sql.insertInto("keys").values(keyRow).execute();
    const acknowledged: string[] = [];
    const failures: DatabaseFailure[] = [];
    let stop = false;
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let index = 0; !stop; index++) {
        const id = `${writer} ${index}`;
        const outcome = await database.transaction(async (sql) => {
          await sql.insertInto("items").values(itemRow(id)).execute();
          return ok(id);
        });
        if (outcome.ok) acknowledged.push(id);
        else failures.push(outcome.error as DatabaseFailure);
        if (!outcome.ok) await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });
    while (acknowledged.length < 100) await new Promise((resolve) => setTimeout(resolve, 5));
    await own.kill9();
    while (failures.length < 8) await new Promise((resolve) => setTimeout(resolve, 5));
    // A statement on its own is its own commit: one whose answer does not come may have been carried out.
    const looked = await database.read((sql) => sql.selectFrom("items").select("item_id").execute());
    const written = await database.read((sql) => sql.insertInto("items").values(itemRow("lost")).execute());
    assert.deepEqual(
      [looked, written].map((one) => failure(one).committed),
      ["no", "unknown"],
    );
    await own.restart();
    const before = acknowledged.length;
    while (acknowledged.length < before + 50) await new Promise((resolve) => setTimeout(resolve, 5));
    stop = true;
    await Promise.all(writers);
    for (const { kind } of failures) assert.equal(kind, "unavailable");
    const there = new Set(
      (await database.sql.selectFrom("items").select("item_id").execute()).map(({ item_id }) => item_id),
    );
    for (const id of acknowledged) assert.ok(there.has(id), id);
    await database.close();
  } finally {
    await own.stop();
  }
});

test("PostgreSQL: what its server and its driver say has one meaning", async () => {
  const { default: pg } = await import("pg");
  const said = (code: string) => Object.assign(new pg.DatabaseError("said", 4, "error"), { code });
  const system = (code: string) => Object.assign(new Error(`write ${code}`), { code, syscall: "write" });
  const meanings: Record<DatabaseFailure["kind"], readonly Error[]> = {
    unavailable: [
      // Going down, another of its processes gone down, not up yet; the line; no place; a copy of another.
      ...["57P01", "57P02", "57P03", "57P04", "57P05", "08000", "08003", "08006", "08P01"].map(said),
      ...["53000", "53200", "53300", "53400", "58000", "58P01", "25006", "25P03", "25P04"].map(said),
      ...["EPIPE", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENOTFOUND", "EPERM"].map(system),
      ...[
        "Connection terminated unexpectedly",
        "Connection terminated",
        "Client has encountered a connection error and is not queryable",
        "timeout exceeded when trying to connect",
        "Cannot use a pool after calling end on the pool",
      ].map((message) => new Error(message)),
    ],
    busy: ["40001", "40P01", "55P03", "57014"].map(said),
    full: [said("53100")],
    constraint: ["23505", "23503", "23514", "23502", "23P01"].map(said),
    damaged: ["XX001", "XX002", "58030"].map(said),
    refused: ["42P01", "42601", "22021", "25P02", "26000", "28P01", "3D000", "XX000"].map(said),
    "not-durable": [],
    "newer-schema": [],
    "changed-schema": [],
  };
  for (const [kind, errors] of Object.entries(meanings))
    for (const error of errors) {
      const { failure } = fromPostgres(error);
      const code = (error as { code?: string }).code ?? null;
      assert.deepEqual([failure.kind, failure.code], [kind, code], String(error));
    }
});

test("PostgreSQL: a server that could lose what it acknowledged is refused", async () => {
  const url = await postgres.createDatabase("careless");
  const { default: pg } = await import("pg");
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query("alter database careless set synchronous_commit = off");
  await client.end();
  assert.equal(failure(await openDatabase(url, { now })).kind, "not-durable");
});

test("PostgreSQL that is not there is unavailable, and its password is not told", async () => {
  const refused = failure(await openDatabase("postgres://me:hunter2@127.0.0.1:1/x", { now }));
  assert.equal(refused.kind, "unavailable");
  assert.ok(!JSON.stringify(refused).includes("hunter2"));
});
