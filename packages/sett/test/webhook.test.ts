// Which deliveries are believed. Every refusal has its row; the laws of signing hold for any body and any bit; jose
// and node:crypto are asked for a second opinion.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import { generateKeyPair, jwtVerify } from "jose";
import {
  plaidKeys,
  signWebhook,
  verifyDelivery,
  verifyWebhook,
  type Delivery,
  type RefusalReason,
  type SigningKey,
  type VerificationKeys,
} from "../src/webhook/index.ts";
import type { Answer, Config } from "../src/index.ts";
import { answer, networkError, refusal } from "./scripted.ts";
import { forge, newKeyPair, noon, SigningPlaid, syncUpdates } from "./signing-plaid.ts";

const sha256 = (body: string | Uint8Array) => createHash("sha256").update(body).digest("hex");
const base64url = (text: string) => Buffer.from(text).toString("base64url");

/** Each reason, so that a test can tell a refusal from any other answer. */
const reasons = [
  "malformed",
  "wrong-alg",
  "unknown-key",
  "expired-key",
  "bad-signature",
  "stale",
  "future",
  "body-mismatch",
  "not-raw",
  "keys-unavailable",
] as const satisfies RefusalReason[];
type Missing = Exclude<RefusalReason, (typeof reasons)[number]>;
const complete: Missing extends never ? true : Missing = true;

// -------------------------------------------------------------------------------------------------- the table

interface Stage {
  readonly plaid: SigningPlaid;
  readonly key: SigningKey;
}

/** A row: what is delivered, why it is refused, and how often Plaid is asked for a key meanwhile. */
type Row = [name: string, reason: RefusalReason, asked: number, make: (stage: Stage) => unknown];

const es256 = (kid: string) => ({ alg: "ES256", kid, typ: "JWT" });
const claims = (body: string, iat: number = noon) => ({ iat, request_body_sha256: sha256(body) });
const signed = (body: string, { key }: Stage, payload: unknown = claims(body)) =>
  forge(es256(key.kid), payload, key.privateKey).then((header) => ({ body, header }));
const unsigned = (header: string, payload: unknown = claims(syncUpdates)) => ({
  body: syncUpdates,
  header: `${base64url(header)}.${base64url(JSON.stringify(payload))}.${base64url("x".repeat(64))}`,
});

const withHeader =
  (header: unknown): Row[3] =>
  () => ({ body: syncUpdates, header });

const withBody =
  (change: (body: string) => unknown): Row[3] =>
  async ({ plaid, key }) => ({ ...(await plaid.sign(key)), body: change(syncUpdates) });

