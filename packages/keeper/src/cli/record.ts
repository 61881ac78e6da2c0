// All that is known of one Item, read for a person: its row, what is open on it, its latest events, and what to send to
// Plaid's support where that is the only way left.

import { err, ok, type Result } from "sett";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import type { ItemView } from "../lifecycle/ledger.ts";
import type { Books } from "../books.ts";
import { moment } from "./spans.ts";

export interface ItemRecord {
  readonly item: ItemView;
  readonly open: readonly { readonly intent_id: string; readonly kind: string; readonly opened_at: number }[];
  /** The latest first. */
  readonly events: readonly EventRecord[];
  readonly support: string | null;
}

export interface EventRecord {
  readonly seq: number;
  readonly at: number;
  readonly kind: string;
  readonly actor: string | null;
  readonly request_id: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

export async function recordOf(
  books: Pick<Books, "find" | "database">,
  itemId: string,
  maxEvents: number,
): Promise<Result<ItemRecord, KeeperFailure>> {
  const found = await books.find(itemId);
  if (!found.ok) return found;
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
      found.value.state === "stranded"
        ? await history.where("kind", "=", "item.stranded").limit(1).executeTakeFirst()
        : undefined;
    return { open, events: await history.limit(maxEvents).execute(), stranded };
  });
  if (!read.ok) return err({ kind: "database", database: read.error });
  const { open, events, stranded } = read.value;
  const support = stranded && (JSON.parse(stranded.detail) as { support?: unknown }).support;
  return ok({
    item: found.value,
    open,
    events: events.map((event) => ({ ...event, detail: JSON.parse(event.detail) as EventRecord["detail"] })),
    support: typeof support === "string" ? support : null,
  });
}

/** One line of the history. */
export function eventText({ at, kind, actor, request_id, detail }: EventRecord): string {
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
