// The front door: everything an Item needs from its first public token to its end, by `item_id`. No token of Plaid's
// comes out of it but for the length of one `use`. What is behind it is opened in open.ts.

import type { Config, Item as Items, ItemGetResponse, Result } from "sett";
import type { Receiver } from "sett/webhook";
import type { Budget, BudgetOptions } from "./budget/budget.ts";
import type { Database } from "./database/database.ts";
import type { Files } from "./escrow/files.ts";
import type { KeeperFailure } from "./lifecycle/failure.ts";
import type { ExportOptions, OpenedExport, SealedExport } from "./lifecycle/export.ts";
import type { ImportFailure, ImportOptions, ImportReport } from "./lifecycle/import-many.ts";
import type { ItemView } from "./lifecycle/ledger.ts";
import type { Linked, LinkOptions } from "./lifecycle/link.ts";
import type { Step } from "./lifecycle/means.ts";
import type { Recovery } from "./lifecycle/recover.ts";
import type { ItemPage, Selection } from "./lifecycle/selection.ts";
import type { LinkFromWebhooks } from "./hosted.ts";
import type { Hearers, News } from "./news.ts";
import type { Pruned, PruneOptions } from "./prune.ts";
import type { Sweeps, SubmitSweep } from "./sweep/sweeps.ts";
import type { KeyRing } from "./vault/ring.ts";
import type { Vault } from "./vault/vault.ts";

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
  /** Who stands in the history for what this keeper is asked for, such as `cli:anna`; `keeper` unless told. */
  readonly actor?: string | undefined;
  /** Milliseconds since 1970; of fractions nothing is kept. */
  readonly now?: (() => number) | undefined;
  /** New ids of letters, digits, `_` and `-`, no two of them ever the same. */
  readonly mint?: (() => string) | undefined;
  /** Waits while others work on an Item. */
  readonly wait?: ((ms: number, signal?: AbortSignal) => Promise<unknown>) | undefined;
  /** How long one waits for that, in milliseconds; 60 000 unless told. */
  readonly patienceMs?: number | undefined;
  /** How often `recover` is run by itself, in milliseconds; 30 000 unless told, 0 for never. */
  readonly recoverEveryMs?: number | undefined;
  /**
   * Links the public tokens that Link sends by webhook (Hosted and Multi-Item Link), as this says of each session. A page
   * that brings the same token to `link` gets the same Item. Without it such tokens are only destroyed.
   */
  readonly linkFromWebhooks?: LinkFromWebhooks | undefined;
  /** Told what each `recover` came to, that at open included. */
  readonly onRecovered?: ((recovered: Result<Recovery, KeeperFailure>) => void) | undefined;
  /** Told of each webhook that was not believed. */
  readonly onRefusal?: Hearers["onRefusal"];
  /** Told of what went wrong in the background, with webhooks or otherwise; nothing is lost, and it is taken up again. */
  readonly onProblem?: Hearers["onProblem"];
  /** What Plaid allows, shared by all keepers on the database (docs/budget.md); false to count nothing. */
  readonly budget?: false | Pick<BudgetOptions, "limits" | "share"> | undefined;
  /** Told of each step between two outside effects, and waited for: where a test ends the process. */
  readonly at?: ((step: Step) => unknown) | undefined;
  /** The escrow's file system; Node's unless told. */
  readonly files?: Files | undefined;
}

