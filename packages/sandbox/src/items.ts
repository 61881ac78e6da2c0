// Items: how one is made, how a token opens it, and what it looks like on the wire. What befalls it afterwards is in
// life.ts. An Item belongs to the client that made it; another client's token is an unknown one.

import type { AccountsGetResponse, ItemStatus, PlaidError } from "sett";
import {
  accountsAt,
  consentEnds,
  findInstitution,
  isCustomAccount,
  unsupportedProducts,
  type CustomAccount,
  type Institution,
} from "./institutions.ts";
import { toMillisecond, toSecond } from "./json.ts";
import type { Plaid } from "./plaid.ts";
import { isRefusalCode, itemError, Refusal, refusalOf } from "./refusals.ts";
import type { ItemRecord } from "./world.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const PUBLIC_TOKEN_MS = 30 * MINUTE;
/** Sandbox Items need a new login after this. */
const AGEING_MS = 30 * DAY;
/** "About 180 days" for institutions of the United Kingdom and the European Union. */
const CONSENT_MS = 180 * DAY;
/** How long before their time PENDING_EXPIRATION and PENDING_DISCONNECT are sent. */
export const WARNING_MS = 7 * DAY;
/** From making an Item to INITIAL_UPDATE, seen to be about a second, and to HISTORICAL_UPDATE, which is a guess. */
const INITIAL_UPDATE_MS = 1_000;
const HISTORICAL_UPDATE_MS = 10_000;

/** What a new Item is made of. */
export interface NewItem {
  readonly client_id: string;
  readonly institution_id: string;
  readonly products: readonly string[];
  readonly webhook: string;
  readonly username: string;
  readonly password: string;
}

/** Makes an Item as a user's visit to Link would, or refuses as Plaid does. */
export function createItem(plaid: Plaid, asked: NewItem): ItemRecord {
  const { world, clock, ids, agenda } = plaid;
  const institution = findInstitution(asked.institution_id);
  if (!institution) throw new Refusal("INVALID_INSTITUTION");
  const unsupported = unsupportedProducts(institution, asked.products);
  if (unsupported.length > 0) {
    // Recorded so: an ITEM_ERROR whose documentation is that of INVALID_INPUT.
    throw new Refusal("PRODUCTS_NOT_SUPPORTED", JSON.stringify(unsupported), {
      documentation_url: "https://plaid.com/docs/?ref=error#invalid-input-errors",
    });
  }
  if (institution.refuses) throw new Refusal(institution.refuses);
  const { custom, microdeposits } = logIn(institution, asked.username, asked.password);

  const now = clock.now();
  const newId = () => ids.id();
  const auth_method = !asked.products.includes("auth")
    ? null
    : microdeposits
      ? "AUTOMATED_MICRODEPOSITS"
      : "INSTANT_AUTH";
  const accounts = accountsAt(institution, custom, newId);
  const item: ItemRecord = {
    item_id: ids.id(),
    client_id: asked.client_id,
    institution_id: institution.institution_id,
    access_token: null,
    webhook: asked.webhook,
    products: [...new Set(asked.products)].sort(),
    auth_method,
    accounts:
      auth_method === "AUTOMATED_MICRODEPOSITS"
        ? accounts.map((account) =>
            account.type === "depository"
              ? { ...account, verification_status: "pending_automatic_verification" }
              : account,
          )
        : accounts,
    unchosen_accounts: [],
    error: null,
    created_at: now,
    removed_at: null,
    consent_expires_at: null,
    updated_at: { investments: null, transactions: null },
    last_webhook: null,
  };
  world.put("items", item.item_id, item);
  agenda.plan("initial-update", item.item_id, now + INITIAL_UPDATE_MS);
  agenda.plan("historical-update", item.item_id, now + HISTORICAL_UPDATE_MS);
  agenda.plan("age", item.item_id, now + AGEING_MS);
  return beginConsent(plaid, item);
}

/** Where consent ends by law: a new term of it, as after update mode. Elsewhere nothing. */
export function beginConsent({ world, clock, agenda }: Plaid, item: ItemRecord): ItemRecord {
  if (!consentEnds(findInstitution(item.institution_id)!)) return item;
  const consent_expires_at = clock.now() + CONSENT_MS;
  const consenting = { ...item, consent_expires_at };
  world.put("items", item.item_id, consenting);
  agenda.plan("consent-warning", item.item_id, consent_expires_at - WARNING_MS);
  agenda.plan("consent-end", item.item_id, consent_expires_at);
  return consenting;
}

const knownUsers =
  /^(user_good|user_custom|user_transactions_dynamic|user_ewa_user|user_yuppie|user_small_business|user_bank_income)$/;
const knownPasswords =
  /^(pass_good|mfa_device|mfa_questions_\d+_\d+|mfa_selections|microdeposits_good|\{\})$/;
/** Of these users any password will do. */
const anyPassword = /^(user_transactions_dynamic|user_ewa_user|user_yuppie|user_small_business)$/;

