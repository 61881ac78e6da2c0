// The wire types held against the official `plaid` package, field by field, at compile time: `tsc` is the
// runner. Requests, answers and webhooks are compared with their namesakes: the name of each field, whether
// it may be missing or null, and every value of every enum. A difference has to stand, with its reason, in
// `Exceptions`; one that no longer occurs fails as well. Two differences of principle are undone before
// comparing: credentials, which sett sends in headers, and TypeScript enums, which are strings on the wire,
// closed in requests, open in answers.

import type * as Official from "plaid";
import type { ErrorCode, KnownErrorCode } from "../../packages/sett/src/plaid/codes.ts";
import type * as Wire from "../../packages/sett/src/plaid/wire.ts";
import type * as Events from "../../packages/sett/src/webhook/events.ts";

/** Every difference that is meant: where it is, and why. */
interface Exceptions {
  "error.error_message: null only in ours": "declared as never null, yet sent as null";
  "item.has_perpetual_otp: only in ours": "gone from the API since 2021, kept for programs that name it";
  "user.name: null only in ours": "nullable in the OpenAPI file, lost by its generator";
  "user.address: null only in ours": "nullable in the OpenAPI file, lost by its generator";
  "user.id_number: null only in ours": "nullable in the OpenAPI file, lost by its generator";
  "income_verification: not modelled": "no part in an Item's life";
  "cra_options: not modelled": "no part in an Item's life";
  "webhook_type: other type": "a string there; ours says which, so that webhooks can be told apart";
  "webhook_code: other type": "a string there; ours says which, so that webhooks can be told apart";
  "environment: optional only in ours": "webhooks recorded before the field existed are still to be read";
  "NewAccountsAvailableWebhook.webhook_type: optional only in theirs": "always sent all the same";
  "NewAccountsAvailableWebhook.webhook_code: optional only in theirs": "always sent all the same";
  "NewAccountsAvailableWebhook.item_id: optional only in theirs": "always sent all the same";
}

/** Ours and theirs. */
interface Requests {
  ItemPublicTokenExchangeRequest: [
    Wire.ItemPublicTokenExchangeRequest,
    Official.ItemPublicTokenExchangeRequest,
  ];
  ItemGetRequest: [Wire.ItemGetRequest, Official.ItemGetRequest];
  ItemAccessTokenInvalidateRequest: [
    Wire.ItemAccessTokenInvalidateRequest,
    Official.ItemAccessTokenInvalidateRequest,
  ];
  ItemRemoveRequest: [Wire.ItemRemoveRequest, Official.ItemRemoveRequest];
  ItemWebhookUpdateRequest: [Wire.ItemWebhookUpdateRequest, Official.ItemWebhookUpdateRequest];
  LinkTokenCreateRequest: [Wire.LinkTokenCreateRequest, Official.LinkTokenCreateRequest];
  LinkTokenGetRequest: [Wire.LinkTokenGetRequest, Official.LinkTokenGetRequest];
  SandboxPublicTokenCreateRequest: [
    Wire.SandboxPublicTokenCreateRequest,
    Official.SandboxPublicTokenCreateRequest,
  ];
  SandboxItemResetLoginRequest: [Wire.SandboxItemResetLoginRequest, Official.SandboxItemResetLoginRequest];
  SandboxItemFireWebhookRequest: [Wire.SandboxItemFireWebhookRequest, Official.SandboxItemFireWebhookRequest];
  SandboxItemSetVerificationStatusRequest: [
    Wire.SandboxItemSetVerificationStatusRequest,
    Official.SandboxItemSetVerificationStatusRequest,
  ];
  WebhookVerificationKeyGetRequest: [
    Wire.WebhookVerificationKeyGetRequest,
    Official.WebhookVerificationKeyGetRequest,
  ];
  InstitutionsGetByIdRequest: [Wire.InstitutionsGetByIdRequest, Official.InstitutionsGetByIdRequest];
  AccountsGetRequest: [Wire.AccountsGetRequest, Official.AccountsGetRequest];
}

