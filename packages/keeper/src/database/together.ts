// Statements that always go together, asked so often that what they cost shows. They are compiled once, over tables of
// values, and are done for any number of rows, all or nothing. PostgreSQL gets all of them as one statement, so that
// there is one round trip and no BEGIN; SQLite runs each for each row, which is far quicker than JSON or VALUES lists.

import { CompiledQuery, type Compilable } from "kysely";
import type { Sql } from "./connection.ts";
import { postgresKinds, type Kind } from "./differences.ts";

/** The columns of a table of values. */
export type Kinds = Readonly<Record<string, Kind>>;

type Values = { readonly text: string; readonly bytes: Uint8Array; readonly integer: number };

/** One row of it. */
export type RowOf<Of extends Kinds> = { readonly [Name in keyof Of]: Values[Of[Name]] | null };

/** Rows by the name of their table. */
export type Given = Readonly<Record<string, readonly Readonly<Record<string, unknown>>[]>>;

/** A statement that reads from one of the tables of values, and takes no other parameters. */
export interface Step {
  readonly over: string;
  readonly statement: Compilable<unknown>;
}

export interface Plan {
  readonly tables: Readonly<Record<string, Kinds>>;
  readonly steps: readonly { readonly over: string; readonly sql: string }[];
}

export type Build<Tables extends Readonly<Record<string, Kinds>>> = (
  sql: Sql,
  /** Says over which table of values a statement goes; `sql` has that table too. */
  over: <Name extends keyof Tables & string>(
    name: Name,
    build: (sql: ReturnType<typeof withTable<Name, Tables[Name]>>) => Compilable<unknown>,
  ) => Step,
) => readonly Step[];

const withTable = <Name extends string, Of extends Kinds>(sql: Sql) =>
  sql.withTables<{ [Table in Name]: RowOf<Of> }>();

export function planOf<Tables extends Readonly<Record<string, Kinds>>>(
  sql: Sql,
  tables: Tables,
  build: Build<Tables>,
): Plan {
  const steps = build(sql, (over, build) => ({ over, statement: build(withTable(sql)) })).map(
    ({ over, statement }) => {
      const compiled = statement.compile();
      if (compiled.parameters.length > 0)
        throw new TypeError("values that differ belong into the table, those that do not are literals");
      return { over, sql: compiled.sql };
    },
  );
  return { tables, steps };
}

const quoted = (name: string) => `"${name}"`;
const list = (names: readonly string[]) => names.map(quoted).join(", ");

/** For SQLite: each step's text, for one row at a time. */
export function byRow({ tables, steps }: Plan): readonly { over: string; names: string[]; sql: string }[] {
  return steps.map(({ over, sql }) => {
    const names = Object.keys(tables[over]!);
    const row = `(select ${names.map(() => "?").join(", ")})`;
    return { over, names, sql: `with ${quoted(over)} (${list(names)}) as ${row} ${sql}` };
  });
}

/**
 * For PostgreSQL: one statement, without the steps that have nothing to do; undefined where none has. A table of one row
 * takes a parameter a column, which takes a third of the time of an array each. No step sees what another does, and no
 * foreign key is looked at before the end.
 */
export function atOnce({ tables, steps }: Plan): (given: Given) => CompiledQuery | undefined {
  const texts = new Map<string, string>();
  const textFor = (present: readonly Present[]): string => {
    let number = 0;
    const parts = present.map(({ table, single }) => {
      const columns = Object.entries(tables[table]!);
      const values = columns
        .map(([, kind]) => `$${++number}::${postgresKinds[kind]}${single ? "" : "[]"}`)
        .join(", ");
      const names = list(columns.map(([name]) => name));
      return `${quoted(table)} (${names}) as (select ${single ? values : `* from unnest(${values})`})`;
    });
    const wanted = steps.filter(({ over }) => present.some(({ table }) => table === over));
    const before = wanted.slice(0, -1).map(({ sql }, at) => `step_${at} as (${sql})`);
    return `with ${[...parts, ...before].join(", ")} ${wanted.at(-1)!.sql}`;
  };
  return (given) => {
    const present = Object.keys(tables)
      .filter((table) => given[table]!.length > 0)
      .map((table) => ({ table, single: given[table]!.length === 1 }));
    if (present.length === 0) return undefined;
    const which = JSON.stringify(present);
    const sql = texts.get(which) ?? textFor(present);
    texts.set(which, sql);
    const parameters = present.flatMap(({ table, single }) =>
      Object.keys(tables[table]!).map((name) => {
        const column = given[table]!.map((row) => row[name]);
        return single ? column[0] : column;
      }),
    );
    return CompiledQuery.raw(sql, parameters);
  };
}

/** A table of values that has rows. */
interface Present {
  readonly table: string;
  readonly single: boolean;
}
