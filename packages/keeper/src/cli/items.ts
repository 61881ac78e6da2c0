// `items` and `show`: what the keeper knows.

import type { ItemView } from "../lifecycle/ledger.ts";
import type { Selection } from "../lifecycle/selection.ts";
import type { Books } from "../books.ts";
import type { Call, Register } from "./command.ts";
import { wrong, type Ending } from "./exits.ts";
import { filtered, selectionOf, whole, type Filters } from "./filters.ts";
import { withBooks } from "./open.ts";
import { paintState } from "./states.ts";
import { nextFor, orStop, readOrStop } from "./sentences.ts";
import { moment, moments, span } from "./spans.ts";
import { writeFacts, writeTable, type Column } from "./table.ts";

interface Options extends Filters {
  readonly limit?: number;
  readonly all?: true;
}

const pageSize = 500;
const usualLimit = 100;

export const register: Register = (cli) => {
  cli.add<Options>(
    {
      name: "items",
      does: "lists Items: a table on a terminal, values with tabs between in a pipe",
      examples: [
        "sett items --state login_required,error",
        "sett items --older-than 90d --all --json",
        "sett items --user u_42",
      ],
      looks: true,
    },
    (command) =>
      filtered(command)
        .option("--limit <number>", `so many at most; ${usualLimit} unless told`, whole)
        .option("--all", "all of them"),
    async (call) => {
      if (call.options.all && call.options.limit !== undefined)
        throw wrong("--all and --limit: leave one of them out");
      const selection = selectionOf(call);
      return withBooks(call, (books) => list(call, books, selection));
    },
  );

  cli.add<{ readonly events: number }>(
    {
      name: "show",
      does: "one Item: where it stands, what to do, what is open on it, its history",
      examples: ["sett show eVBnVMp7zdTJLkRNr33Rs6zr7KNJqBFL9DrE6"],
      looks: true,
    },
    (command) =>
      command.argument("<item_id>").option("--events <number>", "so many of the latest events", whole, 20),
    (call) => withBooks(call, (books) => show(call, books, call.args[0]!)),
  );
};

async function list(
  { options, out, context }: Call<Options>,
  books: Pick<Books, "list">,
  selection: Selection,
): Promise<Ending> {
  const limit = options.all ? Infinity : (options.limit ?? usualLimit);
  let listed = 0;
  for (let after: string | undefined; ;) {
    const { items, next } = orStop(
      await books.list(selection, { after, limit: Math.min(pageSize, limit - listed) }),
    );
    for (const item of items) await out.record(item);
    await writeTable(out, columns(context.now(), out.paint), items, listed === 0);
    listed += items.length;
    if (next === null) break;
    if (listed >= limit) {
      out.note(`these are the first ${listed}; --all lists all of them`);
      break;
    }
    if (context.signal.aborted) return "interrupted";
    after = next;
  }
  if (listed === 0) out.note("no such Items");
  return "done";
}

/** Of a table of Items. */
export const columns = (
  now: number,
  paint: Parameters<typeof paintState>[0],
): readonly Column<ItemView>[] => [
  { head: "ITEM", of: ({ item_id }) => item_id, whole: true },
  {
    head: "STATE",
    whole: true,
    of: ({ state }) => state,
    paint: (text, { state }) => paintState(paint, state, text),
  },
  { head: "ERROR", of: ({ error_code }) => error_code ?? "-" },
  {
    head: "INSTITUTION",
    of: ({ institution_name, institution_id }) => institution_name ?? institution_id ?? "-",
  },
  { head: "USER", of: ({ user_id }) => user_id ?? "-" },
  { head: "TOKEN", of: ({ token_at }) => span(now - token_at) },
  {
    head: "WEBHOOK",
    of: ({ last_webhook_at }) => (last_webhook_at === null ? "-" : span(now - last_webhook_at)),
  },
];

