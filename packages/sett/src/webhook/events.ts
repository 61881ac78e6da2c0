// The bodies of webhooks: one type for each documented pair of `webhook_type` and `webhook_code`, named as in
// the official client. Types only: a signature proves a body, and comparing its two discriminants tells what
// it is. Plaid adds pairs without notice, so `Webhook` ends in a type for what is not listed. A body has no
// id, no time and no count of attempts, and may come twice, late or not at all: take it as a reason to look.

import type { DateTime, LinkEvent, LinkToken, Open, PlaidError, PublicToken } from "../plaid/wire.ts";

/** Where a webhook comes from. Only that environment knows its key. */
export type WebhookEnvironmentValues = "production" | "sandbox";

/** What every webhook carries. */
export interface Envelope<Type extends string, Code extends string> {
  webhook_type: Type;
  webhook_code: Code;
  /** Always sent today; bodies kept from former years lack it. */
  environment?: Open<WebhookEnvironmentValues>;
}

/** What every webhook about an Item carries. */
export interface ItemEnvelope<Type extends string, Code extends string> extends Envelope<Type, Code> {
  item_id: string;
}

// ------------------------------------------------------------------------------------------------------ ITEM

/**
 * The Item needs help, most often ITEM_LOGIN_REQUIRED: update mode.
 * @see https://plaid.com/docs/api/items/#error
 */
export interface ItemErrorWebhook extends ItemEnvelope<"ITEM", "ERROR"> {
  user_id?: string;
  error: PlaidError | null;
}

/** ITEM_LOGIN_REQUIRED has ended by itself or in another application: stop asking the user. */
export interface ItemLoginRepairedWebhook extends ItemEnvelope<"ITEM", "LOGIN_REPAIRED"> {
  user_id?: string;
}

/** The institution shows accounts the user has not chosen: update mode with `account_selection_enabled`. */
export interface NewAccountsAvailableWebhook extends ItemEnvelope<"ITEM", "NEW_ACCOUNTS_AVAILABLE"> {
  user_id?: string;
  error?: PlaidError | null;
}

/** Sent 7 days before the Item stops working, in the United States and Canada: update mode until then. */
export interface PendingDisconnectWebhook extends ItemEnvelope<"ITEM", "PENDING_DISCONNECT"> {
  user_id?: string;
  reason: Open<"INSTITUTION_MIGRATION" | "INSTITUTION_TOKEN_EXPIRATION">;
  disconnect_time: DateTime;
}

/** Sent 7 days before consent ends, in the United Kingdom and the European Union: update mode until then. */
export interface PendingExpirationWebhook extends ItemEnvelope<"ITEM", "PENDING_EXPIRATION"> {
  user_id?: string;
  consent_expiration_time: DateTime;
}

/** The user took back the permission through Plaid. Doing so at the bank need not send this. */
export interface UserPermissionRevokedWebhook extends ItemEnvelope<"ITEM", "USER_PERMISSION_REVOKED"> {
  user_id?: string;
  error?: PlaidError | null;
}

/** The user took back one account at the bank; few banks tell. */
export interface UserAccountRevokedWebhook extends ItemEnvelope<"ITEM", "USER_ACCOUNT_REVOKED"> {
  user_id?: string;
  account_id: string;
}

/** The first webhook to a new URL, after /item/webhook/update. */
export interface WebhookUpdateAcknowledgedWebhook extends ItemEnvelope<
  "ITEM",
  "WEBHOOK_UPDATE_ACKNOWLEDGED"
> {
  new_webhook_url: string;
  error?: PlaidError | null;
}

// -------------------------------------------------------------------------------------------- AUTH, IDENTITY

/** Micro-deposits arrived and were recognised. */
export interface AutomaticallyVerifiedWebhook extends ItemEnvelope<"AUTH", "AUTOMATICALLY_VERIFIED"> {
  account_id: string;
  error?: PlaidError | null;
}

/** Micro-deposits were not recognised in time: the user has to link again. */
export interface VerificationExpiredWebhook extends ItemEnvelope<"AUTH", "VERIFICATION_EXPIRED"> {
  account_id: string;
  error?: PlaidError | null;
}

/** The end of a verification of micro-deposits by SMS. */
export interface HostedMMDVerificationWebhook extends ItemEnvelope<"AUTH", "SMS_MICRODEPOSITS_VERIFICATION"> {
  account_id: string;
  status: Open<"MANUALLY_VERIFIED" | "VERIFICATION_FAILED">;
}

