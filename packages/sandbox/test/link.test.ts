// Law: a link token lives as long as Plaid says, and tells for six hours what its sessions came to.

import assert from "node:assert/strict";
import { test } from "node:test";
import { aPlaid, DAY, HOUR, MINUTE, refused } from "./plaid.ts";

const hook = "https://app.test/link";
const request = {
  client_name: "Test",
  language: "en",
  country_codes: ["US"],
  user: { client_user_id: "u1" },
  products: ["transactions"],
};
const expired = [400, "INVALID_INPUT", "INVALID_LINK_TOKEN", "invalid link_token provided"];

const lifetimes: readonly (readonly [string, object, number])[] = [
  ["4 hours for a new Item", {}, 4 * HOUR],
  ["30 minutes in Hosted Link", { hosted_link: {} }, 30 * MINUTE],
  ["a day by SMS", { hosted_link: { delivery_method: "sms" } }, DAY],
  ["7 days by e-mail", { hosted_link: { delivery_method: "email" } }, 7 * DAY],
  ["what was asked for", { hosted_link: { url_lifetime_seconds: 60 } }, MINUTE],
];
for (const [what, changes, life] of lifetimes) {
  test(`a link token lives ${what}`, async () => {
    const { call, control } = await aPlaid();
    const created = (await call("/link/token/create", { ...request, ...changes })).body;
    assert.equal(Date.parse(created.expiration) - control.clock.now(), life);
    assert.equal("hosted_link_url" in created, "hosted_link" in changes);
    const { link_token } = created;
    await control.clock.advance(life - 1);
    assert.equal((await call("/link/token/get", { link_token })).status, 200);
    await control.clock.advance(1);
    assert.deepEqual(refused(await call("/link/token/get", { link_token })), expired);
    assert.throws(() => control.link.complete(link_token), /INVALID_LINK_TOKEN/);
  });
}

test("/link/token/get echoes the request, and has no sessions before there are any", async () => {
  const { call } = await aPlaid();
  const { link_token } = (await call("/link/token/create", { ...request, webhook: hook })).body;
  const { request_id, ...rest } = (await call("/link/token/get", { link_token })).body;
  assert.ok(request_id);
  assert.deepEqual(rest, {
    created_at: "2026-01-01T00:00:00Z",
    expiration: "2026-01-01T04:00:00Z",
    link_token,
    metadata: {
      client_name: "Test",
      country_codes: ["US"],
      initial_products: ["transactions"],
      language: "en",
      redirect_uri: null,
      webhook: hook,
    },
  });
});

