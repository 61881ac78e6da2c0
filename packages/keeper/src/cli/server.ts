// The keeper over HTTP, as a function from Request to Response: Plaid's webhooks, if they are received here, and what
// watches over a service asks.

import { Hono } from "hono";
import type { Keeper } from "../keeper.ts";
import { contentType, exposition, type Family } from "./exposition.ts";
import type { Gauges } from "./gauges.ts";
import { within, type Health } from "./health.ts";
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
      { name: "sett_healthy", type: "gauge", help: "Whether the part works.", samples: parts },
      ...(counted !== "late" && counted.ok ? counted.value : []),
      ...families(),
    ]);
    return context.body(text, 200, { "content-type": contentType });
  });
  app.notFound((context) => context.text("not here\n", 404));
  app.onError((_, context) => context.text("not taken; send it again\n", 500));
  return app;
}
