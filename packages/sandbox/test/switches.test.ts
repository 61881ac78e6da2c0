// Law: every open question about Plaid can be answered either way, and limits bite exactly when they are on.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createSandbox, switchTable, type Switches } from "../src/index.ts";
import { aPlaid, MINUTE, SECOND } from "./plaid.ts";

const hook = "https://app.test/hook";
type Plaid = Awaited<ReturnType<typeof aPlaid>>;

/** What a sandbox does under each value of a switch, by the code or figure that shows it. */
const shown: {
  [Name in keyof Switches]: readonly [(plaid: Plaid) => Promise<unknown>, Record<Switches[Name], unknown>];
} = {
  secondExchange: [
    async ({ call, item }) => {
      const { public_token, access_token } = await item();
      const { body } = await call("/item/public_token/exchange", { public_token });
      return body.error_code ?? body.access_token === access_token;
    },
    { refuse: "INVALID_PUBLIC_TOKEN", "same-token": true },
  ],
  rotatedToken: [
    async ({ call, item }) => {
      const { access_token } = await item();
      await call("/item/access_token/invalidate", { access_token });
      return (await call("/item/get", { access_token })).body.error_code;
    },
    { INVALID_ACCESS_TOKEN: "INVALID_ACCESS_TOKEN", ITEM_NOT_FOUND: "ITEM_NOT_FOUND" },
  ],
  credentialPrecedence: [
    async ({ call }) => {
      const request = { institution_id: "ins_109508", country_codes: ["US"], secret: "wrong" };
      return (await call("/institutions/get_by_id", request)).status;
    },
    { headers: 200, body: 400 },
  ],
  validationOrder: [
    async ({ call }) =>
      (await call("/item/get", { surprise: 1 }, { "PLAID-SECRET": "wrong" })).body.error_code,
    {
      "missing-unknown-invalid": "MISSING_FIELDS",
      "unknown-missing-invalid": "UNKNOWN_FIELDS",
      "credentials-first": "INVALID_API_KEYS",
    },
  ],
  itemErrorShape: [
    async ({ call, item }) => {
      const { access_token } = await item();
      await call("/sandbox/item/reset_login", { access_token });
      const { error } = (await call("/item/get", { access_token })).body.item;
      return Object.keys(error).filter((key) => !/^error_|^display_/.test(key));
    },
    { webhook: ["status"], http: ["documentation_url", "request_id", "suggested_action"], bare: [] },
  ],
  errorCodeReason: [
    async ({ call, item }) => {
      const { access_token } = await item();
      await call("/sandbox/item/reset_login", { access_token });
      return (await call("/item/get", { access_token })).body.item.error.error_code_reason;
    },
    { "oauth-only": undefined, always: null },
  ],
  revokedItem: [
    async ({ call, item, control }) => {
      const { access_token, item_id } = await item();
      control.items.revokePermission(item_id);
      const { body } = await call("/item/get", { access_token });
      return body.error_code ?? body.item.error.error_code;
    },
    {
      "item-error": "USER_PERMISSION_REVOKED",
      USER_PERMISSION_REVOKED: "USER_PERMISSION_REVOKED",
      ITEM_NOT_FOUND: "ITEM_NOT_FOUND",
    },
  ],
  cachedAccounts: [
    async ({ call, item }) => {
      const { access_token } = await item();
      await call("/sandbox/item/reset_login", { access_token });
      return (await call("/accounts/get", { access_token })).status;
    },
    { refuse: 400, answer: 200 },
  ],
  unhealthyItem: [
    async ({ call, item }) => {
      const { access_token } = await item();
      await call("/sandbox/item/reset_login", { access_token });
      const moved = await call("/item/webhook/update", { access_token, webhook: hook });
      const rotated = await call("/item/access_token/invalidate", { access_token });
      return [moved, rotated].map(({ body }) => body.error_code ?? body.item?.error);
    },
    {
      answer: [null, undefined],
      refuse: ["ITEM_LOGIN_REQUIRED", "ITEM_LOGIN_REQUIRED"],
    },
  ],
  webhookBytes: [
    async (plaid) => (await fired(plaid, "LOGIN_REPAIRED")).text.includes("\n"),
    { indented: true, compact: false },
  ],
  expiredKeys: [
    async ({ call, control }) => {
      const [key] = await control.keys.list();
      control.keys.expire(key!.kid);
      return (await call("/webhook_verification_key/get", { key_id: key!.kid })).body.error_code;
    },
    { served: undefined, refused: "INVALID_WEBHOOK_VERIFICATION_KEY_ID" },
  ],
  removalWebhook: [
    async ({ call, item, control, received }) => {
      const { access_token } = await item(["auth"], { options: { webhook: hook } });
      await call("/item/remove", { access_token });
      await control.webhooks.idle();
      return received.map(({ code }) => code);
    },
    { none: [], USER_PERMISSION_REVOKED: ["USER_PERMISSION_REVOKED"] },
  ],
  firedDefaultType: [
    async (plaid) =>
      JSON.parse((await fired(plaid, "DEFAULT_UPDATE", ["auth", "transactions"])).text).webhook_type,
    { TRANSACTIONS: "TRANSACTIONS", "first-product": "AUTH" },
  ],
  firedDisconnectReason: [
    async (plaid) => JSON.parse((await fired(plaid, "PENDING_DISCONNECT")).text).reason,
    {
      INSTITUTION_MIGRATION: "INSTITUTION_MIGRATION",
      INSTITUTION_TOKEN_EXPIRATION: "INSTITUTION_TOKEN_EXPIRATION",
    },
  ],
  updateModeWebhooks: [
    async ({ call, item, control, received }) => {
      const { access_token } = await item(["auth"]);
      const about = {
        client_name: "n",
        language: "en",
        country_codes: ["US"],
        user: { client_user_id: "u" },
      };
      const request = { ...about, access_token, webhook: hook };
      const { link_token } = (await call("/link/token/create", request)).body;
      control.link.complete(link_token);
      control.link.exit(link_token);
      await control.webhooks.idle();
      return received.map(({ code }) => code);
    },
    { sent: ["SESSION_FINISHED", "SESSION_FINISHED"], none: [] },
  ],
  unlistedLimits: [
    async ({ control }) => control.limits.get().limits["/item/public_token/exchange"]?.client,
    { none: undefined, production: 12_000 },
  ],
  removeLimitCode: [
    async ({ call, control, item }) => {
      const { access_token } = await item();
      control.limits.set(true, { "/item/remove": { item: 0, code: "RATE_LIMIT" } });
      return (await call("/item/remove", { access_token })).body.error_code;
    },
    { RATE_LIMIT: "RATE_LIMIT", ITEM_REMOVE_LIMIT: "ITEM_REMOVE_LIMIT" },
  ],
  wrongEnvironment: [
    async ({ call }) => (await call("/item/get", { access_token: "access-production-1" })).body.error_code,
    { INVALID_ACCESS_TOKEN: "INVALID_ACCESS_TOKEN", INVALID_FIELD: "INVALID_FIELD" },
  ],
};

