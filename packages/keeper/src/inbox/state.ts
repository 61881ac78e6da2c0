// What state an Item is in, from what was seen of it. Pure: no clock, no database.
//
// A webhook has no time of its own: `iat` is when the attempt that came through was signed, up to 24 hours after the
// event, and webhooks come late, twice or never. So the state is not moved from webhook to webhook. What is known is
// kept as four facts that do not disturb each other, each with the moment it was learned; the latest word on a fact
// stands, in whatever order the words come; and the state is read off the facts. Where the order cannot be known for
// certain, the answer is `doubt`: then ask /item/get, whose word is later than all that came before it was asked.
//
//   fact        /item/get                            webhooks                                  ended by
//   error       shows it                             ERROR, LOGIN_REPAIRED, ..._REVOKED        either
//   consent     shows its end                        PENDING_EXPIRATION, PENDING_DISCONNECT    either
//   disconnect  for a migration shows nothing, but   PENDING_DISCONNECT                        its date, update mode
//   accounts    names the last webhook sent          NEW_ACCOUNTS_AVAILABLE                    update mode
//
// So one /item/get sets the first two right for good. A lost announcement of the last two comes back only while it is
// the last webhook sent; and since no webhook tells of update mode, the page that saw Link succeed has to
// (`{ kind: "updated" }`).

import type { ItemGetResponse } from "sett";
import type { Webhook } from "sett/webhook";
import type { ItemState } from "../database/schema.ts";
import { DAY, later, millis, sameSecond, SECOND, type Moment } from "./moment.ts";

/** What is known of an Item; JSON-safe. Times are milliseconds since 1970; 0 where nothing was learned yet. */
export interface Facts {
  /** The `error_code` it is in; null for none. */
  readonly error: Moment & { readonly code: string | null };
  /** The end of consent; `announced` once a webhook has warned of it. */
  readonly consent: Moment & { readonly endsAt: number | null; readonly announced: boolean };
  /** An announced disconnection; `over` once update mode has averted it. */
  readonly disconnect: Moment & {
    readonly date: number | null;
    readonly reason: string | null;
    readonly over: boolean;
  };
  /** Whether the institution shows accounts that the user has not chosen. */
  readonly accounts: Moment & { readonly waiting: boolean };
}

/** Where an Item stands: its state, and what it was read off. */
export interface Standing {
  readonly state: ItemState;
  readonly facts: Facts;
}

/** Something seen of an Item. Times are milliseconds since 1970. */
export type Observation =
  /** A verified webhook. */
  | {
      readonly kind: "webhook";
      readonly webhook: Webhook;
      readonly iatSeconds: number;
      readonly receivedAt: number;
    }
  /** An answer of /item/get, with the time when it was asked: what happened since then need not be in it. */
  | { readonly kind: "answer"; readonly answer: ItemGetResponse; readonly at: number }
  /** The `error_code` with which any call about the Item was refused. Codes that are not about the Item change nothing. */
  | { readonly kind: "refused"; readonly error_code: string; readonly at: number }
  /** The user has been through update mode, and, where `accountsSelected`, chosen accounts anew. */
  | { readonly kind: "updated"; readonly accountsSelected: boolean; readonly at: number };

/** What changed for those who look after the Item; `from` equals `to` where only the particulars did. */
export interface StateChange {
  readonly kind: "item.state";
  readonly from: ItemState;
  readonly to: ItemState;
  readonly error_code: string | null;
  readonly consent_expires_at: number | null;
  readonly disconnect_at: number | null;
  readonly new_accounts: boolean;
}

export interface Seen extends Standing {
  readonly events: readonly StateChange[];
  /** Whether only /item/get can tell if this is so. */
  readonly doubt: boolean;
}

/** How long before the end Plaid warns. */
const warningMs = 7 * DAY;

/**
 * Refusals after which access is over for good. An Item that Plaid no longer finds is `revoked`, not `removed`: a user's
 * taking back looks like that too, and a token is thrown away by `remove` alone.
 */
const ofTheEnd: ReadonlySet<string> = new Set([
  "USER_PERMISSION_REVOKED",
  "ITEM_NOT_FOUND",
  "ITEM_CONCURRENTLY_DELETED",
]);

