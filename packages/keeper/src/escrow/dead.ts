// The journals of the dead: whoever holds a journal's lock while its process does not may do with it what he likes. What
// one of them says of another's records is found with it, for a process may die that had taken over from the dead itself.

import { join } from "node:path";
import type { Files, Lock } from "./files.ts";
import { scan, type Damage, type EscrowMeta, type EscrowRecord, type Scanned } from "./journal.ts";

export interface Dead {
  readonly name: string;
  readonly lock: Lock;
  /** What is not settled, by id. */
  readonly open: Map<string, EscrowRecord>;
  readonly damage: readonly Damage[];
  /** Everything that it says is settled, its own or another's. */
  readonly marks: readonly string[];
}

export interface Where {
  readonly files: Files;
  readonly folder: string;
  /** Whether a record is one for whoever looks. */
  readonly isOurs: (meta: EscrowMeta) => boolean;
  /** Names of journals to pass over. */
  readonly known: ReadonlySet<string>;
}

const journalName = /^([\w-]+)\.journal$/;
export const isName = (name: string): boolean => journalName.test(`${name}.journal`);

export const pathOf = (folder: string, name: string, kind: "journal" | "lock"): string =>
  join(folder, `${name}.${kind}`);

/** The names of the journals among the entries of the folder. */
export const journalsAmong = (entries: readonly string[]): readonly string[] =>
  entries.toSorted().flatMap((entry) => journalName.exec(entry)?.[1] ?? []);

/** What stands in a journal; undefined where it has just been dismissed. */
export async function readJournal(
  { files, folder }: { readonly files: Pick<Files, "read">; readonly folder: string },
  name: string,
): Promise<(Scanned & { readonly path: string }) | undefined> {
  const path = pathOf(folder, name, "journal");
  try {
    return { ...scan(await files.read(path)), path };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return undefined;
  }
}

/** Takes over all that are there or, where one cannot be read, none: what one says is settled may be open in another. */
export async function takeOver(where: Where): Promise<readonly Dead[]> {
  const { files, folder, isOurs, known } = where;
  // A process records for one keeper only, so a journal is ours or others' as a whole.
  const isOthers = ({ records }: Scanned) => records.length > 0 && !records.some(({ meta }) => isOurs(meta));
  const taken: Dead[] = [];
  /** Records of those that are left where they are. */
  const elsewhere = new Set<string>();
  try {
    for (const name of journalsAmong(await files.list(folder))) {
      if (known.has(name)) continue;
      // Looked at before it is locked: to those whose it is, a locked one is that of a process that lives.
      const before = await readJournal(where, name);
      const lock = before && !isOthers(before) ? files.lock(pathOf(folder, name, "lock")) : undefined;
      if (!lock) {
        for (const { id } of before?.records ?? []) elsewhere.add(id);
        continue;
      }
      let found: Scanned | undefined;
      try {
        found = await readJournal(where, name);
      } finally {
        if (!found || isOthers(found)) lock.release();
      }
      if (!found || isOthers(found)) continue;
      const open = new Map(found.records.map((record) => [record.id, record]));
      for (const id of found.settled) open.delete(id);
      taken.push({ name, lock, open, damage: found.damage, marks: found.settled });
    }
  } catch (error) {
    for (const { lock } of taken) lock.release();
    throw error;
  }
  // One that only says something of a journal that is not ours to take stays beside that one.
  return taken.filter(({ lock, open, marks }) => {
    const stays = open.size === 0 && marks.some((id) => elsewhere.has(id));
    if (stays) lock.release();
    return !stays;
  });
}
