// `rotate`, `webhook`, `remove`, `abandon`: what is done to Items; and `forget`, which is done to a user.

import { InvalidArgumentError, type Command } from "commander";
import { itemRemove } from "sett/endpoints";
import type { Item, Result } from "sett";
import { confirm, readItemIds } from "./ask.ts";
import type { Call, Register } from "./command.ts";
import { wrong, type Ending } from "./exits.ts";
import { id } from "./filters.ts";
import { withBooks, withKeeper } from "./open.ts";
import { createProgress } from "./progress.ts";
import { orStop, sentence } from "./sentences.ts";
import type { Keeper } from "../keeper.ts";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import type { ItemView } from "../lifecycle/ledger.ts";
import { isText, isWebUrl, longestNote } from "../lifecycle/texts.ts";

interface Yes {
  readonly yes?: true;
}

/** Plaid's limits are per Item for the most part; more than this would find those that are per client. */
const atOnce = 4;

interface Work {
  /** What must be confirmed, if anything. */
  asks?(ids: readonly string[]): string | undefined;
  /** What is being done, for the progress: `rotated`. */
  readonly done: string;
  one(keeper: Keeper, itemId: string): Promise<Result<ItemView, KeeperFailure>>;
  /** What is said of an Item that it was done to. */
  said(item: ItemView): string;
}

export type Reason = Partial<Record<"reasonCode" | "reasonNote", string>>;

export const register: Register = (cli) => {
  cli.add<Yes>(
    {
      name: "rotate",
      does: "a new access token for each Item; the old one dies, and whoever uses the Item notices nothing",
      examples: [
        "sett rotate eVBnVMp7zdTJLkRNr33Rs6zr7KNJqBFL9DrE6",
        "sett items --older-than 90d --all | sett rotate - --yes",
      ],
    },
    (command) =>
      command
        .argument("<item_id...>", "Items, or - for ids on standard input, one to a line")
        .option("-y, --yes", "several at once without being asked"),
    (call) =>
      each(call, call.args, {
        asks: ({ length }) => (length > 1 ? `rotate the tokens of ${length} Items` : undefined),
        done: "rotated",
        one: (keeper, id) => keeper.rotate(id),
        said: ({ token_version }) => `rotated: token ${token_version}`,
      }),
  );

  cli.add<Yes & { readonly none?: true }>(
    {
      name: "webhook",
      does: "moves the webhook of Items to a URL, or takes it away",
      examples: [
        "sett webhook https://app.example/plaid eVBnVMp7zdTJLkRNr33Rs6zr7KNJqBFL9DrE6",
        "sett items --all | sett webhook https://app.example/plaid -",
        "sett webhook --none eVBnVMp7zdTJLkRNr33Rs6zr7KNJqBFL9DrE6",
      ],
    },
    (command) =>
      command
        .usage("[options] <url> <item_id...> | --none <item_id...>")
        .argument("<url-and-items...>", "the URL, and Items or - for ids on standard input")
        .option("--none", "no webhook: Plaid tells of these Items no more"),
    async (call) => {
      const { none = false } = call.options;
      const url = none ? null : call.args[0]!;
      if (url !== null && !isWebUrl(url))
        throw wrong(
          "the first argument must be the http(s) URL for webhooks; to take webhooks away say --none",
        );
      const given = none ? call.args : call.args.slice(1);
      if (none && isWebUrl(given[0])) throw wrong("--none and a URL: leave one of them out");
      if (given.length === 0)
        throw wrong("which Items? Give their ids after the URL, or - for standard input");
      return each(call, given, {
        done: "moved",
        one: (keeper, id) => keeper.updateWebhook(id, url),
        said: ({ webhook }) => `webhook: ${webhook ?? "none"}`,
      });
    },
  );

  cli.add<Yes & Reason>(
    {
      name: "remove",
      does: "removes Items at Plaid and throws their tokens away: billing ends, and it cannot be undone",
      examples: [
        "sett remove eVBnVMp7zdTJLkRNr33Rs6zr7KNJqBFL9DrE6",
        "sett items --user u_42 --all | sett remove - --reason-code OTHER --yes",
      ],
    },
    (command) =>
      reasoned(command)
        .argument("<item_id...>", "Items, or - for ids on standard input, one to a line")
        .option("-y, --yes", "without being asked"),
    (call) =>
      each(call, call.args, {
        asks: (ids) => `remove ${named(ids)} for good`,
        done: "removed",
        one: (keeper, id) => keeper.remove(id, reasonOf(call.options)),
        said: ({ state }) => state,
      }),
  );

  cli.add<Yes & { readonly note: string }>(
    {
      name: "abandon",
      does: "gives up a stranded Item: its token is destroyed, and the row that stays says that Plaid never confirmed it",
      examples: [
        'sett abandon eVBnVMp7zdTJLkRNr33Rs6zr7KNJqBFL9DrE6 --note "removed by Plaid\'s support, ticket 4711"',
      ],
    },
    (command) =>
      command
        .argument("<item_id...>", "Items, or - for ids on standard input, one to a line")
        .requiredOption(
          "--note <text>",
          "why one may do so, for later; no secrets and no names in it",
          noteField,
        )
        .option("-y, --yes", "without being asked"),
    async (call) => {
      const { note } = call.options;
      if (note.trim() === "") throw wrong("--note must say why");
      return each(call, call.args, {
        asks: (ids) => `abandon ${named(ids)} for good`,
        done: "abandoned",
        one: (keeper, id) => keeper.abandon(id, { note }),
        said: ({ state }) => state,
      });
    },
  );

  cli.add<Yes>(
    {
      name: "forget",
      does: "takes a user's name off everything, once all of their Items are removed; it cannot be undone",
      examples: ["sett forget u_42"],
      offline: true,
    },
    (command) =>
      command.argument("<user_id>", "as it was linked", id).option("-y, --yes", "without being asked"),
    async (call) => {
      const [userId = ""] = call.args;
      await confirm(call, `forget the user ${userId} for good`);
      return withBooks(call, async (books) => {
        const { items } = orStop(await books.forgetUser(userId));
        await call.out.record({ user_id: userId, items });
        await call.out.line(`forgotten: ${items} removed Item${items === 1 ? " is" : "s are"} nobody's now`);
        return "done";
      });
    },
  );
};

