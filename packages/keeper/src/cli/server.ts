// The keeper over HTTP, as a function from Request to Response: Plaid's webhooks, if they are received here, and what
// watches over a service asks.

import { Hono } from "hono";
import type { Keeper } from "../keeper.ts";
import { contentType, exposition, gauge, type Family } from "./exposition.ts";
import type { Gauges } from "./gauges.ts";
import { databaseSaid, vaultSaid } from "./sentences.ts";
import type { Tally } from "./tally.ts";

export interface Served {
  /** Without it there is no /webhook. */
  readonly receive?: Keeper["receive"];
  readonly health: () => Promise<Health>;
  readonly gauges: Gauges;
  /** What this process knows besides, for /metrics. */
  readonly families: () => readonly Family[];
  readonly request: Tally["request"];
  /** Whether it is to be given requests: not once it is asked to end. */
  readonly ready: () => boolean;
  readonly now: () => number;
  /** A line of the log: what was asked and how it ended, without a body, a header or a path that is not ours. */
  readonly log: (request: { method: string; route: string; status: number; ms: number }) => void;
}

/** Prometheus waits 10 seconds, and would else not hear that the database does not answer. */
const scrapeMs = 8_000;

const routes = ["/webhook", "/healthz", "/readyz", "/metrics"];

export function createServer({ receive, health, gauges, families, request, ready, now, log }: Served) {
  const app = new Hono();
  app.use(async (context, next) => {
    const begun = now();
    await next();
    const { path } = context.req;
    const route = routes.includes(path) ? path : "other";
    const method = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS)$/.test(context.req.method)
      ? context.req.method
      : "other";
    const { status } = context.res;
    request(route, status);
    log({ method, route, status, ms: now() - begun });
  });
  if (receive) app.all("/webhook", (context) => receive(context.req.raw));
  app.get("/healthz", async (context) => {
    const found = await health();
    return context.json(found, found.ok ? 200 : 503);
  });
  app.get("/readyz", async (context) => {
    const found = await health();
    const is = ready() && found.ok;
    return context.json({ ok: is, stopping: !ready(), parts: found.parts }, is ? 200 : 503);
  });
  app.get("/metrics", async (context) => {
    const [counted, found] = await Promise.all([within(gauges(), scrapeMs), health()]);
    const parts = Object.entries(found.parts).map(([part, wrong]) => ({
      labels: { part },
      value: Number(wrong === null),
    }));
    const text = exposition([
      gauge("sett_healthy", "Whether the part works.", parts),
      ...(counted !== "late" && counted.ok ? counted.value : []),
      ...families(),
    ]);
    return context.body(text, 200, { "content-type": contentType });
  });
  app.notFound((context) => context.text("not here\n", 404));
  app.onError((_, context) => context.text("not taken; send it again\n", 500));
  return app;
}

/** Whether the keeper can do its work: its database answers and its keys open. */
export interface Health {
  readonly ok: boolean;
  /** What is wrong, by part; null where nothing is. */
  readonly parts: Readonly<Record<"database" | "keys", string | null>>;
}

/** Its health is looked at no more often, whoever asks. */
const freshMs = 1_000;
const patienceMs = 3_000;

export function createHealth({ database, vault }: Keeper, now: () => number): () => Promise<Health> {
  let kept: { readonly health: Health; readonly until: number } | undefined;
  let looking: Promise<Health> | undefined;
  const look = async (): Promise<Health> => {
    const [inDatabase, inKeys] = await Promise.all([
      within(database.read((sql) => sql.selectFrom("migrations").select("number").limit(1).execute())),
      within(vault.check()),
    ]);
    const parts = {
      database: inDatabase === "late" ? late : inDatabase.ok ? null : databaseSaid(inDatabase.error),
      keys: inKeys === "late" ? late : inKeys.ok ? null : vaultSaid(inKeys.error),
    };
    const health = { ok: parts.database === null && parts.keys === null, parts };
    kept = { health, until: now() + freshMs };
    return health;
  };
  return async () =>
    kept && now() < kept.until ? kept.health : (looking ??= look().finally(() => (looking = undefined)));
}

const late = `no answer within ${patienceMs / 1_000} s`;

/** What comes of it, if it comes in time. */
async function within<Value>(work: Promise<Value>, forMs = patienceMs): Promise<Value | "late"> {
  const { promise, resolve } = Promise.withResolvers<"late">();
  const timer = setTimeout(() => resolve("late"), forMs);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
