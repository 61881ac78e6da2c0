// How Plaid says no: every error code that can be met around an Item, with its type, HTTP status and texts, in one
// table. A handler throws a `Refusal`; the app writes it. `{}` in a message is where the particulars go.

import type { PlaidError } from "sett";
import type { Switches } from "./switches.ts";

interface Row {
  readonly message: string | null;
  readonly display?: string;
  /** 400 unless told. */
  readonly status?: number;
  /** False where recorded answers have no `documentation_url`. */
  readonly documented?: false;
}

const notResponding = {
  message: "this institution is not currently responding to this request. please try again soon",
  display:
    "This financial institution is not currently responding to requests. We apologize for the inconvenience.",
};
const tooManyCalls = {
  message: "rate limit exceeded for attempts to access this item. please try again later",
  status: 429,
};
/** Of both endpoints, although it names one. */
const tooManyInstitutionCalls = {
  message: 'rate limit exceeded for attempts to access "institutions get by id". please try again later',
  status: 429,
};
const noInvestmentAccounts =
  "There are no valid investment account(s) associated with this Item. See https://plaid.com/docs/api/#item-errors for more information.";

/** A text alone is a message of which there is no more to say. */
type Entry = Row | Row["message"];

const byType = {
  ITEM_ERROR: {
    ITEM_LOGIN_REQUIRED:
      "the login details of this item have changed (credentials, MFA, or required user action) and a user login is required to update this information. use Link's update mode to restore the item to a good state",
    ITEM_NOT_FOUND:
      "The Item you requested cannot be found. This Item does not exist, has been previously removed via /item/remove, or has had access removed by the user.",
    ITEM_CONCURRENTLY_DELETED: "This item was deleted while the operation was in progress",
    ITEM_LOCKED: {
      message:
        "the account is locked. prompt the user to visit the institution's site and unlock their account",
      display:
        "The given account has been locked by the financial institution. Please visit your financial institution's website to unlock your account.",
    },
    ITEM_NOT_SUPPORTED: {
      message: "this account is currently not supported",
      display:
        "The given account is not currently supported for this financial institution. We apologize for the inconvenience.",
    },
    INVALID_CREDENTIALS: {
      message: "the provided credentials were not correct",
      display: "The provided credentials were not correct. Please try again.",
    },
    INVALID_MFA: {
      message: "the provided MFA response(s) were not correct",
      display: "The provided MFA responses were not correct. Please try again.",
    },
    INVALID_SEND_METHOD: "the provided MFA send_method was invalid",
    INVALID_PHONE_NUMBER: {
      message: "the provided phone number was invalid",
      display: "The provided phone number was invalid. Please try again.",
    },
    INVALID_OTP: {
      message: "the provided OTP was invalid",
      display: "The provided OTP was invalid. Please try again.",
    },
    INVALID_UPDATED_USERNAME:
      "the username provided to /item/credentials/update does not match the original username for the item",
    INSUFFICIENT_CREDENTIALS: {
      message: "insufficient authorization was provided to complete the request",
      display: "INSUFFICIENT_CREDENTIALS",
    },
    MFA_NOT_SUPPORTED: {
      message: "this account requires a MFA type that we do not currently support for the institution",
      display:
        "The multi-factor security features enabled on this account are not currently supported for this financial institution. We apologize for the inconvenience.",
    },
    NO_ACCOUNTS: {
      message: "no valid accounts were found for this item",
      display:
        "No valid accounts were found at the financial institution. Please visit your financial institution's website to confirm accounts are available.",
    },
    NO_AUTH_ACCOUNTS:
      "There are no valid checking or savings account(s) associated with this Item. See https://plaid.com/docs/api/#item-errors for more.",
    NO_INVESTMENT_ACCOUNTS: noInvestmentAccounts,
    NO_INVESTMENT_AUTH_ACCOUNTS: noInvestmentAccounts,
    NO_LIABILITY_ACCOUNTS:
      "There are no valid liability account(s) associated with this Item. See https://plaid.com/docs/api/#item-errors for more information.",
    ACCESS_NOT_GRANTED: {
      message: "access to this product was not granted for the account",
      display: "The user did not grant the necessary permissions for this product on their account.",
    },
    MANUAL_VERIFICATION_REQUIRED:
      "This Item could not be automatically verified. The user must manually verify their account through a separate Link session using the existing access token and with 'investments_auth' initialized in the 'products' array.",
    PASSWORD_RESET_REQUIRED: {
      message: "user must reset their password",
      display: "The user needs to reset their password for their account",
    },
    USER_SETUP_REQUIRED: {
      message:
        "the account has not been fully set up. prompt the user to visit the issuing institution's site and finish the setup process",
      display:
        "The given account is not fully setup. Please visit your financial institution's website to setup your account.",
    },
    USER_INPUT_TIMEOUT: {
      message: "user must retry this operation",
      display: "The application timed out waiting for user input",
    },
    PRODUCT_NOT_READY:
      "the requested product is not yet ready. please provide a webhook or try the request again later",
    // The double "when" is Plaid's.
    PRODUCT_NOT_ENABLED:
      "A requested product was not enabled for the current access token. Please ensure it is included when when initializing Link and create the Item again.",
    PRODUCTS_NOT_SUPPORTED: "the following products are not supported by this institution: {}",
    INSTANT_MATCH_FAILED:
      "Item cannot be verified through Instant Match. Ensure you are correctly enabling all auth features in Link.",
  },
  INVALID_INPUT: {
    INVALID_ACCESS_TOKEN: "could not find matching access token",
    INVALID_PUBLIC_TOKEN: "could not find matching public token",
    INVALID_LINK_TOKEN: "invalid link_token provided",
    INVALID_API_KEYS: "invalid client_id or secret provided",
    INVALID_ACCOUNT_ID: "failed to find requested account ID for requested item",
    INVALID_INSTITUTION: "invalid institution_id provided",
    INVALID_PRODUCT: "client is not authorized to access the following products: {}",
    INVALID_WEBHOOK_VERIFICATION_KEY_ID:
      "invalid key_id provided. note that key_ids are specific to Plaid environments, and verification requests must be made to the same environment that the webhook was sent from",
    INVALID_LINK_CUSTOMIZATION: "requested link customization is not set to update account selection",
    INVALID_USER_ID: "user.user_id must be a non-empty string",
    INVALID_USER_TOKEN: "could not find matching user token",
    ADDITIONAL_CONSENT_REQUIRED: "client does not have user consent to access the PRODUCT_AUTH product",
    USER_PERMISSION_REVOKED:
      "the holder of this account has revoked their permission for your application to access it",
    UNAUTHORIZED_ENVIRONMENT:
      "you are not authorized to create items in this api environment. Go to the Dashboard (https://dashboard.plaid.com) to see which environments you are authorized for.",
    UNAUTHORIZED_ROUTE_ACCESS: "you are not authorized to access this route in this api environment.",
    DIRECT_INTEGRATION_NOT_ENABLED:
      "your client ID is only authorized to use Plaid Link. head to the docs (https://plaid.com/docs) to get started.",
    INVALID_PROCESSOR_TOKEN: null,
    INVALID_AUDIT_COPY_TOKEN: null,
    INVALID_STRIPE_ACCOUNT: "",
    INCORRECT_DEPOSIT_VERIFICATION: "",
    TOO_MANY_VERIFICATION_ATTEMPTS: "",
    PROFILE_AUTHENTICATION_FAILED: {
      message: "the profile could not be authenticated",
      display: "We were not able to authenticate your access to this Plaid account.",
    },
  },
  INVALID_REQUEST: {
    MISSING_FIELDS: "the following required fields are missing: {}",
    UNKNOWN_FIELDS: "the following fields are not recognized by this endpoint: {}",
    INVALID_FIELD: "{}",
    INVALID_BODY: "body could not be parsed as JSON",
    INVALID_HEADERS: "the Content-Type header must be application/json",
    INVALID_CONFIGURATION: "please ensure that the request body is formatted correctly",
    INCOMPATIBLE_API_VERSION:
      "The public_key cannot be used for this endpoint as of version 2020-09-14 of the API. Please use the client_id and secret instead.",
    SANDBOX_ONLY: "access to {} is only available in the sandbox environment at https://sandbox.plaid.com/",
    NOT_FOUND: { message: "not found", status: 404 },
    NO_LONGER_AVAILABLE: {
      message: "This endpoint has been discontinued as of version '2020-09-14' of the API.",
      status: 404,
      documented: false,
    },
    INVALID_ACCOUNT_NUMBER: "The provided account number was invalid.",
  },
  INVALID_RESULT: {
    PLAID_DIRECT_ITEM_IMPORT_RETURNED_INVALID_MFA: "",
  },
  INSTITUTION_ERROR: {
    INSTITUTION_DOWN: notResponding,
    INSTITUTION_NOT_RESPONDING: notResponding,
    INSTITUTION_NOT_AVAILABLE: notResponding,
    INSTITUTION_NO_LONGER_SUPPORTED: "this institution is no longer supported",
    INSTITUTION_NOT_ENABLED_IN_ENVIRONMENT: "Institution not enabled in this environment",
    INSTITUTION_REGISTRATION_REQUIRED: "not yet registered to create items for this institution",
    UNAUTHORIZED_INSTITUTION: "not authorized to create items for this institution",
    UNSUPPORTED_RESPONSE: "the data returned from the financial institution is not valid",
  },
  RATE_LIMIT_EXCEEDED: {
    RATE_LIMIT: tooManyCalls,
    ITEM_GET_LIMIT: tooManyCalls,
    ITEM_REMOVE_LIMIT: tooManyCalls,
    ACCOUNTS_LIMIT: tooManyCalls,
    ACCOUNTS_BALANCE_GET_LIMIT: tooManyCalls,
    BALANCE_LIMIT: tooManyCalls,
    AUTH_LIMIT: tooManyCalls,
    IDENTITY_LIMIT: tooManyCalls,
    TRANSACTIONS_LIMIT: tooManyCalls,
    TRANSACTIONS_SYNC_LIMIT: tooManyCalls,
    TRANSACTIONS_REFRESH_LIMIT: tooManyCalls,
    INVESTMENT_HOLDINGS_GET_LIMIT: tooManyCalls,
    INVESTMENT_TRANSACTIONS_LIMIT: tooManyCalls,
    INSTITUTIONS_GET_LIMIT: tooManyInstitutionCalls,
    INSTITUTIONS_GET_BY_ID_LIMIT: tooManyInstitutionCalls,
    INSTITUTION_RATE_LIMIT: {
      message: "The institution is currently receiving too many requests. Please try again later.",
      status: 429,
    },
    CREDITS_EXHAUSTED: {
      message: "Free usage exhausted, please request full Production access to continue using this product",
      status: 429,
    },
    TRIAL_CONNECTION_LIMIT: tooManyCalls,
    ADDITION_LIMIT: tooManyCalls,
  },
  API_ERROR: {
    INTERNAL_SERVER_ERROR: { message: "an unexpected error occurred", status: 500 },
    PLANNED_MAINTENANCE: {
      message:
        "the Plaid API is temporarily unavailable due to planned maintenance. visit https://status.plaid.com/ for more information",
      status: 503,
    },
  },
  OAUTH_ERROR: {
    INCORRECT_OAUTH_NONCE: "nonce does not match",
    INCORRECT_LINK_TOKEN: "link token does not match original link token",
    OAUTH_STATE_ID_NOT_FOUND: { message: "the provided oauth_state_id wasn't found", status: 404 },
    OAUTH_STATE_ID_ALREADY_PROCESSED: { message: null, status: 208 },
  },
  SANDBOX_ERROR: {
    SANDBOX_PRODUCT_NOT_ENABLED: "The {} product is not enabled on this item",
    SANDBOX_WEBHOOK_INVALID:
      "Webhook for this item is either not set up, or invalid. Please update the item's webhook and try again.",
    SANDBOX_TRANSFER_EVENT_TRANSITION_INVALID: "",
  },
  USER_ERROR: {
    USER_NOT_FOUND:
      "The User you requested cannot be found. This User does not exist or has had access removed by the user.",
    INVALID_USER_IDENTITY_DATA: { message: "", status: 403 },
  },
  TRANSACTIONS_ERROR: {
    TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION: "",
  },
  RECAPTCHA_ERROR: {
    RECAPTCHA_REQUIRED: "",
    RECAPTCHA_BAD: "",
  },
} as const satisfies Record<string, Record<string, Entry>>;

