// Law: the sandbox refuses as Plaid does, in status, type, code and text; and what it does not model cannot be taken
// for Plaid's word.

import assert from "node:assert/strict";
import { test } from "node:test";
import { errorCodes } from "sett";
import * as endpoints from "sett/endpoints";
import { createSandbox, type FaultEffect } from "../src/index.ts";
import { documented } from "./documented.ts";
import { aPlaid, refused, type Answered } from "./plaid.ts";

const rows = Object.values(endpoints).map(({ path, request }) => ({
  path,
  required: Object.keys(request).filter((name) => !name.endsWith("?")),
}));

/** A request that is good in form for every row: values of the right kinds. */
const formGood: Record<string, unknown> = {
  access_token: "access-sandbox-00000000-0000-4000-8000-000000000000",
  public_token: "public-sandbox-00000000-0000-4000-8000-000000000000",
  link_token: "link-sandbox-00000000-0000-4000-8000-000000000000",
  key_id: "no-key",
  institution_id: "ins_0",
  initial_products: ["auth"],
  country_codes: ["US"],
  client_name: "Name",
  language: "en",
  webhook_code: "DEFAULT_UPDATE",
  account_id: "no-account",
  verification_status: "automatically_verified",
};
const goodFor = (required: readonly string[]) =>
  Object.fromEntries(required.map((name) => [name, formGood[name]]));

for (const [type, code, status, message, display] of documented) {
  test(`${code} is answered with its documented status and texts`, async () => {
    const { control, call } = await aPlaid();
    control.faults.add({ path: "/item/get", then: code as FaultEffect });
    const { status: answered, body, text } = await call("/item/get", { access_token: "any" });
    const { request_id, documentation_url, ...rest } = body;
    assert.match(request_id, /^[0-9A-Za-z]{15}$/);
    assert.deepEqual(
      [answered, rest],
      [
        status,
        {
          display_message: display,
          error_code: code,
          error_message: message,
          error_type: type,
          suggested_action: null,
        },
      ],
    );
    const anchor = `${type.toLowerCase().replace("_error", "").replaceAll("_", "-")}-errors`;
    assert.equal(
      documentation_url,
      code === "NO_LONGER_AVAILABLE" ? undefined : `https://plaid.com/docs/?ref=error#${anchor}`,
    );
    assert.equal(text, JSON.stringify(sorted(body), null, 2).replace(/[<>&]/g, escape));
  });
}
const sorted = (body: object) =>
  Object.fromEntries(Object.entries(body).sort(([a], [b]) => (a < b ? -1 : 1)));
const escape = (found: string) => `\\u00${found.charCodeAt(0).toString(16)}`;

test("every error code that sett knows can be ordered, but for legacy aliases", async () => {
  const { control } = await aPlaid();
  const legacy = [
    "ITEM_NO_ERROR",
    "no-depository-accounts",
    "plaid-internal-error",
    "WEBHOOK_EVENTS_CURSOR_EXPIRED",
  ];
  for (const code of Object.keys(errorCodes)) {
    if (!legacy.includes(code)) control.faults.add({ path: "*", then: code as FaultEffect });
  }
});

