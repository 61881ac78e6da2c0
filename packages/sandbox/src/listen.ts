// The sandbox on a port of Node's. Plaid's paths go straight from node:http to `answer`: a detour over Request and
// Response costs more than twice the time of a call. /_sandbox goes through hono's adapter. A line that a fault cuts
// is a socket that is reset, so that the client at the other end sees what a broken network shows.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Listen } from "./listening.ts";

// An `import` of node:http touches all its names, and so loads undici for the WebSocket among them: 30 ms.
const { createServer } = process.getBuiltinModule("node:http");

export const listen: Listen = async ({ answer, control }, port, host) => {
  const serve = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const path = incoming.url!.split("?", 1)[0]!;
    if (path.startsWith("/_sandbox")) return (await controlListener())(incoming, outgoing);
    const { headers } = incoming;
    // Not in the stream's own callback: of a body longer than a string can be, the caller alone must learn.
    const body = (await read(incoming)).toString();
    const {
      status,
      headers: sent,
      body: written,
    } = await answer({
      method: incoming.method!,
      path,
      body,
      header: (name) => headers[name] as string | undefined,
      get signal() {
        return closing(outgoing);
      },
    });
    if (outgoing.closed) return;
    const length = Buffer.byteLength(written);
    outgoing.writeHead(status, [...flat(sent), "Content-Length", length]);
    outgoing.end(incoming.method === "HEAD" ? "" : written, length === written.length ? "latin1" : "utf8");
  };

  let loaded: ReturnType<typeof loadControl> | undefined;
  const controlListener = () => (loaded ??= loadControl());
  const loadControl = async () => {
    const { getRequestListener } = await import("@hono/node-server");
    return getRequestListener(await control(), { overrideGlobalObjects: false });
  };

  const server = createServer((incoming, outgoing) => {
    // A browser sends a request again by itself when a kept-alive connection breaks, which would make two calls of
    // one whose answer a fault cuts off. So a page gets a new connection for each.
    if (incoming.headers.origin !== undefined) outgoing.setHeader("Connection", "close");
    serve(incoming, outgoing).catch((thrown: Error & { cause?: { code?: string } }) => {
      const cut = thrown.cause?.code === "ECONNRESET" || outgoing.closed;
      incoming.socket.resetAndDestroy();
      // Not a fault that was ordered: let nobody mistake it for one.
      if (!cut) process.emitWarning(thrown);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  const bound = server.address() as AddressInfo;
  const name = bound.family === "IPv6" ? `[${bound.address}]` : bound.address;
  return {
    url: `http://${name}:${bound.port}`,
    close: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
};

/** Headers as node:http writes them out soonest: names and values in turn. Most answers share theirs. */
const flattened = new WeakMap<object, readonly string[]>();
const flat = (headers: Readonly<Record<string, string>>) => {
  const known = flattened.get(headers) ?? Object.entries(headers).flat();
  flattened.set(headers, known);
  return known;
};

const read = (incoming: IncomingMessage) =>
  new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
    incoming.on("error", reject);
  });

/** Aborted when the client has gone. */
function closing(outgoing: ServerResponse): AbortSignal {
  const controller = new AbortController();
  outgoing.once("close", () => controller.abort());
  return controller.signal;
}
