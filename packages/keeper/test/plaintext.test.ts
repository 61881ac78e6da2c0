// No plaintext anywhere: after a full life of a thousand Items, on both databases, every token, secret and key that there
// ever was is looked for in whatever is left of it, in every form in which it might be written down.

import assert from "node:assert/strict";
import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import BetterSqlite from "better-sqlite3";
import { sql as raw } from "kysely";
import pg from "pg";
import { exposition } from "../src/cli/exposition.ts";
import { createGauges } from "../src/cli/gauges.ts";
import type { ItemPage } from "../src/lifecycle/selection.ts";
import { value } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";
import type { Crash } from "./plaintext-crash.ts";
import { counts, live, type End, type Life } from "./plaintext-life.ts";
import { searchFor, type Found, type Search } from "./plaintext-search.ts";

const run = promisify(execFile);
const { places, escrowFolder } = testPlaces("plaintext");
/** A token that was cut is none any more, and yet nobody's to see; stars are what a masked one ends in. */
const cutToken = /(?:access|public|link)-(?:sandbox|production)-(?!\*\*\*)[0-9a-f]{4}/;

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "sett-plaintext-"));
});
after(() => rm(folder, { recursive: true }));

for (const place of ["SQLite", "PostgreSQL"] as const) {
  describe(`after a full life of ${counts.items} Items on ${place}`, () => {
    let life: Life;
    let url: string;
    let escrow: string;
    let search: Search;
    const ends: End[] = [];
    /** By name: what is left of it all. */
    const left = new Map<string, Buffer>();

    before(async () => {
      url = await places[place]();
      escrow = escrowFolder();
      const own = join(folder, place);
      await mkdir(own);
      await mkdir(join(own, "reports"));
      life = await live(url, own, escrow, ends);
    });
    after(async () => {
      for (const end of ends.reverse()) await end();
    });

    const seen = new Set<Buffer>();
    /** In what has not been searched yet. */
    const searched = (): Found[] => {
      const unseen = [...left].filter(([, bytes]) => !seen.has(bytes));
      for (const [, bytes] of unseen) seen.add(bytes);
      return unseen.flatMap(([name, bytes]) => search.in(name, bytes));
    };

    test("a process that dies of an exception shows none in its output, its report or its arguments", async () => {
      const reports = join(folder, place, "reports");
      const child = fork(join(import.meta.dirname, "plaintext-crash.ts"), {
        execArgv: [
          "--conditions=@sett/source",
          "--report-uncaught-exception",
          "--report-on-fatalerror",
          `--report-directory=${reports}`,
        ],
        stdio: ["ignore", "pipe", "pipe", "ipc"],
      });
      const said = { stdout: "", stderr: "" };
      for (const name of ["stdout", "stderr"] as const)
        child[name]!.setEncoding("utf8").on("data", (text: string) => (said[name] += text));
      const { clientId, secret, baseUrl } = life.plaid;
      child.send({
        plaid: { clientId, secret, baseUrl },
        database: url,
        folder: escrow,
        keyFile: life.keyFile,
        aheadMs: life.sandbox.control.clock.now() - Date.now(),
        items: life.items.slice(100, 110),
      } satisfies Crash);
      await Promise.race([once(child, "message"), once(child, "close")]);
      assert.equal(child.exitCode, null, said.stderr);
      const { stdout: args } = await run("ps", ["-o", "args=", "-p", String(child.pid)]);
      assert.match(args, /plaintext-crash/);
      child.send("die");
      await once(child, "close");
      assert.match(said.stderr, /nobody catches this/);

      left.set("arguments", Buffer.from(args));
      left.set("stdout", Buffer.from(said.stdout));
      left.set("stderr", Buffer.from(said.stderr));
      const [report] = await readdir(reports);
      left.set("report", await readFile(join(reports, report!)));
      assert.match(String(left.get("report")), /environmentVariables/);

      // All there ever was, the token that is in the escrow alone among it.
      search = searchFor(await life.secrets());
      assert.ok(search.secrets > 2 * counts.items + counts.rotated, `${search.secrets} secrets`);
      assert.deepEqual(searched(), []);
    });

    test("the escrow's folder shows none, while a token waits in it", async () => {
      const files = await readFolder(escrow);
      assert.ok([...files.keys()].some((name) => name.endsWith(".journal")));
      for (const [name, bytes] of files) left.set(`escrow/${name}`, bytes);
      assert.deepEqual(searched(), []);
    });

    test("the database shows none: its files, its log of changes, a dump", async () => {
      for (const [name, bytes] of await (place === "SQLite" ? sqliteFiles(url) : postgresFiles(url)))
        left.set(name, bytes);
      const rows = await tablesAsText(life);
      assert.ok(rows.size >= 9, `only ${[...rows.keys()].join(", ")}`);
      for (const [name, bytes] of rows) left.set(`table ${name}`, bytes);
      assert.ok(rows.get("items")!.length > 100 * counts.items);
      assert.deepEqual(searched(), []);
    });

    test("the keeper's answers, failures, lists and events show none", async () => {
      const { keeper, shown, items } = life;
      const listed: unknown[] = [];
      for (let after: string | null | undefined; after !== null;) {
        const page: ItemPage = value(await keeper.list({}, { after, limit: 500 }));
        listed.push(...page.items);
        after = page.next;
      }
      shown.set("list", JSON.stringify(listed));
      for (const item_id of items.slice(0, 50))
        shown.set(`find ${item_id}`, JSON.stringify(await keeper.find(item_id)));
      const { database, vault } = keeper;
      const gauges = createGauges(database, vault.environment, life.sandbox.control.clock.now);
      shown.set("metrics", exposition(value(await gauges())));
      left.set("export", life.exported);
      shown.set("keys", JSON.stringify(await keeper.vault.keys()));

      const recovery = value(await keeper.recover());
      assert.equal(recovery.adopted.length, 1, "the token of the process that died");
      shown.set("recover", JSON.stringify(recovery));
      await life.close();
      assert.ok(listed.length >= counts.items - counts.removed && life.exported.length > 100 * listed.length);
      assert.match(shown.get("metrics") ?? "", /^# HELP sett_/);
      assert.match(shown.get("events") ?? "", /item\.stranded/);
      assert.match(shown.get("failures") ?? "", /'lost'/);
      for (const [name, text] of shown) left.set(name, Buffer.from(text));
      assert.deepEqual(searched(), []);
    });

    test("nor is there a token that was cut short", () => {
      const found = [...left].flatMap(([name, bytes]) => {
        const at = bytes.toString("latin1").search(cutToken);
        return at === -1 ? [] : [{ name, at }];
      });
      assert.deepEqual(found, []);
    });

    test("one token put into a copy is found, so it would have been", async () => {
      const [[name, token] = []] = [...(await life.secrets())];
      assert.ok(typeof token === "string");
      const planted = await plant(place, url, token);
      const changed = [...planted].filter(([file, bytes]) => !left.get(file)?.equals(bytes));
      const found = changed.flatMap(([file, bytes]) => search.in(file, bytes));
      assert.deepEqual([...new Set(found.map(({ secret }) => secret))], [name]);
      assert.ok(found.some(({ as }) => as === "text") && found.some(({ as }) => as === "text, base64"));
    });
  });
}

async function readFolder(path: string): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    // A server that is running removes files while one reads.
    const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
    if (bytes) found.set(relative(path, file), bytes);
  }
  return found;
}