async function show(
  { out, context, options }: Call<{ readonly events: number }>,
  books: Pick<Books, "find" | "database">,
  itemId: string,
): Promise<Ending> {
  const record = await recordOf(books, itemId, options.events);
  await out.record(record);
  const { item, open, events, support } = record;
  const now = context.now();
  const hasBeenAsked =
    (item.checked_at ?? item.created_at) !== null || events.some(({ kind }) => kind === "item.webhook_moved");
  const bank = [item.institution_name, item.institution_id].filter((part) => part !== null);
  const since = (at: number | null) => (at === null ? null : moment(at));
  await writeFacts(out, {
    item: item.item_id,
    state: paintState(out.paint, item.state, item.state) + (item.error_code ? ` (${item.error_code})` : ""),
    institution: bank.length > 0 ? bank.join(", ") : "-",
    user: item.user_id ?? "-",
    environment: item.environment,
    token: `number ${item.token_version}, since ${moments(item.token_at)} (${span(now - item.token_at)})`,
    webhook: item.webhook ?? (hasBeenAsked ? "none" : "not known yet"),
    linked: moments(item.linked_at),
    checked: moments(item.checked_at),
    "last webhook": moments(item.last_webhook_at),
    "last used": moments(item.used_at),
    "consent ends": since(item.consent_expires_at),
    disconnects: since(item.disconnect_at),
    removed: since(item.removed_at),
  });
  const next = nextFor(item.state);
  if (next !== null) await out.line(`\n${out.paint("bold", "to do")}         ${next}`);
  if (support !== null) await out.line(`\nto Plaid's support:\n  ${support}`);
  for (const { kind, intent_id, opened_at } of open)
    await out.line(
      `\n${out.paint("yellow", "open")}          ${kind} since ${moments(opened_at)} (intent ${intent_id})`,
    );
  if (open.length > 0)
    out.note(
      "what is open is finished by sett serve, sett worker --until-idle or the next command that changes something",
    );
  if (events.length > 0) await out.line(`\n${out.paint("bold", "history")} (latest first)`);
  for (const event of events) await out.line(eventText(event));
  return "done";
}

type ItemRecord = Awaited<ReturnType<typeof recordOf>>;

/** All that is known of one Item; its events with the latest first. */
async function recordOf(books: Pick<Books, "find" | "database">, itemId: string, maxEvents: number) {
  const item = orStop(await books.find(itemId));
  const read = await books.database.read(async (sql) => {
    const history = sql
      .selectFrom("events")
      .select(["seq", "at", "kind", "actor", "request_id", "detail"])
      .where("item_id", "=", itemId)
      .orderBy("seq", "desc");
    const open = await sql
      .selectFrom("intents")
      .select(["intent_id", "kind", "opened_at"])
      .where("item_id", "=", itemId)
      .where("settled_at", "is", null)
      .orderBy("opened_at")
      .execute();
    const stranded =
      item.state === "stranded"
        ? await history.where("kind", "=", "item.stranded").limit(1).executeTakeFirst()
        : undefined;
    return { open, events: await history.limit(maxEvents).execute(), stranded };
  });
  const { open, events, stranded } = readOrStop(read);
  const support = stranded && (JSON.parse(stranded.detail) as { support?: unknown }).support;
  return {
    item,
    open,
    events: events.map((event) => ({
      ...event,
      detail: JSON.parse(event.detail) as Record<string, unknown>,
    })),
    support: typeof support === "string" ? support : null,
  };
}

/** One line of the history. */
function eventText({ at, kind, actor, request_id, detail }: ItemRecord["events"][number]): string {
  const text = (name: string) => (typeof detail[name] === "string" ? detail[name] : undefined);
  const webhook = detail["webhook"] as { webhook_type?: string; webhook_code?: string } | undefined;
  const said = [
    text("from") !== undefined && `${text("from")} → ${text("to")}`,
    text("why"),
    webhook && `${webhook.webhook_type}: ${webhook.webhook_code}`,
    request_id !== null && `request_id ${request_id}`,
  ].filter((part) => typeof part === "string");
  return `  ${moment(at)}  ${kind.padEnd(18)} ${actor ?? "-"}${said.length > 0 ? `: ${said.join(", ")}` : ""}`;
}
