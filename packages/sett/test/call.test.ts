// What one call sends, what it makes of each answer, and how often it dares to ask again.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type * as sett from "../src/index.ts";
import {
  advice,
  bind,
  call,
  describe as inOneLine,
  happened,
  Item,
  Link,
  Sandbox,
  unwrap,
  type Config,
  type Failure,
} from "../src/index.ts";
import { answer, itemAnswer, networkError, refusal, scripted } from "./scripted.ts";

const token = "access-sandbox-0af2c971-41a6-4fc5-a97d-f2b27ab0a648";

async function failureOf(outcome: Promise<sett.Result<unknown, Failure>>): Promise<Failure> {
  const result = await outcome;
  assert.ok(!result.ok, "the call should have failed");
  return result.error;
}

describe("a request", () => {
  test("goes to the environment's host with the credentials in headers and the token in the body", async () => {
    const { config, sent } = scripted(itemAnswer());
    await Item.get(token, config);
    assert.deepEqual(sent, [
      {
        url: "https://sandbox.plaid.com/item/get",
        body: JSON.stringify({ access_token: token }),
        headers: {
          "Content-Type": "application/json",
          "PLAID-CLIENT-ID": config.clientId,
          "PLAID-SECRET": config.secret,
          "Plaid-Version": "2020-09-14",
        },
      },
    ]);
  });

  test("goes to production, or to a base URL with or without a slash at its end", async () => {
    for (const [more, url] of [
      [{ env: "production" }, "https://production.plaid.com/item/get"],
      [{ baseUrl: "http://127.0.0.1:4242" }, "http://127.0.0.1:4242/item/get"],
      [{ baseUrl: "http://127.0.0.1:4242/plaid//" }, "http://127.0.0.1:4242/plaid/item/get"],
    ] as const) {
      const { config, sent } = scripted(itemAnswer());
      await Item.get(token, { ...config, ...more });
      assert.equal(sent[0]?.url, url);
    }
  });

  test("of each function carries its wire names and nothing undefined", async () => {
    const ok = answer(200, {
      access_token: "a",
      new_access_token: "n",
      item_id: "i",
      item: { item_id: "i" },
      link_token: "l",
      expiration: "e",
      created_at: null,
      metadata: {},
      key: {},
      institution: {},
      accounts: [],
      public_token: "p",
      reset_login: true,
      webhook_fired: true,
      request_id: "r",
    });
    const { config, sent } = scripted(ok);
    const plaid = bind(config);
    const expected: [Promise<sett.Result<unknown, Failure>>, string, object][] = [
      [plaid.item.exchangePublicToken("p"), "/item/public_token/exchange", { public_token: "p" }],
      [plaid.item.get("a"), "/item/get", { access_token: "a" }],
      [plaid.item.invalidateAccessToken("a"), "/item/access_token/invalidate", { access_token: "a" }],
      [plaid.item.remove("a"), "/item/remove", { access_token: "a" }],
      [
        plaid.item.remove("a", { reason_code: "OTHER", reason_note: null }),
        "/item/remove",
        { reason_code: "OTHER", reason_note: null, access_token: "a" },
      ],
      [
        plaid.item.updateWebhook("a", "https://x.test/w"),
        "/item/webhook/update",
        { access_token: "a", webhook: "https://x.test/w" },
      ],
      [plaid.item.updateWebhook("a", null), "/item/webhook/update", { access_token: "a", webhook: null }],
      [plaid.link.getToken("l"), "/link/token/get", { link_token: "l" }],
      [
        plaid.link.createToken({
          client_name: "c",
          language: "en",
          country_codes: ["US"],
          user: { client_user_id: "u" },
        }),
        "/link/token/create",
        { client_name: "c", language: "en", country_codes: ["US"], user: { client_user_id: "u" } },
      ],
      [plaid.accounts.get("a"), "/accounts/get", { access_token: "a" }],
      [
        plaid.accounts.get("a", ["x"]),
        "/accounts/get",
        { access_token: "a", options: { account_ids: ["x"] } },
      ],
      [
        plaid.institution.getById("ins_1", ["US"], { include_status: true }),
        "/institutions/get_by_id",
        { institution_id: "ins_1", country_codes: ["US"], options: { include_status: true } },
      ],
      [plaid.webhook.getVerificationKey("k"), "/webhook_verification_key/get", { key_id: "k" }],
      [
        plaid.sandbox.createPublicToken("ins_1", ["auth"], { webhook: "https://x.test" }),
        "/sandbox/public_token/create",
        { institution_id: "ins_1", initial_products: ["auth"], options: { webhook: "https://x.test" } },
      ],
      [plaid.sandbox.resetLogin("a"), "/sandbox/item/reset_login", { access_token: "a" }],
      [
        plaid.sandbox.fireWebhook("a", "DEFAULT_UPDATE", "AUTH"),
        "/sandbox/item/fire_webhook",
        { access_token: "a", webhook_code: "DEFAULT_UPDATE", webhook_type: "AUTH" },
      ],
      [
        plaid.sandbox.setVerificationStatus("a", "x", "verification_expired"),
        "/sandbox/item/set_verification_status",
        { access_token: "a", account_id: "x", verification_status: "verification_expired" },
      ],
      [
        plaid.call("/auth/get", { access_token: "a", any: [1] }),
        "/auth/get",
        { access_token: "a", any: [1] },
      ],
    ];
    for (const [outcome, path, body] of expected) {
      unwrap(await outcome);
      const request = sent.find((each) => each.url.endsWith(path) && each.body === JSON.stringify(body));
      assert.ok(request, `${path} ${JSON.stringify(body)}`);
    }
    assert.equal(sent.length, expected.length);
  });
});

