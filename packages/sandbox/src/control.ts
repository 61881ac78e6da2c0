// What a test may do to a sandbox that no client of Plaid's can: move time, order faults, break and mend Items, finish
// Link, rotate keys, disturb webhooks, keep and bring back whole states. Items are named by `item_id`; no call here
// needs a token. A mistake throws a ControlError, which says what was expected.

import {
  boolean,
  faultInOptions,
  integer,
  invalidField,
  object,
  oneOf,
  text,
  type FieldsOf,
  type Kind,
} from "sett/kinds";
import { LATEST_MS } from "./clock.ts";
import { faultInOrder, type Fault, type FaultOrder } from "./faults.ts";
import { allInstitutions, type Institution } from "./institutions.ts";
import * as life from "./life.ts";
import { faultInLimits, type Limit } from "./limits.ts";
import { completeLink, exitLink, type LinkChoices } from "./links.ts";
import type { Plaid } from "./plaid.ts";
import { isRefusalCode, refusalTable } from "./refusals.ts";
import { isChange } from "./records.ts";
import { faultInSwitches, type Switches } from "./switches.ts";
import type { DeliveryRecord, ItemRecord, KeyRecord, Snapshot } from "./world.ts";

/** A control call that cannot be carried out. Over HTTP it is a 400. */
export class ControlError extends TypeError {
  override readonly name = "ControlError";
}

export const duration: Kind = {
  expected: "a number of milliseconds, of at least 0",
  accepts: (value) => Number.isFinite(value) && (value as number) >= 0,
};
export const moment: Kind = {
  expected: "an ISO time, milliseconds since 1970, or a Date",
  accepts: (value) =>
    (typeof value === "string" || typeof value === "number" || value instanceof Date) &&
    !Number.isNaN(new Date(value).getTime()),
};
export const webhookCount = integer(0, 1_000_000);
export const disconnectReason = oneOf("INSTITUTION_MIGRATION", "INSTITUTION_TOKEN_EXPIRATION");

/** A key without its private half. */
export type PublicKey = Omit<KeyRecord, "d">;

/** A moment: milliseconds since 1970, an ISO text, or a Date. */
export type Time = number | string | Date;

export interface Control {
  readonly clock: {
    /** Milliseconds since 1970. */
    now(): number;
    running(): boolean;
    /**
     * Moves on and does all that falls due, in its order; resolves when the webhooks that it caused are answered. A
     * receiver that has not answered after `patienceMs` (1 000) of real time is taken to hang: time goes on without it.
     */
    advance(ms: number, patienceMs?: number): Promise<void>;
    /** Moves on to a moment; never back. */
    set(time: Time, patienceMs?: number): Promise<void>;
    /** From now on it moves only when told. */
    stop(): void;
    /** From now on it runs with the machine's. */
    run(): void;
  };
  readonly faults: {
    add(...orders: readonly FaultOrder[]): readonly Fault[];
    list(): readonly Fault[];
    clear(): void;
  };
  readonly items: {
    list(): readonly ItemRecord[];
    get(itemId: string): ItemRecord;
    /** Into ITEM_LOGIN_REQUIRED; `reason` for an OAuth connection, such as `OAUTH_CONSENT_EXPIRED`. */
    loginRequired(itemId: string, reason?: string): void;
    /** Into any error state. */
    fail(itemId: string, errorCode: string, reason?: string): void;
    /** The user goes through update mode; new accounts are added where they may be selected. */
    completeUpdateMode(itemId: string, selectAccounts?: boolean): void;
    /** Healthy again without update mode: LOGIN_REPAIRED. */
    repairLogin(itemId: string): void;
    revokePermission(itemId: string): void;
    /** The first account unless told which. */
    revokeAccount(itemId: string, accountId?: string): void;
    newAccounts(itemId: string): void;
    pendingDisconnect(itemId: string, reason?: life.DisconnectReason): void;
    pendingExpiration(itemId: string): void;
    /** As if the Item's 30 days were over. */
    age(itemId: string): void;
  };
  readonly link: {
    /** The user finishes Link for this link token; in update mode its public token leads to the Item's access token. */
    complete(
      linkToken: string,
      choices?: LinkChoices,
    ): { readonly item_id: string; readonly link_session_id: string; readonly public_token: string };
    /** The user leaves, perhaps over an error. */
    exit(linkToken: string, errorCode?: string): { readonly link_session_id: string };
  };
  readonly keys: {
    /** The first key is made when it is first needed; so this may make it. */
    list(): Promise<readonly PublicKey[]>;
    /** A new key signs; the old one expires now, unless it is kept. */
    rotate(options?: { readonly keepOld?: boolean }): Promise<PublicKey>;
    expire(kid: string): void;
  };
  readonly webhooks: {
    list(): readonly DeliveryRecord[];
    /** Once more, newly signed, or `asSigned` the last time. */
    replay(webhookMessageId: string, options?: { readonly asSigned?: boolean }): void;
    /** Each of the next webhooks, one unless told, is sent twice. */
    duplicate(count?: number): void;
    /** Keeps back what is to be sent. */
    hold(): void;
    /** Sends it, the named ones first and in their order, and holds no longer. */
    release(webhookMessageIds?: readonly string[]): void;
    /** When every webhook that is due has been answered or has failed. A receiver that hangs is waited for. */
    idle(): Promise<void>;
  };
  readonly limits: {
    get(): { readonly on: boolean; readonly limits: Readonly<Record<string, Limit>> };
    set(on: boolean, overrides?: Readonly<Record<string, Limit>>): void;
  };
  readonly switches: { get(): Switches; set(changes: Partial<Switches>): Switches };
  institutions(): readonly Institution[];
  snapshot(): Snapshot;
  restore(snapshot: Snapshot): void;
  /** Back to the state it was made in. */
  reset(): void;
}

