// What waits in the escrow's folder, for one who only looks: no lock is taken and nothing is left behind, so whoever opens a
// keeper meanwhile finds all as it was. Whose a journal is, only its lock would tell: the living's records are among them.

import type { Result } from "sett";
import { readJournal, journalsAmong } from "./dead.ts";
import { asValue, described, type EscrowFailure, type Replay } from "./escrow.ts";
import { nodeFiles, type Files } from "./files.ts";

export interface Seen extends Pick<Replay, "records" | "damage"> {
  /** Names of files that were put aside, for they had damage in them. */
  readonly aside: readonly string[];
}

/** Reads every journal of the folder, as they are one after the other. */
export function lookInto(
  folder: string,
  files: Pick<Files, "list" | "read"> = nodeFiles,
): Promise<Result<Seen, EscrowFailure>> {
  return asValue(async () => {
    const entries = await files.list(folder);
    const journals = [];
    for (const name of journalsAmong(entries)) {
      const found = await readJournal({ files, folder }, name);
      if (found) journals.push(found);
    }
    const settled = new Set(journals.flatMap(({ settled }) => settled));
    const open = new Map(journals.flatMap(({ records }) => records.map((record) => [record.id, record])));
    return {
      records: [...open.values()].filter(({ id }) => !settled.has(id)).sort((a, b) => a.at - b.at),
      damage: journals.flatMap(({ damage, path }) =>
        damage.filter(({ kind }) => kind === "damaged").map((one) => described(one, path)),
      ),
      aside: entries.filter((name) => name.endsWith(".damaged")).sort(),
    };
  });
}
