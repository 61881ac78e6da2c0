// What Node alone can do: requests over pooled connections, and a webhook receiver behind node:http, Express or
// Fastify. Nothing here is imported by the rest of sett.

import type { IncomingMessage, ServerResponse } from "node:http";
import { ReadableStream } from "node:stream/web";
import type { Answer, Post } from "./plaid/transport.ts";
import type { Receiver } from "./webhook/receiver.ts";

/** A transport over connections of its own; close it when the program ends. */
export type PooledPost = Post & { close(): Promise<void> };

/** Where a module is; null where it is not, and in CommonJS that a bundler has made: import.meta is empty there. */
const whereIs = (name: string): string | null => {
  try {
    return import.meta.resolve(name);
  } catch {
    return null;
  }
};

const decoder = new TextDecoder();

/** An error as one of connecting, by which a transport tells that nothing was sent. */
const unsent = (error: Error) => Object.assign(error, { syscall: "connect" });

/**
 * A transport for servers: kept-alive connections to each host, at a fraction of the CPU time of fetch. It needs
 * the package `undici` (an optional peer dependency: `npm install undici`), and throws a TypeError without it.
 */
export function pooledPost({ connections = 64 }: { readonly connections?: number } = {}): PooledPost {
  // A file that is not where its package says is part of a bundle, and so is undici then.
  if (whereIs("sett/node") === import.meta.url && !whereIs("undici"))
    throw new TypeError("pooledPost needs the package undici: npm install undici");
  let loading: Promise<typeof import("undici")> | undefined;
  const pools = new Map<string, import("undici").Pool>();

  // Pool.dispatch rather than Pool.request: an answer of Plaid's is one short text, and the stream that request()
  // would put it into, with its own way to be aborted, costs more than everything else in a call.
  const post: Post = async (url, body, headers, signal) => {
    const { Pool } = await (loading ??= import("undici"));
    const slash = url.indexOf("/", "https://".length);
    const origin = url.slice(0, slash);
    let pool = pools.get(origin);
    // Over HTTP/2 undici would send a request again by itself when the host retires the connection.
    if (!pool) pools.set(origin, (pool = new Pool(origin, { connections, allowH2: false })));
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    // Nothing is written before undici has said that it starts; until then a request waits for a connection.
    let started: import("undici").Dispatcher.DispatchController | undefined;
    const stop = () =>
      started ? started.abort(signal.reason) : reject(unsent(new Error("it had not started")));
    signal.addEventListener("abort", stop);
    if (signal.aborted) stop();
    const chunks: Uint8Array[] = [];
    let status = 0;
    let received: Record<string, string | string[] | undefined> = {};
    // Whoever does not say so may be answered in any coding, and this does not decode.
    const plain = { ...headers, "Accept-Encoding": "identity" };
    pool.dispatch(
      { method: "POST", path: url.slice(slash), headers: plain, body },
      {
        onRequestStart: (controller) => {
          // A request that waited until its call ended: undici drops it and keeps the connection.
          signal.throwIfAborted();
          started = controller;
        },
        onResponseStart: (_controller, statusCode, answered) => {
          status = statusCode;
          received = answered;
        },
        onResponseData: (_controller, chunk) => {
          chunks.push(chunk);
        },
        onResponseEnd: () => {
          // As fetch does it: without a byte order mark.
          const text = decoder.decode(Buffer.concat(chunks));
          resolve({ status, headers: { get: (name) => received[name]?.toString() }, body: text });
        },
        onResponseError: (_controller, error) => reject(started ? error : unsent(error)),
      },
    );
    return promise;
  };
  const close = async () => {
    const closing = [...pools.values()].map((pool) => pool.close());
    pools.clear();
    await Promise.all(closing);
  };
  return Object.assign(post, { close });
}

/** A request of node:http, or of a framework that may have read its body already. */
type Incoming = IncomingMessage & { readonly body?: unknown; readonly rawBody?: unknown };