const refusals: readonly (readonly [string, object, string, RegExp])[] = [
  ["no user", { user: undefined }, "MISSING_FIELDS", /missing: user$/],
  ["a user without client_user_id", { user: {} }, "MISSING_FIELDS", /missing: user\.client_user_id$/],
  [
    "a user with an empty one",
    { user: { client_user_id: "" } },
    "INVALID_FIELD",
    /^user\.client_user_id must /,
  ],
  [
    "a user with a field of its own",
    {
      user: { client_user_id: "u", nickname: "n", name: { given_name: "A", family_name: "B", middle: "C" } },
    },
    "UNKNOWN_FIELDS",
    /endpoint: user\.nickname, user\.name\.middle$/,
  ],
  [
    "a telephone number that is not E.164",
    { user: { client_user_id: "u", phone_number: "415-555-0123" } },
    "INVALID_FIELD",
    /^user\.phone_number must be /,
  ],
  [
    "a list of what are no strings",
    { optional_products: [7] },
    "INVALID_FIELD",
    /^optional_products must be /,
  ],
  [
    "a subtype that is no string",
    { account_filters: { credit: { account_subtypes: [7] } } },
    "INVALID_FIELD",
    /^account_filters\.credit\.account_subtypes must be a list of strings$/,
  ],
  [
    "an unknown field of institution_data",
    { institution_data: { routing: "1" } },
    "UNKNOWN_FIELDS",
    /: institution_data\.routing$/,
  ],
  ["an unknown appearance", { appearance_mode: "BRIGHT" }, "INVALID_FIELD", /^appearance_mode must be /],
  [
    "an unknown purpose",
    { consumer_report_permissible_purpose: "FUN" },
    "INVALID_FIELD",
    /^consumer_report_permissible_purpose must be /,
  ],
  [
    "a null inside account_filters",
    { account_filters: { depository: null } },
    "INVALID_FIELD",
    /^account_filters\.depository must be an object$/,
  ],
  [
    "a filter without subtypes",
    { account_filters: { loan: {} } },
    "MISSING_FIELDS",
    /missing: account_filters\.loan\.account_subtypes$/,
  ],
  ["an unknown user_id", { user_id: "usr_1" }, "USER_NOT_FOUND", /cannot be found/],
  ["no products", { products: undefined }, "MISSING_FIELDS", /missing: products$/],
  ["an empty list of products", { products: [] }, "INVALID_FIELD", /^products must be /],
  ["an unknown product", { products: ["x"] }, "INVALID_PRODUCT", /products: \["x"\]$/],
  ["balance", { products: ["balance"] }, "INVALID_PRODUCT", /products: \["balance"\]$/],
  [
    "a product in two lists",
    { optional_products: ["transactions"] },
    "INVALID_FIELD",
    /^optional_products must be /,
  ],
  ["an unknown language", { language: "xx" }, "INVALID_FIELD", /^language must be one of /],
  ["an unknown country", { country_codes: ["ZZ"] }, "INVALID_FIELD", /^country_codes must be /],
  [
    "a redirect_uri with a query",
    { redirect_uri: "https://a.test/?b" },
    "INVALID_FIELD",
    /^redirect_uri must be /,
  ],
  [
    "a lifetime of over 21 days",
    { hosted_link: { url_lifetime_seconds: 1_814_401 } },
    "INVALID_FIELD",
    /^hosted_link\.url_lifetime_seconds must be /,
  ],
  ["a malformed access token", { access_token: "x" }, "INVALID_ACCESS_TOKEN", /invalid format/],
];
for (const [what, changes, code, message] of refusals) {
  test(`/link/token/create refuses ${what}`, async () => {
    const { call } = await aPlaid();
    const { status, body } = await call("/link/token/create", { ...request, ...changes });
    assert.deepEqual([status, body.error_code], [400, code]);
    assert.match(body.error_message, message);
  });
}

test("/link/token/create takes what Plaid's schema leaves open, and null where it allows it", async () => {
  const { call } = await aPlaid();
  for (const changes of [
    { hosted_link: { yet_to_come: 1 } },
    { account_filters: { depository: { account_subtypes: ["checking"], yet_to_come: 1 }, yet_to_come: 1 } },
    {
      user: { client_user_id: "u", phone_number: "+14155550123", address: { country: "US", yet_to_come: 1 } },
    },
    { user: { client_user_id: "u", name: null, address: null, id_number: null, date_of_birth: null } },
  ])
    assert.equal((await call("/link/token/create", { ...request, ...changes })).status, 200);
});

test("the user finishes Link: an Item, its public token, both webhooks, and the session told for 6 hours", async () => {
  const { call, control, received } = await aPlaid();
  const { link_token } = (await call("/link/token/create", { ...request, webhook: hook })).body;
  await control.clock.advance(3 * HOUR);
  const { item_id, public_token, link_session_id } = control.link.complete(link_token);
  await control.webhooks.idle();
  assert.deepEqual(
    received.map(({ url, text }) => [url, JSON.parse(text)]),
    [
      [
        hook,
        {
          environment: "sandbox",
          link_session_id,
          link_token,
          public_token,
          webhook_code: "ITEM_ADD_RESULT",
          webhook_type: "LINK",
        },
      ],
      [
        hook,
        {
          environment: "sandbox",
          link_session_id,
          link_token,
          public_tokens: [public_token],
          status: "SUCCESS",
          webhook_code: "SESSION_FINISHED",
          webhook_type: "LINK",
        },
      ],
    ],
  );
  const [session] = (await call("/link/token/get", { link_token })).body.link_sessions;
  assert.equal(session.link_session_id, link_session_id);
  assert.equal(session.results.item_add_results[0].public_token, public_token);
  assert.equal(session.on_success.public_token, public_token);
  assert.equal(session.finished_at, "2026-01-01T03:00:00Z");

  const exchanged = (await call("/item/public_token/exchange", { public_token })).body;
  assert.equal(exchanged.item_id, item_id);
  const { item } = (await call("/item/get", { access_token: exchanged.access_token })).body;
  assert.deepEqual([item.webhook, item.products], [hook, ["transactions"]]);

  // The token itself has run out long since; its session is still told.
  await control.clock.advance(6 * HOUR - 1);
  assert.equal((await call("/link/token/get", { link_token })).body.link_sessions.length, 1);
  await control.clock.advance(1);
  assert.deepEqual(refused(await call("/link/token/get", { link_token })), expired);
});