/** Does it to the Items of these arguments, once that is confirmed. */
async function each(call: Call<Yes>, args: readonly string[], work: Work): Promise<Ending> {
  const ids = await readItemIds(call.context, args);
  if (ids.length === 0) {
    call.out.note("no Items were given");
    return "done";
  }
  const what = work.asks?.(ids);
  if (what !== undefined) await confirm(call, what);
  return withKeeper(call, (keeper) => overItems(call, keeper, ids, work));
}

/**
 * Some at a time, one line or one object for each, progress, and the one ending that comes of all of theirs. A signal lets
 * what is under way finish and begins nothing more.
 */
async function overItems(
  { context, out }: Call<unknown>,
  keeper: Keeper,
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
      const result = await one(keeper, id);
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
  const good = endings.filter((ending) => ending === "done").length;
  if (ids.length > 1) out.note(`${done} ${good} of ${ids.length}`);
  if (endings.length < ids.length) return "interrupted";
  if (ids.length === 1) return endings[0]!;
  return good === ids.length ? "done" : "some";
}

export const reasonOf = ({ reasonCode, reasonNote }: Reason) =>
  ({
    ...(reasonCode !== undefined && { reason_code: reasonCode }),
    ...(reasonNote !== undefined && { reason_note: reasonNote }),
  }) as Item.RemoveReason;

const named = (ids: readonly string[]) => (ids.length === 1 ? ids[0]! : `${ids.length} Items`);

/** Reads what is kept for people. */
export const noteField = (value: string) => {
  if (isText(value, longestNote)) return value;
  throw new InvalidArgumentError(`It must be a text of 1 to ${longestNote} characters.`);
};

/** Adds the options of Plaid's reason for a removal. */
export const reasoned = (command: Command): Command =>
  command
    .option("--reason-code <code>", "why, for Plaid's records", reasonField("reason_code"))
    .option(
      "--reason-note <text>",
      "why, in at most 512 characters that name no person",
      reasonField("reason_note"),
    );

const reasonField = (name: "reason_code" | "reason_note") => (value: string) => {
  const kind = itemRemove.request[`${name}?`];
  if (!kind.accepts(value))
    throw new InvalidArgumentError(`It must be ${kind.expected.replace(", or null", "")}.`);
  return value;
};
