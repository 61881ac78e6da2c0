// What only Node can do, over real sockets: receivers behind node:http, Express and Fastify, and the pooled transport.

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, test, type TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import express from "express";
import Fastify from "fastify";
import { fetchPost, Item, type Config, type Failure } from "../src/index.ts";
import { fastifyReceiver, nodeListener, pooledPost } from "../src/node.ts";
import { receive, type Receiver, type Reception, type WebhookHandler } from "../src/webhook/index.ts";
import { itemAnswer } from "./scripted.ts";
import { SigningPlaid, syncUpdates } from "./signing-plaid.ts";

const token = "access-sandbox-0af2c971-41a6-4fc5-a97d-f2b27ab0a648";

/** Listens on a free port until the test ends. */
async function listening(t: TestContext, server: net.Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as net.AddressInfo).port;
}

function gate<Value = void>() {
  let open!: (value: Value) => void;
  const opened = new Promise<Value>((resolve) => (open = resolve));
  return { opened, open };
}

/** A connection of bytes, for what no client would send. */
async function dial(t: TestContext, port: number) {
  const socket = net.connect(port, "127.0.0.1");
  t.after(() => socket.destroy());
  await once(socket, "connect");
  let received = "";
  socket.setEncoding("latin1").on("data", (chunk) => (received += chunk));
  socket.on("error", () => {});
  return {
    socket,
    /** Resolves with what has come when it fits. */
    async until(pattern: RegExp): Promise<string> {
      while (!pattern.test(received)) {
        if (socket.destroyed) assert.fail(`hung up after ${JSON.stringify(received)}`);
        await Promise.race([once(socket, "data"), once(socket, "close")]);
      }
      return received;
    },
  };
}

// ---------------------------------------------------------------------------------------------------- receivers

async function stage(handler: WebhookHandler = () => {}, reception: Partial<Reception> = {}) {
  const plaid = new SigningPlaid();
  const key = await plaid.newKey();
  const handed: unknown[] = [];
  const receiver = receive(
    (webhook, delivery) => {
      handed.push(webhook);
      return handler(webhook, delivery);
    },
    { keys: plaid.keys(), now: plaid.now, ...reception },
  );
  const sign = async (body = syncUpdates) => (await plaid.sign(key, body)).header!;
  return { plaid, receiver, handed, sign };
}

async function deliver(
  port: number,
  header: string | string[],
  body: string | Uint8Array = syncUpdates,
  headers: http.OutgoingHttpHeaders = { "content-type": "application/json" },
  method = "POST",
): Promise<string> {
  const request = http.request({
    ...{ port, method, path: "/plaid", agent: false },
    headers: { "Plaid-Verification": header, ...headers },
  });
  request.end(body);
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  return `${response.statusCode} ${(await text(response)).trim()}`;
}

/** Each way to put a receiver behind a server of Node's. */
const mounts: Record<string, (t: TestContext, receiver: Receiver) => Promise<number>> = {
  "node:http": (t, receiver) => listening(t, http.createServer(nodeListener(receiver))),
  "Express without parsers": (t, receiver) => {
    const app = express();
    app.all("/plaid", nodeListener(receiver));
    return listening(t, http.createServer(app));
  },
  "Express before express.json()": (t, receiver) => {
    const app = express();
    app.all("/plaid", nodeListener(receiver));
    app.use(express.json());
    return listening(t, http.createServer(app));
  },
  "Express with express.raw()": (t, receiver) => {
    const app = express();
    app.all("/plaid", express.raw({ type: "*/*", limit: "10mb" }), nodeListener(receiver));
    return listening(t, http.createServer(app));
  },
  "Express with express.raw() for other types": (t, receiver) => {
    const app = express();
    app.all("/plaid", express.raw(), nodeListener(receiver));
    return listening(t, http.createServer(app));
  },
  "Express with express.text()": (t, receiver) => {
    const app = express();
    app.all("/plaid", express.text({ type: "*/*", limit: "10mb" }), nodeListener(receiver));
    return listening(t, http.createServer(app));
  },
  "Express behind a parser that keeps rawBody": (t, receiver) => {
    const app = express();
    const keep = (request: object, _response: unknown, rawBody: Buffer) =>
      void Object.assign(request, { rawBody });
    app.use(express.json({ verify: keep, limit: "10mb" }));
    app.all("/plaid", nodeListener(receiver));
    return listening(t, http.createServer(app));
  },
  Fastify: async (t, receiver) => {
    const app = Fastify({ forceCloseConnections: true });
    await app.register(fastifyReceiver(receiver), { url: "/plaid" });
    await app.listen({ port: 0, host: "127.0.0.1" });
    t.after(() => app.close());
    return (app.server.address() as net.AddressInfo).port;
  },
};

