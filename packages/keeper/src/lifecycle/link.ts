// From a public token to an Item in the vault. Plaid has no call that lists Items, so a token that is lost here is billed
// for ever: what was lost on the way is looked for in every place that Plaid leaves open, and said to be lost only then.

import { err, happened, Item, Link, ok, type Failure, type Result } from "sett";
import type { FieldsOf } from "sett/kinds";
import type { Sql } from "../database/connection.ts";
import type { Lease } from "../database/leases.ts";
import { claimExchange, holdExchange } from "./exchanges.ts";
import { accountFingerprint, isOfAccount } from "./fingerprints.ts";
import { lostFor, refusedWith, requestIdOf, type KeeperFailure } from "./failure.ts";
import { anything, refuseUnfit } from "./known.ts";
import {
  addEvent,
  closeIntent,
  openDetail,
  readIntent,
  readView,
  sealDetail,
  type Ending,
  type IntentRow,
  type ItemView,
} from "./ledger.ts";
import { databaseFailed, read, transact, type Means } from "./means.ts";
import type { About } from "./arrival.ts";
import type { Salvage } from "./salvage.ts";
import { longestId, longestName, longestToken, shownOf, textOrNull } from "./texts.ts";

/**
 * What the application knows of a new Item. Link's `onSuccess` brings `institution` and `accounts` in its metadata, through
 * a browser. What cannot be right is a TypeError before anything is done; but what is only shown or compared (the bank's
 * name, the accounts) is cut to what can be kept, for nobody is to lose a link over it.
 */
export interface LinkOptions {
  /** Up to 255 characters. */
  readonly userId?: string | undefined;
  /** With which Link was opened: the way back to a public token that was lost. */
  readonly linkToken?: string | undefined;
  /** An id of up to 255 characters, and a name, of which the first 1 024 are kept. */
  readonly institution?:
    { readonly institution_id: string | null; readonly name?: string | null } | null | undefined;
  /** The first 1 000, and of each `mask` and `name` the first 255 characters. */
  readonly accounts?: readonly { readonly mask?: string | null; readonly name?: string | null }[] | undefined;
  /** What to do when the user has this login already: refuse before the public token is spent, or link and say so. */
  readonly duplicates?: "refuse" | "flag" | undefined;
}

/** A new Item, and those of the same user that seem to be the same login. */
export interface Linked extends ItemView {
  readonly duplicates: readonly string[];
}

/** Of an intent, sealed. */
interface Detail {
  readonly public_token: string;
  readonly link_token: string | null;
  readonly about: About;
}

/** Whoever links again what stands so does what is to be done about it. */
const relinkable = ["removed", "removing", "stranded", "revoked"] as const;

const mostAccounts = 1_000;

const fields: FieldsOf<LinkOptions> = {
  "userId?": anything,
  "linkToken?": anything,
  "institution?": anything,
  "accounts?": anything,
  "duplicates?": anything,
};

/** What can be kept of it. Throws where something is misspelt or of the wrong type, or can be nobody's id or token. */
export function cleanOptions(given: LinkOptions): LinkOptions {
  refuseUnfit("the options of link", given, fields);
  const { userId, linkToken, institution, accounts = [], duplicates = "refuse" } = given;
  if (institution !== undefined && typeof institution !== "object")
    throw new TypeError("institution must be an object with institution_id and name, or null");
  if (!Array.isArray(accounts) || accounts.some((one) => typeof one !== "object" || one === null))
    throw new TypeError("accounts must be an array of objects with mask and name");
  if (duplicates !== "refuse" && duplicates !== "flag")
    throw new TypeError('duplicates must be "refuse" or "flag"');
  return {
    userId: textOrNull("userId", userId) ?? undefined,
    linkToken: textOrNull("linkToken", linkToken, longestToken) ?? undefined,
    institution: institution && {
      institution_id: textOrNull("institution.institution_id", institution.institution_id),
      name: shown("institution.name", institution.name, longestName),
    },
    accounts: accounts.slice(0, mostAccounts).map(({ mask, name }) => ({
      mask: shown("an account's mask", mask, longestId),
      name: shown("an account's name", name, longestId),
    })),
    duplicates,
  };
}

function shown(name: string, value: unknown, longest: number): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== "string") throw new TypeError(`${name} must be a text, or null`);
  return shownOf(value, longest);
}

