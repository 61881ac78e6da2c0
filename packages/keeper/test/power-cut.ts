// A disk that forgets, when its power is cut, whatever was not synced: bytes since the file's last sync, and names
// since the folder's last. It forgets all of it, which is the worst that an honest disk may do.

import { dirname } from "node:path";
import type { Files } from "../src/escrow/files.ts";

interface Inode {
  bytes: Buffer;
  durable: Buffer;
}

type Operation = "write" | "sync" | "create" | "rename" | "remove" | "syncFolder" | "makeFolder";

export interface PowerCutDisk {
  readonly files: Files;
  /** Resolves when the power is gone; what is still under way then never ends. */
  readonly dark: Promise<void>;
  wasCut(): boolean;
  /** From now on this operation finds the disk full. */
  fail(operation: Operation | undefined): void;
  syncs(): number;
  /** The disk as the next boot finds it, every lock released. */
  afterPowerCut(): PowerCutDisk;
}

interface Contents {
  /** By path; what the running system sees. */
  readonly seen: Map<string, Inode>;
  readonly durable: Map<string, Inode>;
  readonly folders: Set<string>;
  readonly durableFolders: Set<string>;
}

export function powerCutDisk(
  { cutAfter = Infinity }: { cutAfter?: number } = {},
  contents: Contents = {
    seen: new Map(),
    durable: new Map(),
    folders: new Set(["/"]),
    durableFolders: new Set(["/"]),
  },
): PowerCutDisk {
  const { seen, durable, folders, durableFolders } = contents;
  const locks = new Set<string>();
  let steps = 0;
  let syncs = 0;
  let failing: Operation | undefined;
  let goDark!: () => void;
  const dark = new Promise<void>((resolve) => (goDark = resolve));
  const never = new Promise<never>(() => {});

  const step = async (operation: Operation): Promise<void> => {
    await undefined;
    if (steps >= cutAfter) {
      goDark();
      return never;
    }
    steps++;
    if (failing === operation) throw Object.assign(new Error("no space left"), { code: "ENOSPC" });
  };
  const missing = () => Object.assign(new Error("no such file"), { code: "ENOENT" });

  const syncFolder = async (path: string) => {
    await step("syncFolder");
    for (const [name, inode] of seen) if (dirname(name) === path) durable.set(name, inode);
    for (const name of durable.keys()) if (dirname(name) === path && !seen.has(name)) durable.delete(name);
    for (const name of folders) if (dirname(name) === path) durableFolders.add(name);
  };

  const files: Files = {
    makeFolder: async (path) => {
      const parts = path.split("/").slice(1);
      let first: string | undefined;
      for (const [index] of parts.entries()) {
        const name = `/${parts.slice(0, index + 1).join("/")}`;
        if (folders.has(name)) continue;
        await step("makeFolder");
        folders.add(name);
        first ??= name;
      }
      return first;
    },
    list: async (folder) =>
      [...seen.keys()]
        .filter((name) => dirname(name) === folder)
        .map((name) => name.slice(folder.length + 1)),
    read: async (path) => {
      const inode = seen.get(path);
      if (!inode) throw missing();
      return Buffer.from(inode.bytes);
    },
    create: async (path) => {
      await step("create");
      if (seen.has(path)) throw Object.assign(new Error("exists"), { code: "EEXIST" });
      const inode: Inode = { bytes: Buffer.alloc(0), durable: Buffer.alloc(0) };
      seen.set(path, inode);
      return {
        write: async (bytes, position) => {
          await step("write");
          const size = Math.max(inode.bytes.length, position + bytes.length);
          const grown = Buffer.alloc(size);
          inode.bytes.copy(grown);
          bytes.copy(grown, position);
          inode.bytes = grown;
        },
        sync: async () => {
          await step("sync");
          syncs++;
          inode.durable = Buffer.from(inode.bytes);
        },
        close: async () => {},
      };
    },
    rename: async (from, to) => {
      await step("rename");
      const inode = seen.get(from);
      if (!inode) throw missing();
      seen.set(to, inode);
      seen.delete(from);
    },
    remove: async (path) => {
      await step("remove");
      seen.delete(path);
    },
    syncFolder,
    lock: (path) => {
      if (locks.has(path)) return undefined;
      locks.add(path);
      return { release: () => void locks.delete(path) };
    },
  };
  return {
    files,
    dark,
    wasCut: () => steps >= cutAfter,
    fail: (operation) => (failing = operation),
    syncs: () => syncs,
    afterPowerCut: () => {
      const left = new Map<string, Inode>();
      // A folder that is forgotten takes with it whatever is below it.
      const stays = (folder: string): boolean =>
        folder === "/" || (durableFolders.has(folder) && stays(dirname(folder)));
      const foldersLeft = [...durableFolders].filter(stays);
      for (const [name, { durable: bytes }] of durable) {
        if (stays(dirname(name))) left.set(name, { bytes: Buffer.from(bytes), durable: bytes });
      }
      return powerCutDisk(
        {},
        {
          seen: left,
          durable: new Map(left),
          folders: new Set(foldersLeft),
          durableFolders: new Set(foldersLeft),
        },
      );
    },
  };
}