function refuse(wrong: string | undefined): void {
  if (wrong) throw new ControlError(wrong);
}
const choices: FieldsOf<LinkChoices> = { "institution_id?": text, "username?": text, "password?": text };

export function createControl(plaid: Plaid): Control {
  const { world, clock, keys, delivery, ids } = plaid;
  const beginning = world.snapshot();
  const limitedAtFirst = plaid.limits.state().on;

  const item = (itemId: string) => {
    const found = world.get("items", itemId);
    if (!found) throw new ControlError("item_id must be the id of an Item; there is none of this id");
    return found;
  };
  /** Does something to an Item that exists and is not removed, and keeps it. */
  const happen = (itemId: string, event: (found: ItemRecord) => void) => {
    const found = item(itemId);
    if (found.removed_at !== null) throw new ControlError("item_id must be of an Item that is not removed");
    event(found);
    world.commit();
  };
  const code = (errorCode: string) => {
    if (!isRefusalCode(errorCode))
      throw new ControlError(`error_code must be one of ${[...refusalTable.keys()].join(", ")}`);
    return errorCode;
  };
  /** A link token that was made; Link may be over for it all the same. */
  const made = (linkToken: string) => {
    if (!world.get("link_tokens", linkToken))
      refuse("link_token must be one that /link/token/create gave; there is none of this name");
    return linkToken;
  };
  const time = (given: Time) => {
    refuse(invalidField({ time: moment }, { time: given }));
    const ms = new Date(given).getTime();
    if (ms < clock.now())
      throw new ControlError("time must not be before the clock's, which never goes back");
    if (ms > LATEST_MS) throw new ControlError("time must not be after the year 9999");
    return ms;
  };
  const fail = (itemId: string, errorCode: string, reason?: string) => {
    refuse(invalidField({ "reason?": text }, { reason }));
    happen(itemId, (found) => life.fail(plaid, found, code(errorCode), reason ?? null));
  };
  const patience = (patienceMs?: number) =>
    refuse(invalidField({ "patience_ms?": duration }, { patience_ms: patienceMs }));
  const publicHalf = ({ d: _, ...key }: KeyRecord): PublicKey => key;

  return {
    clock: {
      now: clock.now,
      running: () => "offset" in clock.state(),
      async advance(ms, patienceMs) {
        refuse(invalidField({ ms: duration }, { ms }));
        patience(patienceMs);
        if (clock.now() + ms > LATEST_MS) throw new ControlError("ms must not lead beyond the year 9999");
        await clock.advance(ms, patienceMs);
      },
      async set(given, patienceMs) {
        patience(patienceMs);
        await clock.set(time(given), patienceMs);
      },
      stop: clock.stop,
      run: clock.run,
    },
    faults: {
      add(...orders) {
        for (const order of orders) {
          refuse(faultInOrder(order));
        }
        const added = orders.map(({ path, times = 1, then }): Fault => ({
          id: ids.uuid(),
          path,
          times,
          then,
        }));
        for (const fault of added) world.put("faults", fault.id, fault);
        world.commit();
        return added;
      },
      list: () => [...world.all("faults")],
      clear() {
        for (const { id } of [...world.all("faults")]) world.drop("faults", id);
        world.commit();
      },
    },
    items: {
      list: () => [...world.all("items")],
      get: item,
      loginRequired: (itemId, reason) => fail(itemId, "ITEM_LOGIN_REQUIRED", reason),
      fail,
      completeUpdateMode(itemId, selectAccounts) {
        refuse(invalidField({ "select_accounts?": boolean }, { select_accounts: selectAccounts }));
        happen(itemId, (found) => life.completeUpdateMode(plaid, found, selectAccounts));
      },
      repairLogin: (itemId) => happen(itemId, (found) => life.repairLogin(plaid, found)),
      revokePermission: (itemId) => happen(itemId, (found) => life.revokePermission(plaid, found)),
      revokeAccount: (itemId, accountId) =>
        happen(itemId, (found) => {
          const gone = accountId ?? found.accounts[0]?.account_id;
          if (!found.accounts.some((account) => account.account_id === gone))
            throw new ControlError("account_id must be of an account of this Item");
          life.revokeAccount(plaid, found, gone!);
        }),
      newAccounts: (itemId) => happen(itemId, (found) => life.newAccount(plaid, found)),
      pendingDisconnect(itemId, reason = "INSTITUTION_MIGRATION") {
        refuse(invalidField({ reason: disconnectReason }, { reason }));
        happen(itemId, (found) => life.pendingDisconnect(plaid, found, reason));
      },
      pendingExpiration: (itemId) => happen(itemId, (found) => life.pendingExpiration(plaid, found)),
      age: (itemId) => happen(itemId, (found) => life.age(plaid, found)),
    },
    link: {
      complete(linkToken, chosen = {}) {
        refuse(faultInOptions("the choices", chosen, choices));
        const completed = completeLink(plaid, made(linkToken), chosen);
        world.commit();
        return completed;
      },
      exit(linkToken, errorCode) {
        const left = exitLink(plaid, made(linkToken), errorCode === undefined ? null : code(errorCode));
        world.commit();
        return left;
      },
    },
    keys: {
      async list() {
        await keys.signer();
        return [...world.all("keys")].map(publicHalf);
      },
      async rotate(options = {}) {
        refuse(faultInOptions("the options", options, { "keepOld?": boolean }));
        return publicHalf(await keys.rotate(options));
      },
      expire(kid) {
        if (!keys.expire(kid))
          throw new ControlError("kid must be the id of a key; there is none of this id");
      },
    },
    webhooks: {
      list: delivery.log,
      replay(id, options = {}) {
        refuse(faultInOptions("the options", options, { "asSigned?": boolean }));
        if (!delivery.replay(id, options))
          throw new ControlError("webhook_message_id must be of a logged webhook; there is none of this id");
      },
      duplicate(count = 1) {
        refuse(invalidField({ count: webhookCount }, { count }));
        delivery.duplicate(count);
      },
      hold: delivery.hold,
      release(order) {
        const isHeld = (id: string) => world.get("deliveries", id)?.held === true;
        if (order !== undefined && !(Array.isArray(order) && order.every(isHeld)))
          throw new ControlError("webhook_message_ids must be of webhooks that are held");
        delivery.release(order);
      },
      idle: clock.idle,
    },
    limits: {
      get: plaid.limits.state,
      set(on, overrides) {
        refuse(invalidField({ on: boolean, "limits?": object }, { on, limits: overrides }));
        refuse(faultInLimits(overrides ?? {}));
        plaid.limits.set(on, overrides);
      },
    },
    switches: {
      get: plaid.switches,
      set(changes) {
        if (!object.accepts(changes)) refuse("the changes must be an object of switches");
        refuse(faultInSwitches(changes));
        world.set("switches", { ...plaid.switches(), ...changes });
        world.commit();
        return plaid.switches();
      },
    },
    institutions: allInstitutions,
    snapshot: world.snapshot,
    restore(snapshot) {
      if (snapshot?.format !== 1 || !Array.isArray(snapshot.changes) || !snapshot.changes.every(isChange))
        throw new ControlError("snapshot must be what snapshot() gave");
      plaid.restore(snapshot);
    },
    reset() {
      plaid.limits.set(limitedAtFirst, {});
      plaid.restore(beginning);
    },
  };
}
