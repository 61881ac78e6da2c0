// What travels between a program and Plaid, API version 2020-09-14, for the endpoints sett has a row for.
// Types only, named as in the official client; fields keep the wire's spelling. A question mark says that a
// key may be missing, `| null` that it may be null, and neither stands in for the other. `client_id` and
// `secret` are left out of requests: they go in headers. Enums of requests are closed, because Plaid refuses
// what it does not know; enums of answers are open, because Plaid may add to them any day. Fields that are
// not listed reach you untouched; no index signature says so, as it would cost every field its completion and
// every misspelt one its error. Nothing promises the length or the shape of an id or a token: Plaid may
// change both at any time.

import type { ErrorCode, Open } from "./codes.ts";

export type { ErrorCode, KnownErrorCode, Open } from "./codes.ts";

// ----------------------------------------------------------------------------------------- words of the wire

/** RFC 3339 in UTC, such as `2025-05-19T17:24:01.86Z`; the fraction may have any length, or be missing. */
export type DateTime = string;

/** A calendar date without a zone, `YYYY-MM-DD`. */
export type CalendarDate = string;

/** Opens one Item, until rotated or the Item is removed. `access-<environment>-<uuid>` today. */
export type AccessToken = string;

/** Link's result, good for one exchange within 30 minutes. `public-<environment>-<uuid>` today. */
export type PublicToken = string;

/** Opens Link: once, or in Sandbox again and again, within 4 hours; for update mode within 30 minutes. */
export type LinkToken = string;

/** What every answer carries, refusals included. Log it: it is what Plaid's support asks for. */
export interface Answer {
  request_id: string;
}

/**
 * Some are hidden from the documentation yet do arrive, `income` and `credit_details` for instance.
 * @see https://plaid.com/docs/api/link/#link-token-create-request-products
 */
// prettier-ignore
export type Products =
  | "assets" | "auth" | "balance" | "balance_plus" | "beacon" | "cra_base_report" | "cra_cashflow_insights"
  | "cra_home_lending" | "cra_income_insights" | "cra_lend_score" | "cra_monitoring" | "cra_network_insights"
  | "cra_partner_insights" | "cra_plaid_credit_score" | "cra_qualify" | "credit_details" | "employment"
  | "identity" | "identity_match" | "identity_verification" | "income" | "income_verification" | "investments"
  | "investments_auth" | "layer" | "liabilities" | "pay_by_bank" | "payment_initiation" | "processor_identity"
  | "processor_payments" | "profile" | "protect_linked_bank" | "protect_transactions"
  | "recurring_transactions" | "signal" | "standing_orders" | "statements" | "transactions"
  | "transactions_refresh" | "transfer";

/** ISO 3166-1 alpha-2, of the countries Plaid serves. */
// prettier-ignore
export type CountryCode =
  | "AT" | "BE" | "CA" | "DE" | "DK" | "EE" | "ES" | "FI" | "FR" | "GB" | "IE" | "IT" | "LT" | "LV" | "NL"
  | "NO" | "PL" | "PT" | "SE" | "US";

// ---------------------------------------------------------------------------------------------------- errors

/**
 * The family of an error. Families split and codes change families: decide on `error_code`, then on this.
 * @see https://plaid.com/docs/errors/
 */
// prettier-ignore
export type PlaidErrorType =
  | "API_ERROR" | "ASSETS_ERROR" | "ASSET_REPORT_ERROR" | "BANK_TRANSFER_ERROR" | "BASE_REPORT_ERROR"
  | "CHECK_REPORT_ERROR" | "CONSUMER_REPORT_ERROR" | "CRA_MONITORING_ERROR" | "CREDIT_PROFILE_REPORT_ERROR"
  | "ENCOMPASS_ERROR" | "ENRICH_ERROR" | "FRAUD_INSIGHTS_ERROR" | "FREDDIE_MAC_ERROR" | "IDEMPOTENCY_ERROR"
  | "INCOME_VERIFICATION_ERROR" | "INSTITUTION_ERROR" | "INVALID_INPUT" | "INVALID_REQUEST" | "INVALID_RESULT"
  | "ITEM_ERROR" | "LINK_DELIVERY_ERROR" | "MICRODEPOSITS_ERROR" | "OAUTH_ERROR" | "PARTNER_ERROR"
  | "PAYMENT_ERROR" | "PROFILE_ERROR" | "RATE_LIMIT_EXCEEDED" | "RECAPTCHA_ERROR"
  | "RECURRING_TRANSACTIONS_ERROR" | "SANDBOX_ERROR" | "SIGNAL_ERROR" | "STATEMENTS_ERROR"
  | "TRANSACTIONS_ERROR" | "TRANSACTION_ERROR" | "TRANSFER_ERROR" | "TRANSFER_RECURRING_ERROR"
  | "TRANSFER_REFUND_ERROR" | "USER_ERROR";

