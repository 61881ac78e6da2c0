/**
 * A string enum of an answer: an editor completes the known values, and any other string is as welcome, because
 * Plaid counts a new value as a compatible change.
 * @see https://plaid.com/docs/api/versioning/
 */
export type Open<Known extends string> = Known | (string & {});
/**
 * What a program should do first.
 *
 * - `retry`: the same call, unchanged, after `delayMs` (milliseconds), and with backoff from there.
 * - `wait`: the same call much later; `delayMs` is a first guess, the cause lasts hours.
 * - `update-mode`: send the user through Link in update mode; the Item keeps its id and its access token.
 * - `relink`: a new Link session for a new Item; an old Item, if any, is removed once the new one is held.
 * - `fix-request`: the call as sent cannot succeed; change the call or the code that makes it.
 * - `fix-credentials`: the keys are wrong, or Plaid has not enabled this for them; the Dashboard has the remedy.
 * - `gone`: the Item no longer exists; its token may be thrown away.
 * - `investigate`: no program can know; show it to a person, together with the `request_id`.
 */
export type Advice =
  | {
      readonly action: "retry" | "wait";
      readonly delayMs: number;
    }
  | {
      readonly action: "update-mode" | "relink" | "fix-request" | "fix-credentials" | "gone" | "investigate";
    };
/**
 * Advice by `error_code`. Only the two codes that say outright that the Item is no more are `gone`: on weaker
 * evidence a token that is still billed would be thrown away.
 * @see https://plaid.com/docs/errors/
 */