for (const { path, required } of rows) {
  test(`${path} names the fields that are missing, all of them, and the credentials before them`, async () => {
    const { call } = await aPlaid();
    const message = (fields: string[]) => `the following required fields are missing: ${fields.join(", ")}`;
    assert.deepEqual(refused(await call(path, {})), [
      400,
      "INVALID_REQUEST",
      "MISSING_FIELDS",
      message(required),
    ]);
    const anonymous = { "PLAID-CLIENT-ID": undefined, "PLAID-SECRET": undefined };
    assert.equal(
      (await call(path, {}, anonymous)).body.error_message,
      message(["client_id", "secret", ...required]),
    );
    assert.equal(
      (await call(path, goodFor(required), anonymous)).body.error_message,
      message(["client_id", "secret"]),
    );
  });

  test(`${path} names a field that it does not know`, async () => {
    const { call } = await aPlaid();
    assert.deepEqual(refused(await call(path, { ...goodFor(required), surprise: 1, more: { deep: 1 } })), [
      400,
      "INVALID_REQUEST",
      "UNKNOWN_FIELDS",
      "the following fields are not recognized by this endpoint: surprise, more",
    ]);
    // The table marks what may be left out with such a name.
    const marked = await call(path, { ...goodFor(required), "webhook?": 1, "options?": 1 });
    assert.match(marked.body.error_message, /endpoint: webhook\?, options\?$/);
  });

  for (const field of required) {
    test(`${path} names ${field} when it is of the wrong kind`, async () => {
      const { call } = await aPlaid();
      for (const wrong of [null, 7, "", [], {}]) {
        const { status, body } = await call(path, { ...goodFor(required), [field]: wrong });
        assert.deepEqual([status, body.error_code], [400, "INVALID_FIELD"], JSON.stringify(wrong));
        assert.match(body.error_message, new RegExp(`^${field} must be `));
      }
    });
  }

  test(`${path} refuses wrong credentials, and makes nothing`, async () => {
    const { call, control } = await aPlaid();
    const answered = await call(path, goodFor(required), { "PLAID-SECRET": "wrong" });
    assert.deepEqual(refused(answered), [
      400,
      "INVALID_INPUT",
      "INVALID_API_KEYS",
      "invalid client_id or secret provided",
    ]);
    assert.deepEqual(control.items.list(), []);
  });

  test(`${path} is served to POST alone`, async () => {
    const { sandbox } = await aPlaid();
    for (const method of ["GET", "PUT", "DELETE", "PATCH"]) {
      const answer = await sandbox.fetch(path, { method });
      assert.deepEqual([answer.status, (await answer.json()).error_code], [404, "NOT_FOUND"]);
    }
  });
}

test("nothing unknown ever makes an Item", async () => {
  const { call, control } = await aPlaid();
  for (const { path, required } of rows) await call(path, goodFor(required));
  await call("/item/public_token/create", { access_token: "access-sandbox-x" });
  await call("/item/import", { products: ["auth"] });
  assert.deepEqual(control.items.list(), []);
});

test("a body that is not a JSON object is INVALID_BODY; a missing Content-Type is INVALID_HEADERS", async () => {
  const { call } = await aPlaid();
  for (const body of ["", "{", "[]", "null", '"text"', "7"]) {
    assert.deepEqual(refused(await call("/item/get", body)), [
      400,
      "INVALID_REQUEST",
      "INVALID_BODY",
      "body could not be parsed as JSON",
    ]);
  }
  for (const [type, code] of [
    ["text/plain", "INVALID_BODY"],
    ["application/json-patch+json", "INVALID_BODY"],
    ["application/json;charset=utf-8", "MISSING_FIELDS"],
  ])
    assert.equal((await call("/item/get", "{}", { "Content-Type": type })).body.error_code, code);
  assert.equal(
    (await call("/item/get", "{}", { "Content-Type": undefined })).body.error_code,
    "INVALID_HEADERS",
  );
});

test("credentials may come in the body, and are nobody's unknown fields", async () => {
  const { call } = await aPlaid();
  const headers = { "PLAID-CLIENT-ID": undefined, "PLAID-SECRET": undefined };
  const request = { institution_id: "ins_109508", country_codes: ["US"] };
  const good = { client_id: "sandbox-client-id", secret: "sandbox-secret" };
  assert.equal((await call("/institutions/get_by_id", { ...request, ...good }, headers)).status, 200);
  const empty = await call("/institutions/get_by_id", { ...request, ...good, client_id: "" }, headers);
  assert.deepEqual(refused(empty), [
    400,
    "INVALID_REQUEST",
    "INVALID_FIELD",
    "client_id must be a properly formatted, non-empty string",
  ]);
});

test("credentials are those that the sandbox was given", async () => {
  const request = { institution_id: "ins_109508", country_codes: ["US"] };
  const others = { "PLAID-CLIENT-ID": "mine", "PLAID-SECRET": "my own" };
  const own = await aPlaid({ credentials: [{ client_id: "mine", secret: "my own" }] });
  assert.equal((await own.call("/institutions/get_by_id", request, others)).status, 200);
  assert.equal((await own.call("/institutions/get_by_id", request)).body.error_code, "INVALID_API_KEYS");
  const any = await aPlaid({ credentials: "any" });
  assert.equal((await any.call("/institutions/get_by_id", request, others)).status, 200);
});

