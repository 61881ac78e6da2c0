// The front door: everything an Item needs from its first public token to its end, by `item_id`. No token of Plaid's
// comes out of it but for the length of one `use`.

import { randomUUID } from "node:crypto";
import { dirname, join } from "node:path";
import { err, Item, ok, type Config, type Item as Items, type ItemGetResponse, type Result } from "sett";
import { itemRemove } from "sett/endpoints";
import type { Receiver } from "sett/webhook";
import { openDatabase, type Database } from "./database/database.ts";
import { openEscrow } from "./escrow/escrow.ts";
import type { Files } from "./escrow/files.ts";
import type { KeeperFailure } from "./lifecycle/failure.ts";
import { Flights, type Act } from "./lifecycle/flights.ts";
import { forgetUser } from "./lifecycle/forget.ts";
import { importItem } from "./lifecycle/import.ts";
import { readItem, viewOf, type ItemView } from "./lifecycle/ledger.ts";
import { link, type Linked, type LinkOptions } from "./lifecycle/link.ts";
import { sealText, type Means, type Step } from "./lifecycle/means.ts";
import { recover, type Recovery } from "./lifecycle/recover.ts";
import { beginRemoval, removal } from "./lifecycle/remove.ts";
import { beginRotation, rotation } from "./lifecycle/rotate.ts";
import { Salvage } from "./lifecycle/salvage.ts";
import { listItems, type ItemPage, type Selection } from "./lifecycle/selection.ts";
import { lender } from "./lifecycle/use.ts";
import { beginMove, move } from "./lifecycle/webhook.ts";
import { createNews, type News } from "./news.ts";
import type { KeyRing } from "./vault/ring.ts";
import { openVault, type Vault } from "./vault/vault.ts";

/** What a keeper is made of. */
export interface KeeperOptions {
  /** sett's configuration; its `env` is the keeper's environment. */
  readonly plaid: Config;
  /** A folder (`./sett-data`), a file (`sqlite:items.db`) or a `postgres://` URL. */
  readonly database: string;
  /** The key-encryption keys. */
  readonly keys: KeyRing;
  /** For the escrow, on a local disk that survives a restart; beside the database unless told, and needed with PostgreSQL. */
  readonly folder?: string | undefined;
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
  /** New ids of letters, digits, `_` and `-`, no two of them ever the same. */
  readonly mint?: (() => string) | undefined;
  /** Waits while others work on an Item. */
  readonly wait?: ((ms: number) => Promise<unknown>) | undefined;
  /** How long one waits for that, in milliseconds; 60 000 unless told. */
  readonly patienceMs?: number | undefined;
  /** How often `recover` is run by itself, in milliseconds; 30 000 unless told, 0 for never. */
  readonly recoverEveryMs?: number | undefined;
  /** Told of each step between two outside effects, and waited for: where a test ends the process. */
  readonly at?: ((step: Step) => unknown) | undefined;
  /** The escrow's file system; Node's unless told. */
  readonly files?: Files | undefined;
}