/** Ours and theirs. */
interface Answers {
  ItemPublicTokenExchangeResponse: [
    Wire.ItemPublicTokenExchangeResponse,
    Official.ItemPublicTokenExchangeResponse,
  ];
  ItemGetResponse: [Wire.ItemGetResponse, Official.ItemGetResponse];
  ItemAccessTokenInvalidateResponse: [
    Wire.ItemAccessTokenInvalidateResponse,
    Official.ItemAccessTokenInvalidateResponse,
  ];
  ItemRemoveResponse: [Wire.ItemRemoveResponse, Official.ItemRemoveResponse];
  ItemWebhookUpdateResponse: [Wire.ItemWebhookUpdateResponse, Official.ItemWebhookUpdateResponse];
  LinkTokenCreateResponse: [Wire.LinkTokenCreateResponse, Official.LinkTokenCreateResponse];
  LinkTokenGetResponse: [Wire.LinkTokenGetResponse, Official.LinkTokenGetResponse];
  SandboxPublicTokenCreateResponse: [
    Wire.SandboxPublicTokenCreateResponse,
    Official.SandboxPublicTokenCreateResponse,
  ];
  SandboxItemResetLoginResponse: [Wire.SandboxItemResetLoginResponse, Official.SandboxItemResetLoginResponse];
  SandboxItemFireWebhookResponse: [
    Wire.SandboxItemFireWebhookResponse,
    Official.SandboxItemFireWebhookResponse,
  ];
  SandboxItemSetVerificationStatusResponse: [
    Wire.SandboxItemSetVerificationStatusResponse,
    Official.SandboxItemSetVerificationStatusResponse,
  ];
  WebhookVerificationKeyGetResponse: [
    Wire.WebhookVerificationKeyGetResponse,
    Official.WebhookVerificationKeyGetResponse,
  ];
  InstitutionsGetByIdResponse: [Wire.InstitutionsGetByIdResponse, Official.InstitutionsGetByIdResponse];
  AccountsGetResponse: [Wire.AccountsGetResponse, Official.AccountsGetResponse];
}

