// The table of endpoints. A row says all that sett knows of one: where it is, what a request holds, what an answer
// always holds, and what sending it twice would do. The client, the sandbox's checks and the documentation derive
// from it; a row without a handler in the sandbox does not compile. Rows are plain data without calls, so that a
// bundle holds only the rows it uses.

import {
  boolean,
  date,
  integer,
  item,
  list,
  listOf,
  object,
  oneOf,
  openShape,
  orNull,
  phoneNumber,
  shape,
  text,
  textList,
  textOfAtMost,
  texts,
  url,
  words,
} from "./kinds.ts";
import type { FieldsOf, RequiredFieldsOf } from "./kinds.ts";
import type * as Wire from "./wire.ts";

/**
 * What a request does, which decides whether it may be repeated when its answer was lost: "read" changes nothing;
 * "repeat" does the same again, or leaves something harmless behind; "remove" too, and then says ITEM_NOT_FOUND;
 * "once" would lose or spend something.
 */
export type Effect = "read" | "repeat" | "remove" | "once";

export interface Endpoint<Request, Answer> {
  readonly path: `/${string}`;
  readonly effect: Effect;
  readonly request: FieldsOf<Request>;
  readonly answer: RequiredFieldsOf<Answer>;
}

const request_id = text;
const textOrNull = /* @__PURE__ */ orNull(text);
const wordsOrNull = /* @__PURE__ */ orNull(words);
const textListOrNull = /* @__PURE__ */ orNull(textList);
const countryCodes = /* @__PURE__ */ texts("a list of strings containing at least one country code");
const reasonCode = /* @__PURE__ */ orNull(
  /* @__PURE__ */ oneOf(
    "FRAUD_FIRST_PARTY",
    "FRAUD_FALSE_IDENTITY",
    "FRAUD_ABUSE",
    "FRAUD_OTHER",
    "CONNECTION_IS_NON_FUNCTIONAL",
    "OTHER",
  ),
);
const reasonNote = /* @__PURE__ */ orNull(/* @__PURE__ */ textOfAtMost(512));
/** "" clears the webhook as null does, since 1.60.2 of the specification; the text is Plaid's of before. */
const webhookOrNull = {
  expected: "a non-empty string URL",
  accepts: (value: unknown) => value === null || value === "" || url.accepts(value),
};
const accountsOptions = /* @__PURE__ */ shape({
  "account_ids?": /* @__PURE__ */ texts("a non-empty array of valid account ids"),
});
const institutionOptions = /* @__PURE__ */ shape({
  "include_optional_metadata?": boolean,
  "include_status?": boolean,
  "include_auth_metadata?": boolean,
  "include_payment_initiation_metadata?": boolean,
});
const userFields: FieldsOf<Wire.LinkTokenCreateRequestUser> = {
  client_user_id: text,
  "legal_name?": words,
  "name?": /* @__PURE__ */ orNull(/* @__PURE__ */ shape({ given_name: words, family_name: words })),
  "phone_number?": phoneNumber,
  "phone_number_verified_time?": textOrNull,
  "email_address?": words,
  "email_address_verified_time?": textOrNull,
  "ssn?": words,
  "date_of_birth?": /* @__PURE__ */ orNull(date),
  "address?": /* @__PURE__ */ orNull(
    /* @__PURE__ */ openShape({
      "street?": wordsOrNull,
      "street2?": wordsOrNull,
      "city?": wordsOrNull,
      "region?": wordsOrNull,
      "postal_code?": wordsOrNull,
      country: words,
    }),
  ),
  "id_number?": /* @__PURE__ */ orNull(/* @__PURE__ */ openShape({ value: words, type: text })),
};
const linkUser = /* @__PURE__ */ shape(userFields);
const accountFilter = /* @__PURE__ */ openShape({
  account_subtypes: textList,
  "limited_purpose_types?": textList,
});
const accountFilters = /* @__PURE__ */ openShape({
  "depository?": accountFilter,
  "credit?": accountFilter,
  "loan?": accountFilter,
  "investment?": accountFilter,
  "other?": accountFilter,
});
const institutionData = /* @__PURE__ */ shape({ "routing_number?": words });
const appearanceMode = /* @__PURE__ */ orNull(/* @__PURE__ */ oneOf("DARK", "LIGHT", "SYSTEM"));
const permissiblePurpose = /* @__PURE__ */ oneOf(
  "ACCOUNT_REVIEW_CREDIT",
  "ACCOUNT_REVIEW_NON_CREDIT",
  "ELIGIBILITY_FOR_GOVT_BENEFITS",
  "EXTENSION_OF_CREDIT",
  "LEGITIMATE_BUSINESS_NEED_OTHER",
  "LEGITIMATE_BUSINESS_NEED_TENANT_SCREENING",
  "WRITTEN_INSTRUCTION_OTHER",
  "WRITTEN_INSTRUCTION_PREQUALIFICATION",
);
const linkUpdate = /* @__PURE__ */ shape({
  "account_selection_enabled?": boolean,
  "reauthorization_enabled?": boolean,
  "user?": boolean,
  "item_ids?": textListOrNull,
});
/** The life of a Hosted Link's URL is 21 days at most. */
const hostedLink = /* @__PURE__ */ openShape({
  "delivery_method?": /* @__PURE__ */ oneOf("sms", "email"),
  "completion_redirect_uri?": text,
  "url_lifetime_seconds?": /* @__PURE__ */ integer(1, 1_814_400),
  "is_mobile_app?": boolean,
});
const daysRequested = /* @__PURE__ */ shape({ "days_requested?": /* @__PURE__ */ integer(1, 730) });
const statements = /* @__PURE__ */ shape({ start_date: date, end_date: date });
const initialProducts = /* @__PURE__ */ texts("a list of strings containing at least one product");
const wholeNumber = { expected: "an integer", accepts: (value: unknown) => Number.isInteger(value) };
const publicTokenOptions = /* @__PURE__ */ shape({
  "webhook?": url,
  "override_username?": textOrNull,
  "override_password?": textOrNull,
  "transactions?": /* @__PURE__ */ orNull(
    /* @__PURE__ */ shape({
      "start_date?": date,
      "end_date?": date,
      "days_requested?": /* @__PURE__ */ integer(1, 730),
    }),
  ),
  "statements?": /* @__PURE__ */ orNull(statements),
  "income_verification?": /* @__PURE__ */ shape({
    "income_source_types?": /* @__PURE__ */ listOf("bank", "payroll"),
    "bank_income?": /* @__PURE__ */ shape({ "days_requested?": wholeNumber }),
  }),
});
const firedCode = /* @__PURE__ */ oneOf(
  "DEFAULT_UPDATE",
  "NEW_ACCOUNTS_AVAILABLE",
  "SMS_MICRODEPOSITS_VERIFICATION",
  "AUTHORIZATION_GRANTED",
  "USER_PERMISSION_REVOKED",
  "USER_ACCOUNT_REVOKED",
  "PENDING_DISCONNECT",
  "RECURRING_TRANSACTIONS_UPDATE",
  "LOGIN_REPAIRED",
  "SYNC_UPDATES_AVAILABLE",
  "PRODUCT_READY",
  "ERROR",
);
/** IDENTITY is in Plaid's prose and missing from its schema; it is let through. */
const firedType = /* @__PURE__ */ oneOf(
  "AUTH",
  "HOLDINGS",
  "INVESTMENTS_TRANSACTIONS",
  "ITEM",
  "LIABILITIES",
  "TRANSACTIONS",
  "ASSETS",
  "IDENTITY",
);
const verificationStatus = /* @__PURE__ */ oneOf("automatically_verified", "verification_expired");

