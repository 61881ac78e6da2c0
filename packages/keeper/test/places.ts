// Where a test's databases are: a folder of its own for SQLite, a PostgreSQL of its own, both gone when its file ends.

import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { startPostgres, type TestPostgres } from "../../../test/postgres/start.ts";
import { openDatabase } from "../src/database/database.ts";
import { value } from "./lifecycle-world.ts";

/** To be called once, at the top of a test file; what it gives is there when the tests run. */
export function testPlaces(name: string) {
  let folder: string;
  let postgres: TestPostgres;
  let made = 0;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), `sett-${name}-`));
    postgres = await startPostgres();
  });
  after(async () => {
    await postgres.stop();
    await rm(folder, { recursive: true });
  });
  const copyFolder = async (from: string) => {
    const to = join(folder, `copy-${++made}`);
    await cp(from, to, { recursive: true });
    return to;
  };
  const newDatabase = async () => join(folder, `data-${++made}`);
  const copyDatabase = (url: string) => postgres.createDatabase(`${name}-${++made}`, url);
  let prepared: Promise<string> | undefined;
  /** With the schema in it: to make that takes longer than all that most tests ask of their database. */
  const withSchema = async () => {
    const url = await postgres.createDatabase(`${name}-prepared`);
    await value(await openDatabase(url, { now: 0 })).close();
    return url;
  };
  return {
    /** A database that nobody has used: what `openKeeper` is told. */
    places: {
      SQLite: newDatabase,
      PostgreSQL: async () => copyDatabase(await (prepared ??= withSchema())),
    },
    /** The same, without the schema. */
    bare: {
      SQLite: newDatabase,
      PostgreSQL: () => postgres.createDatabase(`${name}-${++made}`),
    },
    /** Another database with the same in it as one that nobody has open. */
    copies: {
      SQLite: copyFolder,
      PostgreSQL: copyDatabase,
    },
    /** Removes a database of these, where a test makes hundreds. */
    remove: {
      SQLite: (url: string) => rm(url, { recursive: true }),
      PostgreSQL: (url: string) => postgres.dropDatabase(url),
    },
    copyFolder,
    /** The name of a folder that nobody has used, to be made by whoever uses it. */
    newFolder: () => join(folder, `folder-${++made}`),
    /** The same, for an escrow. */
    escrowFolder: () => join(folder, `escrow-${++made}`),
    /** Kills the PostgreSQL of this file's tests, and starts it again. */
    kill9: () => postgres.kill9(),
    restart: () => postgres.restart(),
  };
}
