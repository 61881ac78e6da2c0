// Law: webhooks go out as Plaid's do: signed over their bytes, tried again to the second of Plaid's schedule, never
// more than a day, and not at all where nearly everything is rejected; and receivers can be tried with the worst.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { plaidKeys, verifyWebhook } from "sett/webhook";
import { REJECTION_SAMPLE } from "../src/index.ts";
import { aPlaid, DAY, HOUR, MINUTE, SECOND, START, type Received } from "./plaid.ts";

const hook = "https://app.test/hook";
type Plaid = Awaited<ReturnType<typeof aPlaid>>;

/** An Item with a URL, whose products send nothing by themselves. */
async function anItem(plaid: Plaid) {
  const { access_token } = await plaid.item(["auth"], { options: { webhook: hook } });
  const fire = () =>
    plaid.call("/sandbox/item/fire_webhook", { access_token, webhook_code: "LOGIN_REPAIRED" });
  return { access_token, fire };
}
const rejecting = () => new Response(null, { status: 500 });
const secondsOf = (received: readonly Received[]) => received.map(({ at }) => (at - START) / SECOND);

test("the signature is good for sett's own verification, over the exact bytes", async () => {
  const plaid = await aPlaid();
  const { fire } = await anItem(plaid);
  await fire();
  await plaid.control.webhooks.idle();
  const [{ text, verification }] = plaid.received as [Received];
  const keys = plaidKeys({
    clientId: "sandbox-client-id",
    secret: "sandbox-secret",
    post: plaid.sandbox.post,
  });
  const now = () => plaid.control.clock.now();
  const verified = await verifyWebhook({ body: text, header: verification }, { keys, now });
  assert.equal(verified.ok, true);
  const changed = await verifyWebhook({ body: `${text} `, header: verification }, { keys, now });
  assert.equal(changed.ok, false);
  const [header, payload] = verification.split(".").map((part) => Buffer.from(part, "base64url").toString());
  assert.match(header!, /^\{"alg":"ES256","kid":"[0-9a-f-]{36}","typ":"JWT"\}$/);
  assert.equal(JSON.parse(payload!).iat, START / SECOND);
});

test("a rejected webhook is tried at 30 s, 2 min, 8 min, 32 min, 2 h 8 min and 8 h 32 min after the one before", async () => {
  const plaid = await aPlaid();
  plaid.receiver = rejecting;
  const { fire } = await anItem(plaid);
  await fire();
  await plaid.control.clock.advance(3 * DAY);
  assert.deepEqual(secondsOf(plaid.received), [0, 30, 150, 630, 2_550, 10_230, 40_950]);
  const [delivery] = plaid.control.webhooks.list();
  assert.equal(delivery!.delivery_status, "FAILED");
  assert.deepEqual(
    delivery!.attempts.map(({ http_status_code }) => http_status_code),
    Array(7).fill(500),
  );
  assert.equal(new Set(plaid.received.map(({ text }) => text)).size, 1);
});

test("each attempt is signed anew, with the time it is made", async () => {
  const plaid = await aPlaid();
  plaid.receiver = rejecting;
  const { fire } = await anItem(plaid);
  await fire();
  await plaid.control.clock.advance(10 * MINUTE);
  const iats = plaid.received.map(({ verification }) => iatOf(verification));
  assert.deepEqual(
    iats.map((iat) => iat - START / SECOND),
    [0, 30, 150],
  );
});
const iatOf = (jwt: string): number =>
  JSON.parse(Buffer.from(jwt.split(".")[1]!, "base64url").toString()).iat;
const kidOf = (jwt: string): string =>
  JSON.parse(Buffer.from(jwt.split(".")[0]!, "base64url").toString()).kid;

test("only 200 is success; any other status, and no answer, are failures", async () => {
  for (const [answer, status] of [
    [() => new Response(null, { status: 200 }), "DELIVERED"],
    [() => new Response(null, { status: 201 }), "PENDING"],
    [() => new Response(null, { status: 204 }), "PENDING"],
    [() => new Response(null, { status: 302 }), "PENDING"],
    [() => Promise.reject(new Error("no route")), "PENDING"],
  ] as const) {
    const plaid = await aPlaid();
    plaid.receiver = answer;
    const { fire } = await anItem(plaid);
    await fire();
    await plaid.control.webhooks.idle();
    assert.equal(plaid.control.webhooks.list()[0]?.delivery_status, status);
  }
});