/** Refusals that tell of the Item rather than of the call, the product, the institution or the limits. */
const ofTheItem: ReadonlySet<string> = new Set([
  ...ofTheEnd,
  "ITEM_LOGIN_REQUIRED",
  "ITEM_LOCKED",
  "ITEM_NOT_SUPPORTED",
  "INVALID_CREDENTIALS",
  "INVALID_MFA",
  "INVALID_UPDATED_USERNAME",
  "INSUFFICIENT_CREDENTIALS",
  "MFA_NOT_SUPPORTED",
  "NO_ACCOUNTS",
  "PASSWORD_RESET_REQUIRED",
  "USER_SETUP_REQUIRED",
]);

/** States that our own doing began and that only our own doing ends. */
export const ours = (state: ItemState): boolean =>
  state === "stranded" || state === "removing" || state === "removed";

/** What an observation makes of where an Item stands. An unchanged `facts` is the same object. */
export function seen(standing: Standing, observation: Observation): Seen {
  const learned = learn(standing.facts, observation);
  const { facts } = learned;
  if (ours(standing.state)) return { state: standing.state, facts, events: [], doubt: false };
  const before = particulars(standing.facts);
  const after = particulars(facts);
  const state = stateOf(facts);
  const changed =
    observation.kind === "updated" ||
    state !== standing.state ||
    JSON.stringify(after) !== JSON.stringify(before);
  const change: StateChange = { kind: "item.state", from: standing.state, to: state, ...after };
  return { state, facts, events: changed ? [change] : [], doubt: learned.doubt };
}

/** The state that the facts come to, at the moment when the last of them was learned. */
export function stateOf(facts: Facts): ItemState {
  const at = asOf(facts);
  const { error, consent, accounts } = facts;
  if (error.code === "ITEM_LOGIN_REQUIRED") return "login_required";
  if (error.code !== null) return ofTheEnd.has(error.code) ? "revoked" : "error";
  if (particulars(facts).disconnect_at !== null) return "pending_disconnect";
  const { endsAt, announced } = consent;
  if (endsAt !== null && endsAt > at && (announced || endsAt - at <= warningMs)) return "pending_expiration";
  return accounts.waiting ? "new_accounts" : "healthy";
}

const asOf = ({ error, consent, disconnect, accounts }: Facts): number =>
  Math.max(error.at, consent.at, disconnect.at, accounts.at);

/** The facts as the Item's row and its events show them. */
export function particulars(facts: Facts) {
  const { error, consent, disconnect, accounts } = facts;
  const pending = disconnect.date !== null && !disconnect.over && disconnect.date > asOf(facts);
  return {
    error_code: error.code,
    consent_expires_at: consent.endsAt,
    disconnect_at: pending ? disconnect.date : null,
    new_accounts: accounts.waiting,
  };
}

interface Learned {
  readonly facts: Facts;
  readonly doubt: boolean;
}

function learn(facts: Facts, observation: Observation): Learned {
  switch (observation.kind) {
    case "webhook": {
      const { webhook, iatSeconds: iat, receivedAt } = observation;
      // It was signed within that second, and before it came; so what is asked afterwards is later by either clock.
      return fromWebhook(facts, webhook, { at: Math.min(iat * SECOND + SECOND - 1, receivedAt), iat });
    }
    case "answer":
      return fromAnswer(facts, observation.answer, { at: observation.at, iat: null });
    case "refused": {
      const { error_code: code, at } = observation;
      return ofTheItem.has(code) ? take(facts, { error: { at, iat: null, code } }) : { facts, doubt: false };
    }
    case "updated": {
      const moment = { at: observation.at, iat: null };
      const taken = take(facts, {
        error: { ...moment, code: null },
        // It has begun anew, and nobody has said yet when it ends.
        consent: { ...moment, endsAt: null, announced: false },
        disconnect: { ...facts.disconnect, ...moment, over: true },
        ...(observation.accountsSelected && { accounts: { ...moment, waiting: false } }),
      });
      return { facts: taken.facts, doubt: true };
    }
  }
}

