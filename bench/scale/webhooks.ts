// Items linked and webhooks received by one keeper, Plaid being a function in its process: how large an Item is on disk
// with all that its linking leaves, and how many signed webhooks a second it verifies, stores and applies.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Post } from "sett";
import { signWebhook } from "sett/webhook";
import { keeperAt, must, query, type Place } from "../sweep/fleet.ts";

export interface Received {
  readonly perSecond: number;
  readonly itemBytes: number;
  readonly eventBytes: number;
}

const inFlight = 64;

export async function receiveWebhooks(place: Place, items: number, webhooks: number): Promise<Received> {
  const curve = { name: "ECDSA", namedCurve: "P-256" };
  const { privateKey } = await crypto.subtle.generateKey(curve, true, ["sign", "verify"]);
  const { x, y } = await crypto.subtle.exportKey("jwk", privateKey);
  const kid = randomUUID();
  const created_at = Math.floor(Date.now() / 1_000);
  const key = { alg: "ES256", created_at, crv: "P-256", expired_at: null, kid, kty: "EC", use: "sig", x, y };
  const request_id = "m8MDnv9okwxFNBV";
  const post: Post = async (url) => {
    const answer = url.endsWith("/webhook_verification_key/get")
      ? { key, request_id }
      : {
          access_token: `access-sandbox-${randomUUID()}`,
          item_id: randomUUID().replaceAll("-", "").padEnd(37, "x"),
          request_id,
        };
    return { status: 200, headers: new Map(), body: JSON.stringify(answer) };
  };
  const keeper = await keeperAt(place, post, { budget: false, onRefusal: () => refused++ });
  let refused = 0;
  const institution = { institution_id: "ins_109508", name: "First Platypus Bank" };
  const linked: string[] = [];
  await lanes(items, async (n) => {
    const accounts = [{ mask: String(n).padStart(4, "0").slice(-4), name: "Plaid Checking" }];
    const options = { userId: `u_${n}`, institution, accounts };
    linked.push(must(await keeper.link(`public-sandbox-${randomUUID()}`, options as never)).item_id);
  });
  await query(place.url, "vacuum analyze");
  const [sizes] = await query<{ all: string; events: string; count: string }>(
    place.url,
    `select pg_total_relation_size('items') + pg_total_relation_size('intents') + pg_total_relation_size('events')
       + pg_total_relation_size('fingerprints') + pg_total_relation_size('leases') as all,
       pg_total_relation_size('events') as events, (select count(*) from events) as count`,
  );

  const signed: [body: string, jwt: string][] = [];
  for (let n = 0; n < webhooks; n++) {
    const body = JSON.stringify({
      environment: "sandbox",
      historical_update_complete: true,
      initial_update_complete: true,
      item_id: linked[n % linked.length],
      webhook_code: "SYNC_UPDATES_AVAILABLE",
      webhook_type: "TRANSACTIONS",
    });
    // Several of one Item are told apart by the second in which they were signed.
    const iat = created_at - Math.floor(n / linked.length);
    signed.push([body, await signWebhook(body, { kid, privateKey }, iat)]);
  }
  const begun = performance.now();
  await lanes(webhooks, async (n) => {
    const [body, jwt] = signed[n]!;
    const headers = { "content-type": "application/json", "plaid-verification": jwt };
    const init = { method: "POST", headers, body };
    const { status } = await keeper.receive(new Request("https://hooks.example/plaid", init));
    if (status !== 200) throw new Error(`a webhook was answered ${status}`);
  });
  for (;;) {
    const [left] = await query<{ n: string }>(
      place.url,
      "select count(*) as n from deliveries where applied_at is null",
    );
    if (left!.n === "0") break;
    await sleep(20);
  }
  const ms = performance.now() - begun;
  const [kept] = await query<{ n: string }>(place.url, "select count(*) as n from deliveries");
  await keeper.close();
  if (refused > 0 || Number(kept!.n) !== webhooks)
    throw new Error(`${kept!.n} of ${webhooks} webhooks were kept`);
  return {
    perSecond: (webhooks * 1_000) / ms,
    itemBytes: Number(sizes!.all) / items,
    eventBytes: Number(sizes!.events) / Number(sizes!.count),
  };
}

async function lanes(count: number, work: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (next < count) await work(next++);
    }),
  );
}