/** What Sandbox's test credentials stand for. At OAuth institutions nobody types them, and they do nothing. */
function logIn(institution: Institution, username: string, password: string) {
  const failure = /^error_(.*)$/.exec(password)?.[1];
  let custom: readonly CustomAccount[] = [];
  if (institution.oauth) return { custom, microdeposits: false };
  if (failure !== undefined) throw forced(failure);
  if (username === "user_custom") custom = customAccounts(password);
  else if (!knownUsers.test(username) || password.trim() === "") throw new Refusal("INVALID_CREDENTIALS");
  else if (!anyPassword.test(username) && !knownPasswords.test(password))
    throw new Refusal("INVALID_CREDENTIALS");
  return { custom, microdeposits: password === "microdeposits_good" || institution.microdeposits === true };
}

/** The error that credentials order; a code that there is not cannot log in. */
const forced = (code: unknown) =>
  new Refusal(
    code === "PLAID_ERROR" ? "INTERNAL_SERVER_ERROR" : isRefusalCode(code) ? code : "INVALID_CREDENTIALS",
  );

/** The description that `user_custom` has for a password. */
function customAccounts(password: string): readonly CustomAccount[] {
  let description: { force_error?: unknown; override_accounts?: unknown } | null;
  try {
    description = JSON.parse(password);
  } catch {
    throw new Refusal("INVALID_CREDENTIALS");
  }
  const { force_error, override_accounts } = description ?? {};
  if (force_error) throw forced(force_error);
  if (!Array.isArray(override_accounts)) return [];
  if (!override_accounts.every(isCustomAccount)) throw new Refusal("INVALID_CREDENTIALS");
  return override_accounts;
}

/** A public token for an Item: good for 30 minutes. */
export function issuePublicToken({ world, clock, ids }: Plaid, item: ItemRecord): string {
  const token = ids.token("public");
  const expires_at = clock.now() + PUBLIC_TOKEN_MS;
  world.put("public_tokens", token, { item_id: item.item_id, expires_at, exchanged: false });
  return token;
}

/** A token's environment, when it is shaped like one: `access-<environment>-<identifier>`. */
export const environmentOf = (kind: keyof typeof tokenShapes, token: string) =>
  tokenShapes[kind].exec(token)?.[1];
const tokenShapes = {
  access: /^access-(sandbox|development|production)-./,
  public: /^public-(sandbox|development|production)-./,
};

/** Who asks, where: what opening an Item depends on. */
export interface Asking {
  readonly path: string;
  readonly client_id: string;
}

/**
 * The Item of an access token. `whatever` opens it in any state; without it, an Item in an error state is refused
 * with its error, as all endpoints but the Item's own do.
 */
export function openItem(plaid: Plaid, asking: Asking, token: string, whatever: "healthy" | "whatever") {
  const { world, limits } = plaid;
  const switches = plaid.switches();
  const environment = environmentOf("access", token);
  if (environment === undefined) {
    throw new Refusal(
      "INVALID_ACCESS_TOKEN",
      "provided access token is in an invalid format. expected format: access-<environment>-<identifier>",
    );
  }
  if (environment !== "sandbox") {
    const detail = `provided access token is for the wrong Plaid environment. expected "sandbox", got "${environment}"`;
    throw new Refusal(switches.wrongEnvironment, detail);
  }
  const opened = world.get("access_tokens", token);
  const item = opened && world.get("items", opened.item_id);
  if (!item || item.client_id !== asking.client_id) throw new Refusal("INVALID_ACCESS_TOKEN");
  if (opened.rotated) throw new Refusal(switches.rotatedToken);
  if (item.removed_at !== null) throw new Refusal("ITEM_NOT_FOUND");
  if (item.error?.error_code === "USER_PERMISSION_REVOKED" && switches.revokedItem === "ITEM_NOT_FOUND")
    throw new Refusal("ITEM_NOT_FOUND");
  if (item.error && whatever === "healthy") throw refusalOf(item.error, switches);
  limits.count(asking.path, "item", item.item_id);
  return item;
}

/** An Item as every endpoint but /item/get shows it. Only /item/get ever shows an error. */
export function itemOnWire(item: ItemRecord, error: PlaidError | null = null): AccountsGetResponse["item"] {
  const institution = findInstitution(item.institution_id)!;
  const { products } = item;
  return {
    available_products: institution.products.filter((product) => !products.includes(product)),
    // Absent without Auth, as recorded; the schema says null.
    ...(item.auth_method !== null && { auth_method: item.auth_method }),
    billed_products: [...products],
    consent_expiration_time: item.consent_expires_at === null ? null : toSecond(item.consent_expires_at),
    error,
    institution_id: institution.institution_id,
    institution_name: institution.name,
    item_id: item.item_id,
    products: [...products],
    update_type: "background",
    webhook: item.webhook,
  };
}

/** An Item's error for /item/get. */
export const errorOnWire = (plaid: Plaid, item: ItemRecord) =>
  item.error && itemError(item.error, plaid.switches(), () => plaid.ids.requestId());

/** `status` of /item/get: a product that is not on the Item has no key. */
export function statusOnWire({ products, updated_at, last_webhook }: ItemRecord): ItemStatus {
  const updates = (at: number | null) => ({
    last_failed_update: null,
    last_successful_update: at === null ? null : toMillisecond(at),
  });
  return {
    ...(products.includes("investments") && { investments: updates(updated_at.investments) }),
    last_webhook: last_webhook && {
      code_sent: last_webhook.code_sent,
      sent_at: toMillisecond(last_webhook.sent_at),
    },
    ...(products.includes("transactions") && { transactions: updates(updated_at.transactions) }),
  };
}
