// The bare peer: the official client in a pool of promises, as one would write it in an afternoon. So many calls in
// flight; a 429 is waited out, each time twice as long, and the call made again, as one whose line broke. Nothing is
// written down.

import { setTimeout as sleep } from "node:timers/promises";
import { Configuration, PlaidApi } from "plaid";
import { credentials, tokenOf } from "./fleet.ts";
import { ordered } from "./program.ts";
import { Tally, type Bins } from "./tally.ts";
import { clockOf, type Tempo } from "./tempo.ts";

export interface PoolOrder {
  readonly baseUrl: string;
  readonly items: number;
  readonly inFlight: number;
  readonly call: "audit" | "webhook";
  readonly webhook?: string;
  readonly tempo?: Tempo;
}

export interface Pooled {
  readonly bins: Bins;
  readonly ms: number;
  readonly cpuMs: number;
  readonly rss: number;
}

const firstPauseMs = 1_000;
const longestPauseMs = 60_000;

const { baseUrl, items, inFlight, call, webhook = "", tempo } = await ordered<PoolOrder>();
const { clientId, secret } = credentials;
const api = new PlaidApi(
  new Configuration({
    basePath: baseUrl,
    baseOptions: { headers: { "PLAID-CLIENT-ID": clientId, "PLAID-SECRET": secret } },
  }),
);
const clock = tempo ? clockOf(tempo) : { now: Date.now, wait: (ms: number) => sleep(ms) };
const tally = new Tally(clock.now);
const tokens = Array.from({ length: items }, (_, n) => tokenOf(n));

async function once(access_token: string): Promise<void> {
  for (let pause = firstPauseMs; ; pause = Math.min(pause * 2, longestPauseMs)) {
    try {
      if (call === "audit") await api.itemGet({ access_token });
      else await api.itemWebhookUpdate({ access_token, webhook });
      return tally.note(200);
    } catch (error) {
      const status = (error as { response?: { status?: number } }).response?.status ?? 0;
      tally.note(status);
      // A line that broke: a kept connection that the server had just let go of. The call does no harm twice.
      if (status === 0) continue;
      if (status !== 429) throw error;
      await clock.wait(pause * (0.5 + Math.random()));
    }
  }
}

const begun = performance.now();
const before = process.cpuUsage();
let next = 0;
await Promise.all(
  Array.from({ length: inFlight }, async () => {
    while (next < items) await once(tokens[next++]!);
  }),
);
const { user, system } = process.cpuUsage(before);
process.send!({
  bins: tally.bins,
  ms: performance.now() - begun,
  cpuMs: (user + system) / 1_000,
  rss: process.resourceUsage().maxRSS / 1024,
} satisfies Pooled);