test("credentials of no use are refused when the sandbox is made", async () => {
  for (const credentials of [{ client_id: "a", secret: "b" }, ["a"], [{ client_id: "a" }], "all"])
    await assert.rejects(
      aPlaid({ credentials: credentials as never }),
      /^TypeError: credentials must be "any"/,
    );
});

test("no other option is taken that cannot be meant, or that nobody knows", async () => {
  for (const [name, given] of Object.entries({
    seed: {},
    now: null,
    limits: "no",
    switches: 5,
    deliver: 5,
    data: 5,
  }))
    await assert.rejects(createSandbox({ [name]: given } as object), {
      name: "TypeError",
      message: new RegExp(`^${name} must be `),
    });
  await assert.rejects(
    createSandbox({ limit: true } as object),
    /^TypeError: the options cannot have `limit`; /,
  );
  await assert.rejects(createSandbox(null as never), /^TypeError: the options must be an object/);
});

test("an access token is malformed, of another environment, unknown, or of another client", async () => {
  const { call, item } = await aPlaid({ credentials: "any" });
  const message = async (access_token: string, headers = {}) =>
    refused(await call("/item/get", { access_token }, headers));
  const invalid = [400, "INVALID_INPUT", "INVALID_ACCESS_TOKEN"];
  const format =
    "provided access token is in an invalid format. expected format: access-<environment>-<identifier>";
  for (const malformed of ["x", "access-", "access-sandbox-", "public-sandbox-1", " access-sandbox-1"])
    assert.deepEqual(await message(malformed), [...invalid, format]);
  assert.deepEqual(await message("access-production-1"), [
    ...invalid,
    'provided access token is for the wrong Plaid environment. expected "sandbox", got "production"',
  ]);
  const unknown = [...invalid, "could not find matching access token"];
  assert.deepEqual(await message("access-sandbox-1"), unknown);
  const { access_token } = await item();
  assert.deepEqual(await message(access_token, { "PLAID-CLIENT-ID": "another" }), unknown);
});

test("a path of Plaid's that is not modelled answers as Plaid never does", async () => {
  const { call } = await aPlaid();
  for (const path of [
    "/transactions/sync",
    "/user/create",
    "/beta/x",
    "/item/import",
    "/processor/token/create",
  ]) {
    const { status, body } = await call(path, {});
    assert.deepEqual([status, body], [501, { path, sett_sandbox: "not modelled" }]);
  }
});

test("a path that is not Plaid's is Plaid's 404, and so is a discontinued one", async () => {
  const { call } = await aPlaid();
  for (const path of ["/", "/item", "/item/", "/nothing/here", "/Item/get"])
    assert.deepEqual(refused(await call(path, {})), [404, "INVALID_REQUEST", "NOT_FOUND", "not found"], path);
  assert.deepEqual(refused(await call("/item/public_token/create", {})), [
    404,
    "INVALID_REQUEST",
    "NO_LONGER_AVAILABLE",
    "This endpoint has been discontinued as of version '2020-09-14' of the API.",
  ]);
});

test("a base path with a slash at its end makes no difference", async () => {
  const { call } = await aPlaid();
  const request = { institution_id: "ins_109508", country_codes: ["US"] };
  assert.equal((await call("//institutions/get_by_id", request)).status, 200);
});

test("answers carry the recorded headers and echo the version", async () => {
  const { call } = await aPlaid();
  const { headers } = await call("/item/get", {}, { "Plaid-Version": "2019-05-29" });
  assert.equal(headers.get("content-type"), "application/json; charset=utf-8");
  assert.equal(headers.get("plaid-version"), "2019-05-29");
  assert.equal(headers.get("server"), "nginx");
  assert.equal(headers.get("vary"), "Accept-Encoding");
  assert.equal(headers.get("x-frame-options"), "DENY");
  const silent = await call("/item/get", {}, { "Plaid-Version": undefined });
  assert.equal(silent.headers.get("plaid-version"), "2020-09-14");
});

