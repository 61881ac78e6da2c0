// A world kept in a folder of Node's file system: a snapshot, and a journal of every commit since. A commit is
// written before its answer goes out, so killing the process loses nothing that was answered. Opening joins the two
// into a new snapshot. A journal's torn last line was never answered for and is left out; anything else that does not
// read is an error that names file and line, and nothing is touched.

import * as fs from "node:fs";
import { join } from "node:path";
import { isChange } from "./records.ts";
import type { Change, Journal } from "./world.ts";

const SNAPSHOT = "snapshot.jsonl";
const JOURNAL = "journal.jsonl";
const LOCK = "lock";
/** The first line of both files. */
const HEADER = '{"sett_sandbox_folder":1}';

/** A folder that cannot be used as it is: in use, or damaged. */
export class FolderError extends Error {
  override readonly name = "FolderError";
}

/** Opens a folder for this process alone, and makes it if there is none. */
export async function openFolder(path: string): Promise<Journal> {
  fs.mkdirSync(path, { recursive: true });
  // By whichever way it is reached, it is one folder, with one lock.
  const folder = fs.realpathSync(path);
  const unlock = lock(join(folder, LOCK));
  try {
    const changes = new Map<string, Change>();
    const snapshot = join(folder, SNAPSHOT);
    if (fs.existsSync(join(folder, JOURNAL)) && !fs.existsSync(snapshot))
      throw new FolderError(
        `${snapshot} is missing. Nothing was changed; bring it back or move the folder away.`,
      );
    for (const change of readChanges(snapshot, "whole")) fold(changes, change);
    for (const change of readChanges(join(folder, JOURNAL), "may be torn")) fold(changes, change);
    const lines = [...changes.values()].map((change) => JSON.stringify([change]));
    // Should the process die between the two, the old journal is read over the new snapshot, and says the same.
    replace(folder, SNAPSHOT, [HEADER, ...lines]);
    replace(folder, JOURNAL, [HEADER]);
    return journalIn(join(folder, JOURNAL), [...changes.values()], unlock);
  } catch (thrown) {
    unlock();
    throw thrown;
  }
}

function journalIn(file: string, changes: readonly Change[], unlock: () => void): Journal {
  const descriptor = fs.openSync(file, "a");
  let broken: unknown;
  return {
    changes,
    append(committed) {
      // After a failed write the file may end in half a line, and the world is ahead of it: nothing more is promised.
      if (broken) throw broken;
      try {
        fs.appendFileSync(descriptor, `${JSON.stringify(committed)}\n`);
      } catch (thrown) {
        broken = thrown;
        throw thrown;
      }
    },
    close() {
      broken ??= new FolderError(`${file} is closed`);
      fs.closeSync(descriptor);
      unlock();
    },
  };
}

const fold = (changes: Map<string, Change>, change: Change) => {
  const key = `${change[0]} ${change[1]}`;
  if (change[2] === null) changes.delete(key);
  else changes.set(key, change);
};

function readChanges(file: string, end: "whole" | "may be torn"): Change[] {
  if (!fs.existsSync(file)) return [];
  const written = fs.readFileSync(file, "utf8");
  const lines = written.split("\n");
  // What stands after the last line break: nothing, or a line that the process died over.
  const rest = lines.pop();
  const damaged = (line: number, why: string) =>
    new FolderError(
      `${file}, line ${line}: ${why}. Nothing was changed; mend the line or move the folder away.`,
    );
  if (end === "whole" && rest !== "")
    throw damaged(lines.length + 1, "the file ends in the middle of a line");
  if (lines[0] !== HEADER) throw damaged(1, `expected ${HEADER}`);
  return lines.slice(1).flatMap((line, index) => {
    let changes: unknown;
    try {
      changes = JSON.parse(line);
    } catch {
      throw damaged(index + 2, "expected JSON");
    }
    if (!Array.isArray(changes) || !changes.every(isChange))
      throw damaged(index + 2, "expected a list of changes, each a table, a key and a record or null");
    return changes as Change[];
  });
}

/** Puts a file in the place of another in one step, so that a reader finds the old one or the new one. */
function replace(folder: string, name: string, lines: readonly string[]) {
  const beside = join(folder, `${name}.new`);
  const descriptor = fs.openSync(beside, "w");
  try {
    fs.writeFileSync(descriptor, `${lines.join("\n")}\n`);
    fs.fsyncSync(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
  fs.renameSync(beside, join(folder, name));
}

/** Locks that this process holds: its own id in a lock file is otherwise one of a former life, as in a container. */
const held = new Set<string>();

function lock(file: string): () => void {
  const take = () => {
    fs.writeFileSync(file, `${process.pid}`, { flag: "wx" });
    held.add(file);
  };
  try {
    take();
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "EEXIST") throw thrown;
    const owner = Number(fs.readFileSync(file, "utf8"));
    if (held.has(file) || (owner !== process.pid && isAlive(owner)))
      throw new FolderError(
        `${file}: the folder is in use by process ${owner}; end it, or choose another folder`,
      );
    fs.rmSync(file, { force: true });
    take();
  }
  return () => {
    held.delete(file);
    fs.rmSync(file, { force: true });
  };
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPERM";
  }
}