/** Holds Items. Any number of keepers, in any number of processes, may be open on one database. */
export interface Keeper {
  /**
   * Exchanges a public token and keeps what it gives: with `ok`, the token is on disk, sealed. With `accounts` and
   * `institution` from Link's metadata, a login that the user has already is refused before the token is spent. A token
   * that was linked already gives the same Item again. An Item that was stranded or given up is whole again, and whose
   * this link says.
   */
  link(publicToken: string, options?: LinkOptions): Promise<Result<Linked, KeeperFailure>>;
  /**
   * Takes over an Item whose access token the application has held until now, if /item/get accepts the token. An Item
   * that is here already stays as it is, unless it is stranded, or its own token turns out to be dead: then it is whole
   * again with this one. It may be repeated.
   */
  importItem(
    accessToken: string,
    options?: { readonly userId?: string | undefined },
  ): Promise<Result<ItemView, KeeperFailure>>;
  /**
   * Takes over the Items of a whole file, CSV or one JSON object a line, with the columns `access_token`, and if you like
   * `user_id` and `item_id` (then the token must be that Item's); or those of an opened export. It may be run again after
   * whatever broke it off: Plaid is not asked again about what is in. A row that cannot be right does not end it.
   */
  importItems(
    source: AsyncIterable<Uint8Array | string> | OpenedExport,
    options?: ImportOptions,
  ): Promise<Result<ImportReport, ImportFailure>>;
  /**
   * Items with their access tokens, sealed to a public key: the bytes of a file that only `openExport` with the private
   * key can read. It stands in the history before the first token leaves. When the keeper is closed while it is being
   * read, the next read throws, and what was written until then is a file that is `cut-short`.
   */
  exportItems(options: ExportOptions): Promise<Result<SealedExport, KeeperFailure>>;
  /**
   * Gives up a stranded Item that nobody can reach any more: its token is destroyed, and the row that stays, `removed`,
   * has an event that says that Plaid never confirmed it. `note` says for later why one may do so; no secrets in it.
   */
  abandon(itemId: string, reason: { readonly note: string }): Promise<Result<ItemView, KeeperFailure>>;
  /** Takes the user's name off everything, once all of their Items are removed; says of how many it was. */
  forgetUser(userId: string): Promise<Result<{ readonly items: number }, KeeperFailure>>;
  /**
   * Deletes what is only of the past and grows: sweeps that are over, settled intents, and in the history the webhooks that
   * all subscribers have read. Items, changes and what has to be told to Plaid's support stay. It may be broken off.
   */
  prune(options: PruneOptions): Promise<Result<Pruned, KeeperFailure>>;
  /** Items as the keeper knows them, page by page: ask again with `after: next`. 100 a page unless told. */
  list(
    selection?: Selection,
    page?: { readonly after?: string | undefined; readonly limit?: number | undefined },
  ): Promise<Result<ItemPage, KeeperFailure>>;
  /** The Item as the keeper knows it, without asking Plaid. */
  find(itemId: string): Promise<Result<ItemView, KeeperFailure>>;
  /** Plaid's own answer about the Item; the Item's state follows it, a moment later. */
  get(itemId: string): Promise<Result<ItemGetResponse, KeeperFailure>>;
  /**
   * Lends the access token to one piece of work and gives what it gives. The work is done again if its token was rotated
   * meanwhile, which is looked for where what it gives or throws has INVALID_ACCESS_TOKEN or ITEM_NOT_FOUND in it;
   * the Item's state follows what refusals then stand, such as ITEM_LOGIN_REQUIRED. Let the token out of it nowhere.
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
  /**
   * A link token for update mode of an Item that needs it. The page that saw Link succeed says so:
   * `observe(itemId, { kind: "updated", … })`. With a `webhook` in the request Link's SESSION_FINISHED does, too, if Plaid
   * sends one in update mode, which is not verified.
   */
  readonly updateMode: News["updateMode"];
  /** Finishes what was left open, here or by processes that are gone. Done at open, and again every `recoverEveryMs`. */
  recover(): Promise<Result<Recovery, KeeperFailure>>;
  /** What `recover` came to when the keeper was opened. */
  readonly recovered: Result<Recovery, KeeperFailure>;
  /** What of Plaid's allowance is used; sweeps wait for it. The keeper's own calls are counted, and never wait. */
  readonly budget: Budget;
  /**
   * Submits one operation over many Items, to be done by workers (`sweeps.work`), or says with `dryRun` what it would be.
   * The same again while it is not over adds nothing: it is the one that is there.
   */
  readonly sweep: SubmitSweep;
  readonly sweeps: Sweeps;
  /** The rooms behind the door, for what is built on the keeper. */
  readonly database: Database;
  readonly vault: Vault;
  /**
   * Waits for what is under way, and lets go of everything; called again, for the same end. An import ends after the rows
   * at hand, a subscriber after the event at hand, a sweep's worker as its own `close` says, but that each rotation and
   * removal comes to its end. What is asked of it afterwards throws, as does the next piece of an export or a report that
   * is still being read; a webhook is answered with 503, so that Plaid sends it again. What cannot be let go of as it should
   * keeps nothing else open: it is told at the end, as a rejection.
   */
  close(): Promise<void>;
}