describe("a programmer's mistake is a TypeError that names the field, repeats no value and sends nothing", () => {
  const bad = "bad\nvalue-5150";
  const cases: [string, RegExp, (config: Config) => Promise<unknown>][] = [
    ["an empty token", /access_token must be a non-empty string/, (c) => Item.get("", c)],
    ["a token that is no string", /access_token must be/, (c) => Item.get(5150 as unknown as string, c)],
    ["no token", /public_token must be/, (c) => Item.exchangePublicToken(undefined as unknown as string, c)],
    ["no configuration", /config\.clientId must be/, () => Item.get("t", undefined as unknown as Config)],
    [
      "no client id",
      /config\.clientId must be/,
      (c) => Item.get("t", { ...c, clientId: undefined as unknown as string }),
    ],
    ["an empty secret", /config\.secret must be/, (c) => Item.get("t", { ...c, secret: "" })],
    [
      "a secret that no header carries",
      /config\.secret must be visible ASCII/,
      (c) => Item.get("t", { ...c, secret: bad }),
    ],
    [
      "an unknown env",
      /config\.env must be sandbox or production/,
      (c) => Item.get("t", { ...c, env: "5150" as "sandbox" }),
    ],
    [
      "a base URL that is not http",
      /config\.baseUrl must be an http/,
      (c) => Item.get("t", { ...c, baseUrl: "ftp://5150" }),
    ],
    [
      "a base URL with credentials",
      /config\.baseUrl/,
      (c) => Item.get("t", { ...c, baseUrl: "http://u:5150@h" }),
    ],
    [
      "a base URL that lost its host, so that its path would be the host",
      /config\.baseUrl/,
      (c) => Item.get("t", { ...c, baseUrl: "https:///5150" }),
    ],
    [
      "a base URL that lost its host, so that its path would be the host, with backslashes",
      /config\.baseUrl/,
      (c) => Item.get("t", { ...c, baseUrl: "https://\\5150" }),
    ],
    [
      "a base URL that is none",
      /config\.baseUrl/,
      (c) => Item.exchangePublicToken("t", { ...c, baseUrl: "http://h:515000" }),
    ],
    ["a time-out that is none", /config\.timeoutMs/, (c) => Item.get("t", { ...c, timeoutMs: Number.NaN })],
    [
      "a time-out that is text",
      /config\.timeoutMs/,
      (c) => Item.get("t", { ...c, timeoutMs: "5150" as unknown as number }),
    ],
    [
      "a webhook that is not http",
      /webhook must be an http/,
      (c) => Item.updateWebhook("t", "ftp://5150", c),
    ],
    ["an empty webhook", /webhook must be an http.*null/, (c) => Item.updateWebhook("t", "", c)],
    [
      "an unset webhook",
      /webhook must be/,
      (c) => Item.updateWebhook("t", undefined as unknown as string, c),
    ],
    [
      "a note of 513 characters",
      /reason_note must be a string of at most 512/,
      (c) => Item.remove("t", c, { reason_note: "5150".padEnd(513, "x") }),
    ],
    [
      "an unknown reason",
      /reason_code must be one of FRAUD/,
      (c) => Item.remove("t", c, { reason_code: "5150" as "OTHER" }),
    ],
    ["no products", /initial_products must be a list/, (c) => Sandbox.createPublicToken("i", [], c)],
    [
      "a date that does not exist",
      /options\.transactions\.start_date must be/,
      (c) => Sandbox.createPublicToken("i", ["auth"], c, { transactions: { start_date: "2026-02-30" } }),
    ],
    [
      "a user without an id",
      /user\.client_user_id must be a non-empty string/,
      (c) =>
        Link.createToken(
          { client_name: "c", language: "en", country_codes: ["US"], user: {} as { client_user_id: string } },
          c,
        ),
    ],
    [
      "a telephone number that is not E.164",
      /user\.phone_number must be a string in E\.164 format/,
      (c) =>
        Link.createToken(
          {
            client_name: "c",
            language: "en",
            country_codes: ["US"],
            user: { client_user_id: "u", phone_number: "415 555 5150" },
          },
          c,
        ),
    ],
    [
      "a request for a link token that is none",
      /client_name must be a non-empty string/,
      (c) => Link.createToken(undefined as never, c),
    ],
    ["a path that is none", /path must be/, (c) => call("https://5150/item/get", {}, c)],
    ["a path that climbs", /path must be/, (c) => call("/item/../5150", {}, c)],
    [
      "a body that is none",
      /request must be an object/,
      (c) => call("/item/get", "5150" as unknown as object, c),
    ],
  ];
  for (const [name, expected, mistaken] of cases) {
    test(name, async () => {
      const { config, sent } = scripted(itemAnswer());
      await assert.rejects(mistaken(config), (thrown: unknown) => {
        assert.ok(thrown instanceof TypeError);
        assert.match(thrown.message, expected);
        assert.doesNotMatch(thrown.message, /5150/);
        return true;
      });
      assert.equal(sent.length, 0);
    });
  }
});

