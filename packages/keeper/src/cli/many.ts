// One piece of work over several Items: some at a time, one line or one object for each, progress, and the one ending that
// comes of all of theirs. A signal lets what is under way finish and begins nothing more.

import type { Result } from "sett";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import type { ItemView } from "../lifecycle/ledger.ts";
import type { Call } from "./command.ts";
import type { Ending } from "./exits.ts";
import { createProgress } from "./progress.ts";
import { sentence } from "./sentences.ts";

/** Plaid's limits are per Item for the most part; more than this would find those that are per client. */
const atOnce = 4;

export interface Work {
  /** What is being done, for the progress: `rotated`. */
  readonly done: string;
  one(itemId: string): Promise<Result<ItemView, KeeperFailure>>;
  /** What is said of an Item that it was done to. */
  said(item: ItemView): string;
}

export async function overItems(
  { context, out }: Pick<Call<unknown>, "context" | "out">,
  ids: readonly string[],
  { done, one, said }: Work,
): Promise<Ending> {
  const { signal } = context;
  const progress = createProgress(context, out, done, ids.length);
  const endings: Ending[] = [];
  const queue = ids.values();
  const worker = async () => {
    for (const id of queue) {
      if (signal.aborted) return;
      const result = await one(id);
      if (result.ok) {
        endings.push("done");
        await out.line(`${id}\t${said(result.value)}`);
        await out.record({ item_id: id, ok: true, item: result.value });
      } else {
        const { text, ending } = sentence(result.error);
        endings.push(ending);
        out.note(text.includes(id) ? text : `${id}: ${text}`);
        await out.record({ item_id: id, ok: false, ending, message: text, failure: result.error });
      }
      if (ids.length > 1) progress.at(endings.length);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, ids.length) }, worker));
  progress.end();
  const good = endings.filter((ending) => ending === "done").length;
  if (ids.length > 1) out.note(`${done} ${good} of ${ids.length}`);
  if (endings.length < ids.length) return "interrupted";
  if (ids.length === 1) return endings[0]!;
  return good === ids.length ? "done" : "some";
}
