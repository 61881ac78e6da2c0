// Link tokens. What the table of endpoints cannot say of their requests, because Plaid says it in prose, is checked
// here; the wording of these refusals follows the pattern of the recorded ones and is not recorded itself.

import type { LinkTokenCreateRequest } from "sett";
import type * as endpoints from "sett/endpoints";
import { openItem } from "../items.ts";
import { toSecond } from "../json.ts";
import { findLinkToken, linkTokenLife } from "../links.ts";
import { Refusal } from "../refusals.ts";
import type { Handler } from "./handler.ts";

const languages = "da de en es et fr hi it lt lv nl no pl pt ro sv vi".split(" ");
const countries = "AT BE CA DE DK EE ES FI FR GB IE IT LT LV NL NO PL PT SE US".split(" ");
const productLists = [
  "products",
  "required_if_supported_products",
  "optional_products",
  "additional_consented_products",
] as const;
/** Every value of Plaid's enum of products but `balance`, with which nothing can begin. */
const products = new Set(
  "assets auth balance_plus beacon cra_base_report cra_cashflow_insights cra_home_lending cra_income_insights cra_lend_score cra_monitoring cra_network_insights cra_partner_insights cra_plaid_credit_score cra_qualify credit_details employment identity identity_match identity_verification income income_verification investments investments_auth layer liabilities pay_by_bank payment_initiation processor_identity processor_payments profile protect_linked_bank protect_transactions recurring_transactions signal standing_orders statements transactions transactions_refresh transfer".split(
    " ",
  ),
);

export const linkTokenCreate: Handler<typeof endpoints.linkTokenCreate> = (request, plaid, asking) => {
  const { world, clock, ids } = plaid;
  check(request);
  refuseUsers(request.user_id, request.user_token);
  if (request.user === undefined) throw new Refusal("MISSING_FIELDS", "user");
  const item_id = request.access_token
    ? openItem(plaid, asking, request.access_token, "whatever").item_id
    : null;
  if (item_id === null) checkProducts(request);

  const link_token = ids.token("link");
  const created_at = clock.now();
  const expires_at = created_at + linkTokenLife({ request });
  const { client_id } = asking;
  world.put("link_tokens", link_token, {
    link_token,
    client_id,
    created_at,
    expires_at,
    request,
    item_id,
    sessions: [],
  });
  return {
    expiration: toSecond(expires_at),
    link_token,
    ...(request.hosted_link && { hosted_link_url: `https://secure.plaid.com/hl/${ids.uuid()}` }),
  };
};

export const linkTokenGet: Handler<typeof endpoints.linkTokenGet> = (
  { link_token },
  plaid,
  { client_id },
) => {
  const link = findLinkToken(plaid, link_token, client_id);
  if (!link) throw new Refusal("INVALID_LINK_TOKEN");
  const { request, sessions, created_at, expires_at } = link;
  const filters = request.account_filters;
  return {
    created_at: toSecond(created_at),
    expiration: toSecond(expires_at),
    link_token,
    ...(sessions.length > 0 && { link_sessions: sessions.map(({ session }) => session) }),
    metadata: {
      ...(filters && { account_filters: filters }),
      client_name: request.client_name,
      country_codes: request.country_codes,
      initial_products: request.products ?? [],
      ...(request.institution_data && { institution_data: request.institution_data }),
      language: request.language,
      redirect_uri: request.redirect_uri ?? null,
      webhook: request.webhook ?? null,
    },
  };
};

const invalid = (field: string, expected: string) =>
  new Refusal("INVALID_FIELD", `${field} must be ${expected}`);

/** Refuses a country that Plaid does not serve. */
export function checkCountryCodes(codes: readonly string[]) {
  if (!codes.every((code) => countries.includes(code)))
    throw invalid("country_codes", `a list of ${countries.join(", ")}`);
}

function check({ language, country_codes, redirect_uri }: LinkTokenCreateRequest) {
  if (!languages.includes(language)) throw invalid("language", `one of ${languages.join(", ")}`);
  checkCountryCodes(country_codes);
  if (redirect_uri?.includes("?")) throw invalid("redirect_uri", "a URL without a query string");
}

/** Users are not modelled, so every `user_id` and `user_token` is an unknown one. */
export function refuseUsers(user_id: string | undefined, user_token: string | undefined) {
  if (user_id !== undefined)
    throw new Refusal(user_id.startsWith("usr_") ? "USER_NOT_FOUND" : "INVALID_USER_ID");
  if (user_token !== undefined) throw new Refusal("INVALID_USER_TOKEN");
}

function checkProducts(request: LinkTokenCreateRequest) {
  if (request.products === undefined || request.products === null)
    throw new Refusal("MISSING_FIELDS", "products");
  if (request.products.length === 0)
    throw invalid("products", "a list of strings containing at least one product");
  const seen = new Set<unknown>();
  for (const list of productLists) {
    const unknown = (request[list] ?? []).filter((product) => !products.has(product));
    if (unknown.length > 0) throw new Refusal("INVALID_PRODUCT", JSON.stringify(unknown));
    for (const product of request[list] ?? []) {
      if (seen.has(product))
        throw invalid(list, `without ${product}, which stands in it or in another list already`);
      seen.add(product);
    }
  }
}
