// The official `plaid` client, unmodified, against the sandbox on a port, told of it by its base path alone: every
// endpoint of the table answers it, refuses it where Plaid would, and keeps its state from call to call. Once with the
// credentials in headers, once with them in the body.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createSandbox, type Listening, type Sandbox } from "@sett/sandbox";
import * as endpoints from "sett/endpoints";
import {
  Configuration,
  CountryCode,
  ItemRemoveReasonCode,
  PlaidApi,
  Products,
  SandboxItemFireWebhookRequestWebhookCodeEnum,
  SandboxItemSetVerificationStatusRequestVerificationStatusEnum,
  WebhookType,
} from "plaid";

const client_id = "sandbox-client-id";
const secret = "sandbox-secret";
const user = { client_user_id: "user-1" };
const webhook = "http://127.0.0.1:9/plaid";
const liveKid = "6c5516e1-92dc-479e-a8ff-5a51992e0001";

/** What the official client throws, as far as it is looked at here. */
interface Thrown {
  readonly response?: { readonly status: number; readonly data: Record<string, unknown> };
}

/** The official client's methods that were called; they have the names of the table's rows. */
const called = new Set<string>();

async function refusal(
  call: Promise<unknown>,
): Promise<[status: number, error_code: unknown, error_message: unknown]> {
  try {
    await call;
  } catch (thrown) {
    const { response } = thrown as Thrown;
    assert.ok(response, String(thrown));
    assert.match(String(response.data["request_id"]), /^[0-9A-Za-z]{15}$/);
    assert.equal(response.data["display_message"], null);
    return [response.status, response.data["error_code"], response.data["error_message"]];
  }
  return assert.fail("it should have been refused");
}

