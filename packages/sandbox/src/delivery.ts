// Webhooks on their way out: signed over the exact bytes, sent, tried again on Plaid's schedule, and logged. Holding,
// doubling and replaying them is here too, because receivers must bear webhooks that come late, twice or in any
// order.

import type { Agenda } from "./agenda.ts";
import type { Clock } from "./clock.ts";
import type { Ids } from "./ids.ts";
import { render, renderCompact } from "./json.ts";
import type { Keys } from "./keys.ts";
import type { AttemptRecord, DeliveryRecord, World } from "./world.ts";

/** Sends one webhook and resolves with the receiver's answer; the platform's fetch unless told. */
export type Deliver = (request: Request) => Promise<Response>;

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
const TIMEOUT_MS = 10 * SECOND;
/** 30 s after the first failure, then four times as long each time, as long as a day allows: seven attempts. */
const FIRST_RETRY_MS = 30 * SECOND;
const RETRY_FACTOR = 4;
const MOST_ATTEMPTS = 7;
/** The longest `Retry-After` that is honoured. */
const LONGEST_RETRY_AFTER_MS = 4 * HOUR;
/** How many webhooks the log remembers. Plaid's goes back 7 days, which a moved clock leaves behind at once. */
const LOG_LENGTH = 10_000;

/**
 * How many webhooks an endpoint must have been sent within a day before "it rejects more than 90 %" can hold. Plaid
 * names no number; without one, the very first failure would be 100 % and nothing would ever be retried.
 */
export const REJECTION_SAMPLE = 10;

/** What is to be sent, to whom. */
export interface Outgoing {
  readonly client_id: string;
  readonly item_id: string | null;
  readonly destination_url: string;
  readonly webhook: {
    readonly webhook_type: string;
    readonly webhook_code: string;
    readonly [field: string]: unknown;
  };
}

export type Delivery = ReturnType<typeof createDelivery>;