const table: Row[] = [
  ["no header", "malformed", 0, withHeader(undefined)],
  ["null for a header, as Headers.get gives it", "malformed", 0, withHeader(null)],
  ["an empty header", "malformed", 0, withHeader("")],
  ["a header that is no string", "malformed", 0, withHeader(["a.b.c"])],
  ["words for a header", "malformed", 0, withHeader("Bearer of good news")],
  ["dots only", "malformed", 0, withHeader("..")],
  [
    "two parts",
    "malformed",
    0,
    async ({ plaid, key }) => ({
      body: syncUpdates,
      header: (await plaid.sign(key)).header!.split(".", 2).join("."),
    }),
  ],
  [
    "four parts",
    "malformed",
    0,
    async ({ plaid, key }) => ({
      body: syncUpdates,
      header: `${(await plaid.sign(key)).header}.${base64url("{}")}`,
    }),
  ],
  [
    "the header twice, as Headers joins them",
    "malformed",
    0,
    async ({ plaid, key }) => {
      const { header } = await plaid.sign(key);
      return { body: syncUpdates, header: `${header}, ${header}` };
    },
  ],
  ["a JWT header that is not base64url", "malformed", 0, withHeader("!!!.e30.e30")],
  ["a JWT header that is not JSON", "malformed", 0, () => unsigned("ES256")],
  ["a JWT header that is a list", "malformed", 0, () => unsigned('["ES256"]')],
  ["no kid", "malformed", 0, () => unsigned('{"alg":"ES256"}')],
  ["an empty kid", "malformed", 0, () => unsigned('{"alg":"ES256","kid":""}')],
  ["a kid that is no string", "malformed", 0, () => unsigned('{"alg":"ES256","kid":7}')],
  [
    "a kid of 129 characters",
    "malformed",
    0,
    () => unsigned(JSON.stringify({ alg: "ES256", kid: "k".repeat(129) })),
  ],
  ["no alg", "malformed", 0, ({ key }) => unsigned(JSON.stringify({ kid: key.kid }))],

  [
    "alg none",
    "wrong-alg",
    0,
    ({ key }) => ({
      body: syncUpdates,
      header: `${base64url(JSON.stringify({ alg: "none", kid: key.kid }))}.${base64url(JSON.stringify(claims(syncUpdates)))}.`,
    }),
  ],
  [
    "alg HS256, with the public key's bytes as the secret",
    "wrong-alg",
    0,
    async ({ plaid, key }) => {
      const found = await plaid.keys()(key.kid);
      assert.ok(found.ok);
      const secret = new Uint8Array(await crypto.subtle.exportKey("spki", found.value.key));
      plaid.asked.length = 0;
      return {
        body: syncUpdates,
        header: await forge({ alg: "HS256", kid: key.kid }, claims(syncUpdates), secret),
      };
    },
  ],
  [
    "alg RS256",
    "wrong-alg",
    0,
    async ({ key }) => ({
      body: syncUpdates,
      header: await forge(
        { alg: "RS256", kid: key.kid },
        claims(syncUpdates),
        (await generateKeyPair("RS256")).privateKey,
      ),
    }),
  ],
  [
    "alg ES384",
    "wrong-alg",
    0,
    async ({ key }) => ({
      body: syncUpdates,
      header: await forge(
        { alg: "ES384", kid: key.kid },
        claims(syncUpdates),
        (await generateKeyPair("ES384")).privateKey,
      ),
    }),
  ],
  ["alg es256", "wrong-alg", 0, ({ key }) => unsigned(JSON.stringify({ alg: "es256", kid: key.kid }))],
  ["alg in a list", "malformed", 0, ({ key }) => unsigned(JSON.stringify({ alg: ["ES256"], kid: key.kid }))],

  [
    "a kid that Plaid does not know",
    "unknown-key",
    1,
    async ({ plaid }) =>
      plaid.sign({ kid: crypto.randomUUID(), privateKey: (await newKeyPair()).privateKey }),
  ],
  [
    "a key of another environment",
    "unknown-key",
    1,
    async ({ plaid }) => plaid.sign(await new SigningPlaid().newKey()),
  ],
  [
    "a kid of 128 characters",
    "unknown-key",
    1,
    ({ key, plaid }) => plaid.sign({ ...key, kid: "k".repeat(128) }),
  ],
  [
    "a kid that names a member of every object",
    "unknown-key",
    1,
    ({ key, plaid }) => plaid.sign({ ...key, kid: "__proto__" }),
  ],

  [
    "signed a second after the key's expiry",
    "expired-key",
    1,
    ({ plaid, key }) => {
      plaid.publish(key.kid, { expired_at: noon - 1 });
      return plaid.sign(key);
    },
  ],
  [
    "signed long after the key's expiry, and stale too",
    "expired-key",
    1,
    ({ plaid, key }) => {
      plaid.publish(key.kid, { expired_at: noon - 86_400 });
      return plaid.sign(key, syncUpdates, noon - 3_600);
    },
  ],

  [
    "another key under a known kid",
    "bad-signature",
    1,
    async ({ plaid, key }) => plaid.sign({ kid: key.kid, privateKey: (await newKeyPair()).privateKey }),
  ],
  [
    "the signature of another delivery",
    "bad-signature",
    1,
    async ({ plaid, key }) => {
      const [header, payload] = (await plaid.sign(key)).header!.split(".");
      const [, , signature] = (await plaid.sign(key, syncUpdates, noon - 1)).header!.split(".");
      return { body: syncUpdates, header: [header, payload, signature].join(".") };
    },
  ],
  [
    "no signature under alg ES256",
    "bad-signature",
    0,
    async ({ plaid, key }) => ({
      body: syncUpdates,
      header: (await plaid.sign(key)).header!.replace(/[^.]*$/, ""),
    }),
  ],
  [
    "a signature of zeros",
    "bad-signature",
    1,
    async ({ plaid, key }) => ({
      body: syncUpdates,
      header: (await plaid.sign(key)).header!.replace(/[^.]*$/, Buffer.alloc(64).toString("base64url")),
    }),
  ],
  [
    "a critical extension that nobody knows",
    "malformed",
    0,
    ({ key }) => ({
      ...unsigned(JSON.stringify({ ...es256(key.kid), crit: ["moon"], moon: "full" })),
    }),
  ],
  [
    "another key, a stale time and another body: the signature comes first",
    "bad-signature",
    1,
    async ({ plaid, key }) => ({
      ...(await plaid.sign(
        { kid: key.kid, privateKey: (await newKeyPair()).privateKey },
        syncUpdates,
        noon - 900,
      )),
      body: "{}",
    }),
  ],

  ["a payload that is not JSON", "malformed", 1, (stage) => signed(syncUpdates, stage, "soon")],
  ["a payload of null", "malformed", 1, (stage) => signed(syncUpdates, stage, "null")],
  [
    "no iat",
    "malformed",
    1,
    (stage) => signed(syncUpdates, stage, { request_body_sha256: sha256(syncUpdates) }),
  ],
  [
    "an iat in a string",
    "malformed",
    1,
    (stage) => signed(syncUpdates, stage, { ...claims(syncUpdates), iat: `${noon}` }),
  ],
  ["no hash", "malformed", 1, (stage) => signed(syncUpdates, stage, { iat: noon })],
  [
    "a hash in a list",
    "malformed",
    1,
    (stage) => signed(syncUpdates, stage, { iat: noon, request_body_sha256: [sha256(syncUpdates)] }),
  ],
  ["a body that is not JSON", "malformed", 1, (stage) => signed("webhook_type=ITEM", stage)],
  ["an empty body", "malformed", 1, (stage) => signed("", stage)],
  ["a body of null", "malformed", 1, (stage) => signed("null", stage)],
  ["a body in a list", "malformed", 1, (stage) => signed(`[${syncUpdates}]`, stage)],
  ["a body of text", "malformed", 1, (stage) => signed('"ITEM"', stage)],
  ["no webhook_code", "malformed", 1, (stage) => signed('{"webhook_type":"ITEM"}', stage)],
  ["no webhook_type", "malformed", 1, (stage) => signed('{"webhook_code":"ERROR"}', stage)],
  [
    "a webhook_type that is no string",
    "malformed",
    1,
    (stage) => signed('{"webhook_type":1,"webhook_code":"ERROR"}', stage),
  ],

  ["signed 301 s ago", "stale", 1, ({ plaid, key }) => plaid.sign(key, syncUpdates, noon - 301)],
  ["signed 300.001 s ago", "stale", 1, ({ plaid, key }) => plaid.sign(key, syncUpdates, noon - 300.001)],
  ["signed in 1970", "stale", 1, ({ plaid, key }) => plaid.sign(key, syncUpdates, 0)],
  ["signed before all time", "stale", 1, (stage) => signed(syncUpdates, stage, endless("-1e999"))],
  [
    "stale, and of another body: the time comes first",
    "stale",
    1,
    async ({ plaid, key }) => ({ ...(await plaid.sign(key, syncUpdates, noon - 301)), body: "{}" }),
  ],
  ["signed in 61 s", "future", 1, ({ plaid, key }) => plaid.sign(key, syncUpdates, noon + 61)],
  ["signed in 60.001 s", "future", 1, ({ plaid, key }) => plaid.sign(key, syncUpdates, noon + 60.001)],
  ["a time in milliseconds", "future", 1, ({ plaid, key }) => plaid.sign(key, syncUpdates, noon * 1000)],
  ["signed after all time", "future", 1, (stage) => signed(syncUpdates, stage, endless("1e999"))],

  [
    "a body written again without its spaces",
    "body-mismatch",
    1,
    withBody((b) => JSON.stringify(JSON.parse(b))),
  ],
  ["a line more", "body-mismatch", 1, withBody((body) => `${body}\n`)],
  ["a space before", "body-mismatch", 1, withBody((body) => ` ${body}`)],
  ["a byte order mark before", "body-mismatch", 1, withBody((body) => `\uFEFF${body}`)],
  ["lines of another system", "body-mismatch", 1, withBody((body) => body.replaceAll("\n", "\r\n"))],
  ["an empty body where one was signed", "body-mismatch", 1, withBody(() => "")],
  ["a value changed", "body-mismatch", 1, withBody((body) => body.replace("false", "true "))],
  ["half the body", "body-mismatch", 1, withBody((body) => Buffer.from(body).subarray(0, 100))],
  [
    "the hash in capitals, which Plaid does not write",
    "body-mismatch",
    1,
    (stage) =>
      signed(syncUpdates, stage, { iat: noon, request_body_sha256: sha256(syncUpdates).toUpperCase() }),
  ],
  [
    "an empty hash",
    "body-mismatch",
    1,
    (stage) => signed(syncUpdates, stage, { iat: noon, request_body_sha256: "" }),
  ],
  ...[0, 31, 63].map((at): Row => {
    const other = (digit: string) => (digit === "0" ? "1" : "0");
    const hash = [...sha256(syncUpdates)].map((digit, i) => (i === at ? other(digit) : digit)).join("");
    return [
      `a hash with digit ${at + 1} wrong`,
      "body-mismatch",
      1,
      (stage) => signed(syncUpdates, stage, { iat: noon, request_body_sha256: hash }),
    ];
  }),
  [
    "the hash and a digit more",
    "body-mismatch",
    1,
    (stage) => signed(syncUpdates, stage, { iat: noon, request_body_sha256: `${sha256(syncUpdates)}0` }),
  ],
  [
    "the start of the hash",
    "body-mismatch",
    1,
    (stage) =>
      signed(syncUpdates, stage, { iat: noon, request_body_sha256: sha256(syncUpdates).slice(0, 63) }),
  ],

  ["a parsed object", "not-raw", 0, withBody((body) => JSON.parse(body))],
  ["no body", "not-raw", 0, withBody(() => undefined)],
  ["null for a body", "not-raw", 0, withBody(() => null)],
  ["a list of bytes", "not-raw", 0, withBody((body) => [...Buffer.from(body)])],
  ["an ArrayBuffer", "not-raw", 0, withBody((body) => new TextEncoder().encode(body).buffer)],
  ["a parsed object and no header: the body comes first", "not-raw", 0, () => ({ body: {}, header: null })],
];