async function fired({ call, item, control, received }: Plaid, webhook_code: string, products = ["auth"]) {
  const { access_token } = await item(products, { options: { webhook: hook } });
  await call("/sandbox/item/fire_webhook", { access_token, webhook_code });
  await control.webhooks.idle();
  return received.at(-1)!;
}

for (const name of Object.keys(switchTable) as (keyof Switches)[]) {
  const [show, expected] = shown[name];
  const [byDefault] = switchTable[name].values;
  for (const value of switchTable[name].values) {
    test(`${name} = ${value}${value === byDefault ? ", by default" : ""}`, async () => {
      const plaid = await aPlaid(value === byDefault ? {} : { switches: { [name]: value } });
      assert.deepEqual(await show(plaid), (expected as Record<string, unknown>)[value]);
    });
  }
}

test("a revoked Item is still seen with its error by default, and refused by the other two values", async () => {
  const statuses = [];
  for (const revokedItem of switchTable.revokedItem.values) {
    const { call, item, control } = await aPlaid({ switches: { revokedItem } });
    const { access_token, item_id } = await item();
    control.items.revokePermission(item_id);
    statuses.push((await call("/item/get", { access_token })).status);
  }
  assert.deepEqual(statuses, [200, 400, 400]);
});

test("switches that do not exist are refused by name", async () => {
  await assert.rejects(
    createSandbox({ switches: { nothing: "x" } as never }),
    /nothing is not a switch; the switches are /,
  );
  const { control } = await aPlaid();
  assert.throws(
    () => control.switches.set({ revokedItem: "x" as never }),
    /revokedItem must be one of item-error, /,
  );
});

