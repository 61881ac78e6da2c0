// Brings a database to the schema of this program, or refuses: a newer schema belongs to a newer program, and a step
// that differs from ours belongs to nobody.

import { createHash } from "node:crypto";
import { CompiledQuery } from "kysely";
import type { Sql } from "./connection.ts";
import type { Differences } from "./differences.ts";
import type { Engine } from "./engine.ts";
import { databaseFailure, DatabaseError } from "./failure.ts";
import type { Migration } from "./migrations.ts";

/** Does the steps that are missing, in one transaction and one process at a time. Throws `DatabaseError`. */
export async function migrate(engine: Engine, steps: readonly Migration[], now: number): Promise<void> {
  const { differences } = engine;
  if (
    (await differences.hasTable(engine.sql, "migrations")) &&
    (await missing(engine.sql, steps)).length === 0
  )
    return;
  await engine.transaction(async (sql) => {
    const run = (text: string) => sql.executeQuery(CompiledQuery.raw(text));
    await differences.lockForMigration(sql);
    await run(`create table if not exists migrations (
      number ${differences.words.integer} not null primary key,
      name text not null,
      checksum text not null,
      applied_at ${differences.words.integer} not null
    )${differences.words.keyed}`);
    for (const step of await missing(sql, steps)) {
      for (const statement of statementsOf(step, differences)) await run(statement);
      await sql
        .insertInto("migrations")
        .values({ number: step.number, name: step.name, checksum: checksum(step), applied_at: now })
        .execute();
    }
    return { commit: true, value: undefined };
  }, Infinity);
}

async function missing(sql: Sql, steps: readonly Migration[]): Promise<readonly Migration[]> {
  const applied = await sql.selectFrom("migrations").selectAll().orderBy("number").execute();
  const newest = applied.at(-1);
  if (newest && newest.number > steps.length) {
    const detail =
      `the database has schema ${newest.number} ("${newest.name}"), this program knows ${steps.length}: ` +
      `use the version of @sett/keeper that made it, or a later one`;
    throw new DatabaseError(databaseFailure("newer-schema", detail));
  }
  for (const [at, { number, name, checksum: found }] of applied.entries()) {
    const step = steps[at];
    if (step?.number === number && checksum(step) === found) continue;
    const detail = `step ${number} ("${name}") of the database's schema is not the one that this program knows`;
    throw new DatabaseError(databaseFailure("changed-schema", detail));
  }
  return steps.slice(applied.length);
}

/** Of the step's text as it is written, whatever the database; how it is laid out does not matter. */
export const checksum = (step: Migration): string =>
  createHash("sha256").update(step.sql.replace(/\s+/g, " ").trim()).digest("hex");

function statementsOf({ sql }: Migration, { words }: Differences): string[] {
  const spelled = sql.replace(/\{(\w+)\}/g, (_, word: keyof typeof words) => {
    if (!Object.hasOwn(words, word)) throw new TypeError(`no database knows the word {${word}}`);
    return words[word];
  });
  return spelled
    .split(/;\s*$/m)
    .map((statement) => statement.trim())
    .filter((statement) => statement !== "");
}
