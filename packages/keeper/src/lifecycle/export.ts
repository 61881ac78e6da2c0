// Items with their access tokens, sealed to somebody's public key as they are read: the one way by which tokens leave a
// keeper. That it was done is in the history before the first of them leaves; none of them is ever on disk in clear.

import { err, ok, type Result } from "sett";
import { callback, type FieldsOf } from "sett/kinds";
import type { ItemState } from "../database/schema.ts";
import { idOf, publicFromText } from "../vault/recipient.ts";
import { openStream, sealStream, type ExportFailure, type SealedHead } from "../vault/sealed-stream.ts";
import type { KeeperFailure } from "./failure.ts";
import { anything, refuseUnfit } from "./known.ts";
import { addEvent, intentIsOpen, type ItemView } from "./ledger.ts";
import { openText, read, transact, type Means } from "./means.ts";
import { listItems, selected, selectionFrom, type Selection } from "./selection.ts";
import { longestId, textUpTo } from "./texts.ts";
import type { Lend } from "./use.ts";

export interface ExportOptions {
  /** The public key of who is to read it: see `newRecipient`. */
  readonly recipient: string;
  /** Which Items; all that are not removed unless told. */
  readonly selection?: Selection;
  /** Who asks for it, for the history. */
  readonly actor?: string | undefined;
  /** Told of the counts after each page of Items. */
  readonly onProgress?: ((counts: ExportReport) => void) | undefined;
}

/** What an export came to. */
export interface ExportReport {
  /** How many Items were selected when it began. */
  readonly selected: number;
  readonly exported: number;
  /** Items whose token could not be opened; they are not in it. The first hundred with their reason. */
  readonly unreadable: number;
  readonly failures: readonly { readonly item_id: string; readonly failure: KeeperFailure }[];
}

/**
 * An export that is being made, once: the bytes in order, or an error, after which there are none. It is whole when the
 * reading comes to its end. Once the keeper is closed the reading throws, for nobody can be waited for who may never read
 * on: the last piece is missing then, and whoever opens the file is told `cut-short`.
 */
export interface SealedExport extends AsyncIterable<Result<Uint8Array, KeeperFailure>> {
  /** The id of the key that it is sealed to. */
  readonly recipient: string;
  /** The counts as far as it has come. */
  report(): ExportReport;
}

/** An Item as it leaves, and as `openExport` gives it back. Times are milliseconds since 1970. */
export interface ExportedItem {
  readonly item_id: string;
  readonly access_token: string;
  readonly user_id: string | null;
  readonly institution_id: string | null;
  readonly institution_name: string | null;
  readonly state: ItemState;
  readonly linked_at: number;
  readonly token_at: number;
}

/** An export whose first line has been read. */
export interface OpenedExport extends SealedHead {
  /** The Items, and at the end an error unless it was whole. `keeper.importItems` takes it as it is. */
  readonly rows: AsyncIterable<Result<ExportedItem, ExportFailure>>;
}

const fields: FieldsOf<ExportOptions> = {
  recipient: anything,
  "selection?": anything,
  "actor?": textUpTo(longestId),
  "onProgress?": callback,
};

/** Items that are read and sealed at a time. */
const pageSize = 250;
const maxFailures = 100;