test("limits are off unless asked for", async () => {
  const { call, item } = await aPlaid();
  const { access_token } = await item();
  for (let i = 0; i < 50; i++) assert.equal((await call("/item/get", { access_token })).status, 200);
});

test("with limits, the 41st /item/get of an Item in a minute is refused; others and the next minute are not", async () => {
  const { call, item, control } = await aPlaid({ limits: true });
  const { access_token } = await item();
  const other = await item();
  for (let i = 0; i < 40; i++) assert.equal((await call("/item/get", { access_token })).status, 200);
  const { status, body, headers } = await call("/item/get", { access_token });
  assert.deepEqual(
    [status, body.error_type, body.error_code, body.error_message],
    [
      429,
      "RATE_LIMIT_EXCEEDED",
      "ITEM_GET_LIMIT",
      "rate limit exceeded for attempts to access this item. please try again later",
    ],
  );
  assert.equal(headers.get("retry-after"), null);
  assert.equal((await call("/item/get", other)).body.error_code, "UNKNOWN_FIELDS");
  assert.equal((await call("/item/get", { access_token: other.access_token })).status, 200);
  await control.clock.advance(59 * SECOND);
  assert.equal((await call("/item/get", { access_token })).status, 429);
  await control.clock.advance(SECOND);
  assert.equal((await call("/item/get", { access_token })).status, 200);
});

test("a limit counts for each client alone, and refuses before anything is done", async () => {
  const { call, control } = await aPlaid({ credentials: "any", limits: true });
  control.limits.set(true, { "/sandbox/public_token/create": { client: 1, code: "RATE_LIMIT" } });
  const request = { institution_id: "ins_109508", initial_products: ["auth"] };
  const create = (client: string) =>
    call("/sandbox/public_token/create", request, { "PLAID-CLIENT-ID": client });
  assert.equal((await create("a")).status, 200);
  assert.equal((await create("a")).body.error_code, "RATE_LIMIT");
  assert.equal((await create("b")).status, 200);
  assert.equal(control.items.list().length, 2);
  control.limits.set(false);
  assert.equal((await create("a")).status, 200);
});

test("institutions have a client's limit of 400 a minute with a text of their own", async () => {
  const { call, control } = await aPlaid({ limits: true });
  const request = { institution_id: "ins_109508", country_codes: ["US"] };
  for (let i = 0; i < 400; i++) await call("/institutions/get_by_id", request);
  assert.equal(
    (await call("/institutions/get_by_id", request)).body.error_message,
    'rate limit exceeded for attempts to access "institutions get by id". please try again later',
  );
  await control.clock.advance(MINUTE);
  assert.equal((await call("/institutions/get_by_id", request)).status, 200);
});

test("a limit refuses with the code it was given, also on /item/remove", async () => {
  const { call, control, item } = await aPlaid();
  const { access_token } = await item();
  control.limits.set(true, { "/item/remove": { item: 0, code: "ITEM_REMOVE_LIMIT" } });
  assert.equal((await call("/item/remove", { access_token })).body.error_code, "ITEM_REMOVE_LIMIT");
});