type CodesOf<Types> = Types extends Types ? keyof Types & string : never;
/** An error code that the sandbox can answer with. */
export type RefusalCode = CodesOf<(typeof byType)[keyof typeof byType]>;

type TypedRow = Row & { readonly type: string };
/** Every row by its code. */
export const refusalTable: ReadonlyMap<string, TypedRow> = new Map(
  Object.entries(byType).flatMap(([type, rows]) =>
    Object.entries<Entry>(rows).map(([code, entry]): [string, TypedRow] => [
      code,
      entry !== null && typeof entry === "object" ? { ...entry, type } : { message: entry, type },
    ]),
  ),
);

/** Whether the table has the code. */
export const isRefusalCode = (code: unknown): code is RefusalCode =>
  typeof code === "string" && refusalTable.has(code);

const rowOf = (code: RefusalCode) => refusalTable.get(code)!;

/**
 * An answer of Plaid's that is an error; thrown by whoever finds the reason. `detail` takes the place of `{}` in
 * the code's message, or of the whole message where that has none.
 */
export class Refusal extends Error {
  readonly code: RefusalCode;
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;

  constructor(code: RefusalCode, detail?: string, changes: Readonly<Record<string, unknown>> = {}) {
    const { type, message, display = null, status = 400, documented } = rowOf(code);
    const said = worded(message, detail);
    super(said ? `${code}: ${said}` : code);
    this.code = code;
    this.status = status;
    this.body = {
      error_type: type,
      error_code: code,
      error_message: said,
      display_message: display,
      ...(documented !== false && { documentation_url: documentation(type) }),
      suggested_action: null,
      ...changes,
    };
  }
}