/** Exports: see `Keeper.exportItems`. */
export async function exportItems(
  means: Means,
  lend: Lend,
  options: ExportOptions,
): Promise<Result<SealedExport, KeeperFailure>> {
  refuseUnfit("an export", options, fields);
  const { recipient, actor, onProgress } = options;
  const selection = selectionFrom("selection" in options ? options.selection : {});
  const id = idOf(publicFromText(recipient));
  const began = await transact(means, async (sql) => {
    const { n } = await selected(means, sql, selection)
      .select((row) => row.fn.countAll().as("n"))
      .executeTakeFirstOrThrow();
    const items = Number(n);
    const detail = { items, recipient: id };
    await addEvent(means, sql, { kind: "items.exported", item_id: null, actor, detail });
    return ok(items);
  });
  if (!began.ok) return began;
  const counts = {
    selected: began.value,
    exported: 0,
    unreadable: 0,
    failures: [] as ExportReport["failures"][number][],
  };
  const report = (): ExportReport => ({ ...counts, failures: [...counts.failures] });

  const pieces = async function* (): AsyncGenerator<Result<string, KeeperFailure>, void> {
    for (let after: string | undefined; ;) {
      const page = await listItems(means, selection, { after, limit: pageSize });
      const items = page.ok ? await withTokens(means, lend, page.value.items) : page;
      if (!items.ok) return yield items;
      let lines = "";
      for (const [item, token] of items.value) {
        if (token.ok) {
          lines += `${JSON.stringify(exportedOf(item, token.value))}\n`;
          counts.exported++;
          continue;
        }
        if (isForAll(token.error)) return yield token;
        if (token.error.kind === "removed" || token.error.kind === "unknown-item") continue; // meanwhile
        if (++counts.unreadable <= maxFailures)
          counts.failures.push({ item_id: item.item_id, failure: token.error });
      }
      if (lines !== "") yield ok(lines);
      onProgress?.(report());
      if (!page.ok || page.value.next === null) return;
      after = page.value.next;
    }
  };
  const { environment, now } = means;
  const sealed = sealStream(recipient, { environment, at: now() }, pieces());
  return ok({ recipient: id, report, [Symbol.asyncIterator]: () => sealed });
}

/** Reads an export. Throws a TypeError for what is no private key of a recipient. */
export async function openExport(
  source: AsyncIterable<Uint8Array>,
  privateKey: string | Buffer,
): Promise<Result<OpenedExport, ExportFailure>> {
  const opened = await openStream(source, privateKey);
  if (!opened.ok) return opened;
  const { pieces, ...head } = opened.value;
  const rows = async function* (): AsyncGenerator<Result<ExportedItem, ExportFailure>, void> {
    for await (const piece of pieces) {
      if (!piece.ok) return yield piece;
      for (const line of piece.value.split("\n")) {
        if (line === "") continue;
        const item = itemIn(line);
        if (!item) return yield err({ kind: "damaged", detail: "what was sealed in it is no Item" });
        yield ok(item);
      }
    }
  };
  return ok({ ...head, rows: rows() });
}

/** Undefined for what no keeper has written: anybody with the public key can seal. JSON's own error would quote it. */
function itemIn(line: string): ExportedItem | undefined {
  try {
    const said: unknown = JSON.parse(line);
    const { item_id, access_token } = Object(said) as Record<string, unknown>;
    return typeof item_id === "string" && typeof access_token === "string"
      ? (said as ExportedItem)
      : undefined;
  } catch {
    return undefined;
  }
}

const isForAll = (failure: KeeperFailure) =>
  failure.kind === "database" || (failure.kind === "vault" && failure.vault.kind === "keys-unavailable");

const exportedOf = (item: ItemView, access_token: string): ExportedItem => {
  const { item_id, user_id, institution_id, institution_name, state, linked_at, token_at } = item;
  return { item_id, access_token, user_id, institution_id, institution_name, state, linked_at, token_at };
};

/** Each Item with its token; one whose rotation is under way is waited for, for its token is about to die. */
async function withTokens(
  means: Means,
  lend: Lend,
  items: readonly ItemView[],
): Promise<Result<readonly (readonly [ItemView, Result<string, KeeperFailure>])[], KeeperFailure>> {
  const ids = items.map(({ item_id }) => item_id);
  const found = await read(means, (sql) =>
    sql
      .selectFrom("items")
      .innerJoin(
        means.database.differences.rows("wanted", { id: { kind: "text", values: ids } }),
        "wanted.id",
        "items.item_id",
      )
      .select(["item_id", "token", "key_id"])
      .select(intentIsOpen("rotate").as("turning"))
      .execute(),
  );
  if (!found.ok) return found;
  const rows = new Map(found.value.map((row) => [row.item_id, row]));
  const withToken = async (item: ItemView): Promise<readonly [ItemView, Result<string, KeeperFailure>]> => {
    const { item_id } = item;
    const row = rows.get(item_id);
    if (!row?.token) return [item, err({ kind: "removed", item_id })];
    if (row.turning) return [item, await lend(item_id, async (token) => token)];
    return [item, await openText(means, row.token, { purpose: "token", subject: item_id }, row.key_id)];
  };
  return ok(await Promise.all(items.map(withToken)));
}
