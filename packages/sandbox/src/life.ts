// What befalls an Item after it is made: by itself when its time comes, or because a test says so. Each event
// changes the Item first and then sends the webhook that Plaid documents for it, if the Item has a URL.

import { beginConsent, WARNING_MS } from "./items.ts";
import { consentEnds, findInstitution, newAccountAt } from "./institutions.ts";
import { toMillisecond, toSecond } from "./json.ts";
import type { Plaid } from "./plaid.ts";
import { webhookError, type RefusalCode } from "./refusals.ts";
import type { ItemRecord } from "./world.ts";

/** Sends a webhook about an Item to its URL; nowhere when it has none. */
export function notify(
  { delivery }: Plaid,
  { client_id, item_id, webhook }: ItemRecord,
  type: string,
  code: string,
  fields: object = {},
) {
  if (webhook === "") return;
  delivery.send({
    client_id,
    item_id,
    destination_url: webhook,
    webhook: { webhook_type: type, webhook_code: code, item_id, ...fields },
  });
}

const keep = ({ world }: Plaid, item: ItemRecord) => {
  world.put("items", item.item_id, item);
  return item;
};

/** The Item falls into an error state: ITEM ERROR. `reason` is for OAuth connections. */
export function fail(plaid: Plaid, item: ItemRecord, error_code: RefusalCode, reason: string | null = null) {
  const error = { error_code, error_code_reason: reason };
  keep(plaid, { ...item, error });
  notify(plaid, item, "ITEM", "ERROR", { error: webhookError(error, plaid.switches()) });
}

/** The user has been through update mode: no webhook says so. Consent begins anew, as for a new Item. */
export function completeUpdateMode(plaid: Plaid, item: ItemRecord, selectAccounts = false) {
  for (const kind of ["disconnect", "consent-warning", "consent-end"] as const)
    plaid.agenda.cancel(kind, item.item_id);
  // In the United Kingdom and the European Union a new account takes a new Item.
  const mayChoose = selectAccounts && !consentEnds(findInstitution(item.institution_id)!);
  const chosen = mayChoose ? item.unchosen_accounts : [];
  beginConsent(
    plaid,
    keep(plaid, {
      ...item,
      error: null,
      consent_expires_at: null,
      accounts: [...item.accounts, ...chosen],
      unchosen_accounts: item.unchosen_accounts.filter((account) => !chosen.includes(account)),
    }),
  );
}

/** The error went away without the application's doing: LOGIN_REPAIRED. Consent that was over begins anew. */
export function repairLogin(plaid: Plaid, item: ItemRecord) {
  const { consent_expires_at } = item;
  const isOver = consent_expires_at !== null && consent_expires_at <= plaid.clock.now();
  if (isOver) beginConsent(plaid, keep(plaid, { ...item, error: null, consent_expires_at: null }));
  else keep(plaid, { ...item, error: null });
  notify(plaid, item, "ITEM", "LOGIN_REPAIRED");
}

/** The user took permission back at Plaid: USER_PERMISSION_REVOKED. */
export function revokePermission(plaid: Plaid, item: ItemRecord) {
  keep(plaid, { ...item, error: revoked });
  tellOfRevocation(plaid, item);
}
const revoked = { error_code: "USER_PERMISSION_REVOKED", error_code_reason: null } as const;
const tellOfRevocation = (plaid: Plaid, item: ItemRecord) =>
  notify(plaid, item, "ITEM", "USER_PERMISSION_REVOKED", { error: webhookError(revoked, plaid.switches()) });

/** The user took one account back at the bank: USER_ACCOUNT_REVOKED. Update mode may bring it back, under another id. */
export function revokeAccount(plaid: Plaid, item: ItemRecord, account_id: string) {
  const revoked = item.accounts.filter((account) => account.account_id === account_id);
  const anew = revoked.map((account) => ({ ...account, account_id: plaid.ids.id() }));
  keep(plaid, {
    ...item,
    accounts: item.accounts.filter((account) => !revoked.includes(account)),
    unchosen_accounts: [...item.unchosen_accounts, ...anew],
  });
  notify(plaid, item, "ITEM", "USER_ACCOUNT_REVOKED", { account_id });
}