test("update mode: 30 minutes, the same Item, healthy again, a public token that leads to the same access token", async () => {
  const { call, control, item, received } = await aPlaid();
  const { access_token, item_id } = await item();
  control.items.loginRequired(item_id);
  const { user, client_name, language, country_codes } = request;
  const update = { user, client_name, language, country_codes, access_token, webhook: hook };
  const created = (await call("/link/token/create", update)).body;
  assert.equal(created.expiration, "2026-01-01T00:30:00Z");
  const completed = control.link.complete(created.link_token);
  assert.equal(completed.item_id, item_id);
  assert.equal((await call("/item/get", { access_token })).body.item.error, null);
  const [session] = (await call("/link/token/get", { link_token: created.link_token })).body.link_sessions;
  assert.deepEqual(session.results.item_add_results, []);
  assert.equal(session.on_success.public_token, completed.public_token);
  await control.webhooks.idle();
  assert.deepEqual(
    received.map(({ text }) => [JSON.parse(text).webhook_code, JSON.parse(text).public_tokens]),
    [["SESSION_FINISHED", []]],
  );
  const { public_token } = completed;
  const exchanged = (await call("/item/public_token/exchange", { public_token })).body;
  assert.deepEqual([exchanged.item_id, exchanged.access_token], [item_id, access_token]);
  assert.equal(control.items.list().length, 1);
});

test("update mode with account selection tells of the accounts that the user added", async () => {
  const { call, control, item } = await aPlaid();
  const { access_token, item_id } = await item();
  control.items.newAccounts(item_id);
  const { products: _, ...rest } = request;
  const update = { ...rest, access_token, update: { account_selection_enabled: true } };
  const { link_token } = (await call("/link/token/create", update)).body;
  control.link.complete(link_token);
  const [session] = (await call("/link/token/get", { link_token })).body.link_sessions;
  const shown = session.on_success.metadata.accounts.map(({ id }: { id: string }) => id);
  const { accounts } = (await call("/accounts/get", { access_token })).body;
  assert.deepEqual(
    shown,
    accounts.map(({ account_id }: { account_id: string }) => account_id),
  );
});

test("a link token serves again in Sandbox, and only its own client", async () => {
  const { call, control } = await aPlaid({ credentials: "any" });
  const { link_token } = (await call("/link/token/create", request)).body;
  control.link.complete(link_token);
  control.link.complete(link_token, { institution_id: "ins_109511" });
  assert.equal((await call("/link/token/get", { link_token })).body.link_sessions.length, 2);
  const theirs = await call("/link/token/get", { link_token }, { "PLAID-CLIENT-ID": "other" });
  assert.deepEqual(refused(theirs), expired);
});

test("the user leaves Link: no Item, an exit with its error, SESSION_FINISHED EXITED", async () => {
  const { call, control, received } = await aPlaid();
  const { link_token } = (await call("/link/token/create", { ...request, webhook: hook })).body;
  control.link.exit(link_token, "INVALID_CREDENTIALS");
  await control.webhooks.idle();
  assert.equal(JSON.parse(received[0]!.text).status, "EXITED");
  const [session] = (await call("/link/token/get", { link_token })).body.link_sessions;
  assert.equal(session.exit.error.error_code, "INVALID_CREDENTIALS");
  assert.deepEqual(control.items.list(), []);
});