/** Links, with options that are clean, under an intent of that name: see `Keeper.link`. */
export async function link(
  means: Means,
  salvage: Salvage,
  intent_id: string,
  publicToken: string,
  options: LinkOptions,
): Promise<Result<Linked, KeeperFailure>> {
  await means.at("link: begin");
  const about = await aboutOf(means, options);
  if (!about.ok) return about;
  const duplicates = await duplicatesOf(means, about.value);
  if (!duplicates.ok) return duplicates;
  if (duplicates.value.length > 0 && options.duplicates !== "flag")
    return err({ kind: "duplicate", of: duplicates.value });

  const detail: Detail = {
    public_token: publicToken,
    link_token: options.linkToken ?? null,
    about: about.value,
  };
  const sealed = await sealDetail(means, intent_id, detail);
  if (!sealed.ok) return sealed;
  const { user_id } = about.value;
  const { holder, leaseMs } = means;
  const at = means.now();
  const lease = { name: intent_id, holder, fence: 1, untilMs: at + leaseMs };
  const { bytes, key_id } = sealed.value;
  const given = { intent_id, user_id, detail: bytes, key_id, holder, until_ms: lease.untilMs, at };
  const begun = await means.exchanges.open(given);
  if (!begun.ok) return err(databaseFailed(begun.error));
  await means.at("link: intended");
  const intent = { intent_id, opened_at: at };
  const linked = await exchange(means, salvage, { lease, intent }, detail, false);
  return linked.ok ? ok({ ...linked.value, duplicates: duplicates.value }) : linked;
}

/** Goes on with an exchange that was left open, if nobody else is at it. */
export async function resumeExchange(
  means: Means,
  salvage: Salvage,
  { intent_id }: Pick<IntentRow, "intent_id">,
): Promise<Result<ItemView, KeeperFailure>> {
  const { holder, now, leaseMs: forMs } = means;
  const claimed = await read(means, (sql) =>
    claimExchange(sql, { name: intent_id, holder, now: now(), forMs }),
  );
  if (!claimed.ok) return claimed;
  const { lease, intent } = claimed.value ?? {};
  if (!lease || !intent?.detail) return err({ kind: "unfinished", item_id: null, intent_id, cause: null });
  const detail = await openDetail<Detail>(means, intent);
  if (!detail.ok) return leave(means, lease, detail);
  return exchange(means, salvage, { lease, intent }, detail.value!, true);
}

/** Before another call to Plaid. No: somebody else has taken over, or will. */
async function renew({ database, now, leaseMs }: Means, lease: Lease): Promise<boolean> {
  const renewed = await database.read((sql) => holdExchange(sql, lease, now() + leaseMs));
  return renewed.ok && renewed.value;
}

/** Leaves the exchange open for whoever comes next. If the database does not take it, the lease runs out. */
async function leave<Failed>({ database }: Means, lease: Lease, failed: Failed): Promise<Failed> {
  void (await database.read((sql) => holdExchange(sql, lease, 0)));
  return failed;
}

/** What is known of the intent from its beginning. */
type Begun = Pick<IntentRow, "intent_id" | "opened_at">;

async function exchange(
  means: Means,
  salvage: Salvage,
  { lease, intent }: { lease: Lease; intent: Begun },
  { public_token, link_token, about }: Detail,
  resumed: boolean,
): Promise<Result<ItemView, KeeperFailure>> {
  const { plaid, at } = means;
  const { intent_id } = intent;
  const unfinished = (cause: Failure | null): Promise<Result<never, KeeperFailure>> =>
    leave(means, lease, err({ kind: "unfinished", item_id: null, intent_id, cause }));
  const spend = async (token: string) => {
    const answer = await Item.exchangePublicToken(token, plaid);
    await at("link: answered");
    if (!answer.ok) return answer;
    const { access_token, item_id, request_id } = answer.value;
    const given = { intent_id, item_id, request_id, access_token, about };
    return ok(await salvage.keep({ kind: "exchange", from_version: 0, fence: lease.fence, ...given }));
  };

  const first = await spend(public_token);
  if (first.ok) return first.value;
  if (!resumed && happened(first.error) === "no") {
    const failure = first.error;
    const request_id = requestIdOf(failure);
    const closed = await transact(means, (sql) =>
      giveUp(means, sql, lease, { outcome: "not-done", request_id, note: failure }),
    );
    return closed.ok ? err({ kind: "plaid", item_id: null, failure }) : closed;
  }
  if (!resumed && !(await renew(means, lease))) return unfinished(first.error);
  const second = resumed ? first : await spend(public_token);
  if (second.ok) return second.value;
  if (refusedWith(second.error) !== "INVALID_PUBLIC_TOKEN") return unfinished(second.error);

  // Spent, or too old. Perhaps the escrow has what it gave, or Plaid has another that leads to the same Item.
  const looked = await salvage.lookFor(intent_id);
  const known = looked.ok ? await readIntent(means, intent_id) : looked;
  if (!known.ok) return leave(means, lease, known);
  if (known.value?.item_id) return readView(means, known.value.item_id);
  if (!(await renew(means, lease))) return unfinished(second.error);
  if (link_token !== null) {
    const other = await otherToken(means, link_token, public_token, about);
    if (!other.ok && refusedWith(other.error) !== "INVALID_LINK_TOKEN") return unfinished(other.error);
    if (other.ok && other.value !== null) {
      const found = await spend(other.value);
      if (found.ok) return found.value;
      if (refusedWith(found.error) !== "INVALID_PUBLIC_TOKEN") return unfinished(found.error);
    }
  }
  return lost(means, intent, lease, second.error);
}

