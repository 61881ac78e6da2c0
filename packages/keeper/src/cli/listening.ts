// The keeper on a port, and its end: it takes no more, those under way are waited for, but not for ever.

import { serve } from "@hono/node-server";
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Keeper } from "../keeper.ts";
import { allowanceFamilies } from "./allowances.ts";
import type { Context } from "./context.ts";
import { Stop } from "./exits.ts";
import { createGauges } from "./gauges.ts";
import { createHealth, createServer, type Served } from "./server.ts";
import type { Settings } from "./settings.ts";
import type { Tally } from "./tally.ts";

/** So long requests that are under way may take. */
const drainMs = 10_000;

export interface Listening {
  readonly url: string;
  close(): Promise<void>;
}

export interface Place {
  readonly host: string;
  readonly port: number;
  /** What the port was chosen with. */
  readonly option: string;
}

/** Serves what the keeper and this process, which counts in `tally`, know. Stops where the port cannot be had. */
export async function listen(
  { now, signal }: Context,
  { env }: Settings,
  keeper: Keeper,
  tally: Tally,
  { host, port, option }: Place,
  more: Partial<Pick<Served, "receive" | "log">> = {},
): Promise<Listening> {
  const { fetch } = createServer({
    health: createHealth(keeper, now),
    gauges: createGauges(keeper.database, env, now),
    families: () => [...tally.families(), ...allowanceFamilies(keeper.budget)],
    request: tally.request,
    ready: () => !signal.aborted,
    now,
    log: () => {},
    ...more,
  });
  const server = serve({ fetch, port, hostname: host, overrideGlobalObjects: false }) as Server;
  try {
    await once(server, "listening");
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    throw new Stop(
      "failed",
      code === "EADDRINUSE"
        ? `port ${port} on ${host} is in use: choose another with ${option}, or 0 for any free one`
        : `cannot listen on ${host}, port ${port}: ${message}`,
    );
  }
  let ending = false;
  server.on("request", (_, response) =>
    // A connection that is kept alive would take requests for ever; when this one is over it is idle.
    response.once("close", () => void (ending && setImmediate(() => server.closeIdleConnections()))),
  );
  const { address, family, port: had } = server.address() as AddressInfo;
  return {
    url: `http://${family === "IPv6" ? `[${address}]` : address}:${had}`,
    async close() {
      ending = true;
      const over = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), drainMs);
      await over;
      clearTimeout(timer);
    },
  };
}