test("pages of other origins may call, with Plaid's headers", async () => {
  const { sandbox } = await aPlaid();
  const preflight = await sandbox.fetch("/item/get", { method: "OPTIONS" });
  assert.equal(preflight.status, 204);
  assert.match(preflight.headers.get("access-control-allow-headers") ?? "", /PLAID-CLIENT-ID, PLAID-SECRET/);
  const called = await sandbox.fetch("/item/get", {
    method: "POST",
    headers: { Origin: "http://page.test" },
  });
  assert.equal(called.headers.get("access-control-allow-origin"), "*");
});

const createPublicToken = (changes: object) => ({
  institution_id: "ins_109508",
  initial_products: ["transactions"],
  ...changes,
});
const refusalsOfCreation: readonly (readonly [string, object, readonly unknown[]])[] = [
  [
    "an unknown institution",
    { institution_id: "ins_1" },
    [400, "INVALID_INPUT", "INVALID_INSTITUTION", "invalid institution_id provided"],
  ],
  [
    "no product",
    { initial_products: [] },
    [
      400,
      "INVALID_REQUEST",
      "INVALID_FIELD",
      "initial_products must be a list of strings containing at least one product",
    ],
  ],
  [
    "an unknown product",
    { initial_products: ["ABCDEFG1234567", "auth"] },
    [
      400,
      "ITEM_ERROR",
      "PRODUCTS_NOT_SUPPORTED",
      'the following products are not supported by this institution: ["ABCDEFG1234567"]',
    ],
  ],
  [
    "a bad date",
    { options: { transactions: { start_date: "yesterday" } } },
    [
      400,
      "INVALID_REQUEST",
      "INVALID_FIELD",
      "options.transactions.start_date must be a string of the format 'YYYY-MM-DD'",
    ],
  ],
  [
    "a bad webhook",
    { options: { webhook: "nowhere" } },
    [400, "INVALID_REQUEST", "INVALID_FIELD", "options.webhook must be a non-empty string URL"],
  ],
  [
    "an unknown option",
    { options: { force_error: "x" } },
    [
      400,
      "INVALID_REQUEST",
      "UNKNOWN_FIELDS",
      "the following fields are not recognized by this endpoint: options.force_error",
    ],
  ],
  [
    "an unknown option of income",
    { options: { income_verification: { bank_income: { days: 1 } } } },
    [
      400,
      "INVALID_REQUEST",
      "UNKNOWN_FIELDS",
      "the following fields are not recognized by this endpoint: options.income_verification.bank_income.days",
    ],
  ],
  [
    "a source of income that Plaid does not know",
    { options: { income_verification: { income_source_types: ["bank", "luck"] } } },
    [
      400,
      "INVALID_REQUEST",
      "INVALID_FIELD",
      "options.income_verification.income_source_types must be a list of bank, payroll",
    ],
  ],
  [
    "a user token",
    { user_token: "t" },
    [400, "INVALID_INPUT", "INVALID_USER_TOKEN", "could not find matching user token"],
  ],
  [
    "an id that is no user's",
    { user_id: "u" },
    [400, "INVALID_INPUT", "INVALID_USER_ID", "user.user_id must be a non-empty string"],
  ],
  [
    "an unknown user",
    { user_id: "usr_1" },
    [
      400,
      "USER_ERROR",
      "USER_NOT_FOUND",
      "The User you requested cannot be found. This User does not exist or has had access removed by the user.",
    ],
  ],
  [
    "a wrong password",
    { options: { override_password: "wrong" } },
    [400, "ITEM_ERROR", "INVALID_CREDENTIALS", "the provided credentials were not correct"],
  ],
  [
    "a password that orders an error",
    { options: { override_password: "error_ITEM_LOCKED" } },
    [
      400,
      "ITEM_ERROR",
      "ITEM_LOCKED",
      "the account is locked. prompt the user to visit the institution's site and unlock their account",
    ],
  ],
  [
    "a custom user that forces an error",
    { options: { override_username: "user_custom", override_password: '{"force_error":"NO_ACCOUNTS"}' } },
    [400, "ITEM_ERROR", "NO_ACCOUNTS", "no valid accounts were found for this item"],
  ],
  [
    "a custom user that forces PLAID_ERROR",
    { options: { override_username: "user_custom", override_password: '{"force_error":"PLAID_ERROR"}' } },
    [500, "API_ERROR", "INTERNAL_SERVER_ERROR", "an unexpected error occurred"],
  ],
  [
    "a custom user that forces an error there is not",
    { options: { override_username: "user_custom", override_password: '{"force_error":"BORED"}' } },
    [400, "ITEM_ERROR", "INVALID_CREDENTIALS", "the provided credentials were not correct"],
  ],
  [
    "a blank password, where any other will do",
    { options: { override_username: "user_transactions_dynamic", override_password: " " } },
    [400, "ITEM_ERROR", "INVALID_CREDENTIALS", "the provided credentials were not correct"],
  ],
  [
    "an institution that is down",
    { institution_id: "ins_132361" },
    [
      400,
      "INSTITUTION_ERROR",
      "INSTITUTION_DOWN",
      "this institution is not currently responding to this request. please try again soon",
    ],
  ],
];
for (const [what, changes, expected] of refusalsOfCreation) {
  test(`/sandbox/public_token/create refuses ${what}, and makes nothing`, async () => {
    const { call, control } = await aPlaid();
    const answered: Answered = await call("/sandbox/public_token/create", createPublicToken(changes));
    assert.deepEqual(refused(answered), expected);
    assert.deepEqual(control.items.list(), []);
  });
}