describe("an answer", () => {
  test("is given as it came, unknown fields and all, with an empty webhook as null", async () => {
    const { config } = scripted(itemAnswer({ brand_new: { deep: 1 } }));
    const { item } = unwrap(await Item.get(token, config));
    assert.deepEqual(item, { item_id: "i1", webhook: null, error: null, brand_new: { deep: 1 } } as unknown);
  });

  test("has null where the Item has no webhook, however Plaid says so", async () => {
    for (const webhook of ["", null, undefined]) {
      const { config } = scripted(itemAnswer({ webhook }));
      assert.equal(unwrap(await Item.get(token, config)).item.webhook, null);
    }
  });

  test("that is Plaid's error is refused, with all of its fields", async () => {
    const more = { error_code_reason: "OAUTH_INVALID_TOKEN", suggested_action: null, new_field: 1 };
    const { config, sent } = scripted(refusal(400, "ITEM_LOGIN_REQUIRED", "ITEM_ERROR", more));
    const failure = await failureOf(Item.get(token, config));
    assert.deepEqual(failure, {
      kind: "refused",
      status: 400,
      request_id: "r1",
      path: "/item/get",
      attempts: 1,
      lost: 0,
      error: {
        error_type: "ITEM_ERROR",
        error_code: "ITEM_LOGIN_REQUIRED",
        error_message: "m",
        display_message: null,
        request_id: "r1",
        ...more,
      },
    });
    assert.equal(sent.length, 1);
    assert.equal(happened(failure), "no");
  });

  test("that Plaid does not send is unreadable, and may have happened", async () => {
    for (const [why, reply] of [
      ["not-json", answer(200, '{"access_token":"access-sand', "application/json")],
      ["not-json", answer(502, "<html>Bad Gateway</html>", "text/html")],
      ["not-json", answer(200, "")],
      ["not-plaid", answer(404, { error: "no such route" })],
      ["not-plaid", answer(404, "null")],
      ["not-plaid", answer(302, {})],
      ["not-plaid", answer(201, { access_token: "a", item_id: "i", request_id: "r" })],
      ["missing-field", answer(200, { access_token: "a", item_id: "i" })],
      ["missing-field", answer(200, { access_token: "", item_id: "i", request_id: "r" })],
      ["missing-field", answer(200, { access_token: null, item_id: "i", request_id: "r" })],
      ["not-plaid", answer(200, "null")],
      ["not-plaid", answer(200, "[]")],
    ] as const) {
      const { config, sent } = scripted(reply);
      const failure = await failureOf(Item.exchangePublicToken("p", config));
      assert.equal(failure.kind, "unreadable");
      assert.equal(failure.kind === "unreadable" && failure.why, why);
      assert.equal(happened(failure), "unknown");
      assert.equal(advice(failure).action, "investigate");
      assert.equal(sent.length, 1, "a spent token is never sent again");
      assert.ok(!JSON.stringify(failure).includes("access-sand"), "a cut token stays out");
    }
  });

  test("that is Plaid's error is refused under any status, and done is nothing", async () => {
    for (const make of [
      (c: Config) => Item.remove(token, c),
      (c: Config) => call("/processor/token/create", {}, c),
      (c: Config) => Item.get(token, c),
      (c: Config) => Sandbox.setVerificationStatus(token, "a", "verification_expired", c),
    ]) {
      const { config, sent } = scripted(refusal(200, "INVALID_API_KEYS", "INVALID_INPUT"));
      const failure = await failureOf(make(config));
      assert.equal(failure.kind === "refused" && failure.error.error_code, "INVALID_API_KEYS");
      assert.deepEqual([happened(failure), sent.length], ["no", 1]);
    }
  });

  test("of a call for which sett has no function may have an error_code among its fields", async () => {
    const body = { error_code: "X", request_id: "r" };
    const { config } = scripted(answer(200, body));
    assert.deepEqual(unwrap(await call("/some/report", {}, config)), body);
  });

  test("whose item is no Item is unreadable", async () => {
    const { config } = scripted(answer(200, { item: { webhook: "" }, request_id: "r" }));
    const failure = await failureOf(Item.get(token, { ...config, retries: 0 }));
    assert.equal(failure.kind === "unreadable" && failure.detail, "item must be an Item with an item_id");
  });
});