/**
 * Plaid's refusal: the body of every answer but 200, the state of an unhealthy Item, part of many webhooks.
 * @see https://plaid.com/docs/errors/#error-schema
 */
export interface PlaidError {
  error_type: Open<PlaidErrorType>;
  error_code: ErrorCode;
  /** Why an OAuth connection ended; only beside such an ITEM_LOGIN_REQUIRED. */
  error_code_reason?: Open<"OAUTH_CONSENT_EXPIRED" | "OAUTH_INVALID_TOKEN" | "OAUTH_USER_REVOKED"> | null;
  /** For developers; wording changes at any time. Declared as never null, seen null and empty. */
  error_message: string | null;
  /** For the user; null when there is nothing a user could do. Wording changes at any time. */
  display_message: string | null;
  /** Not in webhooks, and not known to be in `item.error`. */
  request_id?: string;
  /** One entry per Item, in errors about reports over several Items only. */
  causes?: unknown[];
  /** HTTP status; in webhooks only. */
  status?: number | null;
  documentation_url?: string;
  suggested_action?: string | null;
  /** With NO_ACCOUNTS for `investments_auth`: the subtypes that would have done, ... */
  required_account_subtypes?: string[];
  /** ... and those the user has. */
  provided_account_subtypes?: string[];
}

// ----------------------------------------------------------------------------------------------------- Items

/** How the account and routing numbers were obtained. */
export type ItemAuthMethod =
  | "AUTOMATED_MICRODEPOSITS"
  | "DATABASE_INSIGHTS"
  | "DATABASE_MATCH"
  | "INSTANT_AUTH"
  | "INSTANT_MATCH"
  | "INSTANT_MICRODEPOSITS"
  | "INVESTMENTS_FALLBACK"
  | "SAME_DAY_MICRODEPOSITS"
  | "TRANSFER_MIGRATED";

/**
 * One user's login at one institution.
 * @see https://plaid.com/docs/api/items/#itemget
 */
export interface Item {
  /** Stays the same through update mode and through token rotation. */
  item_id: string;
  /** null when no institution is connected, as with same-day micro-deposits. */
  institution_id?: string | null;
  institution_name?: string | null;
  /** Plaid sends an empty string when none is set; sett hands that on as null. */
  webhook: string | null;
  /** Missing or null without Auth numbers; both occur. */
  auth_method?: Open<ItemAuthMethod> | null;
  /** null for a healthy Item. Only /item/get shows it: the other endpoints refuse with that error instead. */
  error: PlaidError | null;
  /** Could be added without asking the user again; disjoint from `billed_products`. */
  available_products: Open<Products>[];
  billed_products: Open<Products>[];
  /** On the Item, billed or not yet. */
  products?: Open<Products>[];
  /** Only where Data Transparency Messaging is on. */
  consented_products?: Open<Products>[];
  /** null when no end is in sight. */
  consent_expiration_time: DateTime | null;
  /** `user_present_required`: the institution wants the user there each time data is fetched. */
  update_type: Open<"background" | "user_present_required">;
  /** Gone from the API since March 2021 and never sent now; kept for programs that name it. */
  has_perpetual_otp?: boolean;
}

/** What the user agreed to share, in terms of data rather than of products. */
// prettier-ignore
export type ItemConsentedDataScope =
  | "account_balance_info" | "account_routing_number" | "bank_statements" | "contact_info"
  | "credit_loan_info" | "fraud_info" | "income_verification_bank_statements"
  | "income_verification_employment_info" | "income_verification_paystubs_info"
  | "income_verification_w2s_info" | "investments" | "network_insights_lite" | "payroll_info" | "risk_info"
  | "transactions";

/** An Item as /item/get alone describes it; the other endpoints stop at `Item`. */
export interface ItemWithConsentFields extends Item {
  created_at?: DateTime;
  /** As `consented_data_scopes`, only where Data Transparency Messaging is on. */
  consented_use_cases?: string[];
  consented_data_scopes?: Open<ItemConsentedDataScope>[];
}

/** When Plaid last fetched a product's data. Both may be null on a new Item. */
export interface ItemStatusUpdates {
  last_successful_update?: DateTime | null;
  last_failed_update?: DateTime | null;
}

/** The last webhook sent for an Item. */
export interface ItemStatusLastWebhook {
  sent_at?: DateTime | null;
  /** A `webhook_code`, without its type. */
  code_sent?: string;
}

/** Fetches and webhooks of an Item. A product that is not on the Item has no key here. */
export interface ItemStatus {
  investments?: ItemStatusUpdates | null;
  transactions?: ItemStatusUpdates | null;
  /** null until a first webhook was sent. */
  last_webhook?: ItemStatusLastWebhook | null;
}

/** @see https://plaid.com/docs/api/items/#itempublic_tokenexchange */
export interface ItemPublicTokenExchangeRequest {
  public_token: PublicToken;
}