test("a receiver that hangs has 10 s of the clock, and the next try comes 30 s after that", async () => {
  const plaid = await aPlaid();
  plaid.receiver = () => new Promise(() => {});
  const { fire } = await anItem(plaid);
  await fire();
  await plaid.control.clock.advance(10 * SECOND - 1, 20);
  assert.deepEqual(plaid.control.webhooks.list()[0]?.attempts, []);
  await plaid.control.clock.advance(1, 20);
  assert.equal(plaid.control.webhooks.list()[0]?.attempts[0]?.problem, "timeout");
  plaid.receiver = () => new Response();
  await plaid.control.clock.advance(30 * SECOND, 20);
  assert.deepEqual(secondsOf(plaid.received), [0, 40]);
  assert.equal(plaid.control.webhooks.list()[0]?.delivery_status, "DELIVERED");
});

test("Retry-After of a 429 is honoured, up to 4 hours", async () => {
  for (const [header, expected] of [
    ["90", 90],
    [new Date(START + 5 * MINUTE).toUTCString(), 300],
    ["999999", (4 * HOUR) / SECOND],
    ["soon", 30],
  ] as const) {
    const plaid = await aPlaid();
    plaid.receiver = () => new Response(null, { status: 429, headers: { "Retry-After": header } });
    const { fire } = await anItem(plaid);
    await fire();
    await plaid.control.webhooks.idle();
    assert.equal((plaid.control.webhooks.list()[0]!.next_attempt_at! - START) / SECOND, expected);
  }
});

test("no retries once more than 90 % of a day's webhooks were rejected, from the sample's size on", async () => {
  const plaid = await aPlaid();
  plaid.receiver = rejecting;
  const { fire } = await anItem(plaid);
  for (let i = 1; i < REJECTION_SAMPLE; i++) await fire();
  await plaid.control.webhooks.idle();
  const states = () => plaid.control.webhooks.list().map(({ delivery_status }) => delivery_status);
  assert.deepEqual(new Set(states()), new Set(["PENDING"]));
  await fire();
  await plaid.control.webhooks.idle();
  assert.equal(states().at(-1), "FAILED");
  plaid.received.length = 0;
  await plaid.control.clock.advance(HOUR);
  assert.deepEqual(plaid.received, []);
  assert.deepEqual(new Set(states()), new Set(["FAILED"]));
});

test("exactly 90 % rejected still retries, and other endpoints are not blamed", async () => {
  const plaid = await aPlaid();
  const { fire, access_token } = await anItem(plaid);
  await fire();
  await plaid.control.webhooks.idle();
  plaid.receiver = rejecting;
  for (let i = 1; i < 10; i++) await fire();
  await plaid.control.webhooks.idle();
  assert.equal(plaid.control.webhooks.list().at(-1)?.delivery_status, "PENDING");
  await fire();
  await plaid.control.webhooks.idle();
  assert.equal(plaid.control.webhooks.list().at(-1)?.delivery_status, "FAILED");
  await plaid.call("/item/webhook/update", { access_token, webhook: "https://app.test/other" });
  await plaid.control.webhooks.idle();
  assert.equal(plaid.control.webhooks.list().at(-1)?.delivery_status, "PENDING");
});

test("a key that is rotated in mid-retry: later attempts have the new key, and both keys are still served", async () => {
  const plaid = await aPlaid();
  plaid.receiver = rejecting;
  const { fire } = await anItem(plaid);
  await fire();
  await plaid.control.webhooks.idle();
  await plaid.control.clock.advance(20 * SECOND);
  const { kid } = await plaid.control.keys.rotate();
  await plaid.control.clock.advance(MINUTE);
  const kids = plaid.received.map(({ verification }) => kidOf(verification));
  assert.equal(kids.length, 2);
  assert.notEqual(kids[0], kid);
  assert.equal(kids[1], kid);
  const key = async (key_id: string) =>
    (await plaid.call("/webhook_verification_key/get", { key_id })).body.key;
  assert.equal((await key(kids[0]!)).expired_at, START / SECOND + 20);
  assert.deepEqual(Object.keys(await key(kid)), [
    "alg",
    "created_at",
    "crv",
    "expired_at",
    "kid",
    "kty",
    "use",
    "x",
    "y",
  ]);
});