/** Ours and theirs. */
interface Webhooks {
  ItemErrorWebhook: [Events.ItemErrorWebhook, Official.ItemErrorWebhook];
  ItemLoginRepairedWebhook: [Events.ItemLoginRepairedWebhook, Official.ItemLoginRepairedWebhook];
  NewAccountsAvailableWebhook: [Events.NewAccountsAvailableWebhook, Official.NewAccountsAvailableWebhook];
  PendingDisconnectWebhook: [Events.PendingDisconnectWebhook, Official.PendingDisconnectWebhook];
  PendingExpirationWebhook: [Events.PendingExpirationWebhook, Official.PendingExpirationWebhook];
  UserPermissionRevokedWebhook: [Events.UserPermissionRevokedWebhook, Official.UserPermissionRevokedWebhook];
  UserAccountRevokedWebhook: [Events.UserAccountRevokedWebhook, Official.UserAccountRevokedWebhook];
  WebhookUpdateAcknowledgedWebhook: [
    Events.WebhookUpdateAcknowledgedWebhook,
    Official.WebhookUpdateAcknowledgedWebhook,
  ];
  AutomaticallyVerifiedWebhook: [Events.AutomaticallyVerifiedWebhook, Official.AutomaticallyVerifiedWebhook];
  VerificationExpiredWebhook: [Events.VerificationExpiredWebhook, Official.VerificationExpiredWebhook];
  HostedMMDVerificationWebhook: [Events.HostedMMDVerificationWebhook, Official.HostedMMDVerificationWebhook];
  AuthDefaultUpdateWebhook: [Events.AuthDefaultUpdateWebhook, Official.AuthDefaultUpdateWebhook];
  ProductPermissionsRequiredAuthWebhook: [
    Events.ProductPermissionsRequiredAuthWebhook,
    Official.ProductPermissionsRequiredAuthWebhook,
  ];
  IdentityDefaultUpdateWebhook: [Events.IdentityDefaultUpdateWebhook, Official.IdentityDefaultUpdateWebhook];
  ProductPermissionsRequiredIdentityWebhook: [
    Events.ProductPermissionsRequiredIdentityWebhook,
    Official.ProductPermissionsRequiredIdentityWebhook,
  ];
  InitialUpdateWebhook: [Events.InitialUpdateWebhook, Official.InitialUpdateWebhook];
  HistoricalUpdateWebhook: [Events.HistoricalUpdateWebhook, Official.HistoricalUpdateWebhook];
  DefaultUpdateWebhook: [Events.DefaultUpdateWebhook, Official.DefaultUpdateWebhook];
  SyncUpdatesAvailableWebhook: [Events.SyncUpdatesAvailableWebhook, Official.SyncUpdatesAvailableWebhook];
  RecurringTransactionsUpdateWebhook: [
    Events.RecurringTransactionsUpdateWebhook,
    Official.RecurringTransactionsUpdateWebhook,
  ];
  TransactionsRemovedWebhook: [Events.TransactionsRemovedWebhook, Official.TransactionsRemovedWebhook];
  HoldingsDefaultUpdateWebhook: [Events.HoldingsDefaultUpdateWebhook, Official.HoldingsDefaultUpdateWebhook];
  InvestmentsDefaultUpdateWebhook: [
    Events.InvestmentsDefaultUpdateWebhook,
    Official.InvestmentsDefaultUpdateWebhook,
  ];
  InvestmentsHistoricalUpdateWebhook: [
    Events.InvestmentsHistoricalUpdateWebhook,
    Official.InvestmentsHistoricalUpdateWebhook,
  ];
  LiabilitiesDefaultUpdateWebhook: [
    Events.LiabilitiesDefaultUpdateWebhook,
    Official.LiabilitiesDefaultUpdateWebhook,
  ];
  AssetsProductReadyWebhook: [Events.AssetsProductReadyWebhook, Official.AssetsProductReadyWebhook];
  AssetsErrorWebhook: [Events.AssetsErrorWebhook, Official.AssetsErrorWebhook];
  ItemAddResultWebhook: [Events.ItemAddResultWebhook, Official.ItemAddResultWebhook];
  LinkSessionFinishedWebhook: [Events.LinkSessionFinishedWebhook, Official.LinkSessionFinishedWebhook];
  LinkEventsWebhook: [Events.LinkEventsWebhook, Official.LinkEventsWebhook];
}

// -------------------------------------------------------------------------------------------- the comparison

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Accepts nothing but `never`; whatever else is given stands in the compiler's message. */
type None<T extends never> = T;

/**
 * The official type as it is on the wire. `any` becomes `unknown`, enums become strings, and the "null" that
 * the generator puts into the enums of nullable fields is dropped.
 */
type Declared<T, Way extends "answer" | "request"> = 0 extends 1 & T
  ? unknown
  : T extends string
    ? string extends T
      ? string
      : Way extends "answer"
        ? Wire.Open<Exclude<`${T}`, "null">>
        : Exclude<`${T}`, "null">
    : T extends (infer Element)[]
      ? Declared<Element, Way>[]
      : T extends object
        ? { [Key in keyof T as Exclude<Key, "client_id" | "secret">]: Declared<T[Key], Way> }
        : T;

/** One sentence for each difference of two types, beginning with the path of the field. */
type Difference<Ours, Theirs, Path extends string> =
  Same<Ours, Theirs> extends true
    ? never
    : | Only<Path, "null", null extends Ours ? true : false, null extends Theirs ? true : false>
      | Inside<Exclude<Ours, null>, Exclude<Theirs, null>, Path>;

type Only<Path extends string, What extends string, InOurs, InTheirs> = InOurs extends InTheirs
  ? never
  : `${Path}: ${What} only in ${InOurs extends true ? "ours" : "theirs"}`;

