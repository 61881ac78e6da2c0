// What a user's program can do with the installed package `sett` alone, on any Node that it promises to run on.

import assert from "node:assert/strict";
import { happened, Item, PlaidFailure, unwrap } from "sett";
import * as endpoints from "sett/endpoints";
import * as SameItem from "sett/item";
import { text } from "sett/kinds";
import { fastifyReceiver, nodeListener, pooledPost } from "sett/node";
import { plaidKeys, receive, signWebhook, verifyWebhook } from "sett/webhook";

const nobodyThere = {
  clientId: "a-client-id",
  secret: "a-secret-of-ours",
  baseUrl: "http://127.0.0.1:65535",
  retries: 0,
};

assert.deepEqual(Object.keys(SameItem), Object.keys(Item));
const got = await Item.get("access-sandbox-1", nobodyThere);
assert.equal(got.ok, false);
assert.equal(got.error.kind, "unsent");
assert.equal(happened(got.error), "no");
assert.throws(() => unwrap(got), PlaidFailure);

assert.equal(endpoints.itemGet.path, "/item/get");
assert.equal(text.accepts(""), false);

const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
  "sign",
  "verify",
]);
const jwk = {
  ...(await crypto.subtle.exportKey("jwk", pair.publicKey)),
  alg: "ES256",
  kid: "k1",
  use: "sig",
};
const webhook = { webhook_type: "ITEM", webhook_code: "NEW_ACCOUNTS_AVAILABLE", item_id: "i", error: null };
const body = JSON.stringify({ ...webhook, environment: "sandbox" });
const header = await signWebhook(
  body,
  { kid: "k1", privateKey: pair.privateKey },
  Math.floor(Date.now() / 1000),
);
const seen = [];
const answered = async (path) => {
  assert.equal(path, "https://sandbox.plaid.com/webhook_verification_key/get");
  const key = { ...jwk, created_at: 1, expired_at: null };
  return { status: 200, headers: new Headers(), body: JSON.stringify({ key, request_id: "r" }) };
};
const keys = plaidKeys({ clientId: "a-client-id", secret: "a-secret-of-ours", post: answered });
assert.equal((await verifyWebhook({ body, header }, { keys })).ok, true);
const refused = await verifyWebhook({ body: `${body} `, header }, { keys });
assert.equal(refused.error.reason, "body-mismatch");
const receiver = receive((delivered) => void seen.push(delivered.webhook_code), { keys });
const delivery = { method: "POST", headers: { "plaid-verification": header }, body };
assert.equal((await receiver(new Request("http://127.0.0.1/", delivery))).status, 200);
assert.deepEqual(seen, ["NEW_ACCOUNTS_AVAILABLE"]);

assert.equal(typeof nodeListener(receiver), "function");
assert.equal(typeof fastifyReceiver(receiver), "function");
assert.throws(() => pooledPost(), /npm install undici/);

await assert.rejects(import("sett/dist/plaid/call.js"), { code: "ERR_PACKAGE_PATH_NOT_EXPORTED" });