test("of keys that are rotated at the same time, one stays; a key that has ended ends no second time", async () => {
  const { control } = await aPlaid();
  const { keys, clock } = control;
  const [first] = await keys.list();
  await Promise.all([keys.rotate(), keys.rotate(), keys.rotate()]);
  const expired = async () => (await keys.list()).map(({ expired_at }) => expired_at);
  const now = START / SECOND;
  assert.deepEqual(await expired(), [now, now, now, null]);
  await clock.advance(MINUTE);
  keys.expire(first!.kid);
  assert.deepEqual(await expired(), [now, now, now, null]);
});

test("closing lets go of a receiver that hangs", async () => {
  const signals: AbortSignal[] = [];
  const plaid = await aPlaid({
    deliver: ({ signal }) => {
      signals.push(signal);
      return new Promise(() => {});
    },
  });
  const { fire } = await anItem(plaid);
  await fire();
  await plaid.control.clock.advance(SECOND, 5);
  const aborted = () => signals.map((signal) => signal.aborted);
  assert.deepEqual(aborted(), [false]);
  await plaid.sandbox.close();
  assert.deepEqual(aborted(), [true]);
});

test("the key of Plaid's own Sandbox is served, and signs nothing", async () => {
  const plaid = await aPlaid();
  const { body } = await plaid.call("/webhook_verification_key/get", {
    key_id: "6c5516e1-92dc-479e-a8ff-5a51992e0001",
  });
  assert.deepEqual(body.key, {
    alg: "ES256",
    created_at: 1560466143,
    crv: "P-256",
    expired_at: null,
    kid: "6c5516e1-92dc-479e-a8ff-5a51992e0001",
    kty: "EC",
    use: "sig",
    x: "35lvC8uz2QrWpQJ3TUH8t9o9DURMp7ydU518RKDl20k",
    y: "I8BuXB2bvxelzJAd7OKhd-ZwjCst05Fx47Mb_0ugros",
  });
  const keys = await plaid.control.keys.list();
  assert.equal(keys.length, 1);
  assert.equal("d" in keys[0]!, false);
});

test("webhooks arrive in the order they were caused, and in any other on demand", async () => {
  const plaid = await aPlaid();
  const { access_token } = await anItem(plaid);
  const codes = ["LOGIN_REPAIRED", "NEW_ACCOUNTS_AVAILABLE", "USER_ACCOUNT_REVOKED"];
  const fireAll = async () => {
    for (const webhook_code of codes)
      await plaid.call("/sandbox/item/fire_webhook", { access_token, webhook_code });
  };
  await fireAll();
  await plaid.control.webhooks.idle();
  assert.deepEqual(
    plaid.received.map(({ code }) => code),
    codes,
  );

  plaid.received.length = 0;
  plaid.control.webhooks.hold();
  await fireAll();
  await plaid.control.clock.advance(MINUTE);
  assert.deepEqual(plaid.received, []);
  const held = plaid.control.webhooks.list().filter((delivery) => delivery.held);
  plaid.control.webhooks.release(held.map((delivery) => delivery.webhook_message_id).reverse());
  await plaid.control.webhooks.idle();
  assert.deepEqual(
    plaid.received.map(({ code }) => code),
    codes.toReversed(),
  );
});

test("duplicates and replays carry the same bytes; a replay as signed has the old signature", async () => {
  const plaid = await aPlaid();
  const { fire } = await anItem(plaid);
  plaid.control.webhooks.duplicate();
  await fire();
  await fire();
  await plaid.control.webhooks.idle();
  assert.equal(plaid.received.length, 3);
  assert.equal(plaid.received[0]!.text, plaid.received[1]!.text);

  await plaid.control.clock.advance(MINUTE);
  const { webhook_message_id } = plaid.control.webhooks.list()[0]!;
  plaid.control.webhooks.replay(webhook_message_id);
  plaid.control.webhooks.replay(webhook_message_id, { asSigned: true });
  await plaid.control.webhooks.idle();
  const [first, , , again, asSigned] = plaid.received;
  assert.equal(iatOf(again!.verification), iatOf(first!.verification) + 60);
  assert.equal(asSigned!.verification, first!.verification);
  assert.equal(asSigned!.text, first!.text);
});