/** The one moment the access token is sure to be shown: no call lists tokens, and none promises this answer again. */
export interface ItemPublicTokenExchangeResponse extends Answer {
  access_token: AccessToken;
  item_id: string;
}

/** @see https://plaid.com/docs/api/items/#itemget */
export interface ItemGetRequest {
  access_token: AccessToken;
}

/** `status` stands beside `item`, not in it. For an unhealthy Item this comes too, with `item.error` set. */
export interface ItemGetResponse extends Answer {
  item: ItemWithConsentFields;
  status?: ItemStatus | null;
}

/** @see https://plaid.com/docs/api/items/#itemaccess_tokeninvalidate */
export interface ItemAccessTokenInvalidateRequest {
  access_token: AccessToken;
}

/** By the time this is read the old token has stopped working; `item_id` is unchanged. */
export interface ItemAccessTokenInvalidateResponse extends Answer {
  new_access_token: AccessToken;
}

/** Told to Plaid with a removal. /item/products/terminate takes a longer list. */
export type ItemRemoveReasonCode =
  | "CONNECTION_IS_NON_FUNCTIONAL"
  | "FRAUD_ABUSE"
  | "FRAUD_FALSE_IDENTITY"
  | "FRAUD_FIRST_PARTY"
  | "FRAUD_OTHER"
  | "OTHER";

/** @see https://plaid.com/docs/api/items/#itemremove */
export interface ItemRemoveRequest {
  access_token: AccessToken;
  reason_code?: ItemRemoveReasonCode | null;
  /** At most 512 characters, and nothing about the user. */
  reason_note?: string | null;
}

/** The Item, its token and its subscription fees have ended; a second call is refused with ITEM_NOT_FOUND. */
export type ItemRemoveResponse = Answer;

/** @see https://plaid.com/docs/api/items/#itemwebhookupdate */
export interface ItemWebhookUpdateRequest {
  access_token: AccessToken;
  /** null takes the URL away. Nothing else changes it: a link token's `webhook` is ignored in update mode. */
  webhook?: string | null;
}

/** Plaid then sends WEBHOOK_UPDATE_ACKNOWLEDGED to the new URL. */
export interface ItemWebhookUpdateResponse extends Answer {
  item: Item;
}

// ------------------------------------------------------------------------------------------------------ Link

/** Where `user.id_number` was issued and as what. */
// prettier-ignore
export type IDNumberType =
  | "ar_dni" | "au_drivers_license" | "au_passport" | "br_cpf" | "ca_sin" | "cl_run" | "cn_resident_card"
  | "co_nit" | "dk_cpr" | "eg_national_id" | "es_dni" | "es_nie" | "hk_hkid" | "in_epic" | "in_pan" | "it_cf"
  | "jo_civil_id" | "jp_my_number" | "ke_huduma_namba" | "kw_civil_id" | "mx_curp" | "mx_rfc" | "my_nric"
  | "ng_nin" | "nz_drivers_license" | "om_civil_id" | "ph_psn" | "pl_pesel" | "ro_cnp" | "sa_national_id"
  | "se_pin" | "sg_nric" | "tr_tc_kimlik" | "us_ssn" | "us_ssn_last_4" | "za_smart_id";

/** Who is about to link. Only `client_user_id` is needed; the rest saves the user typing. */
export interface LinkTokenCreateRequestUser {
  /** Your own id for the user: not an e-mail address, nothing that says who it is. */
  client_user_id: string;
  legal_name?: string;
  name?: { given_name: string; family_name: string } | null;
  /** E.164, such as `+14155550123`; checked in Sandbox too. */
  phone_number?: string;
  /** @deprecated */
  phone_number_verified_time?: DateTime | null;
  email_address?: string;
  /** @deprecated */
  email_address_verified_time?: DateTime | null;
  /** @deprecated in favour of `id_number` */
  ssn?: string;
  date_of_birth?: CalendarDate | null;
  address?: {
    street?: string | null;
    street2?: string | null;
    city?: string | null;
    region?: string | null;
    postal_code?: string | null;
    /** ISO 3166-1 alpha-2, of any country. */
    country: string;
  } | null;
  id_number?: { value: string; type: IDNumberType } | null;
}

/** What update mode may change. It needs `access_token`, or a user together with `user: true`. */
export interface LinkTokenCreateRequestUpdate {
  /** Let the user choose accounts again; false unless given. The answer to NEW_ACCOUNTS_AVAILABLE. */
  account_selection_enabled?: boolean;
  /** Without effect today. */
  reauthorization_enabled?: boolean;
  /** Update Items of a user rather than the Item of `access_token`; false unless given. */
  user?: boolean;
  /** Which of the user's Items. */
  item_ids?: string[] | null;
}