for (const place of ["headers", "body"] as const) {
  describe(`the official client, credentials in the ${place}`, () => {
    let sandbox: Sandbox;
    let port: Listening;
    let plaid: PlaidApi;

    const clientWith = (given: { client_id: string; secret: string }) => {
      const headers = { "PLAID-CLIENT-ID": given.client_id, "PLAID-SECRET": given.secret };
      const transformRequest = (request: string) =>
        JSON.stringify({ ...(JSON.parse(request) as object), ...given });
      const baseOptions =
        place === "headers"
          ? { headers }
          : { transformRequest, headers: { "Content-Type": "application/json" } };
      const api = new PlaidApi(new Configuration({ basePath: port.url, baseOptions }));
      return new Proxy(api, {
        get(target, name, receiver) {
          called.add(String(name));
          return Reflect.get(target, name, receiver) as unknown;
        },
      });
    };

    before(async () => {
      sandbox = await createSandbox({ seed: 1 });
      port = await sandbox.listen();
      plaid = clientWith({ client_id, secret });
    });
    after(() => sandbox.close());

    const publicToken = async (products = [Products.Auth, Products.Transactions], options?: object) => {
      const request = {
        institution_id: "ins_109508",
        initial_products: products,
        ...(options && { options }),
      };
      return (await plaid.sandboxPublicTokenCreate(request)).data.public_token;
    };
    const item = async (products?: Products[], options?: object) =>
      (await plaid.itemPublicTokenExchange({ public_token: await publicToken(products, options) })).data;

    test("an Item lives", async () => {
      const { access_token, item_id } = await item();
      const seen = (await plaid.itemGet({ access_token })).data;
      assert.equal(seen.item.item_id, item_id);
      assert.equal(seen.item.webhook, "");
      assert.equal(seen.item.institution_name, "First Platypus Bank");
      assert.deepEqual(seen.item.billed_products, ["auth", "transactions"]);
      assert.equal(seen.item.error, null);
      assert.match(seen.item.created_at!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);

      assert.equal((await plaid.itemWebhookUpdate({ access_token, webhook })).data.item.webhook, webhook);
      assert.equal((await plaid.itemGet({ access_token })).data.item.webhook, webhook);
      assert.equal((await plaid.itemWebhookUpdate({ access_token, webhook: null })).data.item.webhook, "");

      assert.equal((await plaid.sandboxItemResetLogin({ access_token })).data.reset_login, true);
      assert.equal(
        (await plaid.itemGet({ access_token })).data.item.error?.error_code,
        "ITEM_LOGIN_REQUIRED",
      );
      assert.deepEqual((await refusal(plaid.accountsGet({ access_token }))).slice(0, 2), [
        400,
        "ITEM_LOGIN_REQUIRED",
      ]);

      const { new_access_token } = (await plaid.itemAccessTokenInvalidate({ access_token })).data;
      assert.match(new_access_token, /^access-sandbox-[0-9a-f-]{36}$/);
      assert.deepEqual(await refusal(plaid.itemGet({ access_token })), [
        400,
        "INVALID_ACCESS_TOKEN",
        "could not find matching access token",
      ]);
      assert.equal((await plaid.itemGet({ access_token: new_access_token })).data.item.item_id, item_id);

      const reason = { reason_code: ItemRemoveReasonCode.Other, reason_note: "over" };
      await plaid.itemRemove({ access_token: new_access_token, ...reason });
      for (const call of [
        plaid.itemGet,
        plaid.itemRemove,
        plaid.accountsGet,
        plaid.itemAccessTokenInvalidate,
      ]) {
        const [status, code, message] = await refusal(call.call(plaid, { access_token: new_access_token }));
        assert.deepEqual([status, code], [400, "ITEM_NOT_FOUND"]);
        assert.match(String(message), /^The Item you requested cannot be found\./);
      }
    });

    test("a public token is good once, for half an hour, and must be one", async () => {
      const public_token = await publicToken();
      await plaid.itemPublicTokenExchange({ public_token });
      const unmatched = [400, "INVALID_PUBLIC_TOKEN", "could not find matching public token"];
      assert.deepEqual(await refusal(plaid.itemPublicTokenExchange({ public_token })), unmatched);
      const late = await publicToken();
      await sandbox.control.clock.advance(30 * 60_000 + 1);
      assert.deepEqual(await refusal(plaid.itemPublicTokenExchange({ public_token: late })), unmatched);
      assert.deepEqual(await refusal(plaid.itemPublicTokenExchange({ public_token: "nonsense" })), [
        400,
        "INVALID_PUBLIC_TOKEN",
        "provided public token is in an invalid format. expected format: public-<environment>-<identifier>",
      ]);
    });

    test("a request that is wrong is refused in Plaid's words", async () => {
      const { access_token } = await item();
      const anything = (value: unknown) => value as never;
      assert.deepEqual(await refusal(plaid.itemGet(anything({}))), [
        400,
        "MISSING_FIELDS",
        "the following required fields are missing: access_token",
      ]);
      assert.deepEqual(
        await refusal(plaid.accountsGet(anything({ access_token, options: { force_error: 1 } }))),
        [
          400,
          "UNKNOWN_FIELDS",
          "the following fields are not recognized by this endpoint: options.force_error",
        ],
      );
      assert.deepEqual(
        await refusal(plaid.itemWebhookUpdate({ access_token, webhook: "nonsense" })).then((r) =>
          r.slice(0, 2),
        ),
        [400, "INVALID_FIELD"],
      );
      assert.deepEqual(await refusal(plaid.itemGet({ access_token: "nonsense" })), [
        400,
        "INVALID_ACCESS_TOKEN",
        "provided access token is in an invalid format. expected format: access-<environment>-<identifier>",
      ]);
      const stranger = clientWith({ client_id, secret: "another-secret" });
      assert.deepEqual(await refusal(stranger.itemGet({ access_token })), [
        400,
        "INVALID_API_KEYS",
        "invalid client_id or secret provided",
      ]);
    });

    test("accounts and institutions", async () => {
      const { access_token } = await item();
      const { accounts } = (await plaid.accountsGet({ access_token })).data;
      const account_ids = [accounts[0]!.account_id];
      const some = (await plaid.accountsGet({ access_token, options: { account_ids } })).data.accounts;
      assert.deepEqual(
        some.map((each) => each.account_id),
        account_ids,
      );
      assert.deepEqual(
        await refusal(plaid.accountsGet({ access_token, options: { account_ids: ["x".repeat(37)] } })),
        [400, "INVALID_ACCOUNT_ID", "failed to find requested account ID for requested item"],
      );
      const country_codes = [CountryCode.Us];
      const found = await plaid.institutionsGetById({ institution_id: "ins_109508", country_codes });
      assert.equal(found.data.institution.name, "First Platypus Bank");
      assert.deepEqual(await refusal(plaid.institutionsGetById({ institution_id: "ins_0", country_codes })), [
        400,
        "INVALID_INSTITUTION",
        "invalid institution_id provided",
      ]);
    });

    test("link tokens, for new Items and for update mode", async () => {
      const request = { client_name: "c", language: "en", country_codes: [CountryCode.Us], user };
      const { link_token, expiration } = (
        await plaid.linkTokenCreate({ ...request, products: [Products.Auth] })
      ).data;
      assert.match(link_token, /^link-sandbox-/);
      assert.equal(Math.round((Date.parse(expiration) - sandbox.control.clock.now()) / 60_000), 240);
      const seen = (await plaid.linkTokenGet({ link_token })).data;
      assert.deepEqual([seen.metadata.client_name, seen.metadata.initial_products], ["c", ["auth"]]);
      const { access_token } = await item();
      const update = (await plaid.linkTokenCreate({ ...request, access_token })).data;
      assert.equal(Math.round((Date.parse(update.expiration) - sandbox.control.clock.now()) / 60_000), 30);
      assert.deepEqual(await refusal(plaid.linkTokenGet({ link_token: "nonsense" })), [
        400,
        "INVALID_LINK_TOKEN",
        "invalid link_token provided",
      ]);
    });

    test("webhooks are fired, verified by key, and refused without a URL", async () => {
      const { access_token } = await item([Products.Transactions], { webhook });
      const fire = {
        access_token,
        webhook_code: SandboxItemFireWebhookRequestWebhookCodeEnum.DefaultUpdate,
        webhook_type: WebhookType.Transactions,
      };
      assert.equal((await plaid.sandboxItemFireWebhook(fire)).data.webhook_fired, true);
      assert.ok(sandbox.control.webhooks.list().some((sent) => sent.webhook_code === "DEFAULT_UPDATE"));
      const bare = await item([Products.Transactions]);
      assert.deepEqual(
        (await refusal(plaid.sandboxItemFireWebhook({ ...fire, access_token: bare.access_token }))).slice(
          0,
          2,
        ),
        [400, "SANDBOX_WEBHOOK_INVALID"],
      );

      const { key } = (await plaid.webhookVerificationKeyGet({ key_id: liveKid })).data;
      assert.deepEqual(
        [key.alg, key.crv, key.kty, key.use, key.kid, key.expired_at],
        ["ES256", "P-256", "EC", "sig", liveKid, null],
      );
      assert.deepEqual((await refusal(plaid.webhookVerificationKeyGet({ key_id: "x" }))).slice(0, 2), [
        400,
        "INVALID_WEBHOOK_VERIFICATION_KEY_ID",
      ]);
    });

    test("micro-deposits come to an end", async () => {
      const { access_token } = await item([Products.Auth], { override_password: "microdeposits_good" });
      const account_id = (await plaid.accountsGet({ access_token })).data.accounts.find(
        (each) => each.verification_status,
      )!.account_id;
      const verification_status =
        SandboxItemSetVerificationStatusRequestVerificationStatusEnum.AutomaticallyVerified;
      await plaid.sandboxItemSetVerificationStatus({ access_token, account_id, verification_status });
      const after = (await plaid.accountsGet({ access_token })).data.accounts.find(
        (each) => each.account_id === account_id,
      )!;
      assert.equal(after.verification_status, "automatically_verified");
    });

    test("what is not modelled says so, in a shape that Plaid never sends", async () => {
      const { access_token } = await item();
      await assert.rejects(plaid.transactionsSync({ access_token }), ({ response }: Thrown) => {
        assert.equal(response?.status, 501);
        assert.equal(response.data["error_code"], undefined);
        return true;
      });
    });
  });
}