test("a reset forgets the signatures of replays: the ids that come again are of other webhooks", async () => {
  const plaid = await aPlaid();
  const life = async (webhook_code: string, asSigned: boolean) => {
    const { access_token } = await anItem(plaid);
    await plaid.call("/sandbox/item/fire_webhook", { access_token, webhook_code });
    await plaid.control.webhooks.idle();
    plaid.control.webhooks.replay(plaid.control.webhooks.list()[0]!.webhook_message_id, { asSigned });
    await plaid.control.webhooks.idle();
    return plaid.control.webhooks.list()[1]!.webhook_message_id;
  };
  const before = await life("LOGIN_REPAIRED", true);
  plaid.control.reset();
  assert.equal(await life("NEW_ACCOUNTS_AVAILABLE", false), before);
  const { text, verification } = plaid.received.at(-1)!;
  const [, payload] = verification.split(".");
  assert.equal(
    JSON.parse(Buffer.from(payload!, "base64url").toString()).request_body_sha256,
    createHash("sha256").update(text).digest("hex"),
  );
});

test("every code of fire_webhook sends its own type, and leaves the Item as it was", async () => {
  const plaid = await aPlaid();
  const products = ["assets", "auth", "identity", "investments", "liabilities", "transactions"];
  const { access_token, item_id } = await plaid.item(products, { options: { webhook: hook } });
  await plaid.control.clock.advance(MINUTE);
  plaid.received.length = 0;
  const codes: readonly (readonly [string, string | undefined, string])[] = [
    ["DEFAULT_UPDATE", undefined, "TRANSACTIONS"],
    ["DEFAULT_UPDATE", "AUTH", "AUTH"],
    ["DEFAULT_UPDATE", "HOLDINGS", "HOLDINGS"],
    ["DEFAULT_UPDATE", "IDENTITY", "IDENTITY"],
    ["DEFAULT_UPDATE", "INVESTMENTS_TRANSACTIONS", "INVESTMENTS_TRANSACTIONS"],
    ["DEFAULT_UPDATE", "LIABILITIES", "LIABILITIES"],
    ["NEW_ACCOUNTS_AVAILABLE", undefined, "ITEM"],
    ["SMS_MICRODEPOSITS_VERIFICATION", undefined, "AUTH"],
    ["AUTHORIZATION_GRANTED", undefined, "ITEM"],
    ["USER_PERMISSION_REVOKED", undefined, "ITEM"],
    ["USER_ACCOUNT_REVOKED", undefined, "ITEM"],
    ["PENDING_DISCONNECT", undefined, "ITEM"],
    ["RECURRING_TRANSACTIONS_UPDATE", undefined, "TRANSACTIONS"],
    ["LOGIN_REPAIRED", undefined, "ITEM"],
    ["SYNC_UPDATES_AVAILABLE", undefined, "TRANSACTIONS"],
    ["PRODUCT_READY", undefined, "ASSETS"],
    ["ERROR", undefined, "ASSETS"],
  ];
  for (const [webhook_code, webhook_type] of codes) {
    const request = { access_token, webhook_code, ...(webhook_type && { webhook_type }) };
    assert.equal(
      (await plaid.call("/sandbox/item/fire_webhook", request)).body.webhook_fired,
      true,
      webhook_code,
    );
  }
  await plaid.control.webhooks.idle();
  const bodies = plaid.received.map(({ text }) => JSON.parse(text));
  assert.deepEqual(
    bodies.map(({ webhook_code, webhook_type }) => [webhook_code, webhook_type]),
    codes.map(([code, , type]) => [code, type]),
  );
  for (const body of bodies) {
    assert.equal(body.environment, "sandbox");
    assert.equal(body.item_id, body.webhook_type === "ASSETS" ? undefined : item_id);
  }
  assert.equal((await plaid.call("/item/get", { access_token })).body.item.error, null);
});

test("a running clock delivers by itself", async () => {
  const { promise, resolve } = Promise.withResolvers<Received>();
  const plaid = await aPlaid();
  plaid.control.clock.run();
  plaid.receiver = (webhook) => {
    resolve(webhook);
    return new Response();
  };
  const { fire } = await anItem(plaid);
  await fire();
  assert.equal((await promise).code, "LOGIN_REPAIRED");
  await plaid.sandbox.close();
});
