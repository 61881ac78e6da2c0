// The law of failures: whatever goes wrong and however it is printed, no secret, client id or token is in it.

import assert from "node:assert/strict";
import { Console } from "node:console";
import { Writable } from "node:stream";
import { test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import {
  Accounts,
  call,
  Item,
  Link,
  PlaidFailure,
  Sandbox,
  unwrap,
  Webhook,
  type Answer,
  type Config,
  type Post,
} from "../src/index.ts";

/** Each way a thing can be printed, kept or sent on. */
function everyPrint(thing: unknown): string {
  let printed = "";
  const sink = new Writable({ write: (chunk, _encoding, done) => ((printed += chunk), done()) });
  new Console(sink, sink).error(thing);
  const error = thing instanceof Error ? thing : undefined;
  return [
    printed,
    inspect(thing, { depth: null, showHidden: true, getters: true }),
    JSON.stringify(thing),
    String(thing),
    error?.stack,
    inspect(error?.cause, { depth: null }),
    inspect(structuredClone(thing), { depth: null }),
    JSON.stringify(Object.getOwnPropertyDescriptors(thing)),
  ].join("\n");
}

/** As they may come: of any visible characters, or of the shape that Plaid gives them today. */
const secretText = fc.string({
  minLength: 8,
  maxLength: 60,
  unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
});
const tokenText = fc.oneof(
  secretText,
  fc.string({ minLength: 8, maxLength: 60, unit: "grapheme" }).filter((text) => text.trim().length >= 8),
  fc.uuid().map((id) => `access-sandbox-${id}`),
  fc.uuid().map((id) => `public-production-${id}`),
);

/** Ways to be answered, each of which repeats what it was sent, in the body, in names, in headers or in an error's text. */
const echoes: Record<string, (said: string[]) => Answer | Error> = {
  "a refusal that repeats": (said) => plaidError(400, "ITEM_LOGIN_REQUIRED", said),
  "a 500 that repeats": (said) => plaidError(500, "INTERNAL_SERVER_ERROR", said),
  "a rate limit that repeats": (said) => plaidError(429, "RATE_LIMIT", said),
  "a removed Item": (said) => plaidError(400, "ITEM_NOT_FOUND", said),
  "a proxy's page": (said) => text(502, `<html>${said.join(" ")}</html>`, "text/html"),
  "a page with the secret in its type": (said) => text(403, "no", `text/html; x=${said.join("")}`),
  "cut JSON of a refusal": (said) => text(400, JSON.stringify({ error_message: said }).slice(0, -3)),
  "cut JSON of a success": (said) =>
    text(200, JSON.stringify({ access_token: said, item_id: said }).slice(0, -3)),
  "a success without its fields": (said) => text(200, JSON.stringify({ other: said })),
  "a strange object": (said) => text(404, JSON.stringify({ message: said })),
  "a network error": (said) => new TypeError(`failed: ${said.join(" ")}`),
  "a refused connection": (said) =>
    new TypeError("fetch failed", {
      cause: Object.assign(new Error(said.join(" ")), { code: "ECONNREFUSED", syscall: "connect", said }),
    }),
  "an error with its request": (said) =>
    Object.assign(new Error("reset"), { config: { headers: said }, code: "ECONNRESET" }),
};

const text = (status: number, body: string, contentType = "application/json"): Answer => ({
  status,
  body,
  headers: new Map([["content-type", contentType]]),
});

const plaidError = (status: number, error_code: string, said: string[]): Answer =>
  text(
    status,
    JSON.stringify({
      error_type: "ITEM_ERROR",
      error_code,
      error_message: `for ${said.join(" and ")}`,
      display_message: said[0],
      request_id: said.at(-1),
      causes: said,
      [`x${said[0]}`]: { deep: [said] },
    }),
  );

const calls: Record<string, (token: string, config: Config) => Promise<{ ok: boolean; error?: unknown }>> = {
  exchange: Item.exchangePublicToken,
  get: Item.get,
  invalidate: Item.invalidateAccessToken,
  remove: (token, config) => Item.remove(token, config, { reason_code: "OTHER" }),
  updateWebhook: (token, config) => Item.updateWebhook(token, "https://example.com/webhook", config),
  accounts: Accounts.get,
  linkToken: Link.getToken,
  updateMode: (access_token, config) =>
    Link.createToken(
      {
        client_name: "c",
        language: "en",
        country_codes: ["US"],
        user: { client_user_id: "u" },
        access_token,
      },
      config,
    ),
  resetLogin: Sandbox.resetLogin,
  password: (override_password, config) =>
    Sandbox.createPublicToken("ins_1", ["auth"], config, { override_password }),
  anything: (token, config) =>
    call("/processor/token/create", { access_tokens: [token], nested: { access_token: token } }, config),
};

for (const [how, echo] of Object.entries(echoes)) {
  test(`no print of a failure shows a secret: ${how}`, async () => {
    await fc.assert(
      fc.asyncProperty(
        secretText,
        secretText,
        tokenText,
        fc.constantFrom(...Object.keys(calls)),
        async (clientId, secret, token, name) => {
          const post: Post = async () => {
            const reply = echo([secret, clientId, token]);
            if (reply instanceof Error) throw reply;
            return reply;
          };
          const attempts: unknown[] = [];
          const config = {
            clientId,
            secret,
            post,
            retries: 1,
            sleep: async () => {},
            onAttempt: (attempt: unknown) => attempts.push(attempt),
          };
          const result = await calls[name]!(token, config);
          // An answer may hold tokens, that is what it is for; but what is told of its attempts may not.
          const seen: unknown[] = [attempts];
          if (!result.ok)
            seen.push(
              result,
              result.error,
              thrownBy(() => unwrap(result as Parameters<typeof unwrap>[0])),
            );
          const prints = seen.map(everyPrint).join("\n");
          for (const planted of [secret, clientId, token]) {
            const forms = [
              planted,
              JSON.stringify(planted).slice(1, -1),
              encodeURIComponent(toWellFormed(planted)),
            ];
            for (const form of forms) assert.ok(!prints.includes(form), `${name}: a planted secret shows`);
          }
        },
      ),
      { numRuns: 60 },
    );
  });
}

test("a secret that begins as another does is masked whole", async () => {
  const [clientId, secret, token] = ["abcdefgh", "abcdefghSECOND", "abcdefghSECONDthird"];
  const post: Post = async () => plaidError(400, "ITEM_LOGIN_REQUIRED", [clientId, secret, token]);
  const result = await Item.get(token, { clientId, secret, post });
  assert.doesNotMatch(everyPrint(result), /SECOND|third/);
});

test("a token of Plaid's is masked by its shape, whoever's it is", async () => {
  const id = "0af2c971-41a6-4fc5-a97d-f2b27ab0a648";
  for (const kind of ["access", "public", "link", "processor", "user", "assets"]) {
    for (const env of ["sandbox", "production"]) {
      const post: Post = async () => plaidError(400, "ITEM_NOT_FOUND", [`${kind}-${env}-${id}`]);
      const result = await Item.get("t", { clientId: "client-1234567890", secret: "secret-123", post });
      assert.ok(!result.ok && !everyPrint(result.error).includes(id), kind);
      assert.ok(everyPrint(result.error).includes(`${kind}-${env}-***`));
    }
  }
});

test("a secret stays one although the request that held it is changed while it is under way", async () => {
  const request = { user_token: "not of Plaid's shape", nested: { password: ["another one of those"] } };
  const said = [request.user_token, ...request.nested.password];
  const post: Post = async () => plaidError(400, "INVALID_USER_TOKEN", said);
  const outcome = call("/user/update", request, { clientId: "client-1234567890", secret: "secret-12", post });
  request.user_token = "";
  request.nested.password = [];
  assert.doesNotMatch(everyPrint(await outcome), /Plaid's shape|one of those/);
});

test("no TypeError of a mistake shows the values that it is about", async () => {
  await fc.assert(
    fc.asyncProperty(secretText, secretText, async (clientId, secret) => {
      const mistakes = [
        Item.get("", { clientId, secret }),
        Item.get("t", { clientId, secret: `${secret}\n` }),
        Item.get("t", { clientId, secret, baseUrl: `ftp://${secret}@host` }),
        Item.updateWebhook("t", secret, { clientId, secret }),
        Item.remove("t", { clientId, secret }, { reason_code: secret as "OTHER" }),
        Webhook.getVerificationKey(undefined as unknown as string, { clientId, secret }),
        call(secret, { secret }, { clientId, secret }),
      ];
      for (const mistake of mistakes) {
        const thrown = await mistake.then(
          () => assert.fail("no mistake"),
          (error: unknown) => error,
        );
        const prints = everyPrint(thrown);
        assert.ok(!prints.includes(secret) && !prints.includes(clientId));
      }
    }),
    { numRuns: 60 },
  );
});

test("a failure is the same after JSON, so that it can go into a queue or a table", async () => {
  for (const echo of Object.values(echoes)) {
    const reply = echo(["a", "b", "c"]);
    const post: Post = () => (reply instanceof Error ? Promise.reject(reply) : Promise.resolve(reply));
    const result = await Item.get("t", { clientId: "c", secret: "s", post, retries: 0 });
    assert.ok(!result.ok);
    assert.deepEqual(JSON.parse(JSON.stringify(result.error)), result.error);
    assert.deepEqual(structuredClone(result.error), result.error);
  }
});

test("the exception names what failed in one line, and keeps the failure", async () => {
  const post: Post = async () => plaidError(400, "ITEM_LOGIN_REQUIRED", ["m"]);
  const result = await Item.get("t", { clientId: "c", secret: "s", post });
  const thrown = thrownBy(() => unwrap(result));
  assert.ok(thrown instanceof PlaidFailure && thrown instanceof Error);
  assert.equal(
    thrown.message,
    "/item/get refused: ITEM_LOGIN_REQUIRED, for m (HTTP 400, request_id m); it did not happen",
  );
  assert.equal(JSON.parse(JSON.stringify(thrown)).failure.error.error_code, "ITEM_LOGIN_REQUIRED");
});

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return undefined;
}

const toWellFormed = (value: string) => (value as string & { toWellFormed(): string }).toWellFormed();
