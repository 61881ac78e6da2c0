// What the escrow asks of a file system, so that a test can take its power away between any two steps; and the lock
// that tells the living from the dead.

import BetterSqlite from "better-sqlite3";
import { mkdir, open, readdir, readFile, rename, unlink } from "node:fs/promises";
import { dirname, resolve } from "node:path";

export interface Files {
  /** Makes it, and those above it that are missing, and gives the first that it made: see `makeFolderDurably`. */
  makeFolder(path: string): Promise<string | undefined>;
  list(folder: string): Promise<string[]>;
  read(path: string): Promise<Buffer>;
  /** Makes a new file for its owner alone; an existing one is an error. */
  create(path: string): Promise<OpenFile>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Makes what was created, renamed and removed in the folder survive a power cut. */
  syncFolder(path: string): Promise<void>;
  /** Held until released or until the process is gone, however it went; undefined while somebody else has it. */
  lock(path: string): Lock | undefined;
}

export interface OpenFile {
  write(bytes: Buffer, position: number): Promise<void>;
  /** Makes what was written survive a power cut. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface Lock {
  release(): void;
}

export const nodeFiles: Files = {
  makeFolder: (path) => mkdir(path, { recursive: true, mode: 0o700 }),
  list: (folder) => readdir(folder),
  read: (path) => readFile(path),
  create: async (path) => {
    const handle = await open(path, "wx", 0o600);
    return {
      write: async (bytes, position) => {
        for (let done = 0; done < bytes.length;) {
          const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done);
          done += bytesWritten;
        }
      },
      sync: () => handle.datasync(),
      close: () => handle.close(),
    };
  },
  rename: (from, to) => rename(from, to),
  remove: async (path) => {
    await unlink(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
    });
  },
  syncFolder: async (path) => {
    const handle = await open(path, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  // Node has no file locks, SQLite has, on every system: the lock is an empty database that is held for writing. A
  // process id would not do: two containers on one folder may both be process 1.
  lock: (path) => {
    // Opened by SQLite alone: a file that this process opens and closes beside it would lose its lock in closing.
    const database = new BetterSqlite(path, { timeout: 0 });
    try {
      database.pragma("journal_mode = off");
      database.exec("begin exclusive");
      return { release: () => void database.close() };
    } catch (error) {
      database.close();
      if (/^SQLITE_BUSY/.test(String((error as { code?: unknown }).code))) return undefined;
      throw error;
    }
  },
};

/** Makes the folder so that it survives a power cut: each that was made is a name in the one above it. */
export async function makeFolderDurably(files: Files, path: string): Promise<void> {
  const made = await files.makeFolder(path);
  if (made === undefined) return;
  const top = dirname(resolve(made));
  let folder = resolve(path);
  do {
    folder = dirname(folder);
    await files.syncFolder(folder);
  } while (folder !== top && folder !== dirname(folder));
}