/** @see https://plaid.com/docs/api/items/#itempublic_tokenexchange */
export const itemPublicTokenExchange: Endpoint<
  Wire.ItemPublicTokenExchangeRequest,
  Wire.ItemPublicTokenExchangeResponse
> = {
  path: "/item/public_token/exchange",
  effect: "once",
  request: { public_token: text },
  answer: { access_token: text, item_id: text, request_id },
};

/** @see https://plaid.com/docs/api/items/#itemget */
export const itemGet: Endpoint<Wire.ItemGetRequest, Wire.ItemGetResponse> = {
  path: "/item/get",
  effect: "read",
  request: { access_token: text },
  answer: { item, request_id },
};

/** @see https://plaid.com/docs/api/items/#itemaccess_tokeninvalidate */
export const itemAccessTokenInvalidate: Endpoint<
  Wire.ItemAccessTokenInvalidateRequest,
  Wire.ItemAccessTokenInvalidateResponse
> = {
  path: "/item/access_token/invalidate",
  effect: "once",
  request: { access_token: text },
  answer: { new_access_token: text, request_id },
};

/** @see https://plaid.com/docs/api/items/#itemremove */
export const itemRemove: Endpoint<Wire.ItemRemoveRequest, Wire.ItemRemoveResponse> = {
  path: "/item/remove",
  effect: "remove",
  request: { access_token: text, "reason_code?": reasonCode, "reason_note?": reasonNote },
  answer: { request_id },
};

/** @see https://plaid.com/docs/api/items/#itemwebhookupdate */
export const itemWebhookUpdate: Endpoint<Wire.ItemWebhookUpdateRequest, Wire.ItemWebhookUpdateResponse> = {
  path: "/item/webhook/update",
  effect: "repeat",
  request: { access_token: text, "webhook?": webhookOrNull },
  answer: { item, request_id },
};

/** @see https://plaid.com/docs/api/accounts/#accountsget */
export const accountsGet: Endpoint<Wire.AccountsGetRequest, Wire.AccountsGetResponse> = {
  path: "/accounts/get",
  effect: "read",
  request: { access_token: text, "options?": accountsOptions },
  answer: { accounts: list, item, request_id },
};