/** Account or routing numbers changed: use no old ones, ask /auth/get again. */
export interface AuthDefaultUpdateWebhook extends ItemEnvelope<"AUTH", "DEFAULT_UPDATE"> {
  account_ids_with_new_auth: string[];
  /** By `account_id`. */
  account_ids_with_updated_auth: Record<string, Open<"ACCOUNT_NUMBER" | "ROUTING_NUMBER">[]>;
  error: PlaidError | null;
}

/** Auth was refused with ACCESS_NOT_GRANTED: update mode with `auth` among the products. */
export type ProductPermissionsRequiredAuthWebhook = ItemEnvelope<"AUTH", "PRODUCT_PERMISSIONS_REQUIRED">;

/** What the bank knows of the account's holders changed. */
export interface IdentityDefaultUpdateWebhook extends ItemEnvelope<"IDENTITY", "DEFAULT_UPDATE"> {
  /** By `account_id`. */
  account_ids_with_updated_identity: Record<string, Open<"ADDRESSES" | "EMAILS" | "NAMES" | "PHONES">[]>;
  error: PlaidError | null;
}

/** Identity was refused with ACCESS_NOT_GRANTED: update mode with `identity` among the products. */
export type ProductPermissionsRequiredIdentityWebhook = ItemEnvelope<
  "IDENTITY",
  "PRODUCT_PERMISSIONS_REQUIRED"
>;

// ---------------------------------------------------------------------------------------------- TRANSACTIONS

/** The last 30 days are there, for /transactions/get. */
export interface InitialUpdateWebhook extends ItemEnvelope<"TRANSACTIONS", "INITIAL_UPDATE"> {
  new_transactions: number;
  /** Declared as an error code, unlike in every other webhook; seen as null only. */
  error?: string | null;
}

/** All the history asked for is there, for /transactions/get. */
export interface HistoricalUpdateWebhook extends ItemEnvelope<"TRANSACTIONS", "HISTORICAL_UPDATE"> {
  new_transactions: number;
  error?: PlaidError | null;
}

/** New transactions, for /transactions/get. */
export interface DefaultUpdateWebhook extends ItemEnvelope<"TRANSACTIONS", "DEFAULT_UPDATE"> {
  /** Since the last webhook of this kind. */
  new_transactions: number;
  error?: PlaidError | null;
}

/** Changes for /transactions/sync; starts only once that endpoint has been called for the Item. */
export interface SyncUpdatesAvailableWebhook extends ItemEnvelope<"TRANSACTIONS", "SYNC_UPDATES_AVAILABLE"> {
  user_id?: string;
  /** The last 30 days are there. */
  initial_update_complete: boolean;
  /** All the history asked for is there. */
  historical_update_complete: boolean;
}

/** Changes for /transactions/recurring/get. */
export interface RecurringTransactionsUpdateWebhook extends ItemEnvelope<
  "TRANSACTIONS",
  "RECURRING_TRANSACTIONS_UPDATE"
> {
  account_ids: string[];
}

/** Transactions were deleted, as /transactions/get will show. */
export interface TransactionsRemovedWebhook extends ItemEnvelope<"TRANSACTIONS", "TRANSACTIONS_REMOVED"> {
  /** Each a `transaction_id`. */
  removed_transactions: string[];
  error?: PlaidError | null;
}

// ---------------------------------------------------------------------------------- INVESTMENTS, LIABILITIES

/** Changes for /investments/holdings/get, mostly after a market closed. */
export interface HoldingsDefaultUpdateWebhook extends ItemEnvelope<"HOLDINGS", "DEFAULT_UPDATE"> {
  user_id?: string;
  /** Counts, since the last webhook of this kind. */
  new_holdings: number;
  updated_holdings: number;
  error?: PlaidError | null;
}

/** Changes for /investments/transactions/get. */
export interface InvestmentsDefaultUpdateWebhook extends ItemEnvelope<
  "INVESTMENTS_TRANSACTIONS",
  "DEFAULT_UPDATE"
> {
  user_id?: string;
  new_investments_transactions: number;
  /** With two l; `canceled_` in bodies of former years. */
  cancelled_investments_transactions: number;
  error?: PlaidError | null;
}

/** All the history is there, for /investments/transactions/get. */
export interface InvestmentsHistoricalUpdateWebhook extends ItemEnvelope<
  "INVESTMENTS_TRANSACTIONS",
  "HISTORICAL_UPDATE"
> {
  user_id?: string;
  new_investments_transactions: number;
  cancelled_investments_transactions: number;
  error?: PlaidError | null;
}