describe("sending again", () => {
  const once = {
    exchange: (c: Config) => Item.exchangePublicToken("p", c),
    invalidate: (c: Config) => Item.invalidateAccessToken(token, c),
    call: (c: Config) => call("/processor/token/create", { access_token: token }, c),
  };
  const often = {
    get: (c: Config) => Item.get(token, c),
    updateWebhook: (c: Config) => Item.updateWebhook(token, null, c),
    remove: (c: Config) => Item.remove(token, c),
  };
  const surelyNot = {
    "no connection": networkError("ECONNREFUSED", "connect"),
    "no name": networkError("ENOTFOUND", "getaddrinfo"),
    "no route": networkError("EHOSTUNREACH", "connect"),
    "a port that fetch goes to for nobody": new TypeError("fetch failed", { cause: new Error("bad port") }),
    "a rate limit": refusal(429, "RATE_LIMIT", "RATE_LIMIT_EXCEEDED"),
    maintenance: refusal(503, "PLANNED_MAINTENANCE", "API_ERROR"),
  };
  const perhaps = {
    "a reset": networkError("ECONNRESET", "read"),
    "a route lost in mid-call": networkError("EHOSTUNREACH", "read"),
    "an error without a code": new TypeError("Failed to fetch"),
    "a 500": refusal(500, "INTERNAL_SERVER_ERROR", "API_ERROR"),
    "a 500 under another status": refusal(400, "INTERNAL_SERVER_ERROR", "API_ERROR"),
    "no answer of its transport's": undefined as unknown as sett.Answer,
    "a proxy's 502": answer(502, "<html>", "text/html"),
    "cut JSON": answer(200, "{"),
  };
  const never = {
    "a refusal": refusal(400, "INVALID_ACCESS_TOKEN", "INVALID_INPUT"),
    "a spent quota": refusal(429, "CREDITS_EXHAUSTED", "RATE_LIMIT_EXCEEDED"),
    "an institution that is down": refusal(400, "INSTITUTION_DOWN", "INSTITUTION_ERROR"),
  };

  for (const [what, reply] of Object.entries({ ...surelyNot, ...perhaps, ...never })) {
    for (const [name, make] of Object.entries({ ...once, ...often })) {
      const repeats = !(what in never) && (name in often || what in surelyNot);
      const doubt = what in perhaps ? "unknown" : "no";
      test(`${name} after ${what}: ${repeats ? "three times" : "never"}, happened: ${doubt}`, async () => {
        const { config, sent, slept } = scripted(reply);
        const failure = await failureOf(make(config));
        assert.equal(sent.length, repeats ? 3 : 1);
        assert.equal(failure.attempts, sent.length);
        assert.equal(happened(failure), doubt);
        assert.deepEqual(slept, repeats ? [500, 1000] : []);
        if (name in once && doubt === "unknown") assert.equal(advice(failure).action, "investigate");
      });
    }
  }

  for (const delivery_method of ["sms", "email", undefined] as const) {
    test(`a link token that Plaid brings to the user by ${delivery_method ?? "nothing"}`, async () => {
      const make = async (reply: Error) => {
        const { config, sent } = scripted(reply);
        const request = {
          ...{
            client_name: "c",
            language: "en",
            country_codes: ["US" as const],
            user: { client_user_id: "u" },
          },
          hosted_link: delivery_method ? { delivery_method } : {},
        };
        await failureOf(Link.createToken(request, config));
        return sent.length;
      };
      assert.equal(await make(perhaps["a reset"]), delivery_method ? 1 : 3);
      assert.equal(await make(surelyNot["no connection"]), 3);
    });
  }

  test("a doubt is not forgotten when a later attempt is refused", async () => {
    const { config } = scripted(
      networkError("ECONNRESET"),
      refusal(429, "RATE_LIMIT", "RATE_LIMIT_EXCEEDED"),
    );
    const failure = await failureOf(Item.remove(token, config));
    assert.equal(failure.kind, "refused");
    assert.equal(happened(failure), "unknown");
    assert.deepEqual([failure.attempts, failure.lost], [3, 1]);
  });

  test("a removal whose answer was lost is done when the Item cannot be found", async () => {
    const { config, sent } = scripted(networkError("ECONNRESET"), refusal(400, "ITEM_NOT_FOUND"));
    assert.deepEqual(await Item.remove(token, config), { ok: true, value: { request_id: "r1" } });
    assert.equal(sent.length, 2);
  });

  test("a removal of an Item that is not there is refused, when nothing was lost", async () => {
    const { config } = scripted(networkError("ECONNREFUSED", "connect"), refusal(400, "ITEM_NOT_FOUND"));
    const failure = await failureOf(Item.remove(token, config));
    assert.equal(failure.kind === "refused" && failure.error.error_code, "ITEM_NOT_FOUND");
    assert.equal(happened(failure), "no");
  });

  test("onAttempt sees each attempt, and cannot lose the answer by throwing", async () => {
    const { config } = scripted(networkError("ECONNRESET"), itemAnswer());
    const seen: sett.Attempt[] = [];
    let clock = 0;
    const onAttempt = (attempt: sett.Attempt) => {
      seen.push(attempt);
      throw new Error("a bug in a log line");
    };
    unwrap(await Item.get(token, { ...config, onAttempt, now: () => (clock += 5) }));
    assert.deepEqual(
      seen.map(({ path, attempt, durationMs, failure, retryInMs }) => [
        path,
        attempt,
        durationMs > 0,
        failure?.kind,
        retryInMs,
      ]),
      [
        ["/item/get", 1, true, "unanswered", 500],
        ["/item/get", 2, true, undefined, null],
      ],
    );
  });
});