/** @see https://plaid.com/docs/api/institutions/#institutionsget_by_id */
export const institutionsGetById: Endpoint<
  Wire.InstitutionsGetByIdRequest,
  Wire.InstitutionsGetByIdResponse
> = {
  path: "/institutions/get_by_id",
  effect: "read",
  request: { institution_id: text, country_codes: countryCodes, "options?": institutionOptions },
  answer: { institution: object, request_id },
};

/** @see https://plaid.com/docs/api/webhooks/webhook-verification/#get-webhook-verification-key */
export const webhookVerificationKeyGet: Endpoint<
  Wire.WebhookVerificationKeyGetRequest,
  Wire.WebhookVerificationKeyGetResponse
> = {
  path: "/webhook_verification_key/get",
  effect: "read",
  request: { key_id: text },
  answer: { key: object, request_id },
};

/** @see https://plaid.com/docs/api/link/#linktokencreate */
export const linkTokenCreate: Endpoint<Wire.LinkTokenCreateRequest, Wire.LinkTokenCreateResponse> = {
  path: "/link/token/create",
  effect: "repeat",
  request: {
    client_name: text,
    language: text,
    country_codes: countryCodes,
    "user?": linkUser,
    "user_id?": text,
    "user_token?": text,
    "products?": textListOrNull,
    "required_if_supported_products?": textListOrNull,
    "optional_products?": textListOrNull,
    "additional_consented_products?": textListOrNull,
    "webhook?": url,
    "access_token?": textOrNull,
    "access_tokens?": textList,
    "link_customization_name?": text,
    "appearance_mode?": appearanceMode,
    "redirect_uri?": url,
    "android_package_name?": text,
    "institution_data?": institutionData,
    "card_switch?": object,
    "account_filters?": accountFilters,
    "eu_config?": object,
    "institution_id?": text,
    "payment_configuration?": object,
    "payment_initiation?": object,
    "employment?": object,
    "income_verification?": object,
    "base_report?": object,
    "credit_partner_insights?": object,
    "cra_options?": object,
    "consumer_report_permissible_purpose?": permissiblePurpose,
    "auth?": object,
    "transfer?": object,
    "update?": linkUpdate,
    "identity_verification?": object,
    "statements?": statements,
    "third_party_user_token?": text,
    "investments?": object,
    "investments_auth?": object,
    "hosted_link?": hostedLink,
    "transactions?": daysRequested,
    "cashflow_report?": object,
    "cra_enabled?": boolean,
    "identity?": object,
    "financekit_supported?": boolean,
    "enable_multi_item_link?": boolean,
  },
  answer: { link_token: text, expiration: text, request_id },
};

/** @see https://plaid.com/docs/api/link/#linktokenget */
export const linkTokenGet: Endpoint<Wire.LinkTokenGetRequest, Wire.LinkTokenGetResponse> = {
  path: "/link/token/get",
  effect: "read",
  request: { link_token: text },
  answer: { link_token: text, created_at: textOrNull, expiration: textOrNull, metadata: object, request_id },
};

/** @see https://plaid.com/docs/api/sandbox/#sandboxpublic_tokencreate */
export const sandboxPublicTokenCreate: Endpoint<
  Wire.SandboxPublicTokenCreateRequest,
  Wire.SandboxPublicTokenCreateResponse
> = {
  path: "/sandbox/public_token/create",
  effect: "once",
  request: {
    institution_id: text,
    initial_products: initialProducts,
    "options?": publicTokenOptions,
    "user_token?": text,
    "user_id?": text,
  },
  answer: { public_token: text, request_id },
};

/** @see https://plaid.com/docs/api/sandbox/#sandboxitemreset_login */
export const sandboxItemResetLogin: Endpoint<
  Wire.SandboxItemResetLoginRequest,
  Wire.SandboxItemResetLoginResponse
> = {
  path: "/sandbox/item/reset_login",
  effect: "repeat",
  request: { access_token: text },
  answer: { reset_login: boolean, request_id },
};

/** @see https://plaid.com/docs/api/sandbox/#sandboxitemfire_webhook */
export const sandboxItemFireWebhook: Endpoint<
  Wire.SandboxItemFireWebhookRequest,
  Wire.SandboxItemFireWebhookResponse
> = {
  path: "/sandbox/item/fire_webhook",
  effect: "repeat",
  request: { access_token: text, webhook_code: firedCode, "webhook_type?": firedType },
  answer: { webhook_fired: boolean, request_id },
};

/** @see https://plaid.com/docs/api/sandbox/#sandboxitemset_verification_status */
export const sandboxItemSetVerificationStatus: Endpoint<
  Wire.SandboxItemSetVerificationStatusRequest,
  Wire.SandboxItemSetVerificationStatusResponse
> = {
  path: "/sandbox/item/set_verification_status",
  effect: "repeat",
  request: { access_token: text, account_id: text, verification_status: verificationStatus },
  answer: { request_id },
};