const worded = (message: string | null, detail: string | undefined) =>
  message?.includes("{}") ? message.replace("{}", () => detail ?? "") : (detail ?? message);

/** Recorded for INVALID_INPUT, INVALID_REQUEST and ITEM_ERROR; for the other types by the same rule. */
const documentation = (type: string) =>
  `https://plaid.com/docs/?ref=error#${type
    .toLowerCase()
    .replace(/_error$/, "")
    .replaceAll("_", "-")}-errors`;

const oauthEnded = "The user's OAuth connection to this institution has been invalidated.";

/** Why an Item needs help. The rest of the error follows from the code. */
export interface ItemTrouble {
  readonly error_code: RefusalCode;
  /** Of OAuth connections: `OAUTH_CONSENT_EXPIRED` and the like. */
  readonly error_code_reason: string | null;
}

/** The refusal that an Item's trouble turns into, at every endpoint but /item/get. */
export const refusalOf = ({ error_code, error_code_reason }: ItemTrouble, switches: Switches) =>
  new Refusal(error_code, undefined, {
    ...(error_code_reason !== null && { display_message: oauthEnded }),
    ...reasonField(error_code_reason, switches),
  });

/** An Item's trouble as it stands in webhooks. Plaid's sample gives USER_PERMISSION_REVOKED another type there. */
export const webhookError = (
  { error_code, error_code_reason }: ItemTrouble,
  switches: Switches,
): PlaidError => {
  const { type, message, display = null, status = 400 } = rowOf(error_code);
  return {
    error_type: error_code === "USER_PERMISSION_REVOKED" ? "ITEM_ERROR" : type,
    error_code,
    error_message: worded(message, undefined),
    display_message: error_code_reason === null ? display : oauthEnded,
    ...reasonField(error_code_reason, switches),
    status,
  };
};

/** An Item's trouble as `item.error`. */
export function itemError(trouble: ItemTrouble, switches: Switches, requestId: () => string): PlaidError {
  const { status, ...bare } = webhookError(trouble, switches);
  if (switches.itemErrorShape === "webhook") return { ...bare, status: status ?? null };
  if (switches.itemErrorShape === "bare") return bare;
  return {
    ...bare,
    documentation_url: documentation(bare.error_type),
    request_id: requestId(),
    suggested_action: null,
  };
}

const reasonField = (reason: string | null, { errorCodeReason }: Switches) =>
  reason !== null || errorCodeReason === "always" ? { error_code_reason: reason } : {};