test("a signal that is none is a TypeError, and no timer keeps the process", async (t) => {
  const { config, sent } = scripted(itemAnswer());
  const timers = t.mock.method(globalThis, "setTimeout");
  const signal = new AbortController() as unknown as AbortSignal;
  await assert.rejects(Item.get(token, { ...config, signal }), TypeError);
  assert.deepEqual([timers.mock.callCount(), sent], [0, []]);
});

test("onAttempt cannot end the process by rejecting", async (t) => {
  const unhandled = t.mock.fn();
  process.on("unhandledRejection", unhandled);
  t.after(() => process.off("unhandledRejection", unhandled));
  const { config } = scripted(answer(200, { access_token: "a", item_id: "i", request_id: "r" }));
  const onAttempt = () => Promise.reject(new Error("a bug in a log line")) as unknown as void;
  unwrap(await Item.exchangePublicToken("p", { ...config, onAttempt }));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(unhandled.mock.callCount(), 0);
});

test("whatever a transport throws or gives back, the failure is of the declared types", async () => {
  const circular: Record<string, unknown> = {};
  circular["message"] = circular;
  const thrown = [
    new DOMException("too long", "TimeoutError"),
    { code: 10n, message: 10n },
    circular,
    { code: circular },
    new AggregateError([circular]),
    "text",
    null,
    undefined,
  ];
  const posts: sett.Post[] = [
    ...thrown.map((each) => () => Promise.reject(each as Error)),
    ...[undefined, null, 0].map((each) => () => Promise.resolve(each as unknown as sett.Answer)),
  ];
  for (const post of posts) {
    const { config } = scripted(itemAnswer());
    const failure = await failureOf(Item.get(token, { ...config, retries: 0, post }));
    assert.ok(failure.kind === "unanswered");
    assert.equal(failure.why, "disconnected");
    for (const text of [failure.code, failure.detail])
      assert.ok(text === null || typeof text === "string", inOneLine(failure));
  }
});

