// What the client takes for granted of every runtime, tested without the client: when both this and the
// contract suite fail on a new version, the runtime has changed.

import type { Outcome, SuiteEnv } from "./suite.ts";

type Test = (env: SuiteEnv) => Promise<void>;

const tests: Record<string, Test> = {
  "fetch posts JSON with headers of its own": async ({ baseUrl }) => {
    const body = JSON.stringify({ name: "Zoë" });
    const headers = { "content-type": "application/json", "plaid-secret": "s" };
    const answer = await fetch(`${baseUrl}/echo`, { method: "POST", headers, body });
    equal(await answer.json(), { method: "POST", header: "s", body });
  },
  "fetch given away as a value still works": async ({ baseUrl }) => {
    const { fetch } = globalThis;
    equal((await fetch(`${baseUrl}/echo`)).status, 200);
  },
  "an aborted fetch rejects with the reason given": async ({ baseUrl }) => {
    const reason = new Error("mine");
    const abort = new AbortController();
    const answer = fetch(`${baseUrl}/hang`, { signal: abort.signal });
    setTimeout(() => abort.abort(reason), 50);
    equal(await thrown(answer), reason.message);
  },
  "a fetch out of time rejects": async ({ baseUrl }) => {
    await thrown(fetch(`${baseUrl}/hang`, { signal: AbortSignal.timeout(50) }));
  },
  "a fetch whose line is cut rejects": async ({ baseUrl }) => {
    await thrown(fetch(`${baseUrl}/reset`, { method: "POST", body: "{}" }));
  },
  "a fetch to a port with nobody on it rejects": async () => {
    await thrown(fetch("http://127.0.0.1:65535/"));
  },
  "signals combine": async () => {
    equal(AbortSignal.any([new AbortController().signal, AbortSignal.abort()]).aborted, true);
  },
  "ES256 signs and verifies": async () => {
    const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
    const keys = (await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])) as CryptoKeyPair;
    const data = new TextEncoder().encode("body");
    const signature = await crypto.subtle.sign(algorithm, keys.privateKey, data);
    equal(signature.byteLength, 64);
    const jwk = await crypto.subtle.exportKey("jwk", keys.publicKey);
    const key = await crypto.subtle.importKey("jwk", jwk, algorithm, false, ["verify"]);
    equal(await crypto.subtle.verify(algorithm, key, signature, data), true);
    equal(await crypto.subtle.verify(algorithm, key, signature, data.slice(1)), false);
  },
  "text that is not UTF-8 is told": async () => {
    const decoder = new TextDecoder("utf-8", { fatal: true });
    await thrown((async () => decoder.decode(new Uint8Array([0xff])))());
  },
  "a Request and a Response are made and read": async () => {
    const request = new Request("http://127.0.0.1/", { method: "POST", body: "x" });
    equal(new Uint8Array(await request.arrayBuffer()), new Uint8Array([120]));
    equal(await Response.json({ a: 1 }).json(), { a: 1 });
  },
};

/** Runs every test, one after the other. */
export default async function suite(env: SuiteEnv): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const [name, test] of Object.entries(tests)) {
    try {
      await test(env);
      outcomes.push({ name });
    } catch (error) {
      outcomes.push({ name, error: String(error) });
    }
  }
  return outcomes;
}

function equal(actual: unknown, expected: unknown): void {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`got ${a}, not ${b}`);
}

async function thrown(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => {
      throw new Error("nothing was thrown");
    },
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
}