test("PRODUCTS_NOT_SUPPORTED points to the documentation of INVALID_INPUT, as recorded", async () => {
  const { call } = await aPlaid();
  const { body } = await call("/sandbox/public_token/create", createPublicToken({ initial_products: ["x"] }));
  assert.equal(body.documentation_url, "https://plaid.com/docs/?ref=error#invalid-input-errors");
});

test("passwords that order an error do nothing at OAuth institutions", async () => {
  const { call } = await aPlaid();
  const request = { institution_id: "ins_127287", options: { override_password: "error_ITEM_LOCKED" } };
  assert.equal((await call("/sandbox/public_token/create", createPublicToken(request))).status, 200);
});

test("/accounts/get refuses accounts that are not the Item's", async () => {
  const { call, item } = await aPlaid();
  const { access_token } = await item();
  const asked = (account_ids: unknown) => call("/accounts/get", { access_token, options: { account_ids } });
  assert.deepEqual(refused(await asked([])), [
    400,
    "INVALID_REQUEST",
    "INVALID_FIELD",
    "options.account_ids must be a non-empty array of valid account ids",
  ]);
  assert.deepEqual(refused(await asked(["foreign"])), [
    400,
    "INVALID_INPUT",
    "INVALID_ACCOUNT_ID",
    "failed to find requested account ID for requested item",
  ]);
});

test("/sandbox/item/fire_webhook needs a URL and the product", async () => {
  const { call, item } = await aPlaid();
  const silent = await item();
  const fire = (access_token: string, webhook_code: string, webhook_type?: string) =>
    call("/sandbox/item/fire_webhook", { access_token, webhook_code, ...(webhook_type && { webhook_type }) });
  assert.deepEqual(refused(await fire(silent.access_token, "DEFAULT_UPDATE")), [
    400,
    "SANDBOX_ERROR",
    "SANDBOX_WEBHOOK_INVALID",
    "Webhook for this item is either not set up, or invalid. Please update the item's webhook and try again.",
  ]);
  const { access_token } = await item(["auth"], { options: { webhook: "https://app.test/hook" } });
  const disabled = [400, "SANDBOX_ERROR", "SANDBOX_PRODUCT_NOT_ENABLED"];
  assert.deepEqual(refused(await fire(access_token, "DEFAULT_UPDATE")), [
    ...disabled,
    "The transactions product is not enabled on this item",
  ]);
  assert.deepEqual(refused(await fire(access_token, "ERROR")), [
    ...disabled,
    "The assets product is not enabled on this item",
  ]);
  assert.equal((await fire(access_token, "DEFAULT_UPDATE", "AUTH")).body.webhook_fired, true);
  assert.equal((await fire(access_token, "ERROR", "ITEM")).body.error_code, "INVALID_FIELD");
});