/** Claims with a time that only JSON's text can say. */
const endless = (iat: string) => JSON.stringify(claims(syncUpdates)).replace(`${noon}`, iat);

describe("refused", () => {
  for (const [name, reason, asked, make] of table) {
    test(`${reason}: ${name}`, async () => {
      const plaid = new SigningPlaid();
      const stage = { plaid, key: await plaid.newKey() };
      const delivery = (await make(stage)) as Delivery;
      const verified = await verifyWebhook(delivery, { keys: plaid.keys(), now: plaid.now });
      assert.ok(!verified.ok, "it was believed");
      assert.equal(verified.error.reason, reason);
      assert.equal(plaid.asked.length, asked, "look-ups of keys");
      assert.deepEqual(Object.keys(verified.error), ["reason", "detail"]);
      assert.match(verified.error.detail, /^[A-Za-z0-9 ,;?.'_-]+$/);
      const said = JSON.stringify(verified.error);
      for (const secret of [
        stage.key.kid,
        sha256(syncUpdates),
        "wz666MBj",
        ...`${delivery.header}`.split("."),
      ]) {
        if (secret.length > 12) assert.ok(!said.includes(secret), "the refusal repeats the delivery");
      }
    });
  }

  test("stale: whatever comes under a clock that tells no number", async () => {
    const plaid = new SigningPlaid();
    const delivery = await plaid.sign(await plaid.newKey());
    for (const now of [() => Number.NaN, () => Date.now as unknown as number]) {
      const verified = await verifyWebhook(delivery, { keys: plaid.keys(), now });
      assert.equal(!verified.ok && verified.error.reason, "stale");
    }
  });

  test("every reason has a row", () => {
    assert.ok(complete);
    const rows = new Set<string>(table.map(([, reason]) => reason));
    assert.deepEqual(
      [...reasons].filter((reason) => !rows.has(reason)),
      ["keys-unavailable"],
    );
  });
});

describe("refused for now: keys-unavailable", () => {
  const unavailable: [name: string, trouble: () => Answer | Promise<Answer>, detail: RegExp][] = [
    ["refused: rate limit", () => refusal(429, "RATE_LIMIT", "RATE_LIMIT_EXCEEDED"), /RATE_LIMIT/],
    ["refused: 500", () => refusal(500, "INTERNAL_SERVER_ERROR", "API_ERROR"), /INTERNAL_SERVER_ERROR/],
    [
      "refused: wrong credentials",
      () => refusal(400, "INVALID_API_KEYS", "INVALID_INPUT"),
      /INVALID_API_KEYS/,
    ],
    ["unsent", () => Promise.reject(networkError("ECONNREFUSED", "connect")), /unsent.*ECONNREFUSED/],
    ["unanswered", () => Promise.reject(networkError("ECONNRESET")), /unanswered.*ECONNRESET/],
    ["unreadable: a proxy's page", () => answer(502, "<html>", "text/html"), /unreadable/],
    ["unreadable: cut JSON", () => answer(200, '{"key": {"alg"'), /unreadable/],
    ["unreadable: no key", () => answer(200, { request_id: "r1" }), /unreadable/],
    ["a key of another curve", () => answer(200, { key: p384, request_id: "r1" }), /cannot be read/],
    [
      "a key that is no point of the curve",
      () => answer(200, { key: offCurve, request_id: "r1" }),
      /cannot be read/,
    ],
    [
      "a key for RSA",
      () => answer(200, { key: { kty: "RSA", n: "AQAB", e: "AQAB" }, request_id: "r1" }),
      /cannot/,
    ],
    [
      "a secret for a key",
      () => answer(200, { key: { kty: "oct", k: "AQAB" }, request_id: "r1" }),
      /cannot be read/,
    ],
    ["an empty key", () => answer(200, { key: {}, request_id: "r1" }), /cannot be read/],
  ];
  let p384: unknown;
  let offCurve: unknown;
  before(async () => {
    const { publicKey } = await generateKeyPair("ES384", { extractable: true });
    p384 = await crypto.subtle.exportKey("jwk", publicKey);
    const { x } = await crypto.subtle.exportKey("jwk", (await newKeyPair()).publicKey);
    offCurve = { kty: "EC", crv: "P-256", x, y: x, expired_at: null };
  });

  for (const [name, trouble, detail] of unavailable) {
    test(`${name}; and believed when Plaid is back`, async () => {
      const plaid = new SigningPlaid();
      const delivery = await plaid.sign(await plaid.newKey());
      const keys = plaid.keys();
      plaid.trouble = trouble;
      const verified = await verifyWebhook(delivery, { keys, now: plaid.now });
      assert.ok(!verified.ok);
      assert.equal(verified.error.reason, "keys-unavailable");
      assert.match(verified.error.detail, detail);
      assert.ok(!JSON.stringify(verified.error).includes(plaid.config.secret));
      plaid.trouble = null;
      assert.equal(await plaid.outcome(delivery, keys), "ok");
    });
  }

  test("unanswered: stopped by the caller's signal", async () => {
    const plaid = new SigningPlaid();
    const stopper = new AbortController();
    const config: Config = { ...plaid.config, signal: stopper.signal };
    plaid.trouble = () => (stopper.abort(), new Promise(() => {}));
    const keys = plaidKeys(config, { now: plaid.now });
    assert.equal(await plaid.outcome(await plaid.sign(await plaid.newKey()), keys), "keys-unavailable");
  });
});

describe("believed", () => {
  const plaid = new SigningPlaid();
  let key: SigningKey;
  before(async () => void (key = await plaid.newKey()));

  const edges: [name: string, iatSeconds: number][] = [
    ["just now", noon],
    ["300 s ago", noon - 300],
    ["in 60 s", noon + 60],
    ["at a fraction of a second", noon - 0.5],
  ];
  for (const [name, iatSeconds] of edges) {
    test(`signed ${name}`, async () => {
      assert.equal(await plaid.outcome(await plaid.sign(key, syncUpdates, iatSeconds), plaid.keys()), "ok");
    });
  }

  test("text and bytes alike, with the time and the hash of the delivery", async () => {
    const keys = plaid.keys();
    const { header } = await plaid.sign(key, syncUpdates, noon - 7);
    for (const body of [syncUpdates, Buffer.from(syncUpdates), new TextEncoder().encode(syncUpdates)]) {
      assert.deepEqual(await verifyDelivery({ body, header }, { keys, now: plaid.now }), {
        ok: true,
        value: {
          webhook: JSON.parse(syncUpdates),
          iatSeconds: noon - 7,
          bodySha256: sha256(syncUpdates),
        },
      });
    }
  });

  test("a webhook that nobody has listed, whole", async () => {
    const body = '{"webhook_type":"TEA","webhook_code":"READY","cups":[{"sugar":null}],"__proto__":{"a":1}}';
    const verified = await verifyWebhook(await plaid.sign(key, body), { keys: plaid.keys(), now: plaid.now });
    assert.ok(verified.ok);
    assert.equal(JSON.stringify(verified.value), body);
  });

  test("under the machine's clock when none is given", async () => {
    const now = Math.floor(Date.now() / 1000);
    const keys = plaid.keys();
    assert.ok((await verifyWebhook(await plaid.sign(key, syncUpdates, now), { keys })).ok);
    assert.ok(!(await verifyWebhook(await plaid.sign(key, syncUpdates, now - 400), { keys })).ok);
  });

  test("signed before the key expired, delivered after", async () => {
    const old = await plaid.newKey({ expired_at: noon - 100 });
    const keys = plaid.keys();
    assert.equal(await plaid.outcome(await plaid.sign(old, syncUpdates, noon - 101), keys), "ok");
    assert.equal(await plaid.outcome(await plaid.sign(old, syncUpdates, noon - 100), keys), "ok");
    assert.equal(await plaid.outcome(await plaid.sign(old, syncUpdates, noon - 99), keys), "expired-key");
  });

  test("signed with a key whose expiry lies ahead", async () => {
    const old = await plaid.newKey({ expired_at: noon + 100 });
    assert.equal(await plaid.outcome(await plaid.sign(old), plaid.keys()), "ok");
  });

  test("signed with a key that says nothing of its expiry", async () => {
    const old = await plaid.newKey({ expired_at: undefined });
    assert.equal(await plaid.outcome(await plaid.sign(old), plaid.keys()), "ok");
  });
});

// --------------------------------------------------------------------------------------------------- the laws

/** Any object as JSON has it, with the two names that make it a webhook. */
const anyBody = fc
  .tuple(
    fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue({ stringUnit: "binary" })),
    fc.string({ unit: "binary" }),
    // Halves of surrogate pairs too: JSON escapes them, and so they survive.
    fc.string({ unit: fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code)) }),
    fc.constantFrom(0, 2, "\t"),
  )
  .map(([rest, webhook_type, webhook_code, indent]) =>
    JSON.stringify({ ...rest, webhook_type, webhook_code }, null, indent),
  );