type Inside<Ours, Theirs, Path extends string> =
  Same<Ours, Theirs> extends true
    ? never
    : [Ours, Theirs] extends [(infer Our)[], (infer Their)[]]
      ? Difference<Our, Their, Path>
      : Same<Ours, Wire.Unmodelled> extends true
        ? `${Path}: not modelled`
        : [Ours, Theirs] extends [object, object]
          ? {
              [Key in string & (keyof Ours | keyof Theirs)]: Field<Ours, Theirs, Key, `${Path}.${Key}`>;
            }[string & (keyof Ours | keyof Theirs)]
          : // Where theirs is any string and so is ours, ours may name some it knows.
            [Same<Theirs, string>, string extends Ours ? true : false] extends [true, true]
            ? never
            : `${Path}: other type`;

type Field<Ours, Theirs, Key extends string, Path extends string> = Key extends keyof Ours
  ? Key extends keyof Theirs
    ? | Only<Path, "optional", Optional<Ours, Key>, Optional<Theirs, Key>>
      | Difference<Required<Ours>[Key], Required<Theirs>[Key], Path>
    : `${Path}: only in ours`
  : `${Path}: only in theirs`;

type Optional<T, Key extends keyof T> = {} extends Pick<T, Key> ? true : false;

type Differences<Pairs, Way extends "answer" | "request"> = {
  [Name in string & keyof Pairs]: Pairs[Name] extends [infer Ours, infer Theirs]
    ? Difference<Ours, Declared<Theirs, Way>, Name>
    : never;
}[string & keyof Pairs];

type Found = Differences<Requests, "request"> | Differences<Answers & Webhooks, "answer">;

type Named = keyof Exceptions;

export type EveryDifferenceIsNamed = None<Exclude<Found, Named | `${string}.${Named}`>>;

export type EveryExceptionOccurs = None<
  { [Name in Named]: [Extract<Found, Name | `${string}.${Name}`>] extends [never] ? Name : never }[Named]
>;

/** An answer that the official client gave may be handed to code that was written for sett. */
export type OfficialAnswersAreOurs = None<
  { [Name in keyof Answers]: Answers[Name][1] extends Answers[Name][0] ? never : Name }[keyof Answers]
>;

export type EveryWebhookIsCompared = None<
  Same<Events.KnownWebhook, Webhooks[keyof Webhooks][0]> extends true ? never : "a webhook is missing"
>;

// ---------------------------------------------------------------------- what a user of the types may rely on

/** Comparing a webhook's two discriminants tells which it is, and what is not listed stays readable. */
export function tellApart(webhook: Events.Webhook): unknown {
  if (webhook.webhook_type === "ITEM" && webhook.webhook_code === "ERROR") {
    return webhook satisfies Events.ItemErrorWebhook;
  }
  switch (webhook.webhook_type) {
    case "ASSETS":
      if (webhook.webhook_code === "ERROR") return webhook satisfies Events.AssetsErrorWebhook;
      if (webhook.webhook_code === "PRODUCT_READY") return webhook satisfies Events.AssetsProductReadyWebhook;
      return webhook satisfies Events.UnknownWebhook;
    case "TRANSACTIONS":
      // @ts-expect-error the type alone does not tell
      webhook.new_transactions;
      // @ts-expect-error no listed webhook has this code
      if (webhook.webhook_code === "TRANSACTIONS_REMOVD") return;
      return (
        webhook.webhook_code === "TRANSACTIONS_REMOVED" && (webhook.removed_transactions satisfies string[])
      );
    case "AUTH":
    case "HOLDINGS":
    case "IDENTITY":
    case "INVESTMENTS_TRANSACTIONS":
    case "ITEM":
    case "LIABILITIES":
    case "LINK":
      return webhook.environment;
    default:
      return [
        webhook satisfies Events.UnknownWebhook,
        webhook["any_field"],
        webhook.webhook_code satisfies string,
      ];
  }
}

/** An error code that is not documented yet is a code all the same. */
export const codes: ErrorCode[] = ["ITEM_LOGIN_REQUIRED", "A_CODE_OF_NEXT_YEAR"];

// @ts-expect-error but it is not among the known ones
export const known: KnownErrorCode[] = ["ITEM_LOGIN_REQUIRED", "A_CODE_OF_NEXT_YEAR"];