/** What lies in the folder while it is open, and a copy as a backup makes it. */
async function sqliteFiles(url: string): Promise<Map<string, Buffer>> {
  const files = await readFolder(url);
  assert.ok(files.has("sett.db-wal"));
  const database = new BetterSqlite(join(url, "sett.db"), { readonly: true });
  files.set("backup", database.serialize());
  database.close();
  return files;
}

/** The server's whole folder, its log of changes included, and each table as COPY writes it. */
async function postgresFiles(url: string): Promise<Map<string, Buffer>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows: tables } = await client.query<{ name: string }>(
      "select table_name as name from information_schema.tables where table_schema = 'sett'",
    );
    const { rows } = await client.query<{ data_directory: string }>("show data_directory");
    const data = rows[0]!.data_directory;
    for (const { name } of tables) {
      const [table, text, binary] = [
        `sett.${client.escapeIdentifier(name)}`,
        client.escapeLiteral(join(data, `copy-${name}`)),
        client.escapeLiteral(join(data, `copy-${name}-binary`)),
      ];
      await client.query(`copy ${table} to ${text}`);
      await client.query(`copy ${table} to ${binary} (format binary)`);
    }
    await client.query("checkpoint");
    const files = await readFolder(data);
    for (const part of ["pg_wal/", "base/", "copy-items", "copy-events-binary"])
      assert.ok(
        [...files.keys()].some((name) => name.startsWith(part)),
        `no ${part}`,
      );
    return files;
  } finally {
    await client.end();
  }
}

/** Every table there is, whoever made it: texts as they are, bytes in hex. */
async function tablesAsText({ keeper: { database } }: Life): Promise<Map<string, Buffer>> {
  const tables = await database.sql.introspection.getTables();
  const texts = new Map<string, Buffer>();
  for (const { name, schema } of tables) {
    if (schema !== undefined && schema !== "sett") continue;
    const { rows } = await raw<Record<string, unknown>>`select * from ${raw.table(name)}`.execute(
      database.sql,
    );
    const text = rows.map((row) =>
      Object.values(row)
        .map((cell) => (Buffer.isBuffer(cell) ? cell.toString("hex") : String(cell)))
        .join("\t"),
    );
    texts.set(name, Buffer.from(text.join("\n")));
  }
  return texts;
}

/** A database with one token too many, as text and in base64, and the files that it is in. */
async function plant(
  place: "SQLite" | "PostgreSQL",
  url: string,
  token: string,
): Promise<Map<string, Buffer>> {
  const base64 = Buffer.from(JSON.stringify({ token })).toString("base64");
  if (place === "SQLite") {
    const copy = join(folder, "planted");
    await mkdir(copy);
    await writeFile(join(copy, "sett.db"), await readFile(join(url, "sett.db")));
    const database = new BetterSqlite(join(copy, "sett.db"));
    const events = "insert into events (environment, at, kind, detail) values ('sandbox', 0, 'planted', ?)";
    for (const detail of [token, base64]) database.prepare(events).run(detail);
    database.close();
    return readFolder(copy);
  }
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query("create table planted (detail text)");
    await client.query("insert into planted values ($1), ($2)", [token, base64]);
    await client.query("checkpoint");
    const { rows } = await client.query<{ data_directory: string }>("show data_directory");
    return await readFolder(rows[0]!.data_directory);
  } finally {
    await client.end();
  }
}
