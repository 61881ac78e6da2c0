// Law: an Item lives as Plaid says it does: one live access token, public tokens of one use and 30 minutes, a login
// that ages, consent that ends, and a removal that is final.

import assert from "node:assert/strict";
import { test } from "node:test";
import { aPlaid, DAY, MINUTE, refused, START } from "./plaid.ts";

const hook = "https://app.test/hook";
const loginRequired =
  "the login details of this item have changed (credentials, MFA, or required user action) and a user login is required to update this information. use Link's update mode to restore the item to a good state";

test("an Item without webhook is byte for byte as one recorded in 2025, but for ids and times", async () => {
  const { call, item, control } = await aPlaid();
  const { access_token, item_id } = await item(["liabilities", "investments", "transactions"]);
  await control.clock.advance(MINUTE);
  const { text } = await call("/item/get", { access_token });
  assert.match(item_id, /^[13456789A-NP-XZa-z]{37}$/);
  assert.match(
    access_token,
    /^access-sandbox-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
  assert.equal(
    text.replace(item_id, "ITEM").replace(/"request_id": "[0-9A-Za-z]{15}"/, '"request_id": "REQUEST"'),
    `{
  "item": {
    "available_products": [
      "assets",
      "auth",
      "balance",
      "credit_details",
      "identity",
      "identity_match",
      "income",
      "income_verification",
      "recurring_transactions",
      "signal",
      "statements"
    ],
    "billed_products": [
      "investments",
      "liabilities",
      "transactions"
    ],
    "consent_expiration_time": null,
    "created_at": "2026-01-01T00:00:00Z",
    "error": null,
    "institution_id": "ins_109508",
    "institution_name": "First Platypus Bank",
    "item_id": "ITEM",
    "products": [
      "investments",
      "liabilities",
      "transactions"
    ],
    "update_type": "background",
    "webhook": ""
  },
  "request_id": "REQUEST",
  "status": {
    "investments": {
      "last_failed_update": null,
      "last_successful_update": "2026-01-01T00:00:10Z"
    },
    "last_webhook": null,
    "transactions": {
      "last_failed_update": null,
      "last_successful_update": "2026-01-01T00:00:10Z"
    }
  }
}`,
  );
});

test("status has a key only for products on the Item", async () => {
  const { call, item } = await aPlaid();
  const { access_token } = await item(["auth"]);
  const { body } = await call("/item/get", { access_token });
  assert.deepEqual(body.status, { last_webhook: null });
  assert.equal(body.item.auth_method, "INSTANT_AUTH");
});

test("a public token is good for 30 minutes and one exchange", async () => {
  const { call, control } = await aPlaid();
  const create = async () =>
    (
      await call("/sandbox/public_token/create", {
        institution_id: "ins_109508",
        initial_products: ["auth"],
      })
    ).body.public_token as string;
  const exchange = (public_token: string) => call("/item/public_token/exchange", { public_token });
  const unknown = [400, "INVALID_INPUT", "INVALID_PUBLIC_TOKEN", "could not find matching public token"];

  const inTime = await create();
  const late = await create();
  await control.clock.advance(30 * MINUTE - 1);
  assert.equal((await exchange(inTime)).status, 200);
  assert.deepEqual(refused(await exchange(inTime)), unknown);
  await control.clock.advance(1);
  assert.deepEqual(refused(await exchange(late)), unknown);
  assert.deepEqual(refused(await exchange("public-production-1")), unknown);
  assert.deepEqual(refused(await exchange("nonsense")), [
    400,
    "INVALID_INPUT",
    "INVALID_PUBLIC_TOKEN",
    "provided public token is in an invalid format. expected format: public-<environment>-<identifier>",
  ]);
});

test("a public token is good for the client that made it only", async () => {
  const { call, control } = await aPlaid({ credentials: "any" });
  const request = { institution_id: "ins_109508", initial_products: ["auth"] };
  const { public_token } = (await call("/sandbox/public_token/create", request)).body;
  const theirs = await call("/item/public_token/exchange", { public_token }, { "PLAID-CLIENT-ID": "other" });
  assert.equal(theirs.body.error_code, "INVALID_PUBLIC_TOKEN");
  assert.equal(control.items.list()[0]?.access_token, null);
});

test("rotation: the old token is dead at once, the Item stays the same", async () => {
  const { call, item, control } = await aPlaid();
  const { access_token, item_id } = await item();
  const { new_access_token } = (await call("/item/access_token/invalidate", { access_token })).body;
  assert.deepEqual(refused(await call("/item/get", { access_token })), [
    400,
    "INVALID_INPUT",
    "INVALID_ACCESS_TOKEN",
    "could not find matching access token",
  ]);
  assert.equal((await call("/item/get", { access_token: new_access_token })).body.item.item_id, item_id);
  assert.equal(control.items.get(item_id).access_token, new_access_token);
});

test("removal is final, and says nothing but its request_id", async () => {
  const { call, item, control } = await aPlaid();
  const { access_token, item_id } = await item();
  const removed = await call("/item/remove", {
    access_token,
    reason_code: "OTHER",
    reason_note: "x".repeat(512),
  });
  assert.deepEqual(Object.keys(removed.body), ["request_id"]);
  const gone = [
    400,
    "ITEM_ERROR",
    "ITEM_NOT_FOUND",
    "The Item you requested cannot be found. This Item does not exist, has been previously removed via /item/remove, or has had access removed by the user.",
  ];
  for (const path of ["/item/get", "/item/remove", "/accounts/get", "/item/access_token/invalidate"])
    assert.deepEqual(refused(await call(path, { access_token })), gone);
  assert.equal(control.items.get(item_id).removed_at, START);
});

test("a note on removal has at most 512 characters, a reason one of Plaid's codes", async () => {
  const { call, item } = await aPlaid();
  const { access_token } = await item();
  const long = await call("/item/remove", { access_token, reason_note: "x".repeat(513) });
  assert.equal(long.body.error_code, "INVALID_FIELD");
  const odd = await call("/item/remove", { access_token, reason_code: "BORED" });
  assert.equal(odd.body.error_code, "INVALID_FIELD");
  assert.equal((await call("/item/get", { access_token })).status, 200);
});

test("a new webhook URL is acknowledged at the new URL; null and an empty one clear it", async () => {
  const { call, item, control, received } = await aPlaid();
  const { access_token, item_id } = await item(["auth"], { options: { webhook: "https://app.test/old" } });
  const updated = await call("/item/webhook/update", { access_token, webhook: hook });
  assert.equal(updated.body.item.webhook, hook);
  assert.deepEqual(Object.keys(updated.body), ["item", "request_id"]);
  assert.equal("created_at" in updated.body.item, false);
  await control.webhooks.idle();
  assert.deepEqual(
    received.map(({ url, text }) => [url, JSON.parse(text)]),
    [
      [
        hook,
        {
          environment: "sandbox",
          error: null,
          item_id,
          new_webhook_url: hook,
          webhook_code: "WEBHOOK_UPDATE_ACKNOWLEDGED",
          webhook_type: "ITEM",
        },
      ],
    ],
  );
  for (const webhook of [null, ""]) {
    assert.equal((await call("/item/webhook/update", { access_token, webhook })).body.item.webhook, "");
    await call("/item/webhook/update", { access_token, webhook: hook });
  }
  const bad = await call("/item/webhook/update", { access_token, webhook: "nowhere" });
  assert.equal(bad.body.error_message, "webhook must be a non-empty string URL");
  assert.equal(bad.body.error_code, "INVALID_FIELD");
});

test("reset_login: /item/get shows the error, other endpoints refuse with it, the webhook carries it", async () => {
  const { call, item, control, received } = await aPlaid();
  const { access_token, item_id } = await item(["auth"], { options: { webhook: hook } });
  const reset = await call("/sandbox/item/reset_login", { access_token });
  assert.equal(reset.body.reset_login, true);
  const error = {
    display_message: null,
    error_code: "ITEM_LOGIN_REQUIRED",
    error_message: loginRequired,
    error_type: "ITEM_ERROR",
    status: 400,
  };
  assert.deepEqual((await call("/item/get", { access_token })).body.item.error, error);
  assert.deepEqual(refused(await call("/accounts/get", { access_token })), [
    400,
    "ITEM_ERROR",
    "ITEM_LOGIN_REQUIRED",
    loginRequired,
  ]);
  await control.webhooks.idle();
  assert.deepEqual(JSON.parse(received[0]!.text), {
    environment: "sandbox",
    error,
    item_id,
    webhook_code: "ERROR",
    webhook_type: "ITEM",
  });
  control.items.completeUpdateMode(item_id);
  assert.equal((await call("/accounts/get", { access_token })).status, 200);
});

test("a Sandbox Item needs a new login after 30 days, to the second, and once", async () => {
  const { call, item, control, received } = await aPlaid();
  const { access_token, item_id } = await item(["auth"], { options: { webhook: hook } });
  await control.clock.advance(30 * DAY - 1);
  assert.equal((await call("/item/get", { access_token })).body.item.error, null);
  await control.clock.advance(1);
  assert.equal((await call("/item/get", { access_token })).body.item.error.error_code, "ITEM_LOGIN_REQUIRED");
  assert.deepEqual(
    received.map(({ code, at }) => [code, at]),
    [["ERROR", START + 30 * DAY]],
  );
  control.items.completeUpdateMode(item_id);
  await control.clock.advance(90 * DAY);
  assert.equal((await call("/item/get", { access_token })).body.item.error, null);
});

test("INITIAL_UPDATE and HISTORICAL_UPDATE come by themselves to an Item with transactions and a URL", async () => {
  const { call, item, control, received } = await aPlaid();
  const { access_token } = await item(["transactions"], { options: { webhook: hook } });
  await control.clock.advance(MINUTE);
  assert.deepEqual(
    received.map(({ code }) => code),
    ["INITIAL_UPDATE", "HISTORICAL_UPDATE"],
  );
  assert.deepEqual((await call("/item/get", { access_token })).body.status.last_webhook, {
    code_sent: "HISTORICAL_UPDATE",
    sent_at: "2026-01-01T00:00:10Z",
  });
});

test("British consent ends after 180 days, with a warning 7 days before; update mode begins it anew", async () => {
  const { call, item, control, received } = await aPlaid();
  const given = { institution_id: "ins_116834", options: { webhook: hook } };
  const { access_token, item_id } = await item(["auth"], given);
  const itemNow = async () => (await call("/item/get", { access_token })).body.item;
  assert.equal((await itemNow()).consent_expiration_time, "2026-06-30T00:00:00Z");

  await control.clock.advance(40 * DAY);
  control.items.completeUpdateMode(item_id);
  received.length = 0;
  assert.equal((await itemNow()).consent_expiration_time, "2026-08-09T00:00:00Z");
  await control.clock.advance(173 * DAY);
  assert.deepEqual(
    received.map(({ at, text }) => [at, JSON.parse(text)]),
    [
      [
        START + 213 * DAY,
        {
          consent_expiration_time: "2026-08-09T00:00:00Z",
          environment: "sandbox",
          item_id,
          webhook_code: "PENDING_EXPIRATION",
          webhook_type: "ITEM",
        },
      ],
    ],
  );
  assert.equal((await itemNow()).error, null);
  await control.clock.advance(7 * DAY);
  const { error } = await itemNow();
  assert.deepEqual(
    [error.error_code, error.error_code_reason],
    ["ITEM_LOGIN_REQUIRED", "OAUTH_CONSENT_EXPIRED"],
  );
  assert.equal(
    error.display_message,
    "The user's OAuth connection to this institution has been invalidated.",
  );
});

test("consent that was over begins anew when the login is repaired", async () => {
  const { call, item, control } = await aPlaid();
  const { access_token, item_id } = await item(["auth"], { institution_id: "ins_116834" });
  await control.clock.advance(180 * DAY);
  control.items.repairLogin(item_id);
  const after = (await call("/item/get", { access_token })).body.item;
  assert.deepEqual([after.error, after.consent_expiration_time], [null, "2026-12-27T00:00:00Z"]);
  await control.clock.advance(180 * DAY);
  assert.equal((await call("/item/get", { access_token })).body.item.error.error_code, "ITEM_LOGIN_REQUIRED");
});

test("an Item's error has the status of its code", async () => {
  const { call, item, control } = await aPlaid();
  const { access_token, item_id } = await item();
  for (const [code, status] of [
    ["ITEM_LOCKED", 400],
    ["PLANNED_MAINTENANCE", 503],
  ] as const) {
    control.items.fail(item_id, code);
    assert.equal((await call("/item/get", { access_token })).body.item.error.status, status);
  }
});

test("an account that was taken back comes back in update mode, under another id", async () => {
  const { call, item, control } = await aPlaid();
  const { access_token, item_id } = await item(["auth"]);
  const accounts = async () =>
    (await call("/accounts/get", { access_token })).body.accounts as { account_id: string }[];
  const [taken, ...others] = await accounts();
  control.items.revokeAccount(item_id);
  control.items.completeUpdateMode(item_id);
  assert.deepEqual(await accounts(), others);
  control.items.completeUpdateMode(item_id, true);
  const back = (await accounts()).at(-1)!;
  assert.notEqual(back.account_id, taken!.account_id);
  assert.deepEqual(await accounts(), [...others, { ...taken, account_id: back.account_id }]);
});

test("a new account takes a new Item in the United Kingdom", async () => {
  const { call, item, control } = await aPlaid();
  const { access_token, item_id } = await item(["auth"], { institution_id: "ins_116834" });
  const { body } = await call("/accounts/get", { access_token });
  control.items.newAccounts(item_id);
  control.items.completeUpdateMode(item_id, true);
  assert.deepEqual((await call("/accounts/get", { access_token })).body.accounts, body.accounts);
});

test("each event of an Item changes it and sends its webhook", async () => {
  const { call, item, control, received } = await aPlaid();
  const { access_token, item_id } = await item(["auth"], { options: { webhook: hook } });
  const { items } = control;
  const after = async (event: () => void) => {
    received.length = 0;
    event();
    await control.webhooks.idle();
    const state = (await call("/item/get", { access_token })).body.item;
    return { state, webhooks: received.map(({ text }) => JSON.parse(text)) };
  };

  const failed = await after(() => items.fail(item_id, "ITEM_LOCKED"));
  assert.equal(failed.state.error.error_code, "ITEM_LOCKED");
  assert.equal(failed.webhooks[0].error.error_code, "ITEM_LOCKED");
  const repaired = await after(() => items.repairLogin(item_id));
  assert.equal(repaired.state.error, null);
  assert.equal(repaired.webhooks[0].webhook_code, "LOGIN_REPAIRED");

  const seen = await after(() => items.newAccounts(item_id));
  assert.equal(seen.webhooks[0].webhook_code, "NEW_ACCOUNTS_AVAILABLE");
  const accounts = async () => (await call("/accounts/get", { access_token })).body.accounts.length;
  const before = await accounts();
  items.completeUpdateMode(item_id);
  assert.equal(await accounts(), before);
  items.completeUpdateMode(item_id, true);
  assert.equal(await accounts(), before + 1);

  const { account_id } = control.items.get(item_id).accounts[0]!;
  const withdrawn = await after(() => items.revokeAccount(item_id));
  assert.equal(withdrawn.webhooks[0].account_id, account_id);
  assert.equal(await accounts(), before);

  const leaving = await after(() => items.pendingDisconnect(item_id));
  assert.equal(leaving.state.error, null);
  assert.equal(leaving.webhooks[0].disconnect_time, "2026-01-08T00:00:00Z");
  await control.clock.advance(7 * DAY);
  assert.equal((await call("/item/get", { access_token })).body.item.error.error_code, "ITEM_LOGIN_REQUIRED");
  items.completeUpdateMode(item_id);

  const expiring = await after(() => items.pendingExpiration(item_id));
  assert.equal(expiring.webhooks[0].webhook_code, "PENDING_EXPIRATION");
  assert.equal(expiring.state.consent_expiration_time, "2026-01-15T00:00:00Z");
  items.completeUpdateMode(item_id);
  await control.clock.advance(8 * DAY);
  assert.equal((await call("/item/get", { access_token })).body.item.error, null);

  const revoked = await after(() => items.revokePermission(item_id));
  assert.deepEqual(
    [revoked.webhooks[0].webhook_code, revoked.webhooks[0].error.error_type, revoked.state.error.error_code],
    ["USER_PERMISSION_REVOKED", "ITEM_ERROR", "USER_PERMISSION_REVOKED"],
  );
  assert.equal((await call("/accounts/get", { access_token })).body.error_type, "INVALID_INPUT");
});

test("a removed Item is left alone by its own future", async () => {
  const { call, item, control, received } = await aPlaid();
  const { access_token, item_id } = await item(["transactions"], { options: { webhook: hook } });
  await call("/item/remove", { access_token });
  await control.clock.advance(200 * DAY);
  assert.deepEqual(received, []);
  assert.throws(() => control.items.loginRequired(item_id), /item_id must be of an Item that is not removed/);
});

test("micro-deposits: only accounts that wait for them can be verified", async () => {
  const { call, item, control, received } = await aPlaid();
  const { access_token } = await item(["auth"], { institution_id: "ins_109512", options: { webhook: hook } });
  const { accounts } = (await call("/accounts/get", { access_token })).body;
  assert.equal(accounts[0].verification_status, "pending_automatic_verification");
  const verify = (account_id: string) =>
    call("/sandbox/item/set_verification_status", {
      access_token,
      account_id,
      verification_status: "automatically_verified",
    });
  assert.deepEqual(Object.keys((await verify(accounts[0].account_id)).body), ["request_id"]);
  const again = (await call("/accounts/get", { access_token })).body.accounts[0];
  assert.equal(again.verification_status, "automatically_verified");
  await control.webhooks.idle();
  assert.deepEqual(
    received.map(({ code }) => code),
    ["AUTOMATICALLY_VERIFIED"],
  );
  const credit = accounts.find((account: { type: string }) => account.type === "credit");
  assert.equal((await verify(credit.account_id)).body.error_code, "INVALID_ACCOUNT_ID");
});

test("user_custom brings accounts of its own", async () => {
  const { call, item } = await aPlaid();
  const override_password = JSON.stringify({
    override_accounts: [
      {
        type: "depository",
        subtype: "checking",
        starting_balance: 12.5,
        currency: "USD",
        meta: { name: "Mine", mask: "9" },
      },
    ],
  });
  const { access_token } = await item(["auth"], {
    options: { override_username: "user_custom", override_password },
  });
  const { accounts } = (await call("/accounts/get", { access_token })).body;
  assert.deepEqual(
    accounts.map((account: { name: string; balances: { current: number } }) => [
      account.name,
      account.balances.current,
    ]),
    [["Mine", 12.5]],
  );
});

test("a custom user whose accounts are of the wrong kinds cannot log in", async () => {
  const { call, control } = await aPlaid();
  for (const account of [null, 7, { starting_balance: "12" }, { type: [] }, { meta: { name: 1 } }]) {
    const { body } = await call("/sandbox/public_token/create", {
      institution_id: "ins_109508",
      initial_products: ["auth"],
      options: {
        override_username: "user_custom",
        override_password: JSON.stringify({ override_accounts: [account] }),
      },
    });
    assert.equal(body.error_code, "INVALID_CREDENTIALS", JSON.stringify(account));
  }
  assert.deepEqual(control.items.list(), []);
});

test("/institutions/get_by_id tells of an institution in its own countries", async () => {
  const { call } = await aPlaid();
  const get = (institution_id: string, country: string, options?: object) =>
    call("/institutions/get_by_id", {
      institution_id,
      country_codes: [country],
      ...(options && { options }),
    });
  const { institution } = (await get("ins_109508", "US", { include_optional_metadata: true })).body;
  assert.deepEqual(
    [institution.name, institution.oauth, institution.url],
    ["First Platypus Bank", false, "https://plaid.com"],
  );
  assert.equal((await get("ins_109508", "GB")).body.error_code, "INVALID_INSTITUTION");
  assert.equal((await get("ins_109508", "ZZ")).body.error_code, "INVALID_FIELD");
});

test("a seeded sandbox repeats itself byte for byte; another seed does not", async () => {
  const story = async (seed: number) => {
    const { call, item, control, received } = await aPlaid({ seed });
    const { access_token } = await item(["transactions"], { options: { webhook: hook } });
    await control.clock.advance(31 * DAY);
    const texts = [
      (await call("/item/get", { access_token })).text,
      (await call("/accounts/get", { access_token })).text,
    ];
    return [...texts, ...received.map(({ text }) => text)].join("\n");
  };
  assert.equal(await story(7), await story(7));
  assert.notEqual(await story(7), await story(8));
});

test("the ids of a seed do not hang on how long a webhook takes to be signed", async () => {
  const story = async (wait: (plaid: Awaited<ReturnType<typeof aPlaid>>) => Promise<void>) => {
    const plaid = await aPlaid({ seed: 7 });
    const { access_token } = await plaid.item(["auth"], { options: { webhook: hook } });
    await plaid.call("/sandbox/item/reset_login", { access_token });
    await wait(plaid);
    return plaid.item();
  };
  assert.deepEqual(await story(async () => {}), await story((plaid) => plaid.control.webhooks.idle()));
});

test("many sandboxes stand side by side and know nothing of each other", async () => {
  const plaids = await Promise.all(Array.from({ length: 20 }, (_, seed) => aPlaid({ seed })));
  const items = await Promise.all(plaids.map(({ item }) => item()));
  assert.equal(new Set(items.map(({ access_token }) => access_token)).size, 20);
  const foreign = await plaids[0]!.call("/item/get", { access_token: items[1]!.access_token });
  assert.equal(foreign.body.error_code, "INVALID_ACCESS_TOKEN");
});