/** Changes for /liabilities/get. */
export interface LiabilitiesDefaultUpdateWebhook extends ItemEnvelope<"LIABILITIES", "DEFAULT_UPDATE"> {
  user_id?: string;
  account_ids_with_new_liabilities: string[];
  /** By `account_id`, the names of the fields that changed. */
  account_ids_with_updated_liabilities: Record<string, string[]>;
  error: PlaidError | null;
}

// ---------------------------------------------------------------------------------------------------- ASSETS

/** An Asset Report is there to be fetched. It may span several Items, so no `item_id`. */
export interface AssetsProductReadyWebhook extends Envelope<"ASSETS", "PRODUCT_READY"> {
  asset_report_id: string;
  user_id?: string;
  report_type?: Open<"FAST" | "FULL">;
}

/** An Asset Report could not be made; `error.causes` may say for which Items. */
export interface AssetsErrorWebhook extends Envelope<"ASSETS", "ERROR"> {
  asset_report_id: string;
  user_id?: string;
  error: PlaidError | null;
}

// ------------------------------------------------------------------------------------------------------ LINK

/** A user has linked an Item in Hosted or Multi-Item Link: exchange the token within 30 minutes. */
export interface ItemAddResultWebhook extends Envelope<"LINK", "ITEM_ADD_RESULT"> {
  link_session_id: string;
  link_token: LinkToken;
  public_token: PublicToken;
}

/** A session of Hosted or Multi-Item Link is over; of other sessions only on request. */
export interface LinkSessionFinishedWebhook extends Envelope<"LINK", "SESSION_FINISHED"> {
  status: Open<"EXITED" | "SUCCESS">;
  link_session_id: string;
  link_token: LinkToken;
  /** @deprecated in favour of `public_tokens` */
  public_token?: PublicToken;
  public_tokens?: PublicToken[];
  user_id?: string;
}

/** What the user did during a session, after it. */
export interface LinkEventsWebhook extends Envelope<"LINK", "EVENTS"> {
  events: LinkEvent[];
  link_session_id: string;
  link_token: LinkToken;
}

// ------------------------------------------------------------------------------------------------------- all

/** Every documented webhook around an Item. */
export type KnownWebhook =
  | ItemErrorWebhook
  | ItemLoginRepairedWebhook
  | NewAccountsAvailableWebhook
  | PendingDisconnectWebhook
  | PendingExpirationWebhook
  | UserPermissionRevokedWebhook
  | UserAccountRevokedWebhook
  | WebhookUpdateAcknowledgedWebhook
  | AutomaticallyVerifiedWebhook
  | VerificationExpiredWebhook
  | HostedMMDVerificationWebhook
  | AuthDefaultUpdateWebhook
  | ProductPermissionsRequiredAuthWebhook
  | IdentityDefaultUpdateWebhook
  | ProductPermissionsRequiredIdentityWebhook
  | InitialUpdateWebhook
  | HistoricalUpdateWebhook
  | DefaultUpdateWebhook
  | SyncUpdatesAvailableWebhook
  | RecurringTransactionsUpdateWebhook
  | TransactionsRemovedWebhook
  | HoldingsDefaultUpdateWebhook
  | InvestmentsDefaultUpdateWebhook
  | InvestmentsHistoricalUpdateWebhook
  | LiabilitiesDefaultUpdateWebhook
  | AssetsProductReadyWebhook
  | AssetsErrorWebhook
  | ItemAddResultWebhook
  | LinkSessionFinishedWebhook
  | LinkEventsWebhook;

/**
 * Stands for every type and code that is not listed. To the compiler it is a string that equals none of the
 * listed ones: were it plain `string`, it would match every comparison, and none could tell the listed
 * webhooks apart. It exists at compile time only, and makes comparing with a misspelt code an error. To
 * compare with a code that is newer than this file, take it as the string it is: `const code: string =
 * webhook.webhook_code`.
 */
declare enum Unlisted {
  Value = "any value that is not listed",
}

/** A webhook that is not listed, of a known type or not, with its whole body as it came. */
export interface UnknownWebhook extends Envelope<KnownWebhook["webhook_type"] | Unlisted, Unlisted> {
  item_id?: string;
  [field: string]: unknown;
}

/**
 * A webhook's body. Compare the type, then the code, and the other fields follow; leave a `default` for the
 * rest.
 *
 * ```ts
 * if (webhook.webhook_type === "ITEM" && webhook.webhook_code === "ERROR") console.log(webhook.error);
 * ```
 *
 * The type is compared too because codes repeat: ERROR is also one of ASSETS.
 */
export type Webhook = KnownWebhook | UnknownWebhook;