/** A public token of the same session that is not ours, where it can be no other Item's. */
async function otherToken(
  { plaid }: Means,
  linkToken: string,
  publicToken: string,
  { institution_id }: About,
): Promise<Result<string | null, Failure>> {
  const answer = await Link.getToken(linkToken, plaid);
  if (!answer.ok) return answer;
  const results = (answer.value.link_sessions ?? []).flatMap(
    ({ results }) => results?.item_add_results ?? [],
  );
  if (results.some(({ public_token }) => public_token === publicToken)) return ok(null);
  const fitting = results.filter(
    ({ institution }) => institution_id === null || institution?.institution_id === institution_id,
  );
  return ok(fitting.length === 1 ? fitting[0]!.public_token : null);
}

/** Closes an exchange that gave nothing, unless somebody else has taken it over. */
async function giveUp(
  means: Means,
  sql: Sql,
  lease: Lease,
  ending: Ending,
): Promise<Result<undefined, KeeperFailure>> {
  const { name: intent_id } = lease;
  const held = await holdExchange(sql, lease, 0);
  if (held && (await closeIntent(means, sql, intent_id, ending))) return ok(undefined);
  return err({ kind: "unfinished", item_id: null, intent_id, cause: null });
}

async function lost(
  means: Means,
  intent: Begun,
  lease: Lease,
  failure: Failure,
): Promise<Result<never, KeeperFailure>> {
  const { intent_id, opened_at } = intent;
  const request_id = requestIdOf(failure);
  const said = lostFor(intent_id, request_id, opened_at);
  const closed = await transact(means, async (sql) => {
    const ended = await giveUp(means, sql, lease, { outcome: "lost", request_id, note: failure });
    if (!ended.ok) return ended;
    const detail = { intent_id, support: said.support };
    await addEvent(means, sql, { kind: "link.lost", item_id: null, detail, request_id });
    return ok(undefined);
  });
  return closed.ok ? err(said) : closed;
}

async function aboutOf(
  { vault }: Means,
  { userId, institution, accounts = [] }: LinkOptions,
): Promise<Result<About, KeeperFailure>> {
  const user_id = userId ?? null;
  const institution_id = institution?.institution_id ?? null;
  const fingerprints = new Set<string>();
  if (user_id !== null && institution_id !== null) {
    for (const { mask, name } of accounts) {
      if (!mask && !name) continue;
      const made = await accountFingerprint(vault, [user_id, institution_id, mask ?? "", name ?? ""]);
      if (!made.ok) return made;
      fingerprints.add(made.value.toString("hex"));
    }
  }
  return ok({
    user_id,
    institution_id,
    institution_name: institution?.name ?? null,
    fingerprints: [...fingerprints],
  });
}

/** The user's Items at the same bank with one of the same accounts; where either side has no accounts, at the same bank. */
async function duplicatesOf(
  means: Means,
  { user_id, institution_id, fingerprints }: About,
): Promise<Result<readonly string[], KeeperFailure>> {
  if (user_id === null || institution_id === null) return ok([]);
  return read(means, async (sql) => {
    const items = await sql
      .selectFrom("items")
      .leftJoin("fingerprints", "fingerprints.item_id", "items.item_id")
      .select(["items.item_id", "fingerprints.fingerprint"])
      .where("user_id", "=", user_id)
      .where("institution_id", "=", institution_id)
      .where("environment", "=", means.environment)
      .where("state", "not in", relinkable)
      .orderBy("items.item_id")
      .execute();
    const isSame = (rows: typeof items) => {
      const of = rows.flatMap(({ fingerprint: one }) => (one && isOfAccount(one) ? one.toString("hex") : []));
      return of.length === 0 || fingerprints.length === 0 || of.some((one) => fingerprints.includes(one));
    };
    const known = Map.groupBy(items, ({ item_id }) => item_id);
    return [...known].filter(([, rows]) => isSame(rows)).map(([item_id]) => item_id);
  });
}
