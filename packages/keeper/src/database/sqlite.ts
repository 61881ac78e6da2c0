// SQLite in one file. Two connections: one reads, so that nobody sees what is not committed yet; one writes, for all
// of this process in turn. Transactions that wait while one is being written share the next commit and its fsync (group
// commit), and one that fails takes nothing else with it, unless what failed is the disk, or the file: each is inside a
// savepoint of its own, but for those that hardly ever fail. These are done without, and once more with it if one does.

import BetterSqlite, { type Database as Handle, type Statement } from "better-sqlite3";
import { closeSync, fsyncSync, mkdirSync, openSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { QueryResult } from "kysely";
import { createSql, type Run } from "./connection.ts";
import { sqlite } from "./differences.ts";
import { closedFailure, perform, type Engine, type Outcome, type Work } from "./engine.ts";
import { databaseFailure, DatabaseError, fromSqlite } from "./failure.ts";
import { byRow, type Given, type Plan } from "./together.ts";

/** How long the lock of another process is waited for. */
const busyMs = 10_000;
/** One batch holds the lock for about this long at most, so that another process gets its turn. */
const batchMs = 20;
const maxStatements = 500;

interface Waiting {
  readonly work: () => Outcome<unknown> | Promise<Outcome<unknown>>;
  /** It hardly ever fails, and is done without a savepoint first. */
  readonly isSafe: boolean;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Opens the file, or makes it, readable by its owner alone. Throws what `fromSqlite` makes of SQLite's errors. */
export function openSqlite(file: string, patienceMs: number): Engine {
  try {
    prepareFile(file);
    const writer = connect(file);
    // Another process's lock is waited for without standing still: see `begin`.
    writer.pragma("busy_timeout = 0");
    const reader = connect(file);
    reader.pragma("query_only = on");
    return engine(writer, reader, patienceMs);
  } catch (error) {
    throw fromSqlite(error);
  }
}

function prepareFile(file: string): void {
  const folder = dirname(resolve(file));
  const made = mkdirSync(folder, { recursive: true, mode: 0o700 });
  closeSync(openSync(file, "a", 0o600));
  // The file is a name in its folder, and each folder that was made is one in the folder above it.
  const top = made === undefined ? folder : dirname(resolve(made));
  for (let at = folder; ; at = dirname(at)) {
    const descriptor = openSync(at, "r");
    fsyncSync(descriptor);
    closeSync(descriptor);
    if (at === top || at === dirname(at)) return;
  }
}

function connect(file: string): Handle {
  const handle = new BetterSqlite(file, { timeout: busyMs });
  handle.pragma("journal_mode = wal");
  handle.pragma("synchronous = full");
  handle.pragma("fullfsync = on");
  handle.pragma("checkpoint_fullfsync = on");
  handle.pragma("foreign_keys = on");
  handle.pragma("secure_delete = on");
  // Pages of the indexes are written again and again: copying them over less often (16 MB) copies fewer.
  handle.pragma("wal_autocheckpoint = 4000");
  const is = (name: string) => handle.pragma(name, { simple: true });
  if (is("journal_mode") !== "wal" || is("synchronous") !== 2 || is("foreign_keys") !== 1) {
    handle.close();
    throw new DatabaseError(
      databaseFailure(
        "not-durable",
        "SQLite did not accept journal_mode = wal, synchronous = full, foreign_keys = on",
      ),
    );
  }
  return handle;
}

function engine(writer: Handle, reader: Handle, patienceMs: number): Engine {
  const queue: Waiting[] = [];
  let draining: Promise<void> | undefined;
  let closed = false;

  const fromReader = statements(reader);
  const fromWriter = statements(writer);
  const [begin, savepoint, release, back, commit, rollback] = [
    "begin immediate",
    "savepoint one",
    "release one",
    "rollback to one",
    "commit",
    "rollback",
  ].map((text) => {
    const statement = writer.prepare(text);
    return () => void statement.run();
  }) as [() => void, () => void, () => void, () => void, () => void, () => void];

  const queued = (work: Waiting["work"], isSafe: boolean) =>
    new Promise<unknown>((resolve, reject) => {
      if (closed) return reject(closedFailure());
      queue.push({ work, isSafe, resolve, reject });
      draining ??= drain();
    });

  const transaction = <Value>(work: Work<Value>, patience = patienceMs) =>
    queued(() => perform(work, bind(onWriter), patience), false) as Promise<Value>;

  const together = (plan: Plan) => {
    const steps = byRow(plan).map((step) => ({ ...step, statement: fromWriter(step.sql).statement }));
    return (given: Given) => {
      const work = () => {
        for (const { over, names, statement } of steps)
          for (const row of given[over]!) statement.run(...names.map((name) => row[name]));
        return { commit: true, value: undefined };
      };
      return queued(work, true) as Promise<void>;
    };
  };

  const onWriter: Run = ({ sql, parameters }) => execute(fromWriter(sql), parameters);
  const onItsOwn: Run = (query) => {
    if (closed) throw closedFailure();
    const prepared = fromReader(query.sql);
    if (prepared.readonly) return execute(prepared, query.parameters);
    return transaction(async (sql) => ({ commit: true, value: await sql.executeQuery(query) }));
  };
  const { sql, bind } = createSql(sqlite.spelling, onItsOwn);

  async function drain(): Promise<void> {
    let again = false;
    while (queue.length > 0) {
      // Whoever was woken by the last commit, or by the same round of the event loop, comes along.
      await new Promise(setImmediate);
      try {
        await locked(begin);
      } catch (error) {
        for (const { reject } of queue.splice(0)) reject(error);
        continue;
      }
      again = await batch(again || !queue[0]!.isSafe);
    }
    // In the same breath as the look at the queue: whoever comes after it starts anew.
    draining = undefined;
  }

  /** True where it is to be done again, with savepoints: a savepoint copies each page that is written in it. */
  async function batch(withSavepoints: boolean): Promise<boolean> {
    const members: Waiting[] = [];
    const tell: (() => void)[] = [];
    const end = performance.now() + batchMs;
    let committing = false;
    try {
      while (queue.length > 0 && performance.now() < end && (withSavepoints || queue[0]!.isSafe)) {
        const waiting = queue.shift()!;
        members.push(waiting);
        if (withSavepoints) tell.push(await apart(waiting));
        else {
          const { value } = await waiting.work();
          tell.push(() => waiting.resolve(value));
        }
      }
      committing = true;
      commit();
    } catch (thrown) {
      const error = fromSqlite(thrown);
      const ofOne = !withSavepoints && !committing && writer.inTransaction && !isOfAll(error);
      try {
        if (writer.inTransaction) rollback();
      } catch {
        // Then the next BEGIN fails, and says so to those who come next.
      }
      if (ofOne) {
        queue.unshift(...members);
        return true;
      }
      for (const { reject } of members) reject(committing ? unsureOf(error) : error);
      return false;
    }
    for (const one of tell) one();
    return false;
  }

  /** Does one piece of work in its savepoint. Gives what is to be told once the batch is on disk; throws if all is lost. */
  async function apart({ work, resolve, reject }: Waiting): Promise<() => void> {
    savepoint();
    let tell: () => void;
    let keep = false;
    try {
      const { commit, value } = await work();
      keep = commit;
      tell = () => resolve(value);
    } catch (thrown) {
      // Out of disk or memory, SQLite itself has rolled everything back.
      if (!writer.inTransaction) throw thrown;
      const error = fromSqlite(thrown);
      tell = () => reject(error);
    }
    if (!keep) back();
    release();
    return tell;
  }

  return {
    differences: sqlite,
    sql,
    run: onItsOwn,
    transaction,
    // No statement is ever stopped here.
    read: (work) => work(sql),
    together,
    close: async () => {
      closed = true;
      await draining;
      reader.close();
      writer.close();
    },
  };
}

/** Takes the lock for writing. Waits for another process in the event loop's time, not in SQLite's, which would stand still. */
async function locked(begin: () => void): Promise<void> {
  const end = performance.now() + busyMs;
  for (;;) {
    try {
      return begin();
    } catch (thrown) {
      const error = fromSqlite(thrown);
      const busy = error instanceof DatabaseError && error.failure.kind === "busy";
      if (!busy || performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

/** Prepared statements by their text: SQLite is so fast that preparing one takes longer than running it. */
function statements(handle: Handle): (text: string) => Prepared {
  const known = new Map<string, Prepared>();
  return (text) => {
    let prepared = known.get(text);
    if (!prepared) {
      try {
        const statement = handle.prepare(text);
        const { reader, readonly } = statement;
        prepared = { statement, reader, readonly };
      } catch (error) {
        throw fromSqlite(error);
      }
      if (known.size >= maxStatements) known.delete(known.keys().next().value!);
      known.set(text, prepared);
    }
    return prepared;
  };
}

/** With what is known of it, for to ask it each time is a call into SQLite. */
interface Prepared extends Pick<Statement, "reader" | "readonly"> {
  readonly statement: Statement;
}

function execute({ statement, reader }: Prepared, parameters: readonly unknown[]): QueryResult<unknown> {
  try {
    if (reader) return { rows: statement.all(...parameters) };
    const { changes } = statement.run(...parameters);
    return { numAffectedRows: BigInt(changes), rows: [] };
  } catch (error) {
    throw fromSqlite(error);
  }
}

/** Whether it would meet the others too. What is not SQLite's own, such as a value that cannot be bound, is one's alone. */
const isOfAll = (error: unknown) =>
  error instanceof DatabaseError && /^(full|busy|damaged|unavailable)$/.test(error.failure.kind);

/** A commit that failed for want of room did not happen; one whose fsync failed may have. */
function unsureOf(error: unknown): unknown {
  if (!(error instanceof DatabaseError) || error.failure.kind === "full") return error;
  return new DatabaseError({ ...error.failure, committed: "unknown" });
}
