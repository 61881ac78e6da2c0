// Webhooks applied: what it takes to be sure of one, and the one transaction that moves the Item, writes the history and
// destroys the body. Those that leave no doubt, as nearly all do, share it; any other has one of its own.

import { err, ok, type Failure, type ItemGetResponse, type Result } from "sett";
import type { Webhook } from "sett/webhook";
import type { Sql } from "../database/connection.ts";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import { deliveryId } from "../vault/reencrypt.ts";
import type { Vault } from "../vault/vault.ts";
import { DAY, SECOND } from "./moment.ts";
import { databaseDown, open, settle, type InboxFailure, type Waiting } from "./deliveries.ts";
import { redacted } from "./redact.ts";
import { newestEvents, writeEvents, type NewEvent } from "./rows.ts";
import { isNews, observeAll, standingsOf, type Sight } from "./standing.ts";
import { seen, type Observation } from "./state.ts";
import { itemOfLinkToken } from "./update-mode.ts";

/** Asks /item/get about an Item. */
export type Heal = (itemId: string) => Promise<Result<ItemGetResponse, Failure>>;

/** A public token that came by webhook. */
export interface GivenToken {
  readonly public_token: string;
  readonly link_token: string;
  readonly link_session_id: string;
}

export interface ApplierOptions {
  readonly database: Database;
  readonly vault: Vault;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Asks /item/get about an Item, where only that can tell in which order things happened. */
  readonly heal?: Heal | undefined;
  /**
   * Takes a public token that came by webhook (Hosted and Multi-Item Link), before it is destroyed. `false` means
   * not yet: it is called again, and may be called again after a crash as well. Without it such tokens are only
   * destroyed.
   */
  readonly takePublicToken?: ((given: GivenToken) => Promise<boolean>) | undefined;
  /** How long a webhook waits for its Item, or to become readable; 7 days unless told. */
  readonly keepMs?: number | undefined;
}

/** What became of one delivery; `elsewhere`: another process was quicker. */
export type Outcome = "applied" | "early" | "givenUp" | "elsewhere";

export interface Applier {
  /** Applies webhooks of Items that are here, or of none. */
  apply(page: readonly Waiting[]): Promise<readonly Result<Outcome, InboxFailure>[]>;
  /** Says of Items that are not here that they are missed, the first time; gives their webhooks up in the end. */
  waitOn(page: readonly Waiting[]): Promise<readonly Result<Outcome, InboxFailure>[]>;
  /** Takes what was seen otherwise. False: no such Item. */
  take(itemId: string, observation: Observation): Promise<Result<boolean, InboxFailure>>;
  /** The same of what is seen in passing: where nothing would come of it, nothing is written. */
  notice(itemId: string, observation: Observation): Promise<Result<boolean, InboxFailure>>;
  /** What Plaid says of the Item, as of when it was asked. A refusal is an answer too. */
  ask(itemId: string, heal: Heal): Promise<Result<Observation, Failure>>;
}

/** How many Items are worked on at once: each may wait for an answer of Plaid's. */
const width = 16;

