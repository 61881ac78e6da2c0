// A server on a port, and its end: it takes no more, those under way are waited for, but not for ever.

import { serve } from "@hono/node-server";
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Stop } from "./exits.ts";

/** So long requests that are under way may take. */
const drainMs = 10_000;

export interface Listening {
  readonly url: string;
  close(): Promise<void>;
}

/** Stops where the port cannot be had; `option` is what it was chosen with. */
export async function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  { host, port, option }: { readonly host: string; readonly port: number; readonly option: string },
): Promise<Listening> {
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
