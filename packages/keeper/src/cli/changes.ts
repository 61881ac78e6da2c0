// `rotate`, `webhook`, `remove`, `abandon`: what is done to Items; and `forget`, which is done to a user.

import { InvalidArgumentError } from "commander";
import { itemRemove } from "sett/endpoints";
import type { Item } from "sett";
import { confirm, readItemIds } from "./ask.ts";
import type { Call, Register } from "./command.ts";
import { wrong, type Ending } from "./exits.ts";
import { id } from "./filters.ts";
import { overItems, type Work } from "./many.ts";
import { withBooks, withKeeper } from "./open.ts";
import { stopOf } from "./sentences.ts";
import type { Keeper } from "../keeper.ts";
import { isText, isWebUrl, longestNote } from "../lifecycle/texts.ts";

interface Yes {
  readonly yes?: true;
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
    async (call) => {
      const ids = await readItemIds(call.context, call.args);
      if (ids.length > 1) await sure(call, `rotate the tokens of ${ids.length} Items`);
      return each(call, ids, (keeper) => ({
        done: "rotated",
        one: (id) => keeper.rotate(id),
        said: ({ token_version }) => `rotated: token ${token_version}`,
      }));
    },
  );

  cli.add<{ readonly none?: true }>(
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
      if (given.length === 0)
        throw wrong("which Items? Give their ids after the URL, or - for standard input");
      return each(call, await readItemIds(call.context, given), (keeper) => ({
        done: "moved",
        one: (id) => keeper.updateWebhook(id, url),
        said: ({ webhook }) => `webhook: ${webhook ?? "none"}`,
      }));
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
      command
        .argument("<item_id...>", "Items, or - for ids on standard input, one to a line")
        .option("--reason-code <code>", "why, for Plaid's records", reasonField("reason_code"))
        .option(
          "--reason-note <text>",
          "why, in at most 512 characters that name no person",
          reasonField("reason_note"),
        )
        .option("-y, --yes", "without being asked"),
    async (call) => {
      const ids = await readItemIds(call.context, call.args);
      const whom = ids.length === 1 ? ids[0]! : `${ids.length} Items`;
      await sure(call, `remove ${whom} for good`);
      const reason = reasonOf(call.options);
      return each(call, ids, (keeper) => ({
        done: "removed",
        one: (id) => keeper.remove(id, reason),
        said: ({ state }) => state,
      }));
    },
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
      const ids = await readItemIds(call.context, call.args);
      await sure(call, `abandon ${ids.length === 1 ? ids[0]! : `${ids.length} Items`} for good`);
      return each(call, ids, (keeper) => ({
        done: "abandoned",
        one: (id) => keeper.abandon(id, { note }),
        said: ({ state }) => state,
      }));
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
      await sure(call, `forget the user ${userId} for good`);
      return withBooks(call, async (books) => {
        const forgotten = await books.forgetUser(userId);
        if (!forgotten.ok) throw stopOf(forgotten.error);
        const { items } = forgotten.value;
        await call.out.record({ user_id: userId, items });
        await call.out.line(`forgotten: ${items} removed Item${items === 1 ? " is" : "s are"} nobody's now`);
        return "done";
      });
    },
  );
};

async function each(
  call: Call<unknown>,
  ids: readonly string[],
  work: (keeper: Keeper) => Work,
): Promise<Ending> {
  if (ids.length === 0) {
    call.out.note("no Items were given");
    return "done";
  }
  return withKeeper(call, (keeper) => overItems(call, ids, work(keeper)));
}

export const reasonOf = ({ reasonCode, reasonNote }: Reason) =>
  ({
    ...(reasonCode !== undefined && { reason_code: reasonCode }),
    ...(reasonNote !== undefined && { reason_note: reasonNote }),
  }) as Item.RemoveReason;

const sure = (call: Call<Yes>, what: string) =>
  confirm(call, { yes: call.options.yes === true, what, stdinTaken: call.args.includes("-") });

/** Reads what is kept for people. */
export const noteField = (value: string) => {
  if (isText(value, longestNote)) return value;
  throw new InvalidArgumentError(`It must be a text of 1 to ${longestNote} characters.`);
};

/** Reads a part of Plaid's reason for a removal. */
export const reasonField = (name: "reason_code" | "reason_note") => (value: string) => {
  const kind = itemRemove.request[`${name}?`];
  if (!kind.accepts(value)) throw new InvalidArgumentError(`It must be ${kind.expected}.`);
  return value;
};