test("no endpoint of the table was left out", () => {
  for (const name of Object.keys(endpoints)) assert.ok(called.has(name), name);
});

test("every path that the official client knows is served, or said to be not modelled; none is taken for unknown", async () => {
  const { readFile } = await import("node:fs/promises");
  const source = await readFile(new URL(import.meta.resolve("plaid/dist/api.js")), "utf8");
  const paths = new Set([...source.matchAll(/const localVarPath = `(\/[^`]+)`/g)].map((match) => match[1]!));
  assert.ok(paths.size > 250, `only ${paths.size} paths were found`);
  const sandbox = await createSandbox();
  const served: readonly string[] = Object.values(endpoints).map(({ path }) => path);
  const headers = {
    "content-type": "application/json",
    "plaid-client-id": client_id,
    "plaid-secret": secret,
  };
  for (const path of paths) {
    const answer = await sandbox.fetch(`http://sandbox${path}`, { method: "POST", headers, body: "{}" });
    const { error_code } = (await answer.json()) as { error_code?: string };
    if (served.includes(path)) assert.notEqual(error_code, "NOT_FOUND", path);
    else
      assert.ok(
        answer.status === 501 || error_code === "NO_LONGER_AVAILABLE",
        `${path} answered ${answer.status} ${error_code}`,
      );
  }
  await sandbox.close();
});
