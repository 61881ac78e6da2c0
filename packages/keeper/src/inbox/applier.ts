// One webhook applied: what it takes to be sure of it, and the one transaction that moves the Item, writes the history
// and destroys the body.

import { err, ok, type Failure, type ItemGetResponse, type Result } from "sett";
import type { Webhook } from "sett/webhook";
import type { Database } from "../database/database.ts";
import type { DatabaseFailure } from "../database/failure.ts";
import type { Vault } from "../vault/vault.ts";
import { SECOND } from "./moment.ts";
import { databaseDown, open, settle, type InboxFailure, type Waiting } from "./deliveries.ts";
import { redacted } from "./redact.ts";
import { isNews, observe, standingOf } from "./standing.ts";
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

/** What became of one delivery; `elsewhere`: another process was quicker. */
export type Outcome = "applied" | "early" | "givenUp" | "elsewhere";

export interface Applier {
  /** Applies the webhook of an Item that is here, or of none. */
  applyOne(delivery: Waiting): Promise<Result<Outcome, InboxFailure>>;
  /** Says of an Item that is not here that it is missed, the first time; gives the webhook up in the end. */
  waitOn(delivery: Waiting): Promise<Result<Outcome, InboxFailure>>;
  /** Takes what was seen otherwise. False: no such Item. */
  take(itemId: string, observation: Observation): Promise<Result<boolean, InboxFailure>>;
  /** The same of what is seen in passing: where nothing would come of it, nothing is written. */
  notice(itemId: string, observation: Observation): Promise<Result<boolean, InboxFailure>>;
  /** What Plaid says of the Item, as of when it was asked. A refusal is an answer too. */
  ask(itemId: string, heal: Heal): Promise<Result<Observation, Failure>>;
}

export function createApplier({
  database,
  vault,
  now,
  keepMs,
  heal,
  takePublicToken,
  problem,
}: {
  readonly database: Database;
  readonly vault: Vault;
  readonly now: () => number;
  readonly keepMs: number;
  readonly heal: Heal | undefined;
  readonly takePublicToken: ((given: GivenToken) => Promise<boolean>) | undefined;
  readonly problem: (what: unknown) => void;
}): Applier {
  const { environment } = vault;

  /** A body that is shaped as nobody foresaw keeps none of the others waiting: it is told of, and waits by itself. */
  const applyOne = (delivery: Waiting): Promise<Result<Outcome, InboxFailure>> =>
    apply(delivery).catch((thrown: unknown) => {
      problem(thrown);
      return isOld(delivery) ? giveUp(delivery) : ok("early");
    });

  async function apply(delivery: Waiting): Promise<Result<Outcome, InboxFailure>> {
    const opened = await open(vault, delivery);
    if (!opened.ok) return isOld(delivery) && isHopeless(opened.error) ? giveUp(delivery) : opened;
    const webhook = opened.value;
    const { iat: iatSeconds, received_at: receivedAt } = delivery;
    const kept = { webhook: redacted(webhook), iatSeconds };
    const about = await aboutWhom(webhook, delivery);
    if (!about.ok) return about;
    if (!about.value) {
      if (!(await handedOver(webhook)) && !isOld(delivery)) return ok("early");
      return transaction("applied", delivery, async (sql) => {
        const detail = JSON.stringify(kept);
        const entry = { environment, at: now(), kind: "webhook", actor: "webhook", detail };
        await sql.insertInto("events").values(entry).execute();
        return true;
      });
    }

    const { itemId, updated } = about.value;
    const observation: Observation = updated
      ? { kind: "updated", ...updated, at: Math.min(iatSeconds * SECOND + SECOND - 1, receivedAt) }
      : { kind: "webhook", webhook, iatSeconds, receivedAt };
    const standing = await database.read((sql) => standingOf(sql, { environment, itemId }));
    if (!standing.ok) return databaseDown(standing.error);
    // Before it is applied, so that a crash does not forget the doubt.
    const doubt = standing.value !== undefined && seen(standing.value, observation).doubt;
    const asked = doubt && heal ? await ask(itemId, heal) : undefined;
    const told = asked?.ok ? [asked.value] : [];
    const unconfirmed = doubt && told.length === 0;
    return transaction("applied", delivery, (sql) =>
      observe(database, sql, { environment, itemId }, [observation, ...told], now(), {
        kind: "webhook",
        detail: { ...kept, ...(unconfirmed && { unconfirmed }) },
      }),
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

  async function waitOn(delivery: Waiting): Promise<Result<Outcome, InboxFailure>> {
    if (isOld(delivery)) return giveUp(delivery);
    const kind = "webhook.unknown_item";
    const said = await database.read(async (sql) => {
      const before = await sql
        .selectFrom("events")
        .select("seq")
        .where("item_id", "=", delivery.item_id)
        .where("kind", "=", kind)
        .limit(1)
        .executeTakeFirst();
      if (!before) await sql.insertInto("events").values(entryOf(kind, delivery)).execute();
    });
    return said.ok ? ok("early") : databaseDown(said.error);
  }

  const isOld = ({ received_at }: Waiting) => received_at <= now() - keepMs;

  const giveUp = (delivery: Waiting) =>
    transaction("givenUp", delivery, async (sql) => {
      await sql.insertInto("events").values(entryOf("webhook.given_up", delivery)).execute();
      return true;
    });

  function entryOf(kind: string, { item_id, iat, body_sha256, webhook_type, webhook_code }: Waiting) {
    const detail = { webhook_type, webhook_code, iatSeconds: iat, bodySha256: body_sha256 };
    return { environment, at: now(), item_id, kind, actor: "webhook", detail: JSON.stringify(detail) };
  }

  /** Settles the delivery together with the work, or neither, and only where nobody else has. */
  async function transaction(
    outcome: Outcome,
    delivery: Waiting,
    work: (sql: Database["sql"]) => Promise<boolean>,
  ): Promise<Result<Outcome, InboxFailure>> {
    const done = await database.transaction<Outcome, DatabaseFailure | "settled" | "no-item">(async (sql) => {
      if (!(await settle(sql, delivery, now()))) return err("settled");
      return (await work(sql)) ? ok(outcome) : err("no-item");
    });
    if (done.ok) return done;
    if (done.error === "settled") return ok("elsewhere");
    return done.error === "no-item" ? ok("early") : databaseDown(done.error);
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
      ok(await observe(database, sql, { environment, itemId }, [observation], now())),
    );
    return done.ok ? done : databaseDown(done.error);
  }

  async function notice(itemId: string, observation: Observation): Promise<Result<boolean, InboxFailure>> {
    const news = await database.read((sql) => isNews(sql, { environment, itemId }, observation, now()));
    if (!news.ok) return databaseDown(news.error);
    return news.value ? take(itemId, observation) : ok(false);
  }

  return { applyOne, waitOn, take, notice, ask };
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
  if (webhook_code === "ITEM_ADD_RESULT") {
    const { public_token, link_token, link_session_id } = webhook;
    return [{ public_token, link_token, link_session_id }];
  }
  if (webhook_code !== "SESSION_FINISHED") return [];
  const { public_tokens, public_token, link_token, link_session_id } = webhook;
  return (public_tokens ?? (public_token ? [public_token] : [])).map((one) => ({
    public_token: one,
    link_token,
    link_session_id,
  }));
}
