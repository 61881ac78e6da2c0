// An endpoint for Plaid's webhooks, from Request to Response: it believes nothing unverified, hands each delivery
// over once, and answers so that Plaid sends again exactly what was not taken.

import { callback, faultInOptions, integer, type FieldsOf } from "../plaid/kinds.ts";
import type { Webhook } from "./events.ts";
import type { Refusal } from "./refusal.ts";
import {
  maxAgeSeconds,
  verificationFields,
  verifyDelivery,
  type Verification,
  type VerifiedDelivery,
} from "./verify.ts";

/**
 * Takes a verified webhook. Plaid waits 10 seconds for the answer: store it and return. A throw answers 500, and
 * Plaid sends it again after 30 seconds, then ever later, for 24 hours. Webhooks come in any order.
 */
export type WebhookHandler = (webhook: Webhook, delivery: VerifiedDelivery) => unknown;

/** How to receive, beyond how to verify. */
export interface Reception extends Verification {
  /** The longest body that is read, in bytes. 1 MiB unless told; Plaid's have some hundred. */
  readonly maxBytes?: number | undefined;
  /** Told of each delivery that was not believed. */
  readonly onRefusal?: ((refusal: Refusal) => void) | undefined;
  /** Told of what was thrown: by the handler, or by `keys`, whose configuration cannot be right then. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

/** It answers whatever arrives, and rejects only what is no Request. */
export type Receiver = (request: Request) => Promise<Response>;

const receptionFields: FieldsOf<Reception> = {
  ...verificationFields,
  "maxBytes?": integer(0, Number.MAX_SAFE_INTEGER),
  "onRefusal?": callback,
  "onError?": callback,
};

/** How much longer than it can be needed a delivery is remembered: the clock goes on, or is set, while one is checked. */
const slackSeconds = 60;

/**
 * Makes a receiver of webhooks. The same signed delivery that comes again, while the first is handled or after, is
 * answered like the first and not handed over twice. The memory for that is complete although it is short: what was
 * signed longer ago than it reaches is refused as stale. Two events that merely say the same (SYNC_UPDATES_AVAILABLE
 * always does) are signed at different times and both handed over; `delivery.bodySha256` is there for a stricter rule.
 */
export function receive(handler: WebhookHandler, reception: Reception): Receiver {
  const fault = callback.accepts(handler)
    ? faultInOptions("the reception", reception, receptionFields)
    : `the handler must be ${callback.expected}`;
  if (fault !== undefined) throw new TypeError(fault);
  const { maxBytes = 1024 * 1024, now = Date.now, onRefusal, onError } = reception;
  const taken = new Map<string, { iatSeconds: number; status: Promise<number> }>();

  async function hand(delivery: VerifiedDelivery, id: string): Promise<number> {
    try {
      await handler(delivery.webhook, delivery);
      return 200;
    } catch (error) {
      taken.delete(id);
      tell(onError, error);
      return 500;
    }
  }

  return async (request) => {
    if (!callback.accepts(request?.headers?.get))
      throw new TypeError(
        "the request must be a Request; sett/node makes it behind node:http, Express and Fastify",
      );
    if (request.method !== "POST") return answer(405, "webhooks are sent with POST", { allow: "POST" });
    if (request.bodyUsed) return answer(500, "not-raw: the body was read before it came here");
    const body = await readAtMost(request, maxBytes).catch(() => null);
    if (body === null) return answer(400, "the body broke off");
    if (body === undefined) return answer(413, `the body is longer than ${maxBytes} bytes`);

    const verified = await verifyDelivery(
      { body, header: request.headers.get("plaid-verification") },
      reception,
    ).catch((error: unknown) => tell(onError, error));
    if (!verified) return answer(500, "not taken; send it again");
    if (!verified.ok) {
      tell(onRefusal, verified.error);
      return answer(verified.error.reason === "keys-unavailable" ? 503 : 401, verified.error.reason);
    }

    const delivery = verified.value;
    const id = `${delivery.bodySha256}.${delivery.iatSeconds}`;
    for (const [old, { iatSeconds }] of taken) {
      if (iatSeconds < now() / 1000 - maxAgeSeconds - slackSeconds) taken.delete(old);
      else break; // They were added in about the order of their signing.
    }
    const before = taken.get(id);
    if (before) return answer(await before.status, "seen before");
    const status = Promise.resolve().then(() => hand(delivery, id));
    taken.set(id, { iatSeconds: delivery.iatSeconds, status });
    return (await status) === 200 ? answer(200, "taken") : answer(500, "not taken; send it again");
  };
}

/** What a listener throws is dropped: a bug in a log line must not lose a webhook. */
function tell<Told>(listener: ((told: Told) => unknown) | undefined, told: Told): void {
  (async () => listener?.(told))().catch(() => {});
}

const answer = (status: number, text: string, headers: Record<string, string> = {}) =>
  new Response(`${text}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8", ...headers } });

/** The body's bytes; undefined where there are more than `maxBytes`. */
async function readAtMost(request: Request, maxBytes: number): Promise<Uint8Array | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = request.body?.getReader();
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true };
    if (done) break;
    chunks.push(value!);
    length += value!.byteLength;
    if (length > maxBytes) {
      reader!.cancel().catch(() => {});
      return undefined;
    }
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}