/** Link on a page of Plaid's. An empty object is enough to ask for it. */
export interface LinkTokenCreateHostedLink {
  delivery_method?: "email" | "sms";
  completion_redirect_uri?: string;
  /** Up to 21 days; unless given, 7 days by e-mail, 1 day by SMS, 30 minutes otherwise. */
  url_lifetime_seconds?: number;
  is_mobile_app?: boolean;
}

/** Subtypes of `depository` accounts. */
// prettier-ignore
export type DepositoryAccountSubtype =
  | "cash management" | "cd" | "checking" | "ebt" | "hsa" | "limited purpose checking" | "money market"
  | "paypal" | "prepaid" | "savings";

/** Subtypes of `credit` accounts. */
export type CreditAccountSubtype = "charge card" | "credit card" | "paypal";

/** Subtypes of `loan` accounts. */
// prettier-ignore
export type LoanAccountSubtype =
  | "auto" | "business" | "commercial" | "commercial line of credit" | "construction" | "consumer"
  | "home equity" | "home equity loan" | "installment" | "line of credit" | "loan" | "mortgage" | "other"
  | "overdraft" | "student";

/** Subtypes of `investment` accounts. */
// prettier-ignore
export type InvestmentAccountSubtype =
  | "401a" | "401k" | "403B" | "457b" | "529" | "brokerage" | "cash isa" | "crypto exchange"
  | "education savings account" | "fhsa" | "fixed annuity" | "gic" | "health reimbursement arrangement"
  | "hsa" | "ira" | "isa" | "keogh" | "lif" | "life insurance" | "line of credit" | "lira" | "lrif" | "lrsp"
  | "mutual fund" | "non-custodial wallet" | "non-taxable brokerage account" | "other" | "other annuity"
  | "other insurance" | "pension" | "prediction market" | "prif" | "profit sharing plan" | "qshr" | "rdsp"
  | "resp" | "retirement" | "rlif" | "roth" | "roth 401k" | "roth 403B" | "roth 457b" | "roth pension"
  | "roth profit sharing plan" | "roth thrift savings plan" | "rrif" | "rrsp" | "sarsep" | "sep ira"
  | "simple ira" | "sipp" | "stock plan" | "tfsa" | "thrift savings plan" | "trust" | "ugma" | "utma"
  | "variable annuity";

/** What Link shows of each account type; a type that is not named is not shown. */
export interface LinkTokenAccountFilters {
  depository?: {
    account_subtypes: (DepositoryAccountSubtype | "all")[];
    limited_purpose_types?: "RENT_MORTGAGE"[];
  };
  credit?: { account_subtypes: (CreditAccountSubtype | "all")[] };
  loan?: { account_subtypes: (LoanAccountSubtype | "all")[] };
  investment?: { account_subtypes: (InvestmentAccountSubtype | "all")[] };
  other?: { account_subtypes: ("all" | "other")[] };
}

/** What a consumer report is wanted for, as United States law asks (FCRA). */
export type ConsumerReportPermissiblePurpose =
  | "ACCOUNT_REVIEW_CREDIT"
  | "ACCOUNT_REVIEW_NON_CREDIT"
  | "ELIGIBILITY_FOR_GOVT_BENEFITS"
  | "EXTENSION_OF_CREDIT"
  | "LEGITIMATE_BUSINESS_NEED_OTHER"
  | "LEGITIMATE_BUSINESS_NEED_TENANT_SCREENING"
  | "WRITTEN_INSTRUCTION_OTHER"
  | "WRITTEN_INSTRUCTION_PREQUALIFICATION";

/** A deep structure of a product with no part in an Item's life: passed on as given, for Plaid to check. */
export type Unmodelled = object;

/**
 * A new Item takes `products` and one of `user` and `user_id`; update mode takes `access_token` and no
 * `products`. No product may stand in two of the four lists, and `balance` in none.
 * @see https://plaid.com/docs/api/link/#linktokencreate
 */