test("an error type and a code that are new say what to do under any status", async () => {
  const adviceFor = async (status: number, type: string) => {
    const { config } = scripted(refusal(status, "BRAND_NEW", type));
    return advice(await failureOf(Item.get(token, config)));
  };
  for (const [type, expected] of [
    ["RATE_LIMIT_EXCEEDED", { action: "retry", delayMs: 60_000 }],
    ["API_ERROR", { action: "retry", delayMs: 1_000 }],
    ["INVALID_INPUT", { action: "fix-request" }],
    ["INVALID_REQUEST", { action: "fix-request" }],
  ] as const) {
    for (const status of [200, 400, 429, 500])
      assert.deepEqual(await adviceFor(status, type), expected, type);
  }
  for (const type of ["ITEM_ERROR", "BRAND_NEW_ERROR"]) {
    assert.deepEqual(await adviceFor(400, type), { action: "investigate" });
    assert.deepEqual(await adviceFor(429, type), { action: "retry", delayMs: 60_000 });
    assert.deepEqual(await adviceFor(500, type), { action: "retry", delayMs: 1_000 });
  }
});

test("describe keeps to one line, whatever Plaid or the network says", async () => {
  for (const reply of [
    refusal(400, "ITEM_LOCKED", "ITEM_ERROR", { error_message: "one\ntwo\r\nthree\u2028four" }),
    new TypeError("fetch failed", { cause: { message: "ssl3_get_record:wrong version number:\n" } }),
  ]) {
    const { config } = scripted(reply);
    assert.doesNotMatch(inOneLine(await failureOf(Item.get(token, config))), /[\r\n\u2028]/);
  }
});