/** Seconds for which a delivery signed at noon is in time. */
const anyTime = fc.integer({ min: noon - 300, max: noon + 60 });

test("without a delivery or keys nothing is verified, and the TypeError says what there must be", async () => {
  const delivery = { body: syncUpdates, header: "a.b.c" };
  const keys: VerificationKeys = () => assert.fail("looked up");
  const mistakes: readonly (readonly [RegExp, unknown, unknown])[] = [
    [/^the delivery must be an object with body and header/, undefined, { keys }],
    [/^keys must be a function/, delivery, undefined],
    [/^keys must be a function/, delivery, {}],
    [/^keys must be a function/, delivery, { keys: "keys" }],
    [/^now must be a function/, delivery, { keys, now: noon }],
  ];
  for (const verify of [verifyWebhook, verifyDelivery])
    for (const [message, given, verification] of mistakes)
      await assert.rejects(verify(given as never, verification as never), { name: "TypeError", message });
});

test("nothing is signed with a key that is none, and the TypeError says what there must be", async () => {
  const { privateKey, publicKey } = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign", "verify"],
  );
  const other = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-384" }, false, ["sign"]);
  const agreeing = await crypto.subtle.generateKey({ name: "ECDH", namedCurve: "P-256" }, false, [
    "deriveBits",
  ]);
  const aPrivateKey = /^signWebhook: key\.privateKey must be a private CryptoKey of ECDSA .* P-256$/;
  const mistakes: readonly (readonly [RegExp, unknown, unknown, unknown])[] = [
    [/^signWebhook: key must be an object$/, "{}", undefined, noon],
    [/^signWebhook: key must be an object$/, "{}", privateKey.toString(), noon],
    [/^signWebhook: key\.kid must be a non-empty string$/, "{}", privateKey, noon],
    [/^signWebhook: key\.kid must be a non-empty string$/, "{}", { kid: "", privateKey }, noon],
    ...[undefined, null, "k", publicKey, other.privateKey, agreeing.privateKey].map(
      (wrong) => [aPrivateKey, "{}", { kid: "k", privateKey: wrong }, noon] as const,
    ),
    [/^signWebhook: body must be a string or bytes$/, { a: 1 }, { kid: "k", privateKey }, noon],
    [/^signWebhook: iatSeconds must be a number of seconds$/, "{}", { kid: "k", privateKey }, undefined],
    [/^signWebhook: iatSeconds must be a number of seconds$/, "{}", { kid: "k", privateKey }, NaN],
  ];
  for (const [message, body, key, iatSeconds] of mistakes)
    await assert.rejects(signWebhook(body as never, key as never, iatSeconds as never), {
      name: "TypeError",
      message,
    });
});