export function createDelivery(
  { world, clock, ids, keys, agenda }: { world: World; clock: Clock; ids: Ids; keys: Keys; agenda: Agenda },
  deliver: Deliver,
) {
  /** Webhooks are signed and sent off one after the other, so that they leave in the order they came. */
  let line: Promise<void> = Promise.resolve();
  /** Signatures to send in place of fresh ones, by delivery. */
  const signatures = new Map<string, { kid: string; jwt: string }>();
  /** Aborted when the world that webhooks are on their way from is left. */
  let stay = new AbortController();

  const outbox = () => world.setting("outbox") ?? { hold: false, duplicate: 0 };
  const put = (delivery: DeliveryRecord) => world.put("deliveries", delivery.webhook_message_id, delivery);

  const enqueue = (webhook: Sendable, held: boolean) => {
    const now = clock.now();
    if (world.count("deliveries") >= LOG_LENGTH) forgetOldest();
    const webhook_message_id = ids.uuid();
    put({
      ...webhook,
      webhook_message_id,
      created_at: now,
      delivery_status: "PENDING",
      attempts: [],
      next_attempt_at: held ? null : now,
      held,
    });
    if (!held) agenda.plan("attempt", webhook_message_id, now);
    return webhook_message_id;
  };

  const forgetOldest = () => {
    for (const { webhook_message_id, delivery_status } of world.all("deliveries")) {
      if (delivery_status === "PENDING") continue;
      world.drop("deliveries", webhook_message_id);
      return;
    }
  };

  const sign = async (delivery: DeliveryRecord, at: number) => {
    const given = signatures.get(delivery.webhook_message_id);
    if (given) return given;
    // Loaded late: most tests receive no webhook, and signing is the heaviest part to load.
    const { signWebhook } = await import("sett/webhook");
    const key = await keys.signer();
    return { kid: key.kid, jwt: await signWebhook(delivery.body, key, Math.floor(at / SECOND)) };
  };

  const attempt = (id: string) => {
    const delivery = world.get("deliveries", id);
    if (delivery?.delivery_status !== "PENDING" || delivery.held) return;
    const at = clock.now();
    if (delivery.attempts.length > 0 && rejectsMost(delivery.destination_url, at)) {
      put({ ...delivery, delivery_status: "FAILED", next_attempt_at: null });
      return;
    }
    const { signal } = stay;
    put({ ...delivery, next_attempt_at: null });
    const item = delivery.item_id !== null && world.get("items", delivery.item_id);
    if (item && delivery.attempts.length === 0) {
      const last_webhook = { sent_at: at, code_sent: delivery.webhook_code };
      world.put("items", item.item_id, { ...item, last_webhook });
    }
    const conclusion = async (kid: string, jwt: string) => {
      const { retryAfterMs, ...outcome } = await transmit(delivery, jwt, at, signal);
      if (signal.aborted) return;
      conclude(id, { at, kid, plaid_verification: jwt, ...outcome }, retryAfterMs);
      world.commit();
    };
    const depart = async () => {
      if (signal.aborted) return;
      const { kid, jwt } = await sign(delivery, at);
      if (signal.aborted) return;
      clock.track(conclusion(kid, jwt), "receiver's");
    };
    line = line.then(depart, depart);
    clock.track(line, "ours");
  };
  agenda.on("attempt", attempt);

  const transmit = async (
    { destination_url, body }: DeliveryRecord,
    jwt: string,
    at: number,
    left: AbortSignal,
  ) => {
    const controller = new AbortController();
    const givenUp = new Promise<never>((_, reject) => {
      controller.signal.addEventListener("abort", () => reject(controller.signal.reason));
    });
    const cancel = clock.at(at + TIMEOUT_MS, () => controller.abort(new Error("timeout")));
    const leave = () => controller.abort(left.reason);
    left.addEventListener("abort", leave);
    try {
      const request = new Request(destination_url, {
        method: "POST",
        headers: { "Content-Type": "application/json", "Plaid-Verification": jwt },
        body,
        redirect: "manual",
        signal: controller.signal,
      });
      const response = await Promise.race([deliver(request), givenUp]);
      void response.body?.cancel().catch(() => undefined);
      const retryAfterMs = response.status === 429 ? retryAfter(response, clock.now()) : undefined;
      return { http_status_code: response.status, problem: null, retryAfterMs };
    } catch (thrown) {
      const { message, cause } = thrown as { message?: string; cause?: { code?: string; message?: string } };
      const problem = cause?.code ?? cause?.message ?? `${message}`;
      return { http_status_code: null, problem, retryAfterMs: undefined };
    } finally {
      cancel();
      left.removeEventListener("abort", leave);
    }
  };

  const conclude = (id: string, last: AttemptRecord, retryAfterMs: number | undefined) => {
    const before = world.get("deliveries", id);
    if (!before) return;
    const delivery = { ...before, attempts: [...before.attempts, last], next_attempt_at: null };
    if (last.http_status_code === 200) {
      put({ ...delivery, delivery_status: "DELIVERED" });
      return;
    }
    put(delivery);
    const count = delivery.attempts.length;
    const next = clock.now() + (retryAfterMs ?? FIRST_RETRY_MS * RETRY_FACTOR ** (count - 1));
    const first = delivery.attempts[0]!.at;
    if (count >= MOST_ATTEMPTS || next > first + DAY || rejectsMost(delivery.destination_url, clock.now())) {
      put({ ...delivery, delivery_status: "FAILED" });
      return;
    }
    put({ ...delivery, next_attempt_at: next });
    agenda.plan("attempt", id, next);
  };

  /** Whether more than 90 % of the webhooks of the last day were rejected there, at their last attempt. */
  const rejectsMost = (url: string, now: number) => {
    let sent = 0;
    let rejected = 0;
    for (const { destination_url, attempts } of world.all("deliveries")) {
      const last = attempts.at(-1);
      if (destination_url !== url || !last || last.at <= now - DAY) continue;
      sent++;
      if (last.http_status_code !== 200) rejected++;
    }
    return sent >= REJECTION_SAMPLE && rejected > 0.9 * sent;
  };

  return {
    /** Lets go of whatever is on its way, without a word of what becomes of it: its world is left. */
    abandon() {
      stay.abort();
      stay = new AbortController();
      // A world that is made anew with the same seed gives the same ids again.
      signatures.clear();
    },
    send({ client_id, item_id, destination_url, webhook }: Outgoing) {
      const { hold, duplicate } = outbox();
      const bytes = world.setting("switches")?.webhookBytes === "compact" ? renderCompact : render;
      const { webhook_type, webhook_code } = webhook;
      const body = bytes({ ...webhook, environment: "sandbox" });
      const fields = { client_id, item_id, destination_url, webhook_type, webhook_code, body };
      enqueue(fields, hold);
      if (duplicate > 0) {
        world.set("outbox", { hold, duplicate: duplicate - 1 });
        enqueue(fields, hold);
      }
    },
    log: (): readonly DeliveryRecord[] => [...world.all("deliveries")],
    /** Sends a logged webhook again; `asSigned` with the signature of its last attempt instead of a fresh one. */
    replay(id: string, { asSigned = false } = {}) {
      const logged = world.get("deliveries", id);
      if (!logged) return false;
      const again = enqueue(logged, false);
      const last = logged.attempts.at(-1);
      if (asSigned && last) signatures.set(again, { kid: last.kid, jwt: last.plaid_verification });
      world.commit();
      return true;
    },
    /** Each of the next `count` webhooks is sent twice. */
    duplicate(count: number) {
      world.set("outbox", { ...outbox(), duplicate: count });
      world.commit();
    },
    /** Keeps back whatever is to be sent from now on. */
    hold() {
      world.set("outbox", { ...outbox(), hold: true });
      world.commit();
    },
    /** Sends what was held, the named ones first and in their order, and holds no longer. */
    release(order?: readonly string[]) {
      world.set("outbox", { ...outbox(), hold: false });
      const held = [...world.all("deliveries")].filter((delivery) => delivery.held);
      const named = order?.map((id) => held.find((delivery) => delivery.webhook_message_id === id));
      for (const delivery of new Set([...(named ?? []), ...held])) {
        if (!delivery) continue;
        put({ ...delivery, held: false, next_attempt_at: clock.now() });
        agenda.plan("attempt", delivery.webhook_message_id, clock.now());
      }
      world.commit();
    },
    /** Takes up what was on its way when its world was left. */
    resume() {
      for (const { webhook_message_id: id, delivery_status, held } of [...world.all("deliveries")]) {
        if (delivery_status !== "PENDING" || held || world.get("tasks", `attempt ${id}`)) continue;
        agenda.plan("attempt", id, clock.now());
      }
    },
  };
}

/** As much of a record as is known before it is on its way. */
type Sendable = Pick<
  DeliveryRecord,
  "client_id" | "item_id" | "destination_url" | "webhook_type" | "webhook_code" | "body"
>;

/** Seconds or a date, as HTTP allows; undefined where the header says nothing of use. */
function retryAfter(response: Response, now: number): number | undefined {
  const value = response.headers.get("retry-after");
  if (!value) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * SECOND : Date.parse(value) - now;
  return ms >= 0 ? Math.min(ms, LONGEST_RETRY_AFTER_MS) : undefined;
}
