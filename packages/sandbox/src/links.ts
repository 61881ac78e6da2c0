// Link without its pages: link tokens, and what a session of Link comes to when a test says that the user has
// finished it or left it.

import type { LinkSessionSuccessMetadataAccount, LinkTokenGetSessionsResponse } from "sett";
import { findInstitution } from "./institutions.ts";
import { createItem, issuePublicToken } from "./items.ts";
import { toSecond } from "./json.ts";
import { completeUpdateMode } from "./life.ts";
import type { Plaid } from "./plaid.ts";
import { Refusal, type RefusalCode } from "./refusals.ts";
import type { ItemRecord, LinkSessionRecord, LinkTokenRecord } from "./world.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** What came of a session is told for so long after it. */
const SESSION_KEPT_MS = 6 * HOUR;

/** How long a link token lives. */
export function linkTokenLife({ request }: Pick<LinkTokenRecord, "request">): number {
  const { hosted_link, access_token } = request;
  if (hosted_link) {
    const { url_lifetime_seconds, delivery_method } = hosted_link;
    if (url_lifetime_seconds) return url_lifetime_seconds * 1000;
    return delivery_method === "email" ? 7 * DAY : delivery_method === "sms" ? DAY : 30 * MINUTE;
  }
  return access_token ? 30 * MINUTE : 4 * HOUR;
}

/** A link token's record, while Plaid still tells of it; undefined when it is unknown, another client's or over. */
export function findLinkToken({ world, clock }: Plaid, token: string, client_id?: string) {
  const found = world.get("link_tokens", token);
  if (!found || (client_id !== undefined && found.client_id !== client_id)) return undefined;
  const sessions = found.sessions.filter(({ finished_at }) => finished_at + SESSION_KEPT_MS > clock.now());
  if (found.expires_at <= clock.now() && sessions.length === 0) return undefined;
  return { ...found, sessions };
}

/** How the user goes through Link. */
export interface LinkChoices {
  /** Where the user logs in: the link token's institution, else First Platypus Bank. */
  readonly institution_id?: string;
  readonly username?: string;
  readonly password?: string;
}

/**
 * The user finishes Link: a new Item, or in update mode one that is mended, and a public token of it either way. Throws
 * a Refusal where Plaid would show the user an error.
 */
export function completeLink(plaid: Plaid, token: string, choices: LinkChoices) {
  const link = liveLinkToken(plaid, token);
  const { request } = link;
  const link_session_id = plaid.ids.uuid();
  const isNew = link.item_id === null;
  let item: ItemRecord;
  if (link.item_id !== null) {
    const before = plaid.world.get("items", link.item_id)!;
    if (before.removed_at !== null) throw new Refusal("ITEM_NOT_FOUND");
    completeUpdateMode(plaid, before, request.update?.account_selection_enabled === true);
    item = plaid.world.get("items", link.item_id)!;
  } else {
    item = createItem(plaid, {
      client_id: link.client_id,
      institution_id: choices.institution_id ?? request.institution_id ?? "ins_109508",
      products: request.products ?? [],
      webhook: request.webhook ?? "",
      username: choices.username ?? "user_good",
      password: choices.password ?? "pass_good",
    });
  }
  const public_token = issuePublicToken(plaid, item);

  const { institution_id, name } = findInstitution(item.institution_id)!;
  const institution = { institution_id, name };
  const accounts = item.accounts.map((account): LinkSessionSuccessMetadataAccount => ({
    id: account.account_id,
    mask: account.mask,
    name: account.name,
    ...(account.subtype !== null && { subtype: account.subtype }),
    type: account.type,
    verification_status: account.verification_status ?? null,
  }));
  const metadata = { accounts, institution, link_session_id };
  addSession(plaid, link, {
    link_session_id,
    on_success: { public_token, metadata },
    results: {
      item_add_results: isNew ? [{ accounts, institution, public_token }] : [],
      cra_item_add_results: [],
      cra_update_results: [],
      bank_income_results: [],
      payroll_income_results: [],
      document_income_results: null,
    },
  });
  if (isNew) tell(plaid, link, "ITEM_ADD_RESULT", { link_session_id, public_token });
  const public_tokens = isNew ? [public_token] : [];
  tell(plaid, link, "SESSION_FINISHED", { link_session_id, public_tokens, status: "SUCCESS" });
  return { item_id: item.item_id, link_session_id, public_token };
}

/** The user leaves Link without finishing, perhaps because of an error. */
export function exitLink(plaid: Plaid, token: string, error_code: RefusalCode | null) {
  const link = liveLinkToken(plaid, token);
  const link_session_id = plaid.ids.uuid();
  const refusal = error_code === null ? null : new Refusal(error_code).body;
  const error = refusal && {
    display_message: refusal["display_message"] as string | null,
    error_code: `${error_code}`,
    error_message: refusal["error_message"] as string | null,
    error_type: `${refusal["error_type"]}`,
  };
  const exit = { error, metadata: { link_session_id, status: "requires_credentials" } };
  addSession(plaid, link, { link_session_id, exit, on_exit: exit });
  tell(plaid, link, "SESSION_FINISHED", { link_session_id, status: "EXITED" });
  return { link_session_id };
}

function liveLinkToken(plaid: Plaid, token: string) {
  const link = findLinkToken(plaid, token);
  if (!link || link.expires_at <= plaid.clock.now()) throw new Refusal("INVALID_LINK_TOKEN");
  return link;
}

function addSession(
  { world, clock }: Plaid,
  link: LinkTokenRecord,
  session: Omit<LinkTokenGetSessionsResponse, "started_at" | "finished_at">,
) {
  const finished_at = clock.now();
  const time = toSecond(finished_at);
  const added: LinkSessionRecord = {
    finished_at,
    session: { ...session, started_at: time, finished_at: time },
  };
  world.put("link_tokens", link.link_token, { ...link, sessions: [...link.sessions, added] });
}

/** To the link token's own URL: there may be no Item yet. */
function tell(
  { delivery, switches }: Plaid,
  { client_id, link_token, request, item_id }: LinkTokenRecord,
  webhook_code: string,
  fields: object,
) {
  if (!request.webhook || (item_id !== null && switches().updateModeWebhooks === "none")) return;
  delivery.send({
    client_id,
    item_id: null,
    destination_url: request.webhook,
    webhook: { webhook_type: "LINK", webhook_code, link_token, ...fields },
  });
}
