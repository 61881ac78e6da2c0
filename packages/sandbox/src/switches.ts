// What nobody outside Plaid has verified: each open question of Plaid's behaviour around an Item is a named choice,
// so that a program can be tested under every answer. docs/sandbox.md lists them all as unverified. Nothing here
// is a fact about Plaid; a default is the answer that the sources make most likely.

interface Row {
  /** The first is the default. */
  readonly values: readonly [string, string, ...string[]];
  readonly question: string;
}

/** Every switch, with its values and the question it answers. */
export const switchTable = {
  secondExchange: {
    values: ["refuse", "same-token"],
    question: "A public token is exchanged again: INVALID_PUBLIC_TOKEN, or the same access token once more?",
  },
  rotatedToken: {
    values: ["INVALID_ACCESS_TOKEN", "ITEM_NOT_FOUND"],
    question: "Which code does an access token get that /item/access_token/invalidate has replaced?",
  },
  credentialPrecedence: {
    values: ["headers", "body"],
    question: "Credentials come in headers and in the body: which count?",
  },
  validationOrder: {
    values: ["missing-unknown-invalid", "unknown-missing-invalid", "credentials-first"],
    question: "What is looked at first in a request with several faults?",
  },
  itemErrorShape: {
    values: ["webhook", "http", "bare"],
    question:
      "Is `item.error` as errors in webhooks are (with `status`), as HTTP errors are (with `documentation_url`, `request_id` and `suggested_action`), or only the four required fields? Which codes may appear there is unknown too: any may be set.",
  },
  errorCodeReason: {
    values: ["oauth-only", "always"],
    question:
      "Is `error_code_reason` null, rather than absent, on errors that have nothing to do with OAuth?",
  },
  revokedItem: {
    values: ["item-error", "USER_PERMISSION_REVOKED", "ITEM_NOT_FOUND"],
    question:
      "What does /item/get say of an Item whose user has revoked permission: 200 with `item.error`, or a refusal with which code?",
  },
  cachedAccounts: {
    values: ["refuse", "answer"],
    question: "Does /accounts/get, which asks no bank, fail while an Item is in an error state?",
  },
  unhealthyItem: {
    values: ["answer", "refuse"],
    question:
      "Do /item/access_token/invalidate and /item/webhook/update, which ask no bank either, work on an Item in an error state (with `item.error` null, since /item/get alone shows it)?",
  },
  webhookBytes: {
    values: ["indented", "compact"],
    question: "Are webhooks indented by two spaces, with keys sorted, as answers are?",
  },
  expiredKeys: {
    values: ["served", "refused"],
    question: "Does /webhook_verification_key/get still know a key that has expired?",
  },
  removalWebhook: {
    values: ["none", "USER_PERMISSION_REVOKED"],
    question: "Is a webhook sent when an Item is removed?",
  },
  firedDefaultType: {
    values: ["TRANSACTIONS", "first-product"],
    question:
      "Which `webhook_type` does /sandbox/item/fire_webhook take for DEFAULT_UPDATE when none is given?",
  },
  firedDisconnectReason: {
    values: ["INSTITUTION_MIGRATION", "INSTITUTION_TOKEN_EXPIRATION"],
    question: "Which `reason` does a fired PENDING_DISCONNECT carry?",
  },
  updateModeWebhooks: {
    values: ["sent", "none"],
    question:
      "Do Link's webhooks go to the `webhook` of a link token for update mode, though it has no effect on the Item's?",
  },
  unlistedLimits: {
    values: ["none", "production"],
    question:
      "With limits on: do exchange (12 000 a minute) and /link/token/create (20 000) have production's client limits in Sandbox?",
  },
  removeLimitCode: {
    values: ["RATE_LIMIT", "ITEM_REMOVE_LIMIT"],
    question: "Which code do the limits of /item/remove answer with?",
  },
  wrongEnvironment: {
    values: ["INVALID_ACCESS_TOKEN", "INVALID_FIELD"],
    question: "Which code does an access token of another environment get?",
  },
} as const satisfies Record<string, Row>;

/** One value for every switch. */
export type Switches = {
  readonly [Name in keyof typeof switchTable]: (typeof switchTable)[Name]["values"][number];
};

/** The most likely answers. */
export const defaultSwitches = Object.fromEntries(
  Object.entries(switchTable).map(([name, row]) => [name, row.values[0]]),
) as Switches;

/** What is wrong with switches that come from outside, as a sentence; undefined when nothing is. */
export function faultInSwitches(given: object): string | undefined {
  for (const [name, value] of Object.entries(given)) {
    const row: Row | undefined = Object.hasOwn(switchTable, name)
      ? switchTable[name as keyof typeof switchTable]
      : undefined;
    if (!row) return `${name} is not a switch; the switches are ${Object.keys(switchTable).join(", ")}`;
    if (!row.values.includes(value)) return `${name} must be one of ${row.values.join(", ")}`;
  }
  return undefined;
}