export function createApplier(
  { database, vault, now, heal, takePublicToken, keepMs = 7 * DAY }: ApplierOptions,
  problem: (what: unknown) => void,
): Applier {
  const { environment } = vault;

  async function apply(page: readonly Waiting[]): Promise<readonly Result<Outcome, InboxFailure>[]> {
    const done = await applySure(page);
    const outcomes: Result<Outcome, InboxFailure>[] = [...done.values()].map(ok);
    // The others one by one: those of one Item in turn, those of several side by side.
    const left = page.filter((delivery) => !done.has(delivery));
    const queues = Map.groupBy(left, (one) => one.item_id ?? deliveryId(one)).values();
    await Promise.all(
      Array.from({ length: width }, async () => {
        for (const queue of queues) for (const one of queue) outcomes.push(await applyOne(one));
      }),
    );
    return outcomes;
  }

  /** Applies, in one transaction, those of Items of which nothing is in doubt. If anything goes wrong, none of them. */
  async function applySure(page: readonly Waiting[]): Promise<ReadonlyMap<Waiting, Outcome>> {
    try {
      const sure = await sureOf(page);
      const done = await settleAll("applied", [...sure.keys()], (sql, ours) => {
        const sights = ours.map((delivery) => sure.get(delivery)!);
        return observeAll(database, sql, environment, sights, now());
      });
      if (done.ok) return done.value;
    } catch {
      // Whose fault it is shows when they are applied one by one.
    }
    return new Map();
  }

  /** Those that can be read and are of Items of which nothing is in doubt, in the order in which they came. */
  async function sureOf(page: readonly Waiting[]): Promise<ReadonlyMap<Waiting, Sight>> {
    const sights = new Map<Waiting, Sight>();
    for (const delivery of page) {
      const opened = delivery.item_id === null ? undefined : await open(vault, delivery);
      if (opened?.ok) sights.set(delivery, sightOf(delivery.item_id!, opened.value, delivery));
    }
    const ids = new Set([...sights.values()].map(({ itemId }) => itemId));
    const read = await database.read((sql) => standingsOf(database, sql, environment, [...ids]));
    const standings = new Map(read.ok ? read.value : []);
    for (const { itemId, observations } of sights.values())
      for (const observation of observations) {
        const standing = standings.get(itemId);
        const next = standing && seen(standing, observation);
        if (next && !next.doubt) standings.set(itemId, next);
        else standings.delete(itemId);
      }
    return new Map([...sights].filter(([, { itemId }]) => standings.has(itemId)));
  }

  /** What a webhook shows, and what of it is kept. */
  const sightOf = (
    itemId: string,
    webhook: Webhook,
    { iat: iatSeconds, received_at: receivedAt }: Waiting,
  ) => ({
    itemId,
    observations: [{ kind: "webhook", webhook, iatSeconds, receivedAt }] as const,
    taken: { webhook: redacted(webhook), iatSeconds },
  });

  /** A body that is shaped as nobody foresaw keeps none of the others waiting: it is told of, and waits by itself. */
  const applyOne = (delivery: Waiting): Promise<Result<Outcome, InboxFailure>> =>
    applyUnguarded(delivery).catch((thrown: unknown) => {
      problem(thrown);
      return isOld(delivery) ? giveUp(delivery) : ok("early");
    });

  async function applyUnguarded(delivery: Waiting): Promise<Result<Outcome, InboxFailure>> {
    const opened = await open(vault, delivery);
    if (!opened.ok) return isOld(delivery) && isHopeless(opened.error) ? giveUp(delivery) : opened;
    const webhook = opened.value;
    const { iat: iatSeconds, received_at: receivedAt } = delivery;
    const about = await aboutWhom(webhook, delivery);
    if (!about.ok) return about;
    if (!about.value) {
      if (!(await handedOver(webhook)) && !isOld(delivery)) return ok("early");
      return end("applied", delivery, eventOf("webhook", null, { webhook: redacted(webhook), iatSeconds }));
    }

    const { itemId, updated } = about.value;
    const sight = sightOf(itemId, webhook, delivery);
    const observation: Observation = updated
      ? { kind: "updated", ...updated, at: Math.min(iatSeconds * SECOND + SECOND - 1, receivedAt) }
      : sight.observations[0];
    const standings = await database.read((sql) => standingsOf(database, sql, environment, [itemId]));
    if (!standings.ok) return databaseDown(standings.error);
    const standing = standings.value.get(itemId);
    // Before it is applied, so that a crash does not forget the doubt.
    const doubt = standing !== undefined && seen(standing, observation).doubt;
    const asked = doubt && heal ? await ask(itemId, heal) : undefined;
    const observations = [observation, ...(asked?.ok ? [asked.value] : [])];
    const taken = { ...sight.taken, ...(doubt && !asked?.ok && { unconfirmed: true as const }) };
    return settleOne("applied", delivery, (sql) =>
      observeAll(database, sql, environment, [{ itemId, observations, taken }], now()),
    );
  }

  /** Of which Item it is; of none is a session of Link's that was not for update mode. */
  async function aboutWhom(
    webhook: Webhook,
    { item_id }: Waiting,
  ): Promise<Result<About | undefined, InboxFailure>> {
    if (item_id !== null) return ok({ itemId: item_id, updated: undefined });
    const linkToken: unknown =
      webhook.webhook_type === "LINK" && "link_token" in webhook && webhook.link_token;
    if (typeof linkToken !== "string") return ok(undefined);
    const found = await itemOfLinkToken(database, vault, linkToken);
    if (!found.ok) return found;
    if (!found.value) return ok(undefined);
    const { itemId, accountsSelected } = found.value;
    const isDone = webhook.webhook_code === "SESSION_FINISHED" && webhook.status === "SUCCESS";
    return ok({ itemId, updated: isDone ? { accountsSelected } : undefined });
  }

  async function waitOn(page: readonly Waiting[]): Promise<readonly Result<Outcome, InboxFailure>[]> {
    const outcomes: Result<Outcome, InboxFailure>[] = [];
    for (const old of page.filter(isOld)) outcomes.push(await giveUp(old));
    const young = page.filter((delivery) => !isOld(delivery));
    const kind = "webhook.unknown_item";
    const said = await database.read(async (sql) => {
      const ofItems = Map.groupBy(young, ({ item_id }) => item_id!);
      const missed = await newestEvents(database, sql, [...ofItems.keys()], [kind]);
      const news = [...ofItems].flatMap(([itemId, [first]]) =>
        missed.has(itemId) ? [] : [entryOf(kind, first!)],
      );
      await writeEvents(database, sql, environment, news);
    });
    return [...outcomes, ...(said.ok ? young.map(() => ok("early" as const)) : [databaseDown(said.error)])];
  }

  const isOld = ({ received_at }: Waiting) => received_at <= now() - keepMs;

  const giveUp = (delivery: Waiting) => end("givenUp", delivery, entryOf("webhook.given_up", delivery));

  function entryOf(
    kind: string,
    { item_id, iat, body_sha256, webhook_type, webhook_code }: Waiting,
  ): NewEvent {
    const detail = { webhook_type, webhook_code, iatSeconds: iat, bodySha256: body_sha256 };
    return eventOf(kind, item_id, detail);
  }

  const eventOf = (kind: string, item_id: string | null, detail: object): NewEvent => ({
    ...{ item_id, at: now(), kind, actor: "webhook", request_id: null },
    detail: JSON.stringify(detail),
  });

  /** Settles a delivery that moves no Item. */
  const end = (outcome: Outcome, delivery: Waiting, event: NewEvent) =>
    settleOne(outcome, delivery, async (sql) => {
      await writeEvents(database, sql, environment, [event]);
      return true;
    });

  async function settleOne(
    outcome: Outcome,
    delivery: Waiting,
    work: (sql: Sql) => Promise<boolean>,
  ): Promise<Result<Outcome, InboxFailure>> {
    const done = await settleAll(outcome, [delivery], work);
    return done.ok ? ok(done.value.get(delivery)!) : done;
  }

  /** Settles the deliveries together with the work, or neither, and only those that nobody else has. */
  async function settleAll(
    outcome: Outcome,
    deliveries: readonly Waiting[],
    work: (sql: Sql, ours: readonly Waiting[]) => Promise<boolean>,
  ): Promise<Result<ReadonlyMap<Waiting, Outcome>, InboxFailure>> {
    if (deliveries.length === 0) return ok(new Map());
    const all = (outcomeOf: (one: Waiting) => Outcome) =>
      new Map(deliveries.map((one) => [one, outcomeOf(one)]));
    const done = await database.transaction<ReadonlyMap<Waiting, Outcome>, DatabaseFailure | "no-item">(
      async (sql) => {
        const ours = await settle(database, sql, deliveries, now());
        if (ours.length > 0 && !(await work(sql, ours))) return err("no-item");
        return ok(all((one) => (ours.includes(one) ? outcome : "elsewhere")));
      },
    );
    if (done.ok) return done;
    return done.error === "no-item" ? ok(all(() => "early")) : databaseDown(done.error);
  }

  async function handedOver(webhook: Webhook): Promise<boolean> {
    if (!takePublicToken) return true;
    try {
      for (const given of givenTokens(webhook)) if (!(await takePublicToken(given))) return false;
      return true;
    } catch (error) {
      problem(error);
      return false;
    }
  }

  async function ask(itemId: string, heal: Heal): Promise<Result<Observation, Failure>> {
    const at = now();
    const answer = await heal(itemId);
    if (answer.ok) return ok({ kind: "answer", answer: answer.value, at });
    if (answer.error.kind !== "refused") return answer;
    return ok({ kind: "refused", error_code: answer.error.error.error_code, at });
  }

  async function take(itemId: string, observation: Observation): Promise<Result<boolean, InboxFailure>> {
    const done = await database.transaction<boolean, DatabaseFailure>(async (sql) =>
      ok(await observeAll(database, sql, environment, [{ itemId, observations: [observation] }], now())),
    );
    return done.ok ? done : databaseDown(done.error);
  }

  async function notice(itemId: string, observation: Observation): Promise<Result<boolean, InboxFailure>> {
    const news = await database.read((sql) => isNews(database, sql, environment, itemId, observation, now()));
    if (!news.ok) return databaseDown(news.error);
    return news.value ? take(itemId, observation) : ok(false);
  }

  return { apply, waitOn, take, notice, ask };
}

/** The Item that a webhook is about, and that its update mode is over, where it says so. */
interface About {
  readonly itemId: string;
  readonly updated: { readonly accountsSelected: boolean } | undefined;
}

/** A body that no key opens any more; one whose key is only not at hand is kept. */
const isHopeless = (failure: InboxFailure): boolean =>
  failure.kind === "vault" && /^(damaged|swapped|unknown-key)$/.test(failure.vault.kind);

/** The public tokens that a webhook of Link's brings. */
function givenTokens(webhook: Webhook): GivenToken[] {
  if (webhook.webhook_type !== "LINK") return [];
  const { webhook_code } = webhook;
  if (webhook_code !== "ITEM_ADD_RESULT" && webhook_code !== "SESSION_FINISHED") return [];
  const { public_token, link_token, link_session_id } = webhook;
  const tokens =
    webhook_code === "ITEM_ADD_RESULT"
      ? [webhook.public_token]
      : (webhook.public_tokens ?? (public_token ? [public_token] : []));
  return tokens.map((public_token) => ({ public_token, link_token, link_session_id }));
}