export interface LinkTokenCreateRequest {
  /** Shown to the user; longer than 30 characters becomes "This Application". */
  client_name: string;
  /** One of da de en es et fr hi it lt lv nl no pl pt ro sv vi. */
  language: string;
  country_codes: CountryCode[];
  user?: LinkTokenCreateRequestUser;
  user_id?: string;
  /** For integrations from before December 2025; `user_id` since. */
  user_token?: string;
  products?: Products[] | null;
  required_if_supported_products?: Products[] | null;
  optional_products?: Products[] | null;
  additional_consented_products?: Products[] | null;
  /** For the Item to come; does nothing in update mode. Not nullable: leave it out. */
  webhook?: string;
  /** Asks for update mode. */
  access_token?: AccessToken | null;
  access_tokens?: AccessToken[];
  link_customization_name?: string;
  appearance_mode?: "DARK" | "LIGHT" | "SYSTEM" | null;
  /** On the list in the Dashboard, without a query; https, except in Sandbox. */
  redirect_uri?: string;
  android_package_name?: string;
  institution_id?: string;
  institution_data?: { routing_number?: string };
  /** In update mode only with `update.account_selection_enabled`. */
  account_filters?: LinkTokenAccountFilters;
  update?: LinkTokenCreateRequestUpdate;
  hosted_link?: LinkTokenCreateHostedLink;
  enable_multi_item_link?: boolean;
  /** Days of history, 1 to 730 (in production at least 30), 90 unless given. Cannot be raised later. */
  transactions?: { days_requested?: number };
  auth?: {
    auth_type_select_enabled?: boolean;
    automated_microdeposits_enabled?: boolean;
    instant_match_enabled?: boolean;
    same_day_microdeposits_enabled?: boolean;
    instant_microdeposits_enabled?: boolean;
    reroute_to_credentials?: "FORCED" | "OFF" | "OPTIONAL";
    /** @deprecated */
    database_match_enabled?: boolean;
    /** @deprecated */
    database_insights_enabled?: boolean;
    /** @deprecated */
    flow_type?: "FLEXIBLE_AUTH";
    sms_microdeposits_verification_enabled?: boolean;
  };
  identity?: {
    is_document_upload?: boolean;
    account_ids?: string[];
    parsing_configs?: ("ocr" | "risk_signals")[];
  };
  statements?: { start_date: CalendarDate; end_date: CalendarDate };
  investments?: { allow_unverified_crypto_wallets?: boolean; allow_manual_entry?: boolean };
  investments_auth?: {
    manual_entry_enabled?: boolean | null;
    masked_number_match_enabled?: boolean | null;
    stated_account_number_enabled?: boolean | null;
    rollover_401k_enabled?: boolean | null;
  };
  identity_verification?: { template_id: string; consent?: boolean; gave_consent?: boolean };
  transfer?: { intent_id?: string; authorization_id?: string; payment_profile_token?: string };
  payment_initiation?: { payment_id?: string; consent_id?: string };
  /** `amount` is a decimal in a string. */
  payment_configuration?: { amount: string; description?: string };
  employment?: {
    employment_source_types?: ("bank" | "payroll")[];
    bank_employment?: { days_requested: number };
  };
  income_verification?: Unmodelled;
  cra_options?: Unmodelled;
  cra_enabled?: boolean;
  consumer_report_permissible_purpose?: ConsumerReportPermissiblePurpose;
  /** @deprecated in favour of `cra_options` */
  base_report?: { days_requested: number; client_report_id?: string | null };
  credit_partner_insights?: { days_requested?: number };
  cashflow_report?: { days_requested?: number };
  card_switch?: { card_bin: string };
  financekit_supported?: boolean;
  third_party_user_token?: string;
  /** @deprecated */
  eu_config?: { headless?: boolean };
}

/** `hosted_link_url` comes only when `hosted_link` was asked for. */
export interface LinkTokenCreateResponse extends Answer {
  link_token: LinkToken;
  expiration: DateTime;
  hosted_link_url?: string;
  user_id?: string;
}

/** @see https://plaid.com/docs/api/link/#linktokenget */
export interface LinkTokenGetRequest {
  link_token: LinkToken;
}

/** What the link token was created with, and every session it opened. */
export interface LinkTokenGetResponse extends Answer {
  link_token: LinkToken;
  created_at: DateTime | null;
  expiration: DateTime | null;
  /** Kept for 6 hours after a session ends. */
  link_sessions?: LinkTokenGetSessionsResponse[];
  metadata: LinkTokenGetMetadataResponse;
  user_id?: string;
}

/** An echo of the request that created the token. */
export interface LinkTokenGetMetadataResponse {
  initial_products: Open<Products>[];
  webhook: string | null;
  country_codes: Open<CountryCode>[];
  language: string | null;
  institution_data?: { routing_number?: string };
  account_filters?: AccountFiltersResponse;
  redirect_uri: string | null;
  client_name: string | null;
}

/** `LinkTokenAccountFilters` as an answer: open, and without `other`. */
export interface AccountFiltersResponse {
  depository?: {
    account_subtypes: Open<DepositoryAccountSubtype | "all">[];
    limited_purpose_types?: Open<"RENT_MORTGAGE">[];
  };
  credit?: { account_subtypes: Open<CreditAccountSubtype | "all">[] };
  loan?: { account_subtypes: Open<LoanAccountSubtype | "all">[] };
  investment?: { account_subtypes: Open<InvestmentAccountSubtype | "all">[] };
}

/** One run of Link. */
export interface LinkTokenGetSessionsResponse {
  link_session_id: string;
  started_at?: DateTime;
  /** null while the session runs. */
  finished_at?: DateTime | null;
  /** @deprecated in favour of `results` */
  on_success?: LinkSessionSuccess | null;
  /** @deprecated in favour of `exit` */
  on_exit?: LinkSessionExit | null;
  exit?: LinkSessionExit | null;
  /** Complete for Hosted Link only, unless Plaid was asked for more. */
  events?: LinkEvent[];
  results?: LinkSessionResults | null;
}