describe("laws", () => {
  const plaid = new SigningPlaid();
  let key: SigningKey;
  let publicKey: CryptoKey;
  /** Gives the one true key under any name: what is refused is refused by the signature, not for want of a key. */
  let anyName: VerificationKeys;
  before(async () => {
    key = await plaid.newKey();
    const found = await plaid.keys()(key.kid);
    assert.ok(found.ok);
    publicKey = found.value.key;
    anyName = async () => found;
  });
  const verify = (delivery: Delivery) => verifyDelivery(delivery, { keys: anyName, now: plaid.now });

  test("verify(sign(x)) is x", async () => {
    await fc.assert(
      fc.asyncProperty(anyBody, anyTime, fc.boolean(), async (text, iatSeconds, asBytes) => {
        const body = asBytes ? Buffer.from(text) : text;
        const header = await signWebhook(body, key, iatSeconds);
        const verified = await verify({ body: asBytes ? text : Buffer.from(text), header });
        assert.ok(verified.ok);
        assert.deepEqual(verified.value.webhook, JSON.parse(text));
        assert.deepEqual(
          [verified.value.iatSeconds, verified.value.bodySha256],
          [iatSeconds, sha256(Buffer.from(text))],
        );
      }),
      { numRuns: 300 },
    );
  });

  test("a body with one bit changed is not the one that was signed", async () => {
    await fc.assert(
      fc.asyncProperty(anyBody, fc.nat(), fc.nat(7), async (text, at, bit) => {
        const header = await signWebhook(text, key, noon);
        const bytes = Buffer.from(text);
        bytes[at % bytes.length]! ^= 1 << bit;
        const verified = await verify({ body: bytes, header });
        assert.ok(!verified.ok);
        assert.equal(verified.error.reason, "body-mismatch");
      }),
      { numRuns: 300 },
    );
  });

  test("a body of one bit more or less, anywhere in a real one", async () => {
    const { header } = await plaid.sign(key);
    for (let at = 0; at < syncUpdates.length * 8; at++) {
      const bytes = Buffer.from(syncUpdates);
      bytes[at >> 3]! ^= 1 << (at & 7);
      const verified = await verify({ body: bytes, header });
      assert.ok(!verified.ok && verified.error.reason === "body-mismatch", `bit ${at}`);
    }
  });

  /**
   * The last character of a signature of 64 bytes has 2 bits that count and 4 that do not, so 15 other characters in
   * its place say the same 64 bytes, and the platform's decoders read them so. The law is therefore about what a JWT
   * says: its first two parts letter by letter, because the signature is over the letters, and the bytes of its
   * third. Nothing hangs on the letters of the third: deliveries are told apart by the hash of the body and the time.
   */
  const saysTheSame = (a: string, b: string) => {
    const [[headerA, payloadA, signatureA], [headerB, payloadB, signatureB]] = [a.split("."), b.split(".")];
    return (
      a.split(".").length === b.split(".").length &&
      headerA === headerB &&
      payloadA === payloadB &&
      /^[\w-]{86}$/.test(signatureB ?? "") &&
      Buffer.from(signatureA!, "base64url").equals(Buffer.from(signatureB!, "base64url"))
    );
  };

  test("a JWT with any one bit changed is refused, unless it says the same", async () => {
    const { header } = await plaid.sign(key);
    let same = 0;
    for (let at = 0; at < header!.length * 8; at++) {
      const bytes = Buffer.from(header!, "latin1");
      bytes[at >> 3]! ^= 1 << (at & 7);
      const changed = bytes.toString("latin1");
      const verified = await verify({ body: syncUpdates, header: changed });
      assert.equal(verified.ok, saysTheSame(header!, changed), `bit ${at}: ${changed}`);
      same += +verified.ok;
    }
    assert.ok(same <= 4, `${same} changes of unused bits`);
  });

  test("so is one with any character replaced, left out or put in", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(),
        fc.nat(1),
        fc.oneof(
          fc.constant(""),
          fc.constantFrom(..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/. \t\n"),
          fc.string({ minLength: 1, maxLength: 1, unit: "binary" }),
        ),
        async (where, cut, put) => {
          const { header } = await plaid.sign(key);
          const at = where % header!.length;
          const changed = header!.slice(0, at) + put + header!.slice(at + cut);
          fc.pre(changed !== header);
          const verified = await verify({ body: syncUpdates, header: changed });
          // White space, which some decoders of base64 pass over, is refused wherever it is.
          assert.equal(verified.ok, !/\s/.test(changed) && saysTheSame(header!, changed));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test("nothing that arrives makes it throw, and nothing unsigned is believed", async () => {
    const keys = plaid.keys();
    plaid.asked.length = 0;
    const part = fc.oneof(
      fc.json().map(base64url),
      fc
        .constantFrom(es256(key.kid), { alg: "ES256", kid: "k" }, { alg: "none" }, claims(syncUpdates))
        .map((said) => base64url(JSON.stringify(said))),
      fc.string({ unit: "binary" }),
      fc.base64String(),
    );
    const anyHeader = fc.oneof(
      fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => parts.join(".")),
      fc
        .tuple(
          fc.record({ alg: fc.constant("ES256"), kid: fc.anything() }, { noNullPrototype: true }),
          part,
          part,
        )
        .map(([first, ...rest]) => [base64url(text(first)), ...rest].join(".")),
      fc.string({ unit: "binary" }),
      fc.anything(),
    );
    const anything = fc.oneof(fc.uint8Array(), fc.string({ unit: "binary" }), fc.json(), fc.anything());
    await fc.assert(
      fc.asyncProperty(anyHeader, anything, async (header, body) => {
        const verified = await verifyWebhook({ header, body } as Delivery, { keys, now: plaid.now });
        assert.ok(!verified.ok);
        assert.ok(reasons.includes(verified.error.reason));
      }),
      { numRuns: 2_000 },
    );
    assert.ok(plaid.asked.length <= 11, `${plaid.asked.length} look-ups: 10 for strangers, 1 for the key`);
  });

  test("nor does anything that is signed", async () => {
    const anyClaims = fc.oneof(
      fc.json(),
      fc
        .record({ iat: fc.oneof(fc.constant(noon), fc.jsonValue()), request_body_sha256: fc.jsonValue() })
        .map(text),
      fc.constant(text(claims(syncUpdates))),
    );
    await fc.assert(
      fc.asyncProperty(
        anyClaims,
        fc.oneof(fc.json(), fc.string(), fc.constant(syncUpdates)),
        async (said, body) => {
          const header = await forge(es256(key.kid), said, key.privateKey);
          const verified = await verify({ header, body });
          assert.equal(verified.ok, said === text(claims(syncUpdates)) && body === syncUpdates);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("jose and node:crypto come to the same verdict", async () => {
    const { privateKey: strange } = await newKeyPair();
    const near = fc.oneof(
      anyTime,
      fc.constantFrom(-302, -301, -300, -299, 59, 60, 61, 62).map((s) => noon + s),
    );
    const flip = fc.option(fc.record({ at: fc.nat(), bit: fc.nat(7) }), { freq: 2 });
    const tally = { accepted: 0, refused: 0 };
    await fc.assert(
      fc.asyncProperty(near, fc.boolean(), flip, fc.boolean(), async (iatSeconds, own, flipped, sameBody) => {
        const signer = { kid: key.kid, privateKey: own ? key.privateKey : strange };
        const bytes = Buffer.from(await signWebhook(syncUpdates, signer, iatSeconds), "latin1");
        if (flipped) bytes[flipped.at % bytes.length]! ^= 1 << flipped.bit;
        const header = bytes.toString("latin1");
        const body = sameBody ? syncUpdates : `${syncUpdates} `;

        const ahead = iatSeconds > noon;
        const theirs = await jwtVerify(header, publicKey, {
          algorithms: ["ES256"],
          currentDate: new Date(noon * 1000),
          clockTolerance: ahead ? 60 : 0,
          maxTokenAge: ahead ? "1 year" : 300,
        }).then(
          ({ payload }) => payload["request_body_sha256"] === sha256(body),
          () => false,
        );
        const ours = await verify({ header, body });
        assert.equal(ours.ok, theirs);
        tally[theirs ? "accepted" : "refused"]++;
      }),
      { numRuns: 1_000 },
    );
    assert.ok(tally.accepted > 50 && tally.refused > 50, JSON.stringify(tally));
  });
});

/** JSON of what may not be JSON. */
function text(value: unknown): string {
  try {
    return JSON.stringify(value, (_key, member) => (typeof member === "bigint" ? `${member}` : member)) ?? "";
  } catch {
    return "{";
  }
}