/** Holds Items. Any number of keepers, in any number of processes, may be open on one database. */
export interface Keeper {
  /**
   * Exchanges a public token and keeps what it gives: with `ok`, the token is on disk, sealed. With `accounts` and
   * `institution` from Link's metadata, a login that the user has already is refused before the token is spent.
   */
  link(publicToken: string, options?: LinkOptions): Promise<Result<Linked, KeeperFailure>>;
  /**
   * Takes over an Item whose access token the application has held until now, if /item/get accepts the token. An Item
   * that is here already stays as it is, but that a stranded one is whole again. It may be repeated.
   */
  importItem(
    accessToken: string,
    options?: { readonly userId?: string | undefined },
  ): Promise<Result<ItemView, KeeperFailure>>;
  /** Takes the user's name off everything, once all of their Items are removed; says of how many it was. */
  forgetUser(userId: string): Promise<Result<{ readonly items: number }, KeeperFailure>>;
  /** Items as the keeper knows them, page by page: ask again with `after: next`. 100 a page unless told. */
  list(
    selection?: Selection,
    page?: { readonly after?: string | undefined; readonly limit?: number | undefined },
  ): Promise<Result<ItemPage, KeeperFailure>>;
  /** The Item as the keeper knows it, without asking Plaid. */
  find(itemId: string): Promise<Result<ItemView, KeeperFailure>>;
  /** Plaid's own answer about the Item. */
  get(itemId: string): Promise<Result<ItemGetResponse, KeeperFailure>>;
  /**
   * Lends the access token to one piece of work and gives what it gives. The work is done again if its token was rotated
   * meanwhile, which is seen by INVALID_ACCESS_TOKEN in what it gives or throws. Let the token out of it nowhere.
   */
  use<Value>(
    itemId: string,
    work: (access_token: string) => Promise<Value>,
  ): Promise<Result<Value, KeeperFailure>>;
  /**
   * A new access token for the old one, which dies. Those who use the Item notice nothing. With `from`, the `token_version`
   * that is to be replaced, it may be asked for again and again: an Item whose token is another by now stays as it is.
   */
  rotate(
    itemId: string,
    options?: { readonly from?: number | undefined },
  ): Promise<Result<ItemView, KeeperFailure>>;
  /** Moves the Item's webhook, or takes it away with null. */
  updateWebhook(itemId: string, webhook: string | null): Promise<Result<ItemView, KeeperFailure>>;
  /** Removes the Item at Plaid and throws its token away. Once asked for, it is tried until it is done. */
  remove(itemId: string, reason?: Items.RemoveReason): Promise<Result<ItemView, KeeperFailure>>;
  /**
   * The endpoint for Plaid's webhooks: verified, stored sealed, answered, then applied. The Item's state follows them
   * and /item/get, whatever order they come in.
   */
  readonly receive: Receiver;
  /** Tells of every event, in order and at least once, over restarts: `name` keeps the place. */
  readonly subscribe: News["subscribe"];
  /** Takes what was seen of an Item otherwise, such as the end of update mode, of which no webhook tells. */
  readonly observe: News["observe"];
  /** Finishes what was left open, here or by processes that are gone. Done at open, and again every `recoverEveryMs`. */
  recover(): Promise<Result<Recovery, KeeperFailure>>;
  /** What `recover` came to when the keeper was opened. */
  readonly recovered: Result<Recovery, KeeperFailure>;
  /** The rooms behind the door, for what is built on the keeper. */
  readonly database: Database;
  readonly vault: Vault;
  /** Waits for what is under way, and lets go of everything. What is asked of it afterwards throws. */
  close(): Promise<void>;
}

/** A lease outlives the longest call to Plaid by this much, for everything else and for clocks that differ. */
const marginMs = 30_000;

/** Opens a keeper, and finishes what an earlier one left open. Throws a TypeError where an option cannot be right. */
export async function openKeeper(options: KeeperOptions): Promise<Result<Keeper, KeeperFailure>> {
  const {
    plaid,
    keys,
    now = Date.now,
    mint = randomUUID,
    recoverEveryMs = 30_000,
    patienceMs = 60_000,
  } = options;
  const folder = options.folder ?? besideDatabase(options.database);
  const environment = plaid.env ?? "sandbox";
  const database = await openDatabase(options.database, { now: now() });
  if (!database.ok) return err({ kind: "database", database: database.error });
  const vault = await openVault({ database: database.value, ring: keys, environment, now });
  if (!vault.ok) {
    await database.value.close();
    return err({ kind: "vault", vault: vault.error });
  }
  const holder = mint();
  const escrow = await openEscrow(folder, { mint: () => holder, files: options.files });
  if (!escrow.ok) {
    vault.value.close();
    await database.value.close();
    return err({ kind: "escrow", escrow: escrow.error });
  }
  const means: Means = {
    database: database.value,
    vault: vault.value,
    escrow: escrow.value,
    plaid,
    environment,
    holder,
    now,
    mint,
    wait: options.wait ?? ((ms) => new Promise((resolve) => setTimeout(resolve, ms))),
    leaseMs: (plaid.timeoutMs ?? 30_000) + marginMs,
    patienceMs,
    at: options.at ?? (() => {}),
  };
  return ok(await keeper(means, recoverEveryMs));
}

function besideDatabase(database: string): string {
  if (/^postgres(ql)?:/.test(database))
    throw new TypeError("with PostgreSQL the escrow needs a `folder` of its own, on a local disk");
  return database.startsWith("sqlite:")
    ? join(dirname(database.slice("sqlite:".length)), "escrow")
    : join(database, "escrow");
}