/** @deprecated in favour of `LinkSessionResults`, which can tell of several Items. */
export interface LinkSessionSuccess {
  public_token: PublicToken;
  metadata: {
    institution?: LinkSessionInstitution | null;
    accounts?: LinkSessionSuccessMetadataAccount[];
    link_session_id?: string;
    session_group_id?: string;
    transfer_status?: Open<"COMPLETE" | "INCOMPLETE"> | null;
  } | null;
}

/** How the user left without finishing; `error` is null when nothing but the user ended it. */
export interface LinkSessionExit {
  error: PlaidError | null;
  metadata: {
    institution?: LinkSessionInstitution | null;
    /** The step the user left at, such as `requires_credentials`. */
    status?: string;
    link_session_id?: string;
    request_id?: string;
  } | null;
}

/** The institution as Link shows it. */
export interface LinkSessionInstitution {
  name?: string;
  institution_id?: string;
}

/** An account as Link shows it: `id` is the API's `account_id`. */
export interface LinkSessionSuccessMetadataAccount {
  id?: string;
  name?: string;
  /** The last 2 to 4 characters of the account number. */
  mask?: string | null;
  type?: string;
  subtype?: string;
  verification_status?: string | null;
  /** @deprecated */
  class_type?: string | null;
}

/** One thing the user did or saw. */
export interface LinkEvent {
  /** @see https://plaid.com/docs/link/web/#link-web-onevent-eventName */
  event_name: string;
  timestamp: DateTime;
  event_id: string;
  event_metadata: LinkEventMetadata;
}

/** Each event fills in the few of these that concern it. */
export interface LinkEventMetadata {
  error_code?: string;
  error_message?: string;
  error_type?: string;
  exit_status?: string;
  institution_id?: string;
  institution_name?: string;
  /** As typed by the user. */
  institution_search_query?: string;
  request_id?: string;
  mfa_type?: string;
  view_name?: string;
  selection?: string;
  brand_name?: string;
  match_reason?: string;
  routing_number?: string;
  account_number_mask?: string;
}

/** What a session brought about. Each list is empty, not missing, when there was nothing of its kind. */
export interface LinkSessionResults {
  /** The new Items: exchange each `public_token` within 30 minutes. */
  item_add_results: {
    public_token: PublicToken;
    accounts: LinkSessionSuccessMetadataAccount[];
    institution: LinkSessionInstitution | null;
  }[];
  cra_item_add_results: LinkSessionCraItemResult[];
  cra_update_results: LinkSessionCraItemResult[];
  bank_income_results: {
    status: Open<"APPROVED" | "INTERNAL_ERROR" | "NO_DEPOSITS_FOUND" | "STARTED" | "USER_REPORTED_NO_INCOME">;
    item_id: string;
    institution: LinkSessionInstitution | null;
  }[];
  payroll_income_results: {
    num_paystubs_retrieved: number;
    num_w2s_retrieved: number;
    institution: LinkSessionInstitution | null;
  }[];
  document_income_results: {
    num_paystubs_uploaded: number;
    num_w2s_uploaded: number;
    num_bank_statements_uploaded: number;
    num_1099s_uploaded: number;
    num_i20s_uploaded: number;
  } | null;
  cra_document_upload_results?: { num_bank_statements_uploaded: number } | null;
}

/** An Item of Plaid Check: it has no public token to exchange. */
export interface LinkSessionCraItemResult {
  item_id: string;
  accounts: LinkSessionSuccessMetadataAccount[];
  institution: LinkSessionInstitution | null;
}

// --------------------------------------------------------------------------------------------------- Sandbox

/** @see https://plaid.com/docs/api/sandbox/#sandboxpublic_tokencreate */
export interface SandboxPublicTokenCreateRequest {
  institution_id: string;
  /** At least one. */
  initial_products: Products[];
  /** Not nullable: leave it out. */
  options?: SandboxPublicTokenCreateRequestOptions;
  user_token?: string;
  user_id?: string;
}

/** How the test Item is to be. */
export interface SandboxPublicTokenCreateRequestOptions {
  /** Neither null nor empty: leave it out. */
  webhook?: string;
  /** `user_good` unless given; `user_custom` takes a description of the user as its password. */
  override_username?: string | null;
  /** `pass_good` unless given. */
  override_password?: string | null;
  transactions?: {
    /** @deprecated without effect */
    start_date?: CalendarDate;
    /** @deprecated without effect */
    end_date?: CalendarDate;
    /** 1 to 730, 90 unless given. */
    days_requested?: number;
  } | null;
  statements?: { start_date: CalendarDate; end_date: CalendarDate } | null;
  income_verification?: {
    income_source_types?: ("bank" | "payroll")[];
    bank_income?: { days_requested?: number };
  };
}