/** The bank shows one more account, which update mode with account selection adds: NEW_ACCOUNTS_AVAILABLE. */
export function newAccount(plaid: Plaid, item: ItemRecord) {
  const account = newAccountAt(findInstitution(item.institution_id)!, () => plaid.ids.id());
  keep(plaid, { ...item, unchosen_accounts: [...item.unchosen_accounts, account] });
  notify(plaid, item, "ITEM", "NEW_ACCOUNTS_AVAILABLE", { error: null });
}

export type DisconnectReason = "INSTITUTION_MIGRATION" | "INSTITUTION_TOKEN_EXPIRATION";

/** The Item stops working in 7 days unless update mode comes first: PENDING_DISCONNECT. */
export function pendingDisconnect(plaid: Plaid, item: ItemRecord, reason: DisconnectReason) {
  const at = plaid.clock.now() + WARNING_MS;
  keep(plaid, { ...item, ...(reason === "INSTITUTION_TOKEN_EXPIRATION" && { consent_expires_at: at }) });
  plaid.agenda.plan("disconnect", item.item_id, at);
  notify(plaid, item, "ITEM", "PENDING_DISCONNECT", { reason, disconnect_time: toMillisecond(at) });
}

/** Consent ends in 7 days unless update mode comes first: PENDING_EXPIRATION. */
export function pendingExpiration(plaid: Plaid, item: ItemRecord) {
  const at = plaid.clock.now() + WARNING_MS;
  plaid.agenda.cancel("consent-warning", item.item_id);
  plaid.agenda.plan("consent-end", item.item_id, at);
  warn(plaid, keep(plaid, { ...item, consent_expires_at: at }));
}

const warn = (plaid: Plaid, item: ItemRecord) =>
  notify(plaid, item, "ITEM", "PENDING_EXPIRATION", {
    consent_expiration_time: toSecond(item.consent_expires_at!),
  });

/** The 30 days after which a Sandbox Item needs a new login are over. */
export const age = (plaid: Plaid, item: ItemRecord) => {
  plaid.agenda.cancel("age", item.item_id);
  if (!item.error) fail(plaid, item, "ITEM_LOGIN_REQUIRED");
};

/** Nothing befalls an Item any more. */
export function removeItem(plaid: Plaid, item: ItemRecord) {
  const { world, agenda, clock } = plaid;
  if (plaid.switches().removalWebhook === "USER_PERMISSION_REVOKED") tellOfRevocation(plaid, item);
  world.put("items", item.item_id, { ...item, removed_at: clock.now(), access_token: null });
  for (const kind of itemTasks) agenda.cancel(kind, item.item_id);
}
const itemTasks = [
  "initial-update",
  "historical-update",
  "age",
  "consent-warning",
  "consent-end",
  "disconnect",
] as const;

/** Joins the agenda to what happens to Items by themselves. */
export function liveBy(plaid: Plaid) {
  const { world, agenda, clock } = plaid;
  const on = (kind: (typeof itemTasks)[number], happen: (item: ItemRecord) => void) =>
    agenda.on(kind, (item_id) => {
      const item = world.get("items", item_id);
      if (item && item.removed_at === null) happen(item);
    });
  const updated = (item: ItemRecord, code: string, new_transactions: number) => {
    const at = (product: string) => (item.products.includes(product) ? clock.now() : null);
    keep(plaid, {
      ...item,
      updated_at: { investments: at("investments"), transactions: at("transactions") },
    });
    if (item.products.includes("transactions"))
      notify(plaid, item, "TRANSACTIONS", code, { error: null, new_transactions });
  };
  on("initial-update", (item) => updated(item, "INITIAL_UPDATE", 19));
  on("historical-update", (item) => updated(item, "HISTORICAL_UPDATE", 231));
  on("age", (item) => age(plaid, item));
  on("consent-warning", (item) => !item.error && warn(plaid, item));
  on("consent-end", (item) => {
    if (item.error) return;
    const { oauth } = findInstitution(item.institution_id)!;
    fail(plaid, item, "ITEM_LOGIN_REQUIRED", oauth ? "OAUTH_CONSENT_EXPIRED" : null);
  });
  on("disconnect", (item) => !item.error && fail(plaid, item, "ITEM_LOGIN_REQUIRED"));
}