for (const [name, mount] of Object.entries(mounts)) {
  describe(`a receiver behind ${name}`, () => {
    test("takes a webhook once, and refuses what was changed", async (t) => {
      const { receiver, handed, sign } = await stage();
      const port = await mount(t, receiver);
      const header = await sign();
      assert.equal(await deliver(port, header), "200 taken");
      assert.equal(await deliver(port, header), "200 seen before");
      assert.deepEqual(handed, [JSON.parse(syncUpdates)]);
      assert.equal(await deliver(port, header, JSON.stringify(JSON.parse(syncUpdates))), "401 body-mismatch");
      assert.equal(await deliver(port, [header, header]), "401 malformed");
      assert.equal(await deliver(port, []), "401 malformed");
    });

    test("keeps every byte: white space, escapes and all of Unicode", async (t) => {
      const { receiver, handed, sign } = await stage();
      const port = await mount(t, receiver);
      const body =
        '{ "webhook_type":"ITEM",\r\n\t"webhook_code" :"ERROR", "n": "\\u00e9 é ʕ•ᴥ•ʔ 🦡\\ud83e" }\n';
      assert.equal(await deliver(port, await sign(body), body), "200 taken");
      assert.deepEqual(handed, [JSON.parse(body)]);
    });

    test("takes a body in pieces, of no known length, and of any type", async (t) => {
      const { receiver, sign, plaid } = await stage();
      const port = await mount(t, receiver);
      const request = http.request({
        ...{ port, method: "POST", path: "/plaid", agent: false },
        headers: { "plaid-verification": await sign(), "content-type": "application/json" },
      });
      for (const piece of syncUpdates.match(/[^]{1,50}/g)!) {
        request.write(piece);
        await new Promise((resolve) => setImmediate(resolve));
      }
      request.end();
      const [response] = (await once(request, "response")) as [http.IncomingMessage];
      assert.equal(response.statusCode, 200);
      response.resume();

      const types = name.includes("rawBody")
        ? ["application/json; charset=utf-8"]
        : ["application/json; charset=utf-8", "text/plain", "application/octet-stream", "application/xml"];
      for (const type of types) {
        plaid.seconds++;
        assert.equal(await deliver(port, await sign(), syncUpdates, { "content-type": type }), "200 taken");
      }
      if (name.includes("rawBody")) return;
      plaid.seconds++;
      assert.equal(await deliver(port, await sign(), syncUpdates, {}), "200 taken");
    });

    test("says 401 to an empty body", async (t) => {
      const { receiver, sign } = await stage();
      const port = await mount(t, receiver);
      assert.equal(await deliver(port, await sign(), ""), "401 body-mismatch");
    });

    test("says 500 when the handler throws, 503 when there are no keys, and takes it then", async (t) => {
      let failing = true;
      const { receiver, sign, plaid } = await stage(() => {
        if (failing) throw new Error("no");
      });
      const port = await mount(t, receiver);
      plaid.trouble = () => Promise.reject(new Error("no line"));
      assert.equal(await deliver(port, await sign()), "503 keys-unavailable");
      plaid.trouble = null;
      assert.equal(await deliver(port, await sign()), "500 not taken; send it again");
      failing = false;
      assert.equal(await deliver(port, await sign()), "200 taken");
    });

    test("says 413 to what is too long, and the connection goes on", { timeout: 20_000 }, async (t) => {
      const { receiver, sign } = await stage(undefined, { maxBytes: 1_000 });
      const port = await mount(t, receiver);
      const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
      t.after(() => agent.destroy());
      const ports = new Set<number | undefined>();
      // Fastify refuses by itself what is longer than its own limit, in its own words.
      for (const length of name === "Fastify" ? [5_000, 500_000] : [5_000, 5_000_000]) {
        for (const body of [syncUpdates.padEnd(length), syncUpdates]) {
          const headers = { "plaid-verification": await sign(), "content-type": "application/json" };
          const request = http.request({ port, method: "POST", path: "/plaid", agent, headers });
          request.end(body);
          const [response] = (await once(request, "response")) as [http.IncomingMessage];
          assert.equal(response.statusCode, body === syncUpdates ? 200 : 413);
          ports.add(request.socket?.localPort);
          await text(response);
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
      assert.equal(ports.size, 1);
    });

    test("outlives a sender that hangs up in the middle of a body", { timeout: 20_000 }, async (t) => {
      const { receiver, sign, handed } = await stage();
      const port = await mount(t, receiver);
      for (const hangUp of ["destroy", "resetAndDestroy", "end"] as const) {
        const { socket } = await dial(t, port);
        const closed = once(socket, "close");
        socket.write(
          "POST /plaid HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" +
            `content-length: 1000\r\nplaid-verification: ${await sign()}\r\n\r\n{"webhook_`,
          () => socket[hangUp](),
        );
        await closed;
      }
      // Whatever rejects meanwhile without a hand to catch it fails this test.
      assert.equal(await deliver(port, await sign()), "200 taken");
      assert.equal(handed.length, 1);
    });

    test("outlives a sender that hangs up while its webhook is handled", { timeout: 20_000 }, async (t) => {
      const { opened, open } = gate();
      const entered = gate();
      const { receiver, sign, handed } = await stage(() => (entered.open(), opened));
      const port = await mount(t, receiver);
      const { socket } = await dial(t, port);
      socket.write(
        "POST /plaid HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" +
          `content-length: ${syncUpdates.length}\r\nplaid-verification: ${await sign()}\r\n\r\n${syncUpdates}`,
      );
      await entered.opened;
      socket.resetAndDestroy();
      await once(socket, "close");
      open();
      assert.equal(await deliver(port, await sign()), "200 seen before");
      assert.equal(handed.length, 1);
    });

    test("answers any other method, and none of them ends the server", { timeout: 20_000 }, async (t) => {
      const { receiver, sign, handed } = await stage();
      const port = await mount(t, receiver);
      for (const method of http.METHODS.filter((method) => method !== "POST" && method !== "CONNECT")) {
        const { socket, until } = await dial(t, port);
        socket.write(`${method} /plaid HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
        const answer = await until(/^HTTP\/1\.1 \d+ /);
        const status = +answer.split(" ")[1]!;
        // Fastify answers by itself what it has no route for, or has never heard of.
        if (name === "Fastify") assert.ok(status >= 400 && status < 500, `${method}: ${answer}`);
        else assert.equal(status, 405, method);
      }
      assert.equal(await deliver(port, await sign()), "200 taken");
      assert.equal(handed.length, 1);
    });
  });
}

describe("nodeListener", () => {
  test("answers HEAD and GET with 405, and HEAD without a body", async (t) => {
    const { receiver, sign } = await stage();
    const port = await listening(t, http.createServer(nodeListener(receiver)));
    assert.equal(await deliver(port, await sign(), "", {}, "GET"), "405 webhooks are sent with POST");
    assert.equal(await deliver(port, await sign(), "", {}, "HEAD"), "405 ");
    const response = await fetch(`http://127.0.0.1:${port}/`);
    assert.equal(response.headers.get("allow"), "POST");
    assert.equal(response.headers.get("content-type"), "text/plain; charset=utf-8");
  });

  test("answers 413 before a body of endless length has ended", { timeout: 20_000 }, async (t) => {
    const { receiver } = await stage(undefined, { maxBytes: 1_000 });
    const port = await listening(t, http.createServer(nodeListener(receiver)));
    const { socket, until } = await dial(t, port);
    socket.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n");
    socket.write("x".repeat(1_001));
    assert.match(await until(/1000 bytes/), /^HTTP\/1\.1 413 /);
  });

  test("answers 500 and says why behind express.json(), express.urlencoded() and whoever read the body", async (t) => {
    const { receiver, sign, plaid, handed } = await stage();
    const app = express();
    app.post("/json", express.json(), nodeListener(receiver));
    app.post(
      "/read",
      async (request, _response, next) => (await text(request), next()),
      nodeListener(receiver),
    );
    app.post("/form", express.urlencoded({ type: "*/*" }), nodeListener(receiver));
    app.post(
      "/text",
      (request, _response, next) => (request.setEncoding("utf8"), next()),
      nodeListener(receiver),
    );
    const port = await listening(t, http.createServer(app));
    for (const path of ["json", "read", "form", "text"]) {
      const response = await fetch(`http://127.0.0.1:${port}/${path}`, {
        method: "POST",
        body: syncUpdates,
        headers: { "content-type": "application/json", "plaid-verification": await sign() },
      });
      assert.equal(response.status, 500, path);
      assert.match(await response.text(), /^not-raw: /);
    }
    assert.deepEqual([plaid.asked, handed], [[], []]);
  });

  test("leaves an answer alone that somebody else has given meanwhile", async (t) => {
    const { opened, open } = gate();
    const entered = gate();
    const { receiver, sign } = await stage(() => (entered.open(), opened));
    const listener = nodeListener(receiver);
    const ended = gate<Promise<void>>();
    const server = http.createServer((incoming, outgoing) => {
      ended.open(listener(incoming, outgoing));
      void entered.opened.then(() => outgoing.writeHead(503).end("busy"));
    });
    const port = await listening(t, server);
    assert.equal(await deliver(port, await sign()), "503 busy");
    open();
    await ended.opened;
  });

  test(
    "ends without a throw when the sender hangs up, before and after the body",
    { timeout: 20_000 },
    async (t) => {
      const { receiver, sign } = await stage(async () => void (await hungUp.opened));
      const hungUp = gate();
      const listener = nodeListener(receiver);
      const outcomes = new EventEmitter();
      const server = http.createServer((incoming, outgoing) => {
        const outcome = listener(incoming, outgoing);
        outcomes.emit("request");
        incoming.once("close", () => setImmediate(hungUp.open));
        outcome.then(
          () => outcomes.emit("outcome", "ended"),
          (error) => outcomes.emit("outcome", error),
        );
      });
      const port = await listening(t, server);
      for (const body of ["{", syncUpdates]) {
        const { socket } = await dial(t, port);
        const [arrived, outcome] = [once(outcomes, "request"), once(outcomes, "outcome")];
        socket.write(
          `POST / HTTP/1.1\r\nhost: x\r\ncontent-length: ${syncUpdates.length}\r\n` +
            `plaid-verification: ${await sign()}\r\n\r\n${body}`,
        );
        await arrived;
        socket.resetAndDestroy();
        assert.deepEqual(await outcome, ["ended"]);
      }
    },
  );

  test("works behind HTTP/2, and outlives a sender that hangs up there", { timeout: 20_000 }, async (t) => {
    const entered = gate();
    const { opened, open } = gate();
    let slow = false;
    const { receiver, sign, plaid } = await stage(() => slow && (entered.open(), opened));
    const outcomes: Promise<void>[] = [];
    const listener = nodeListener(receiver);
    const server = http2.createServer((incoming, outgoing) =>
      outcomes.push(listener(incoming as never, outgoing as never)),
    );
    const port = await listening(t, server);
    const session = http2.connect(`http://127.0.0.1:${port}`);
    t.after(() => session.destroy());
    const request = async () =>
      session
        .request({ ":method": "POST", ":path": "/plaid", "plaid-verification": await sign() })
        .on("error", () => {});
    for (const expected of ["taken", "seen before"]) {
      assert.equal((await text((await request()).end(syncUpdates))).trim(), expected);
    }
    slow = true;
    plaid.seconds++;
    const [half, whole] = [await request(), await request()];
    half.write("{");
    whole.end(syncUpdates);
    await entered.opened;
    for (const stream of [half, whole]) {
      stream.close(http2.constants.NGHTTP2_CANCEL);
      await once(stream, "close");
    }
    open();
    assert.equal((await text((await request()).end(syncUpdates))).trim(), "seen before");
    await Promise.all(outcomes);
    assert.equal(outcomes.length, 5);
  });

  test("serves many at once", async (t) => {
    const { receiver, plaid, handed, sign } = await stage();
    const port = await listening(t, http.createServer(nodeListener(receiver)));
    const bodies = Array.from({ length: 200 }, (_, i) =>
      JSON.stringify({ webhook_type: "ITEM", webhook_code: "ERROR", i, padding: "x".repeat(i * 50) }),
    );
    const answers = await Promise.all(bodies.map(async (body) => deliver(port, await sign(body), body)));
    assert.deepEqual(new Set(answers), new Set(["200 taken"]));
    assert.equal(new Set(handed.map((webhook) => JSON.stringify(webhook))).size, 200);
    assert.equal(plaid.asked.length, 1);
  });
});

describe("fastifyReceiver", () => {
  test("leaves the parsers of other routes as they are", async (t) => {
    const { receiver, sign } = await stage();
    const app = Fastify();
    t.after(() => app.close());
    app.addContentTypeParser("application/x-tea", { parseAs: "string" }, (_request, body, done) =>
      done(null, { tea: body }),
    );
    await app.register(fastifyReceiver(receiver), { url: "/plaid" });
    app.post("/other", async (request) => ({ parsed: request.body }));

    const send = (url: string, type: string, payload: string, more: Record<string, string> = {}) =>
      app.inject({ method: "POST", url, payload, headers: { "content-type": type, ...more } });
    const verification = { "plaid-verification": await sign() };
    assert.equal((await send("/plaid", "application/json", syncUpdates, verification)).statusCode, 200);
    assert.deepEqual((await send("/other", "application/json", '{"a": 1}')).json(), { parsed: { a: 1 } });
    assert.deepEqual((await send("/other", "application/x-tea", "Assam")).json(), {
      parsed: { tea: "Assam" },
    });
    assert.equal((await send("/other", "application/json", "{")).statusCode, 400);
    assert.equal((await send("/other", "application/x-coffee", "")).statusCode, 415);
    assert.equal((await send("/plaid", "application/x-tea", "{", verification)).body, "body-mismatch\n");
  });

  test("lives under a prefix, at / unless told", async (t) => {
    const { receiver, sign } = await stage();
    const app = Fastify();
    t.after(() => app.close());
    await app.register(fastifyReceiver(receiver), { prefix: "/hooks" });
    const headers = { "plaid-verification": await sign() };
    const { statusCode } = await app.inject({ method: "POST", url: "/hooks", payload: syncUpdates, headers });
    assert.equal(statusCode, 200);
    assert.equal((await app.inject({ method: "GET", url: "/hooks" })).statusCode, 404);
  });

  test("leaves what a receiver of somebody else's throws to Fastify, rather than nobody", async (t) => {
    const app = Fastify();
    t.after(() => app.close());
    await app.register(
      fastifyReceiver(() => Promise.reject(new Error("no"))),
      { url: "/plaid" },
    );
    const answer = app.inject({ method: "POST", url: "/plaid", payload: syncUpdates });
    assert.equal((await answer).statusCode, 500);
  });

  test("says 413 itself to what is longer than Fastify's own limit", async (t) => {
    const { receiver } = await stage();
    const app = Fastify();
    t.after(() => app.close());
    await app.register(fastifyReceiver(receiver), { url: "/plaid" });
    const payload = "x".repeat(2 ** 20 + 1);
    assert.equal((await app.inject({ method: "POST", url: "/plaid", payload })).statusCode, 413);
  });

  test("works behind HTTP/2", async (t) => {
    const { receiver, sign } = await stage();
    const app = Fastify({ http2: true });
    t.after(() => app.close());
    await app.register(fastifyReceiver(receiver) as never, { url: "/plaid" });
    await app.listen({ port: 0, host: "127.0.0.1" });
    const session = http2.connect(`http://127.0.0.1:${(app.server.address() as net.AddressInfo).port}`);
    t.after(() => session.destroy());
    const stream = session.request({
      ...{ ":method": "POST", ":path": "/plaid", "content-type": "application/json" },
      "plaid-verification": await sign(),
    });
    stream.end(syncUpdates);
    assert.equal((await text(stream)).trim(), "taken");
  });
});

// --------------------------------------------------------------------------------------------------- pooledPost

const signal = () => new AbortController().signal;

/** A pool that is closed when the test ends. */
function pool(t: TestContext, options?: Parameters<typeof pooledPost>[0]) {
  const post = pooledPost(options);
  t.after(() => post.close());
  return post;
}

const config = (port: number, more: Partial<Config>): Config => ({
  ...{ clientId: "client-1234567890", secret: "secret-1234567890", baseUrl: `http://127.0.0.1:${port}` },
  ...more,
});

async function failureOf(outcome: ReturnType<typeof Item.get>): Promise<Failure> {
  const result = await outcome;
  assert.ok(!result.ok, "the call should have failed");
  return result.error;
}

describe("pooledPost", () => {
  test("sends the method, the path, the headers and the body as they are", async (t) => {
    const seen = gate<[http.IncomingMessage, string]>();
    const server = http.createServer(async (incoming, outgoing) => {
      seen.open([incoming, await text(incoming)]);
      outgoing.end();
    });
    const port = await listening(t, server);
    const body = '{"access_token":"é🦡"}';
    const answer = await pool(t)(
      `http://127.0.0.1:${port}/item/get`,
      body,
      { "Content-Type": "application/json", "PLAID-SECRET": "s" },
      signal(),
    );
    const [{ method, url, headers }, received] = await seen.opened;
    assert.deepEqual([method, url, received], ["POST", "/item/get", body]);
    assert.equal(headers["content-type"], "application/json");
    assert.equal(headers["plaid-secret"], "s");
    assert.equal(headers["content-length"], `${Buffer.byteLength(body)}`);
    assert.deepEqual([answer.status, answer.body], [200, ""]);
  });

  test("gives back whatever answer comes, and follows nothing", async (t) => {
    let requests = 0;
    const server = http.createServer((incoming, outgoing) => {
      requests++;
      outgoing.writeHead(+incoming.url!.slice(1), {
        location: "/200",
        "Content-Type": "application/json",
        "x-two": ["a", "b"],
      });
      // A character cut in two by the pieces in which it comes.
      const bytes = Buffer.from('{"said":"🦡"}');
      if (incoming.url === "/204") outgoing.end();
      else outgoing.write(bytes.subarray(0, 10), () => outgoing.end(bytes.subarray(10)));
    });
    const port = await listening(t, server);
    const post = pool(t);
    const statuses = [200, 204, 301, 302, 303, 307, 308, 400, 401, 404, 429, 500, 503];
    for (const status of statuses) {
      const answer = await post(`http://127.0.0.1:${port}/${status}`, "{}", {}, signal());
      assert.deepEqual([answer.status, answer.body], [status, status === 204 ? "" : '{"said":"🦡"}']);
      assert.equal(answer.headers.get("content-type"), "application/json");
      assert.equal(answer.headers.get("location"), "/200");
      assert.equal(answer.headers.get("x-none") ?? null, null);
      assert.match(answer.headers.get("x-two") ?? "", /a,\s*b/);
    }
    assert.equal(requests, statuses.length);
  });

  test("is answered by a server that compresses for all who do not object", async (t) => {
    const server = http.createServer((incoming, outgoing) => {
      if (incoming.headers["accept-encoding"] === "identity") outgoing.end("{}");
      else outgoing.setHeader("content-encoding", "gzip").end(gzipSync("{}"));
    });
    const url = `http://127.0.0.1:${await listening(t, server)}/`;
    for (const post of [pool(t), fetchPost])
      assert.equal((await post(url, "{}", {}, signal())).body, "{}", post.name);
  });

  test("takes a byte order mark off, as fetch does", async (t) => {
    const server = http.createServer((_, outgoing) => outgoing.end("\uFEFF{}"));
    const url = `http://127.0.0.1:${await listening(t, server)}/`;
    for (const post of [pool(t), fetchPost])
      assert.equal((await post(url, "{}", {}, signal())).body, "{}", post.name);
  });

  test("says what it needs where undici is not installed, and believes a bundle to hold it", async (t) => {
    const folder = await realpath(await mkdtemp(join(tmpdir(), "sett-node-")));
    t.after(() => rm(folder, { recursive: true }));
    const source = new URL("../src/node.ts", import.meta.url);
    const load = async (name: string): Promise<typeof import("../src/node.ts")> => {
      await mkdir(join(folder, name));
      const text = await readFile(source, "utf8");
      await writeFile(
        join(folder, name, "node.ts"),
        name === "commonjs" ? text.replaceAll("import.meta", "({})") : text,
      );
      if (name === "sett")
        await writeFile(
          join(folder, name, "package.json"),
          JSON.stringify({ name, type: "module", exports: { "./node": "./node.ts" } }),
        );
      return import(pathToFileURL(join(folder, name, "node.ts")).href);
    };
    const installed = await load("sett");
    assert.throws(() => installed.pooledPost(), { name: "TypeError", message: /npm install undici/ });
    for (const name of ["bundle", "commonjs"]) {
      const bundled = (await load(name)).pooledPost();
      // Not in this bundle, though: it says so when it is asked for.
      const asked = bundled("http://127.0.0.1:9/", "{}", {}, signal());
      await assert.rejects(asked, { code: "ERR_MODULE_NOT_FOUND" }, name);
    }
  });

  test("is a transport of Item.get", async (t) => {
    const { body } = itemAnswer();
    const port = await listening(
      t,
      http.createServer((_, outgoing) => outgoing.setHeader("content-type", "application/json").end(body)),
    );
    const result = await Item.get(token, config(port, { post: pool(t) }));
    assert.ok(result.ok);
    assert.equal(result.value.item.item_id, "i1");
  });

  test("keeps connections, and no more of them than told", async (t) => {
    const server = http.createServer((_, outgoing) => setImmediate(() => outgoing.end("{}")));
    let connections = 0;
    server.on("connection", () => connections++);
    const port = await listening(t, server);
    const url = `http://127.0.0.1:${port}/`;
    const some = pool(t);
    for (let i = 0; i < 20; i++) await some(url, "{}", {}, signal());
    assert.ok(connections <= 2, `${connections} connections, one request after another`);
    connections = 0;
    const three = pool(t, { connections: 3 });
    await Promise.all(Array.from({ length: 60 }, () => three(url, "{}", {}, signal())));
    assert.equal(connections, 3);
  });

  test("reaches many hosts, each with connections of its own", async (t) => {
    const post = pool(t);
    const ports = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        listening(
          t,
          http.createServer((_incoming, outgoing) => outgoing.end(`${i}`)),
        ),
      ),
    );
    const answers = await Promise.all(
      Array.from({ length: 80 }, (_, i) =>
        post(`http://127.0.0.1:${ports[i % 8]}/`, "{}", {}, signal()).then(({ body }) => body),
      ),
    );
    assert.deepEqual(
      answers,
      Array.from({ length: 80 }, (_, i) => `${i % 8}`),
    );
  });

  describe("tells what became of a request", () => {
    test("unsent: nobody listens", async (t) => {
      const port = await listening(t, net.createServer());
      const closed = net.createServer();
      const free = await listening(t, closed);
      await new Promise((resolve) => closed.close(resolve));
      assert.notEqual(free, port);
      const failure = await failureOf(Item.get(token, config(free, { post: pool(t), retries: 0 })));
      assert.deepEqual(
        [failure.kind, "code" in failure && failure.code, failure.lost],
        ["unsent", "ECONNREFUSED", 0],
      );
    });

    test("unsent: no such name", async (t) => {
      const baseUrl = "http://no-such-host.invalid";
      const failure = await failureOf(Item.get(token, config(0, { baseUrl, post: pool(t), retries: 0 })));
      assert.equal(failure.kind, "unsent");
    });

    test("unsent: it waited for a connection until its deadline", { timeout: 20_000 }, async (t) => {
      const arrived = gate();
      const bodies: string[] = [];
      const server = http.createServer(async (incoming) => {
        bodies.push(await text(incoming));
        arrived.open();
      });
      const port = await listening(t, server);
      const through = pool(t, { connections: 1 });
      // As a transport is that counts or logs.
      const post: Config["post"] = async (...request) => await through(...request);
      const first = failureOf(Item.get("first", config(port, { post, retries: 0, timeoutMs: 1_000 })));
      await arrived.opened;
      const waiting = failureOf(Item.get("second", config(port, { post, retries: 0, timeoutMs: 20 })));
      const left = new AbortController();
      const leaving = failureOf(Item.get("third", config(port, { post, retries: 0, signal: left.signal })));
      setTimeout(() => left.abort(), 20);
      assert.deepEqual(
        (await Promise.all([first, waiting, leaving])).map((failure) => [
          failure.kind,
          "why" in failure && failure.why,
          failure.lost,
        ]),
        [
          ["unanswered", "timeout", 1],
          ["unsent", "timeout", 0],
          ["unsent", "aborted", 0],
        ],
      );
      await failureOf(Item.get("fourth", config(port, { post, retries: 0, timeoutMs: 300 })));
      assert.deepEqual(
        bodies.map((body) => (JSON.parse(body) as { access_token: string }).access_token),
        ["first", "fourth"],
      );
    });

    test("unsent: what should become a connection does not speak TLS", { timeout: 20_000 }, async (t) => {
      let connections = 0;
      const server = net.createServer((socket) => {
        connections++;
        socket.on("error", () => {}).once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
      });
      const baseUrl = `https://127.0.0.1:${await listening(t, server)}`;
      const failure = await failureOf(Item.get(token, config(0, { baseUrl, post: pool(t), retries: 0 })));
      assert.deepEqual([failure.kind, failure.lost, connections], ["unsent", 0, 1]);
    });

    for (const hangUp of ["destroy", "resetAndDestroy", "end"] as const) {
      test(`unanswered: the server hangs up (${hangUp}) instead of answering`, async (t) => {
        let requests = 0;
        const server = net.createServer((socket) =>
          socket.on("error", () => {}).once("data", () => (requests++, socket[hangUp]())),
        );
        const port = await listening(t, server);
        const failure = await failureOf(Item.get(token, config(port, { post: pool(t), retries: 0 })));
        assert.deepEqual([failure.kind, failure.lost, requests], ["unanswered", 1, 1]);
        assert.ok(!JSON.stringify(failure).includes(token));
      });

      test(`unanswered: the server hangs up (${hangUp}) in the middle of the answer`, async (t) => {
        for (const head of ["content-length: 100\r\n\r\n{", "transfer-encoding: chunked\r\n\r\n5\r\n{"]) {
          const server = net.createServer((socket) =>
            socket
              .on("error", () => {})
              .once("data", () => socket.write(`HTTP/1.1 200 OK\r\n${head}`, () => socket[hangUp]())),
          );
          const port = await listening(t, server);
          const failure = await failureOf(Item.get(token, config(port, { post: pool(t), retries: 0 })));
          assert.deepEqual([failure.kind, failure.lost], ["unanswered", 1]);
        }
      });
    }

    test("unanswered: what answers does not speak HTTP", async (t) => {
      const server = net.createServer((socket) =>
        socket.on("error", () => {}).once("data", () => socket.end("220 mail.example.test ESMTP\r\n")),
      );
      const port = await listening(t, server);
      const failure = await failureOf(Item.get(token, config(port, { post: pool(t), retries: 0 })));
      assert.deepEqual([failure.kind, failure.lost], ["unanswered", 1]);
    });

    for (const [when, start] of [
      ["before the answer", ""],
      ["in the middle of the answer", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"],
    ] as const) {
      test(`aborted ${when}: it rejects, and hangs up`, { timeout: 20_000 }, async (t) => {
        const stopper = new AbortController();
        const hungUp = gate();
        const server = net.createServer((socket) => {
          socket.on("error", () => {}).on("close", () => hungUp.open());
          socket.once("data", () => socket.write(start, () => setImmediate(() => stopper.abort())));
        });
        const port = await listening(t, server);
        const post = pool(t);
        const failure = await failureOf(
          Item.get(token, config(port, { post, retries: 0, signal: stopper.signal })),
        );
        assert.deepEqual([failure.kind, "why" in failure && failure.why], ["unanswered", "aborted"]);
        await hungUp.opened;
      });
    }

    test("aborted before it began: nothing is sent", async (t) => {
      let requests = 0;
      const port = await listening(
        t,
        http.createServer((_, outgoing) => (requests++, outgoing.end())),
      );
      const post = pool(t);
      await assert.rejects(post(`http://127.0.0.1:${port}/`, "{}", {}, AbortSignal.abort()));
      assert.equal(requests, 0);
    });

    test("one failure leaves the pool in order", async (t) => {
      let requests = 0;
      const server = http.createServer((incoming, outgoing) =>
        ++requests % 2 ? incoming.socket.destroy() : outgoing.end("{}"),
      );
      const port = await listening(t, server);
      const post = pool(t, { connections: 1 });
      for (let i = 0; i < 10; i++) {
        const outcome = await post(`http://127.0.0.1:${port}/`, "{}", {}, signal()).then(
          () => "answered",
          () => "rejected",
        );
        assert.equal(outcome, i % 2 ? "answered" : "rejected");
      }
      assert.equal(requests, 10);
    });
  });

  describe("never sends a request twice", () => {
    /** A server of bytes that counts each request by the number in its body, and then does as `after` says. */
    async function counting(t: TestContext, after: (socket: net.Socket, nth: number) => void) {
      const counts = new Map<string, number>();
      const server = net.createServer((socket) => {
        let nth = 0;
        let pending = "";
        socket.on("error", () => {}).setEncoding("latin1");
        socket.on("data", (chunk) => {
          pending += chunk;
          for (const [all, id] of pending.matchAll(/\{"id":(\d+)\}/g)) {
            pending = pending.slice(pending.indexOf(all) + all.length);
            counts.set(id!, (counts.get(id!) ?? 0) + 1);
            after(socket, ++nth);
          }
        });
      });
      const port = await listening(t, server);
      return { counts, url: `http://127.0.0.1:${port}/` };
    }
    const ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

    const deaths: Record<string, (socket: net.Socket, nth: number) => void> = {
      "the second request on a kept connection is met by its end": (socket, nth) =>
        nth === 1 ? socket.write(ok) : socket.destroy(),
      "the second request on a kept connection is met by a reset": (socket, nth) =>
        nth === 1 ? socket.write(ok) : socket.resetAndDestroy(),
      "the connection ends right after each answer, unannounced": (socket) => socket.end(ok),
      "the connection is reset right after each answer": (socket) =>
        socket.write(ok, () => socket.resetAndDestroy()),
      "the connection ends a turn after each answer": (socket) =>
        socket.write(ok, () => setImmediate(() => socket.destroy())),
      "the answer announces the end": (socket) =>
        socket.end(ok.replace("content-length", "connection: close\r\ncontent-length")),
    };
    for (const [name, after] of Object.entries(deaths)) {
      for (const connections of [1, 4]) {
        test(`${name} (${connections} connections)`, { timeout: 20_000 }, async (t) => {
          const { counts, url } = await counting(t, after);
          const post = pool(t, { connections });
          const outcomes: string[] = [];
          const send = (id: number) =>
            post(url, `{"id":${id}}`, { "Content-Type": "application/json" }, signal()).then(
              () => outcomes.push("answered"),
              () => outcomes.push("rejected"),
            );
          for (let id = 0; id < 40; id++) await send(id);
          await Promise.all(Array.from({ length: 40 }, (_, i) => send(100 + i)));
          assert.equal(outcomes.length, 80);
          for (const [id, count] of counts) assert.equal(count, 1, `request ${id} came ${count} times`);
          const answered = outcomes.filter((outcome) => outcome === "answered").length;
          assert.ok(counts.size >= answered);
        });
      }
    }
  });

  describe("close", () => {
    test("waits for what is under way, then ends every connection", { timeout: 20_000 }, async (t) => {
      const { opened, open } = gate();
      const server = http.createServer(async (incoming, outgoing) => {
        if (incoming.url === "/slow") await opened;
        outgoing.end("done");
      });
      const sockets: net.Socket[] = [];
      server.on("connection", (socket) => sockets.push(socket));
      const port = await listening(t, server);
      const post = pooledPost();
      await post(`http://127.0.0.1:${port}/`, "{}", {}, signal());
      const slow = post(`http://127.0.0.1:${port}/slow`, "{}", {}, signal());
      await once(server, "request");
      const closed = post.close();
      open();
      assert.equal((await slow).body, "done");
      await closed;
      await Promise.all(sockets.map((socket) => socket.closed || once(socket, "close")));
    });

    test("may come twice, and before any request", async () => {
      const post = pooledPost();
      await post.close();
      await post.close();
    });

    test("does not make a request fail that comes meanwhile: it goes over a new connection", async (t) => {
      const { opened, open } = gate();
      const server = http.createServer(async (incoming, outgoing) => {
        if (incoming.url === "/slow") await opened;
        outgoing.end("done");
      });
      const port = await listening(t, server);
      const post = pool(t);
      const slow = post(`http://127.0.0.1:${port}/slow`, "{}", {}, signal());
      await once(server, "request");
      const closed = post.close();
      assert.equal((await post(`http://127.0.0.1:${port}/`, "{}", {}, signal())).body, "done");
      open();
      await Promise.all([slow, closed]);
    });
  });
});