function fromWebhook(facts: Facts, webhook: Webhook, moment: Moment): Learned {
  // Data flows again, so the error may be over: after update mode nothing else tells.
  if (webhook.webhook_type !== "ITEM") {
    return { facts, doubt: facts.error.code !== null && moment.at > facts.error.at };
  }
  switch (webhook.webhook_code) {
    case "ERROR":
      return webhook.error?.error_code
        ? take(facts, { error: { ...moment, code: webhook.error.error_code } })
        : { facts, doubt: true };
    case "USER_PERMISSION_REVOKED":
      return take(facts, { error: { ...moment, code: webhook.webhook_code } });
    case "LOGIN_REPAIRED":
      return take(facts, { error: { ...moment, code: null } });
    case "PENDING_EXPIRATION": {
      const endsAt = millis(webhook.consent_expiration_time);
      if (endsAt === null) return { facts, doubt: true };
      const taken = take(facts, { consent: { ...due(moment, endsAt), endsAt, announced: true } });
      return sameSecond(endsAt, facts.consent.endsAt) ? { ...taken, doubt: false } : taken;
    }
    case "PENDING_DISCONNECT": {
      const date = millis(webhook.disconnect_time) ?? moment.at + warningMs;
      const { reason } = webhook;
      return take(facts, { disconnect: { ...due(moment, date), date, reason, over: false } });
    }
    case "NEW_ACCOUNTS_AVAILABLE":
      return take(facts, { accounts: { ...moment, waiting: true } });
    default:
      return { facts, doubt: false };
  }
}

function fromAnswer(facts: Facts, { item, status }: ItemGetResponse, moment: Moment): Learned {
  const endsAt = millis(item.consent_expiration_time);
  const known = facts.consent;
  const announced = known.announced && sameSecond(endsAt, known.endsAt);
  let learned = take(facts, {
    error: { ...moment, code: item.error?.error_code ?? null },
    consent: { ...moment, endsAt: announced ? known.endsAt : endsAt, announced },
  }).facts;

  // Where it was to be the end of consent, it goes where that has gone; and is over when that is far away.
  const { disconnect } = learned;
  const wasConsent = disconnect.reason === "INSTITUTION_TOKEN_EXPIRATION" && !disconnect.over;
  if (wasConsent && disconnect.at <= moment.at && !sameSecond(endsAt, disconnect.date)) {
    const near = endsAt !== null && endsAt - moment.at <= warningMs;
    const moved = near ? { date: endsAt } : { over: true };
    learned = { ...learned, disconnect: { ...disconnect, ...moment, ...moved } };
  }

  const { code_sent, sent_at } = status?.last_webhook ?? {};
  const sentAt = millis(sent_at);
  if (sentAt === null) return { facts: learned, doubt: false };
  const sent = { at: sentAt, iat: Math.floor(sentAt / SECOND) };
  if (code_sent === "NEW_ACCOUNTS_AVAILABLE") {
    learned = take(learned, { accounts: { ...sent, waiting: true } }).facts;
  }
  if (code_sent === "PENDING_DISCONNECT" && particulars(learned).disconnect_at === null) {
    // Its webhook was lost, and with it the reason and the date; or it is of old, and stays where it was.
    const lost = { ...sent, date: sentAt + warningMs, reason: null, over: false };
    learned = take(learned, { disconnect: lost }).facts;
  }
  return { facts: learned, doubt: false };
}

/** Takes each word that is not older than what is held, and says whether that could be told for certain. */
function take(facts: Facts, words: Partial<Facts>): Learned {
  let taken = facts;
  let doubtful = false;
  for (const name of Object.keys(words) as (keyof Facts)[]) {
    const { stands, doubt } = later<Moment>(facts[name], words[name]!);
    if (stands !== facts[name]) taken = { ...taken, [name]: stands };
    doubtful ||= doubt;
  }
  return { facts: taken, doubt: doubtful };
}

/** A warning says itself when it was due, however often it had to be sent: so one that was averted stays averted. */
function due(moment: Moment, date: number): Moment {
  const at = date - warningMs;
  return at < moment.at ? { at, iat: Math.floor(at / SECOND) } : moment;
}