export declare const errorCodes: {
  readonly ITEM_LOGIN_REQUIRED: {
    readonly action: "update-mode";
  };
  readonly ITEM_NOT_FOUND: {
    readonly action: "gone";
  };
  readonly ITEM_CONCURRENTLY_DELETED: {
    readonly action: "gone";
  };
  readonly ITEM_LOCKED: {
    readonly action: "update-mode";
  };
  readonly ITEM_NOT_SUPPORTED: {
    readonly action: "relink";
  };
  readonly ITEM_NO_ERROR: {
    readonly action: "fix-request";
  };
  readonly INVALID_CREDENTIALS: {
    readonly action: "update-mode";
  };
  readonly INVALID_MFA: {
    readonly action: "update-mode";
  };
  readonly INVALID_SEND_METHOD: {
    readonly action: "update-mode";
  };
  readonly INVALID_PHONE_NUMBER: {
    readonly action: "update-mode";
  };
  readonly INVALID_OTP: {
    readonly action: "update-mode";
  };
  readonly INVALID_UPDATED_USERNAME: {
    readonly action: "relink";
  };
  readonly INSUFFICIENT_CREDENTIALS: {
    readonly action: "update-mode";
  };
  readonly MFA_NOT_SUPPORTED: {
    readonly action: "relink";
  };
  readonly NO_ACCOUNTS: {
    readonly action: "update-mode";
  };
  readonly NO_AUTH_ACCOUNTS: {
    readonly action: "update-mode";
  };
  readonly "no-depository-accounts": {
    readonly action: "update-mode";
  };
  readonly NO_INVESTMENT_ACCOUNTS: {
    readonly action: "update-mode";
  };
  readonly NO_INVESTMENT_AUTH_ACCOUNTS: {
    readonly action: "update-mode";
  };
  readonly NO_LIABILITY_ACCOUNTS: {
    readonly action: "update-mode";
  };
  readonly ACCESS_NOT_GRANTED: {
    readonly action: "update-mode";
  };
  readonly MANUAL_VERIFICATION_REQUIRED: {
    readonly action: "update-mode";
  };
  readonly PASSWORD_RESET_REQUIRED: {
    readonly action: "update-mode";
  };
  readonly USER_SETUP_REQUIRED: {
    readonly action: "update-mode";
  };
  readonly USER_INPUT_TIMEOUT: {
    readonly action: "update-mode";
  };
  readonly INSTANT_MATCH_FAILED: {
    readonly action: "update-mode";
  };
  readonly PRODUCT_NOT_READY: {
    readonly action: "retry";
    readonly delayMs: 1000;
  };
  readonly PRODUCT_NOT_ENABLED: {
    readonly action: "fix-request";
  };
  readonly PRODUCTS_NOT_SUPPORTED: {
    readonly action: "fix-request";
  };
  readonly INVALID_ACCESS_TOKEN: {
    readonly action: "fix-request";
  };
  readonly INVALID_PUBLIC_TOKEN: {
    readonly action: "relink";
  };
  readonly INVALID_LINK_TOKEN: {
    readonly action: "relink";
  };
  readonly INVALID_API_KEYS: {
    readonly action: "fix-credentials";
  };
  readonly INVALID_ACCOUNT_ID: {
    readonly action: "fix-request";
  };
  readonly INVALID_INSTITUTION: {
    readonly action: "fix-request";
  };
  readonly INVALID_PRODUCT: {
    readonly action: "fix-credentials";
  };
  readonly INVALID_WEBHOOK_VERIFICATION_KEY_ID: {
    readonly action: "fix-request";
  };
  readonly INVALID_LINK_CUSTOMIZATION: {
    readonly action: "fix-request";
  };
  readonly INVALID_USER_ID: {
    readonly action: "fix-request";
  };
  readonly INVALID_USER_TOKEN: {
    readonly action: "fix-request";
  };
  readonly INVALID_PROCESSOR_TOKEN: {
    readonly action: "fix-request";
  };
  readonly INVALID_AUDIT_COPY_TOKEN: {
    readonly action: "fix-request";
  };
  readonly INVALID_STRIPE_ACCOUNT: {
    readonly action: "fix-credentials";
  };
  readonly INCORRECT_DEPOSIT_VERIFICATION: {
    readonly action: "update-mode";
  };
  readonly TOO_MANY_VERIFICATION_ATTEMPTS: {
    readonly action: "relink";
  };
  readonly ADDITIONAL_CONSENT_REQUIRED: {
    readonly action: "update-mode";
  };
  readonly USER_PERMISSION_REVOKED: {
    readonly action: "relink";
  };
  readonly UNAUTHORIZED_ENVIRONMENT: {
    readonly action: "fix-credentials";
  };
  readonly UNAUTHORIZED_ROUTE_ACCESS: {
    readonly action: "fix-credentials";
  };
  readonly DIRECT_INTEGRATION_NOT_ENABLED: {
    readonly action: "fix-credentials";
  };
  readonly PROFILE_AUTHENTICATION_FAILED: {
    readonly action: "relink";
  };
  readonly MISSING_FIELDS: {
    readonly action: "fix-request";
  };
  readonly UNKNOWN_FIELDS: {
    readonly action: "fix-request";
  };
  readonly INVALID_FIELD: {
    readonly action: "fix-request";
  };
  readonly INVALID_BODY: {
    readonly action: "fix-request";
  };
  readonly INVALID_HEADERS: {
    readonly action: "fix-request";
  };
  readonly INVALID_CONFIGURATION: {
    readonly action: "fix-request";
  };
  readonly INCOMPATIBLE_API_VERSION: {
    readonly action: "fix-request";
  };
  readonly SANDBOX_ONLY: {
    readonly action: "fix-request";
  };
  readonly NOT_FOUND: {
    readonly action: "fix-request";
  };
  readonly NO_LONGER_AVAILABLE: {
    readonly action: "fix-request";
  };
  readonly INVALID_ACCOUNT_NUMBER: {
    readonly action: "fix-request";
  };
  readonly PLAID_DIRECT_ITEM_IMPORT_RETURNED_INVALID_MFA: {
    readonly action: "investigate";
  };
  readonly INSTITUTION_DOWN: {
    readonly action: "wait";
    readonly delayMs: number;
  };
  readonly INSTITUTION_NOT_RESPONDING: {
    readonly action: "wait";
    readonly delayMs: number;
  };
  readonly INSTITUTION_NOT_AVAILABLE: {
    readonly action: "wait";
    readonly delayMs: number;
  };
  readonly INSTITUTION_NO_LONGER_SUPPORTED: {
    readonly action: "relink";
  };
  readonly INSTITUTION_NOT_ENABLED_IN_ENVIRONMENT: {
    readonly action: "fix-request";
  };
  readonly INSTITUTION_REGISTRATION_REQUIRED: {
    readonly action: "fix-credentials";
  };
  readonly UNAUTHORIZED_INSTITUTION: {
    readonly action: "fix-credentials";
  };
  readonly UNSUPPORTED_RESPONSE: {
    readonly action: "investigate";
  };
  readonly RATE_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly ITEM_GET_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly ACCOUNTS_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly ACCOUNTS_BALANCE_GET_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly BALANCE_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly AUTH_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly IDENTITY_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly TRANSACTIONS_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly TRANSACTIONS_SYNC_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly TRANSACTIONS_REFRESH_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly INVESTMENT_HOLDINGS_GET_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly INVESTMENT_TRANSACTIONS_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly INSTITUTIONS_GET_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly INSTITUTIONS_GET_BY_ID_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly INSTITUTION_RATE_LIMIT: {
    readonly action: "retry";
    readonly delayMs: number;
  };
  readonly CREDITS_EXHAUSTED: {
    readonly action: "fix-credentials";
  };
  readonly TRIAL_CONNECTION_LIMIT: {
    readonly action: "fix-credentials";
  };
  readonly ADDITION_LIMIT: {
    readonly action: "fix-credentials";
  };
  readonly INTERNAL_SERVER_ERROR: {
    readonly action: "retry";
    readonly delayMs: 1000;
  };
  readonly "plaid-internal-error": {
    readonly action: "retry";
    readonly delayMs: 1000;
  };
  readonly PLANNED_MAINTENANCE: {
    readonly action: "wait";
    readonly delayMs: number;
  };
  readonly INCORRECT_OAUTH_NONCE: {
    readonly action: "fix-request";
  };
  readonly INCORRECT_LINK_TOKEN: {
    readonly action: "fix-request";
  };
  readonly OAUTH_STATE_ID_NOT_FOUND: {
    readonly action: "relink";
  };
  readonly OAUTH_STATE_ID_ALREADY_PROCESSED: {
    readonly action: "relink";
  };
  readonly RECAPTCHA_REQUIRED: {
    readonly action: "relink";
  };
  readonly RECAPTCHA_BAD: {
    readonly action: "relink";
  };
  readonly SANDBOX_PRODUCT_NOT_ENABLED: {
    readonly action: "fix-request";
  };
  readonly SANDBOX_WEBHOOK_INVALID: {
    readonly action: "fix-request";
  };
  readonly SANDBOX_TRANSFER_EVENT_TRANSITION_INVALID: {
    readonly action: "fix-request";
  };
  readonly USER_NOT_FOUND: {
    readonly action: "fix-request";
  };
  readonly INVALID_USER_IDENTITY_DATA: {
    readonly action: "fix-request";
  };
  readonly TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION: {
    readonly action: "fix-request";
  };
  readonly WEBHOOK_EVENTS_CURSOR_EXPIRED: {
    readonly action: "fix-request";
  };
};
/** A code `errorCodes` has a row for. */
export type KnownErrorCode = keyof typeof errorCodes;
/** An `error_code` as Plaid sends it: perhaps one that is newer than this table. */
export type ErrorCode = Open<KnownErrorCode>;