describe("an end", () => {
  test("comes at the deadline, even if the transport does not care", async () => {
    const { config } = scripted(itemAnswer());
    const failure = await failureOf(
      Item.get(token, { ...config, timeoutMs: 5, post: () => new Promise(() => {}) }),
    );
    assert.deepEqual(
      { ...failure },
      {
        kind: "unanswered",
        why: "timeout",
        code: null,
        detail: null,
        path: "/item/get",
        attempts: 1,
        lost: 1,
      },
    );
  });

  test("leaves the transport the last word: that nothing had been sent", async () => {
    const post: sett.Post = async (_url, _body, _headers, signal) => {
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      // As late as it comes through a transport around a transport.
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
      throw networkError("ECONNREFUSED", "connect");
    };
    const { config } = scripted(itemAnswer());
    const late = await failureOf(Item.exchangePublicToken("p", { ...config, timeoutMs: 5, post }));
    assert.deepEqual(
      [late.kind, late.kind !== "refused" && late.why, happened(late)],
      ["unsent", "timeout", "no"],
    );
  });

  test("comes with the caller's signal: in flight, in a pause, or before anything was sent", async () => {
    const inFlight = new AbortController();
    const hanging = scripted("hang");
    const outcome = failureOf(Item.get(token, { ...hanging.config, signal: inFlight.signal }));
    inFlight.abort();
    const cut = await outcome;
    assert.deepEqual(
      [cut.kind, cut.kind !== "refused" && cut.why, happened(cut)],
      ["unanswered", "aborted", "unknown"],
    );

    const inPause = new AbortController();
    const pausing = scripted(networkError("ECONNREFUSED", "connect"));
    const sleep = () => {
      inPause.abort();
      return new Promise(() => {});
    };
    const paused = await failureOf(
      Item.exchangePublicToken("p", { ...pausing.config, sleep, signal: inPause.signal }),
    );
    assert.deepEqual([paused.kind, paused.attempts, happened(paused)], ["unsent", 1, "no"]);

    const early = scripted(itemAnswer());
    const before = await failureOf(
      Item.exchangePublicToken("p", { ...early.config, signal: AbortSignal.abort() }),
    );
    assert.deepEqual(
      [before.kind, before.kind !== "refused" && before.why, happened(before)],
      ["unsent", "aborted", "no"],
    );
    assert.equal(early.sent.length, 0);
  });

  test("comes before a pause that would outlast the deadline", async () => {
    const { config, sent, slept } = scripted(networkError("ECONNREFUSED", "connect"));
    let clock = 0;
    await failureOf(Item.get(token, { ...config, timeoutMs: 1_200, now: () => (clock += 400) }));
    assert.deepEqual([sent.length, slept.length], [1, 0]);
  });
});

test("the failures of a real network: nobody listens, a server that hangs up, a port that is not gone to", async () => {
  const { createServer } = await import("node:net");
  const server = createServer((socket) => socket.once("data", () => socket.resetAndDestroy())).listen(
    0,
    "127.0.0.1",
  );
  await new Promise((resolve) => server.once("listening", resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const config = {
    clientId: "client-12345",
    secret: "secret-12345",
    retries: 0,
    baseUrl: `http://127.0.0.1:${address.port}`,
  };

  const hungUp = await failureOf(Item.exchangePublicToken("p", config));
  assert.deepEqual([hungUp.kind, happened(hungUp)], ["unanswered", "unknown"]);
  await new Promise((resolve) => server.close(resolve));
  const nobody = await failureOf(Item.exchangePublicToken("p", config));
  assert.deepEqual([nobody.kind, happened(nobody)], ["unsent", "no"]);
  const forbidden = await failureOf(
    Item.exchangePublicToken("p", { ...config, baseUrl: "http://127.0.0.1:1" }),
  );
  assert.deepEqual([forbidden.kind, happened(forbidden)], ["unsent", "no"]);
  assert.deepEqual(advice(forbidden), { action: "investigate" });
});