/** As if a user had been through Link: exchange it next. */
export interface SandboxPublicTokenCreateResponse extends Answer {
  public_token: PublicToken;
}

/** @see https://plaid.com/docs/api/sandbox/#sandboxitemreset_login */
export interface SandboxItemResetLoginRequest {
  access_token: AccessToken;
}

/** The Item now asks for a login; ITEM ERROR goes to its webhook, if it has one. */
export interface SandboxItemResetLoginResponse extends Answer {
  reset_login: boolean;
}

/** The types Sandbox can send; webhooks themselves have more. */
export type WebhookType =
  "ASSETS" | "AUTH" | "HOLDINGS" | "INVESTMENTS_TRANSACTIONS" | "ITEM" | "LIABILITIES" | "TRANSACTIONS";

/**
 * Only the webhook is sent; the Item stays as it is.
 * @see https://plaid.com/docs/api/sandbox/#sandboxitemfire_webhook
 */
export interface SandboxItemFireWebhookRequest {
  access_token: AccessToken;
  /** Needed to choose among the DEFAULT_UPDATEs. */
  webhook_type?: WebhookType;
  /** ERROR and PRODUCT_READY are those of ASSETS. An ITEM ERROR comes from /sandbox/item/reset_login. */
  webhook_code:
    | "AUTHORIZATION_GRANTED"
    | "DEFAULT_UPDATE"
    | "ERROR"
    | "LOGIN_REPAIRED"
    | "NEW_ACCOUNTS_AVAILABLE"
    | "PENDING_DISCONNECT"
    | "PRODUCT_READY"
    | "RECURRING_TRANSACTIONS_UPDATE"
    | "SMS_MICRODEPOSITS_VERIFICATION"
    | "SYNC_UPDATES_AVAILABLE"
    | "USER_ACCOUNT_REVOKED"
    | "USER_PERMISSION_REVOKED";
}

/** An Item without a webhook URL is refused with SANDBOX_WEBHOOK_INVALID. */
export interface SandboxItemFireWebhookResponse extends Answer {
  webhook_fired: boolean;
}

/**
 * For Items whose accounts are being verified by automated micro-deposits.
 * @see https://plaid.com/docs/api/sandbox/#sandboxitemset_verification_status
 */
export interface SandboxItemSetVerificationStatusRequest {
  access_token: AccessToken;
  account_id: string;
  verification_status: "automatically_verified" | "verification_expired";
}

/** Nothing but the acknowledgement. */
export type SandboxItemSetVerificationStatusResponse = Answer;

// ------------------------------------------------------------------------------------------- webhook signing

/** @see https://plaid.com/docs/api/webhooks/webhook-verification/#get-webhook-verification-key */
export interface WebhookVerificationKeyGetRequest {
  /** `kid` of the webhook's signature, and of the environment that sent it. */
  key_id: string;
}

/** The key to check a webhook's signature with. */
export interface WebhookVerificationKeyGetResponse extends Answer {
  key: JWKPublicKey;
}

/** A public key as RFC 7517 has it, on curve P-256 for ES256, with two dates of Plaid's in Unix seconds. */
export interface JWKPublicKey {
  alg: string;
  crv: string;
  kid: string;
  kty: string;
  use: string;
  /** base64url, 32 bytes. */
  x: string;
  /** base64url, 32 bytes. */
  y: string;
  created_at: number;
  /** null while the key is in use. */
  expired_at: number | null;
}

// ---------------------------------------------------------------------------------------------- institutions

/** @see https://plaid.com/docs/api/institutions/#institutionsget_by_id */
export interface InstitutionsGetByIdRequest {
  institution_id: string;
  country_codes: CountryCode[];
  /** All false unless given. */
  options?: {
    include_optional_metadata?: boolean;
    include_status?: boolean;
    include_auth_metadata?: boolean;
    include_payment_initiation_metadata?: boolean;
  };
}

/** One institution, or a refusal with INVALID_INSTITUTION. */
export interface InstitutionsGetByIdResponse extends Answer {
  institution: Institution;
}

/** The optional half comes only when the request's `options` ask for it. */
export interface Institution {
  institution_id: string;
  name: string;
  products: Open<Products>[];
  country_codes: Open<CountryCode>[];
  url?: string | null;
  /** `#rrggbb`. */
  primary_color?: string | null;
  /** A PNG of 152 by 152 pixels, base64. */
  logo?: string | null;
  /** May be incomplete. */
  routing_numbers: string[];
  dtc_numbers?: string[];
  /** The user logs in on the institution's own pages. */
  oauth: boolean;
  /** Not in Sandbox. */
  status?: InstitutionStatus | null;
  payment_initiation_metadata?: {
    supports_international_payments: boolean;
    supports_sepa_instant: boolean;
    /** ISO 4217 code to a decimal in a string. */
    maximum_payment_amount: Record<string, string>;
    supports_refund_details: boolean;
    standing_order_metadata: {
      supports_standing_order_end_date: boolean;
      supports_standing_order_negative_execution_days: boolean;
      valid_standing_order_intervals: Open<"MONTHLY" | "WEEKLY">[];
    } | null;
    supports_payment_consents: boolean;
  } | null;
  auth_metadata?: {
    supported_methods: {
      instant_auth: boolean;
      instant_match: boolean;
      automated_micro_deposits: boolean;
      instant_micro_deposits: boolean;
    } | null;
  } | null;
}