const isRaw = (body: unknown): body is string | Uint8Array<ArrayBuffer> =>
  typeof body === "string" || body instanceof Uint8Array;

/**
 * A receiver as a listener of node:http and a handler of Express. It must see the bytes as they came: put it before
 * `express.json()`. Behind a parser that has read them already it answers 500 and says so.
 *
 * ```ts
 * app.post("/plaid", nodeListener(receive(handler, { keys })));
 * ```
 */
export const nodeListener =
  (receiver: Receiver) =>
  /** Resolves when it has answered, and never rejects: what fails beyond a receiver is a connection that is no more. */
  (incoming: Incoming, outgoing: ServerResponse): Promise<void> =>
    serve(receiver, incoming, outgoing).catch(() => void outgoing.destroy());

async function serve(receiver: Receiver, incoming: Incoming, outgoing: ServerResponse): Promise<void> {
  const { rawBody, body } = incoming;
  const unread = body === undefined && !incoming.readableEnded && !incoming.readableEncoding;
  // A receiver that stops reading must still be able to answer, so the stream is not destroyed with its reader.
  const bytes =
    [rawBody, body].find(isRaw) ??
    (unread && ReadableStream.from(incoming.iterator({ destroyOnReturn: false })));
  if (bytes === false) return send(outgoing, notRaw());
  await send(outgoing, await receiver(toRequest(incoming, bytes as BodyInit)));
  // What was not read of a body that was too long is in the way of the connection's next request.
  incoming.resume();
}

/** As much of Fastify as the plugin touches, so that sett does not depend on it. */
interface Fastify {
  removeAllContentTypeParsers(): void;
  addContentTypeParser(
    type: "*",
    options: { parseAs: "buffer" },
    parser: (request: unknown, body: Uint8Array, done: (error: null, body: Uint8Array) => void) => void,
  ): void;
  post(
    url: string,
    handler: (
      request: { raw: IncomingMessage; body: unknown },
      reply: { hijack(): void; raw: ServerResponse },
    ) => Promise<void>,
  ): void;
}

/**
 * A receiver as a plugin of Fastify. The bytes are kept for this route alone; the parsers of the rest stay.
 *
 * ```ts
 * await app.register(fastifyReceiver(receive(handler, { keys })), { url: "/plaid" });
 * ```
 */
export const fastifyReceiver =
  (receiver: Receiver) =>
  async (app: Fastify, { url = "/" }: { readonly url?: string }): Promise<void> => {
    app.removeAllContentTypeParsers();
    app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => done(null, body));
    app.post(url, async (request, reply) => {
      const bytes = isRaw(request.body) ? request.body : "";
      const answer = await receiver(toRequest(request.raw, bytes));
      // Not before: what is thrown until then Fastify answers; a request that was taken from it nobody would.
      reply.hijack();
      await send(reply.raw, answer);
    });
  };

const notRaw = () =>
  new Response("not-raw: a body parser was here first; webhooks are verified over the bytes as they came\n", {
    status: 500,
  });

function toRequest(incoming: IncomingMessage, body: BodyInit): Request {
  const headers = Object.entries(incoming.headers).flatMap(([name, values]) =>
    // HTTP/2 has the method and the path among the headers.
    name.startsWith(":") ? [] : [values ?? []].flat().map((value): [string, string] => [name, value]),
  );
  // Not any method: a Request throws at TRACE. To a receiver all that are not POST are alike.
  const init = incoming.method === "POST" ? { method: "POST", body, duplex: "half" as const } : {};
  return new Request("http://localhost/", { headers, ...init });
}

async function send(outgoing: ServerResponse, answer: Response): Promise<void> {
  if (outgoing.headersSent) return; // Somebody did not want to wait.
  outgoing.statusCode = answer.status;
  for (const [name, value] of answer.headers) outgoing.setHeader(name, value);
  outgoing.end(await answer.text());
}
