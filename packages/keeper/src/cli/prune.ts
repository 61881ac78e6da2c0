// `prune`: what is only of the past goes; whoever is to say yes is told first how much that is.

import type { Pruned, PrunedRows } from "../prune.ts";
import { confirm } from "./ask.ts";
import type { Register } from "./command.ts";
import { wrong } from "./exits.ts";
import { withBooks } from "./open.ts";
import { createProgress } from "./progress.ts";
import { orStop } from "./sentences.ts";
import { moment, spanOf } from "./spans.ts";

interface PruneCommand {
  readonly olderThan: string;
  readonly dryRun?: true;
  readonly yes?: true;
}

const dayMs = 86_400_000;

export const register: Register = (cli) => {
  cli.add<PruneCommand>(
    {
      name: "prune",
      does: "deletes sweeps that are over, settled intents, and webhooks in the history that all subscribers have read; Items and their changes stay",
      examples: ["sett prune --older-than 90d --dry-run", "sett prune --older-than 90d --yes"],
      looks: "with --dry-run",
      offline: true,
    },
    (command) =>
      command
        .requiredOption("--older-than <span>", "what was over so long ago, such as 90d; 1d at least")
        .option("--dry-run", "says what would go, and deletes nothing")
        .option("-y, --yes", "without being asked"),
    async (call) => {
      const { context, out, options } = call;
      const olderThan = spanOf("--older-than", options.olderThan);
      if (olderThan < dayMs) throw wrong("--older-than must be at least 1d");
      const before = context.now() - olderThan;
      return withBooks(call, async (books) => {
        const pruned = async (dryRun: boolean, total: number | null): Promise<Pruned> => {
          const progress = createProgress(context, out, dryRun ? "counted" : "deleted", total);
          const onProgress = (soFar: PrunedRows) => progress.at(rowsOf(soFar));
          const done = await books.prune({ before, dryRun, signal: context.signal, onProgress });
          progress.end();
          return orStop(done);
        };
        const ask = async (): Promise<Pruned> => {
          const counted = await pruned(true, null);
          const rows = rowsOf(counted);
          if (options.dryRun || rows === 0) return counted;
          await confirm(call, `delete ${said(counted)} of before ${moment(before)}`);
          return pruned(false, rows);
        };
        // To count takes as long as to delete: not for one who has said yes already.
        const seen = options.yes && !options.dryRun ? await pruned(false, null) : await ask();
        await out.line(`${options.dryRun ? "would delete" : "deleted"} ${said(seen)}`);
        await out.record({ before, dryRun: options.dryRun === true, ...seen });
        for (const name of seen.unread)
          out.note(`the subscriber ${name} has not read so far: the webhooks that it has not had stay`);
        return seen.whole ? "done" : "interrupted";
      });
    },
  );
};

const rowsOf = ({ sweeps, sweepItems, intents, webhooks }: PrunedRows) =>
  sweeps + sweepItems + intents + webhooks;

const said = ({ sweeps, sweepItems, intents, webhooks }: PrunedRows) =>
  `${sweeps} sweeps with ${sweepItems} Items, ${intents} intents, ${webhooks} webhooks`;