/** The health of an institution as Plaid sees it, by what is asked of it. */
export interface InstitutionStatus {
  item_logins?: ProductStatus | null;
  transactions_updates?: ProductStatus | null;
  auth?: ProductStatus | null;
  identity?: ProductStatus | null;
  investments_updates?: ProductStatus | null;
  liabilities_updates?: ProductStatus | null;
  liabilities?: ProductStatus | null;
  investments?: ProductStatus | null;
  health_incidents?:
    | {
        start_date: DateTime;
        end_date?: DateTime | null;
        title: string;
        incident_updates: {
          description?: string;
          status?: Open<"IDENTIFIED" | "INVESTIGATING" | "RESOLVED" | "SCHEDULED" | "UNKNOWN">;
          updated_date?: DateTime;
        }[];
      }[]
    | null;
}

/** Recent success of one kind of request. The three shares are fractions of 1. */
export interface ProductStatus {
  /** @deprecated in favour of `breakdown` */
  status: Open<"DEGRADED" | "DOWN" | "HEALTHY">;
  last_status_change: DateTime;
  breakdown: {
    success: number;
    error_plaid: number;
    error_institution: number;
    refresh_interval?: Open<"DELAYED" | "NORMAL" | "STOPPED">;
  };
}

// -------------------------------------------------------------------------------------------------- accounts

/** @see https://plaid.com/docs/api/accounts/#accountsget */
export interface AccountsGetRequest {
  access_token: AccessToken;
  /** All accounts of the Item unless `account_ids` names some. */
  options?: { account_ids?: string[] };
}

/** From Plaid's cache; /accounts/balance/get would ask the bank. */
export interface AccountsGetResponse extends Answer {
  accounts: AccountBase[];
  item: Item;
}

/** @see https://plaid.com/docs/api/accounts/#account-type-schema */
export type AccountType = "brokerage" | "credit" | "depository" | "investment" | "loan" | "other";

/** The subtypes of every type together. */
export type AccountSubtype =
  | DepositoryAccountSubtype
  | CreditAccountSubtype
  | LoanAccountSubtype
  | InvestmentAccountSubtype
  | "other"
  | "payroll";

/** One account of an Item. */
export interface AccountBase {
  /** Changes when Plaid cannot match the account to the bank's data any more, or the Item is linked anew. */
  account_id: string;
  balances: AccountBalance;
  /** The last 2 to 4 characters of the account number; two accounts may share it. */
  mask: string | null;
  name: string;
  official_name: string | null;
  type: Open<AccountType>;
  subtype: Open<AccountSubtype> | null;
  /** With Auth only: how the account number was verified, or how far that has come. */
  verification_status?: Open<
    | "automatically_verified"
    | "database_insights_fail"
    | "database_insights_pass"
    | "database_insights_pass_with_caution"
    | "database_matched"
    | "manually_verified"
    | "pending_automatic_verification"
    | "pending_manual_verification"
    | "unsent"
    | "verification_expired"
    | "verification_failed"
  >;
  verification_name?: string;
  verification_insights?: {
    /** 0 to 100. */
    name_match_score?: number | null;
    network_status: { has_numbers_match: boolean; is_numbers_match_verified: boolean };
    previous_returns?: { has_previous_administrative_return: boolean };
    account_number_format: Open<"invalid" | "unknown" | "valid">;
  };
  /** The same for the same account in any Item; only of institutions with tokenised account numbers. */
  persistent_account_id?: string;
  /** Yearly interest on a deposit in percent: 4.25 means 4.25 %. */
  apy?: number | null;
  holder_category?: Open<"business" | "personal" | "unrecognized"> | null;
}

/** Amounts in units of the currency, not in cents; never more than one of the two codes is set. */
export interface AccountBalance {
  /** What can be spent or withdrawn now, without an overdraft; null where the bank does not reckon it. */
  available: number | null;
  /** For `credit` and `loan` accounts positive means owed. */
  current: number | null;
  /** Of `credit` accounts; elsewhere a pre-arranged overdraft. */
  limit: number | null;
  /** ISO 4217. */
  iso_currency_code: string | null;
  /** For what ISO 4217 has no code for, such as cryptocurrencies. */
  unofficial_currency_code: string | null;
  /** Only of institutions that tell. */
  last_updated_datetime?: DateTime | null;
}