async function keeper(means: Means, recoverEveryMs: number): Promise<Keeper> {
  const { database, vault, escrow } = means;
  const salvage = new Salvage(means);
  const rotated = rotation(means, salvage);
  const removed = removal(means, salvage);
  const moved = move(means);
  const finish: Act = (flight, resumed) => {
    const { kind } = flight.intent;
    return (kind === "rotate" ? rotated : kind === "remove" ? removed : moved)(flight, resumed);
  };
  const flights = new Flights(means, salvage, finish);
  const use = lender(means, flights);

  const underWay = new Set<Promise<unknown>>();
  let closed = false;
  /** Refuses after the end, and lets `close` wait for what was begun before it. */
  const counted = <Value>(work: () => Promise<Value>): Promise<Value> => {
    if (closed) throw new TypeError("the keeper has been closed");
    const working = work();
    const over = working.then(
      () => undefined,
      () => undefined,
    );
    underWay.add(over);
    void over.then(() => underWay.delete(over));
    return working;
  };
  const sealedFor = async (detail: object) => {
    const intent_id = means.mint();
    const sealed = await sealText(means, JSON.stringify(detail), { purpose: "intent", subject: intent_id });
    return sealed.ok ? ok({ intent_id, sealed: sealed.value }) : sealed;
  };

  const get = async (itemId: string): Promise<Result<ItemGetResponse, KeeperFailure>> => {
    const used = await use(itemId, (token) => Item.get(token, means.plaid));
    if (!used.ok) return used;
    const answer = used.value;
    return answer.ok ? answer : err({ kind: "plaid", item_id: itemId, failure: answer.error });
  };
  const news = createNews(means, get);

  let recovering: Promise<Result<Recovery, KeeperFailure>> | undefined;
  const recoverOnce = () =>
    (recovering ??= recover(means, salvage, flights).finally(() => (recovering = undefined)));
  const tidy = async () => {
    void (await recoverOnce());
    await news.work();
  };
  const recovered = await recoverOnce();
  await news.work();
  const timer =
    recoverEveryMs > 0 ? setInterval(() => void counted(tidy), recoverEveryMs).unref() : undefined;

  return {
    database,
    vault,
    recovered,
    link: (publicToken, options = {}) =>
      counted(async () => {
        const linked = await link(means, salvage, publicToken, options);
        // Its first webhooks may have come before it was here.
        if (linked.ok) void counted(news.work);
        return linked;
      }),
    importItem: (accessToken, { userId } = {}) => counted(() => importItem(means, accessToken, userId)),
    forgetUser: (userId) => counted(() => forgetUser(means, userId)),
    list: (selection = {}, page = {}) => counted(() => listItems(means, selection, page)),
    find: (itemId) => counted(() => readView(means, itemId)),
    get: (itemId) => counted(() => get(itemId)),
    use: (itemId, work) => counted(() => use(itemId, work)),
    rotate: (itemId, { from } = {}) =>
      counted(async () => {
        await means.at("rotate: begin");
        const done = await flights.fly(itemId, beginRotation(means, from), rotated);
        return !done.ok && done.error.kind === "rotated" ? readView(means, itemId) : done;
      }),
    updateWebhook: (itemId, webhook) =>
      counted(async () => {
        refuseUnlessUrl(webhook);
        await means.at("webhook: begin");
        const made = await sealedFor({ webhook });
        if (!made.ok) return made;
        return flights.fly(itemId, beginMove(means, made.value.intent_id, made.value.sealed), moved);
      }),
    remove: (itemId, reason) =>
      counted(async () => {
        refuseUnlessReason(reason);
        await means.at("remove: begin");
        const made = await sealedFor({ reason });
        if (!made.ok) return made;
        const begin = beginRemoval(means, made.value.intent_id, made.value.sealed);
        const done = await flights.fly(itemId, begin, removed);
        // It was asked for before, and is done.
        return !done.ok && done.error.kind === "removed" ? readView(means, itemId) : done;
      }),
    receive: news.receive,
    subscribe: news.subscribe,
    observe: (itemId, observation) => counted(() => news.observe(itemId, observation)),
    recover: () => counted(recoverOnce),
    close: async () => {
      if (closed) return;
      closed = true;
      clearInterval(timer);
      while (underWay.size > 0) await Promise.all(underWay);
      await news.close();
      await salvage.idle();
      await escrow.close();
      vault.close();
      await database.close();
    },
  };
}

async function readView(means: Means, itemId: string): Promise<Result<ItemView, KeeperFailure>> {
  const row = await readItem(means, itemId);
  return row.ok ? ok(viewOf(row.value)) : row;
}

// What is written down is done again until it is done; so a mistake must be found before, as sett would find it then.
function refuseUnlessReason(reason: Items.RemoveReason | undefined): void {
  const kinds = itemRemove.request;
  for (const name of ["reason_code", "reason_note"] as const) {
    const said = reason?.[name];
    const kind = kinds[`${name}?`];
    if (said !== undefined && !kind?.accepts(said)) throw new TypeError(`${name} must be ${kind?.expected}`);
  }
}

function refuseUnlessUrl(webhook: string | null): void {
  if (webhook !== null && !(URL.canParse(webhook) && /^https?:$/.test(new URL(webhook).protocol)))
    throw new TypeError("the webhook must be an http(s) URL, or null to take it away");
}
