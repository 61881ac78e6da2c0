// Every error code Plaid documents around an Item, and what a program should do first when it meets one.
// Plaid adds codes and splits old ones, and counts that as compatible: the list is never complete, and a code
// that is not in it is no mistake. The HTTP status and the `error_type` beside a code change too; the code is
// the key. Where a code leaves a choice, its row names the remedy that cannot lose anything.

/**
 * A string enum of an answer: an editor completes the known values, and any other string is as welcome,
 * because Plaid counts a new value as a compatible change.
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
 * - `fix-credentials`: the keys are wrong, or Plaid has not enabled this for them; go to the Dashboard.
 * - `gone`: the Item no longer exists; its token may be thrown away.
 * - `investigate`: no program can know; show it to a person, together with the `request_id`.
 */
export type Advice =
  | { readonly action: "retry" | "wait"; readonly delayMs: number }
  | {
      readonly action: "update-mode" | "relink" | "fix-request" | "fix-credentials" | "gone" | "investigate";
    };

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/**
 * Advice by `error_code`. Only the two codes that say outright that the Item is no more are `gone`: on weaker
 * evidence a token that is still billed would be thrown away.
 * @see https://plaid.com/docs/errors/
 */
export const errorCodes = {
  // ITEM_ERROR. Those that arise inside Link end with Link asking the user again; later, update mode does.
  ITEM_LOGIN_REQUIRED: { action: "update-mode" },
  ITEM_NOT_FOUND: { action: "gone" },
  ITEM_CONCURRENTLY_DELETED: { action: "gone" },
  ITEM_LOCKED: { action: "update-mode" }, // after the user has unlocked the account at the institution
  ITEM_NOT_SUPPORTED: { action: "relink" }, // this account will never work, another one may
  ITEM_NO_ERROR: { action: "fix-request" }, // legacy: update mode was opened for a healthy Item
  INVALID_CREDENTIALS: { action: "update-mode" },
  INVALID_MFA: { action: "update-mode" },
  INVALID_SEND_METHOD: { action: "update-mode" },
  INVALID_PHONE_NUMBER: { action: "update-mode" },
  INVALID_OTP: { action: "update-mode" },
  INVALID_UPDATED_USERNAME: { action: "relink" },
  INSUFFICIENT_CREDENTIALS: { action: "update-mode" },
  MFA_NOT_SUPPORTED: { action: "relink" }, // as ITEM_NOT_SUPPORTED
  NO_ACCOUNTS: { action: "update-mode" },
  NO_AUTH_ACCOUNTS: { action: "update-mode" },
  "no-depository-accounts": { action: "update-mode" }, // an older NO_AUTH_ACCOUNTS
  NO_INVESTMENT_ACCOUNTS: { action: "update-mode" },
  NO_INVESTMENT_AUTH_ACCOUNTS: { action: "update-mode" },
  NO_LIABILITY_ACCOUNTS: { action: "update-mode" },
  ACCESS_NOT_GRANTED: { action: "update-mode" },
  MANUAL_VERIFICATION_REQUIRED: { action: "update-mode" },
  PASSWORD_RESET_REQUIRED: { action: "update-mode" },
  USER_SETUP_REQUIRED: { action: "update-mode" },
  USER_INPUT_TIMEOUT: { action: "update-mode" },
  INSTANT_MATCH_FAILED: { action: "update-mode" },
  PRODUCT_NOT_READY: { action: "retry", delayMs: SECOND }, // seconds to minutes; a webhook tells when
  PRODUCT_NOT_ENABLED: { action: "fix-request" }, // only an Item created with the product has it
  PRODUCTS_NOT_SUPPORTED: { action: "fix-request" },

  // INVALID_INPUT A token that matches nothing may be mistyped, rotated out, of the other environment or of a
  // removed Item. It never proves that the Item is gone: with the wrong `env` a whole fleet would look like
  // that.
  INVALID_ACCESS_TOKEN: { action: "fix-request" },
  INVALID_PUBLIC_TOKEN: { action: "relink" }, // they live 30 minutes, and exchanging one again is undefined
  INVALID_LINK_TOKEN: { action: "relink" },
  INVALID_API_KEYS: { action: "fix-credentials" },
  INVALID_ACCOUNT_ID: { action: "fix-request" }, // list the accounts anew; it may be closed or revoked
  INVALID_INSTITUTION: { action: "fix-request" },
  INVALID_PRODUCT: { action: "fix-credentials" }, // "client is not authorized to access ..."
  INVALID_WEBHOOK_VERIFICATION_KEY_ID: { action: "fix-request" }, // or it was forged
  INVALID_LINK_CUSTOMIZATION: { action: "fix-request" },
  INVALID_USER_ID: { action: "fix-request" },
  INVALID_USER_TOKEN: { action: "fix-request" },
  INVALID_PROCESSOR_TOKEN: { action: "fix-request" },
  INVALID_AUDIT_COPY_TOKEN: { action: "fix-request" },
  INVALID_STRIPE_ACCOUNT: { action: "fix-credentials" }, // Stripe is joined to Plaid in the Dashboard
  INCORRECT_DEPOSIT_VERIFICATION: { action: "update-mode" },
  TOO_MANY_VERIFICATION_ATTEMPTS: { action: "relink" },
  ADDITIONAL_CONSENT_REQUIRED: { action: "update-mode" },
  USER_PERMISSION_REVOKED: { action: "relink" }, // update mode may fail; the Item exists until removed
  UNAUTHORIZED_ENVIRONMENT: { action: "fix-credentials" },
  UNAUTHORIZED_ROUTE_ACCESS: { action: "fix-credentials" },
  DIRECT_INTEGRATION_NOT_ENABLED: { action: "fix-credentials" },
  PROFILE_AUTHENTICATION_FAILED: { action: "relink" }, // there is no Item to update

  // INVALID_REQUEST
  MISSING_FIELDS: { action: "fix-request" },
  UNKNOWN_FIELDS: { action: "fix-request" },
  INVALID_FIELD: { action: "fix-request" },
  INVALID_BODY: { action: "fix-request" },
  INVALID_HEADERS: { action: "fix-request" },
  INVALID_CONFIGURATION: { action: "fix-request" },
  INCOMPATIBLE_API_VERSION: { action: "fix-request" },
  SANDBOX_ONLY: { action: "fix-request" },
  NOT_FOUND: { action: "fix-request" }, // the path, not the Item
  NO_LONGER_AVAILABLE: { action: "fix-request" },
  INVALID_ACCOUNT_NUMBER: { action: "fix-request" },

  // INVALID_RESULT
  PLAID_DIRECT_ITEM_IMPORT_RETURNED_INVALID_MFA: { action: "investigate" },

  // INSTITUTION_ERROR. "Please try again soon" says the message; hours to a day, says the documentation.
  INSTITUTION_DOWN: { action: "wait", delayMs: HOUR },
  INSTITUTION_NOT_RESPONDING: { action: "wait", delayMs: HOUR },
  INSTITUTION_NOT_AVAILABLE: { action: "wait", delayMs: HOUR },
  INSTITUTION_NO_LONGER_SUPPORTED: { action: "relink" }, // at another institution, or nowhere
  INSTITUTION_NOT_ENABLED_IN_ENVIRONMENT: { action: "fix-request" },
  INSTITUTION_REGISTRATION_REQUIRED: { action: "fix-credentials" },
  UNAUTHORIZED_INSTITUTION: { action: "fix-credentials" },
  UNSUPPORTED_RESPONSE: { action: "investigate" }, // documented as not worth a retry; Plaid has to mend it

  // RATE_LIMIT_EXCEEDED. Windows are minutes, and no Retry-After tells more.
  RATE_LIMIT: { action: "retry", delayMs: MINUTE },
  ITEM_GET_LIMIT: { action: "retry", delayMs: MINUTE },
  ACCOUNTS_LIMIT: { action: "retry", delayMs: MINUTE },
  ACCOUNTS_BALANCE_GET_LIMIT: { action: "retry", delayMs: MINUTE },
  BALANCE_LIMIT: { action: "retry", delayMs: MINUTE },
  AUTH_LIMIT: { action: "retry", delayMs: MINUTE },
  IDENTITY_LIMIT: { action: "retry", delayMs: MINUTE },
  TRANSACTIONS_LIMIT: { action: "retry", delayMs: MINUTE },
  TRANSACTIONS_SYNC_LIMIT: { action: "retry", delayMs: MINUTE },
  TRANSACTIONS_REFRESH_LIMIT: { action: "retry", delayMs: MINUTE },
  INVESTMENT_HOLDINGS_GET_LIMIT: { action: "retry", delayMs: MINUTE },
  INVESTMENT_TRANSACTIONS_LIMIT: { action: "retry", delayMs: MINUTE },
  INSTITUTIONS_GET_LIMIT: { action: "retry", delayMs: MINUTE },
  INSTITUTIONS_GET_BY_ID_LIMIT: { action: "retry", delayMs: MINUTE },
  INSTITUTION_RATE_LIMIT: { action: "retry", delayMs: MINUTE }, // the bank's limit
  // Quotas, not rates: no waiting helps, somebody has to buy or ask for more in the Dashboard.
  CREDITS_EXHAUSTED: { action: "fix-credentials" },
  TRIAL_CONNECTION_LIMIT: { action: "fix-credentials" },
  ADDITION_LIMIT: { action: "fix-credentials" }, // legacy: a limit on the number of Items

  // API_ERROR
  INTERNAL_SERVER_ERROR: { action: "retry", delayMs: SECOND },
  "plaid-internal-error": { action: "retry", delayMs: SECOND }, // an older INTERNAL_SERVER_ERROR
  PLANNED_MAINTENANCE: { action: "wait", delayMs: HOUR },

  // OAUTH_ERROR: Link was taken up again with something else than it was begun with.
  INCORRECT_OAUTH_NONCE: { action: "fix-request" },
  INCORRECT_LINK_TOKEN: { action: "fix-request" },
  OAUTH_STATE_ID_NOT_FOUND: { action: "relink" },
  OAUTH_STATE_ID_ALREADY_PROCESSED: { action: "relink" }, // its HTTP status is 208

  // RECAPTCHA_ERROR: both arise in Link only.
  RECAPTCHA_REQUIRED: { action: "relink" },
  RECAPTCHA_BAD: { action: "relink" },

  // SANDBOX_ERROR
  SANDBOX_PRODUCT_NOT_ENABLED: { action: "fix-request" },
  SANDBOX_WEBHOOK_INVALID: { action: "fix-request" }, // the Item has no webhook URL
  SANDBOX_TRANSFER_EVENT_TRANSITION_INVALID: { action: "fix-request" },

  // USER_ERROR
  USER_NOT_FOUND: { action: "fix-request" }, // speaks of a `user_id`; says nothing of any one Item
  INVALID_USER_IDENTITY_DATA: { action: "fix-request" },

  // Of loops over pages, which have to start over: the first from the cursor it began with, the second with
  // none.
  TRANSACTIONS_SYNC_MUTATION_DURING_PAGINATION: { action: "fix-request" },
  WEBHOOK_EVENTS_CURSOR_EXPIRED: { action: "fix-request" },
} as const satisfies Record<string, Advice>;

/** A code `errorCodes` has a row for. */
export type KnownErrorCode = keyof typeof errorCodes;

/** An `error_code` as Plaid sends it: perhaps one that is newer than this table. */
export type ErrorCode = Open<KnownErrorCode>;
