// What the declarations of `sett` promise to a strict program anywhere: compiled with the DOM's types and without
// Node's, and the other way round.

import {
  advice,
  bind,
  happened,
  Item,
  unwrap,
  type Config,
  type Failure,
  type ItemGetResponse,
  type Post,
} from "sett";
import * as endpoints from "sett/endpoints";
import * as SameItem from "sett/item";
import { text, type Kind } from "sett/kinds";
import {
  plaidKeys,
  receive,
  signWebhook,
  verifyWebhook,
  type Refusal,
  type SigningKey,
  type Webhook,
} from "sett/webhook";

export const config: Config = { clientId: "c", secret: "s", env: "sandbox", timeoutMs: 1_000 };

export async function status(accessToken: string): Promise<string> {
  const got = await Item.get(accessToken, config);
  if (!got.ok) return told(got.error);
  const answer: ItemGetResponse = got.value;
  const error = answer.item.error;
  return error === null ? answer.item.item_id : error.error_code;
}

function told(failure: Failure): string {
  switch (failure.kind) {
    case "refused":
      return `${failure.error.error_code} ${failure.status}`;
    case "unsent":
    case "unanswered":
    case "unreadable":
      return `${happened(failure)} ${advice(failure).action}`;
  }
}

// @ts-expect-error there is a value only when it went well
export const hasty = async () => (await SameItem.get("t", config)).value;
// @ts-expect-error Plaid has no such environment
export const mistaken: Config = { clientId: "c", secret: "s", env: "staging" };

export const byHand: Post = async (url, body, headers, signal) => {
  const answer = await fetch(url, { method: "POST", body, headers, signal });
  return { status: answer.status, headers: answer.headers, body: await answer.text() };
};
export const removed = async (token: string) => unwrap(await bind(config).item.remove(token)).request_id;
export const path: "/item/get" | `/${string}` = endpoints.itemGet.path;
export const kind: Kind = text;

export const receiver: (request: Request) => Promise<Response> = receive(
  (webhook: Webhook) => {
    if (webhook.webhook_type === "ITEM" && webhook.webhook_code === "PENDING_DISCONNECT") {
      console.log(webhook.item_id, webhook.reason);
    }
  },
  { keys: plaidKeys(config) },
);

export async function believed(body: Uint8Array, key: SigningKey): Promise<Refusal | undefined> {
  const header = await signWebhook(body, key, 0);
  const verified = await verifyWebhook({ body, header }, { keys: plaidKeys(config), now: () => 0 });
  return verified.ok ? undefined : verified.error;
}
