// How often Plaid is asked for keys, and that no webhook is lost for it: not in a rotation, not in a flood, not while
// Plaid is away.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { Answer, Post } from "../src/index.ts";
import { plaidKeys, type SigningKey, type VerificationKeys } from "../src/webhook/index.ts";
import { answer, networkError, refusal, scripted } from "./scripted.ts";
import { noon, SigningPlaid, syncUpdates } from "./signing-plaid.ts";

const hour = 3_600;

/** A promise and the way to keep it. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

const reasonOf = async (keys: VerificationKeys, kid: string) => {
  const found = await keys(kid);
  return found.ok ? "ok" : found.error.reason;
};

describe("the cache", () => {
  test("asks once for each key and hour", async () => {
    const plaid = new SigningPlaid();
    const [a, b] = [await plaid.newKey(), await plaid.newKey()];
    const keys = plaid.keys();
    for (let i = 0; i < 50; i++) {
      assert.equal(await plaid.outcome(await plaid.sign(i % 2 ? a : b), keys), "ok");
    }
    assert.deepEqual(plaid.asked.sort(), [a.kid, b.kid].sort());

    plaid.seconds += hour - 1;
    assert.equal(await plaid.outcome(await plaid.sign(a), keys), "ok");
    assert.equal(plaid.asked.length, 2, "an answer is believed for an hour");
    plaid.seconds += 1;
    assert.equal(await plaid.outcome(await plaid.sign(a), keys), "ok");
    assert.deepEqual(plaid.asked.slice(2), [a.kid], "and no longer");
  });

  test("asks with the configuration it was given, and for nothing but the key", async () => {
    const { config, sent } = scripted(refusal(400, "INVALID_WEBHOOK_VERIFICATION_KEY_ID", "INVALID_INPUT"));
    await plaidKeys({ ...config, env: "production" })("k1");
    assert.deepEqual(
      sent.map(({ url, body }) => [url, body]),
      [["https://production.plaid.com/webhook_verification_key/get", '{"key_id":"k1"}']],
    );
  });

  test("has one look-up for 100 verifications at once, of each key", async () => {
    const plaid = new SigningPlaid();
    const signers = [await plaid.newKey(), await plaid.newKey(), await plaid.newKey()];
    const deliveries = await Promise.all(
      signers.flatMap((key) => Array.from({ length: 100 }, () => plaid.sign(key))),
    );
    const keys = plaid.keys();
    const outcomes = await Promise.all(deliveries.map((delivery) => plaid.outcome(delivery, keys)));
    assert.deepEqual(new Set(outcomes), new Set(["ok"]));
    assert.equal(plaid.asked.length, 3);
  });

  test("has one look-up for 100 at once when the hour is over, too", async () => {
    const plaid = new SigningPlaid();
    const key = await plaid.newKey();
    const keys = plaid.keys();
    assert.equal(await reasonOf(keys, key.kid), "ok");
    plaid.seconds += hour;
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => reasonOf(keys, key.kid)));
    assert.deepEqual(new Set(outcomes), new Set(["ok"]));
    assert.equal(plaid.asked.length, 2);
  });

  test("keeps no failure: who waited for the same look-up shares it, the next one asks again", async () => {
    const plaid = new SigningPlaid();
    const key = await plaid.newKey();
    const keys = plaid.keys();
    plaid.trouble = () => refusal(400, "INVALID_API_KEYS", "INVALID_INPUT");
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => reasonOf(keys, key.kid)));
    assert.deepEqual(new Set(outcomes), new Set(["keys-unavailable"]));
    assert.equal(plaid.asked.length, 1);
    plaid.trouble = null;
    assert.equal(await reasonOf(keys, key.kid), "ok");
    assert.equal(plaid.asked.length, 2);
  });

  test("reads the key that Plaid's sandbox has served since 2019", async () => {
    const plaid = new SigningPlaid();
    const kid = "6c5516e1-92dc-479e-a8ff-5a51992e0001";
    plaid.publish(kid, {
      alg: "ES256",
      created_at: 1560466143,
      crv: "P-256",
      expired_at: null,
      kid,
      kty: "EC",
      use: "sig",
      x: "35lvC8uz2QrWpQJ3TUH8t9o9DURMp7ydU518RKDl20k",
      y: "I8BuXB2bvxelzJAd7OKhd-ZwjCst05Fx47Mb_0ugros",
    });
    const found = await plaid.keys()(kid);
    assert.ok(found.ok);
    assert.deepEqual(
      [found.value.expiredAtSeconds, found.value.key.type, found.value.key.usages],
      [null, "public", ["verify"]],
    );
  });
});

describe("a rotation loses no webhook", () => {
  test("old and new key side by side, in any order", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ young: fc.boolean(), late: fc.nat(300) }), { maxLength: 30 }),
        async (deliveries) => {
          const plaid = new SigningPlaid();
          const old = await plaid.newKey();
          const keys = plaid.keys();
          assert.equal(await plaid.outcome(await plaid.sign(old), keys), "ok");
          const young = await plaid.newKey();
          plaid.publish(old.kid, { expired_at: noon + 60 });
          for (const [i, delivery] of deliveries.entries()) {
            plaid.seconds = noon + i * 10;
            // Plaid signs with the old key until it has expired, and what it signed may arrive 5 minutes later.
            const signer = delivery.young || plaid.seconds > noon + 60 ? young : old;
            const signed = await plaid.sign(signer);
            plaid.seconds += delivery.late;
            assert.equal(await plaid.outcome(signed, keys), "ok");
          }
          assert.ok(plaid.asked.length <= 2);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("an expiry is noticed within the hour, for what is signed after it only", async () => {
    const plaid = new SigningPlaid();
    const old = await plaid.newKey();
    const keys = plaid.keys();
    assert.equal(await plaid.outcome(await plaid.sign(old), keys), "ok");

    plaid.publish(old.kid, { expired_at: noon + hour - 60 });
    plaid.seconds = noon + hour - 1;
    const [inTime, tooLate] = [
      await plaid.sign(old, syncUpdates, noon + hour - 60),
      await plaid.sign(old, syncUpdates, noon + hour - 59),
    ];
    assert.equal(await plaid.outcome(tooLate, keys), "ok", "not known yet");
    plaid.seconds = noon + hour;
    assert.equal(await plaid.outcome(tooLate, keys), "expired-key");
    assert.equal(await plaid.outcome(inTime, keys), "ok");
    assert.equal(plaid.asked.length, 2);
  });

  test("a key that Plaid no longer knows is believed no longer", async () => {
    const plaid = new SigningPlaid();
    const key = await plaid.newKey();
    const keys = plaid.keys();
    assert.equal(await reasonOf(keys, key.kid), "ok");
    plaid.withdraw(key.kid);
    plaid.seconds += hour;
    assert.equal(await reasonOf(keys, key.kid), "unknown-key");
    assert.equal(await reasonOf(keys, key.kid), "unknown-key");
    assert.equal(plaid.asked.length, 2);

    // And is a stranger's like any other.
    plaid.seconds += 60;
    for (let i = 0; i < 20; i++) await reasonOf(keys, `strange ${i}`);
    assert.equal(await reasonOf(keys, key.kid), "keys-unavailable");
    assert.equal(plaid.asked.length, 9);
  });
});

describe("a flood of 10 000 strange key ids", () => {
  const strange = (count: number) => Array.from({ length: count }, () => crypto.randomUUID());

  async function flooded(): Promise<{ plaid: SigningPlaid; known: SigningKey; keys: VerificationKeys }> {
    const plaid = new SigningPlaid();
    const known = await plaid.newKey();
    const keys = plaid.keys();
    assert.equal(await plaid.outcome(await plaid.sign(known), keys), "ok");
    plaid.asked.length = 0;
    return { plaid, known, keys };
  }

  test("costs 7 look-ups, one after another, and a known key works all the while", async () => {
    const { plaid, known, keys } = await flooded();
    const delivery = await plaid.sign(known);
    const tally: Record<string, number> = {};
    for (const [i, kid] of strange(10_000).entries()) {
      const reason = await reasonOf(keys, kid);
      tally[reason] = (tally[reason] ?? 0) + 1;
      if (i % 500 === 0) assert.equal(await plaid.outcome(delivery, keys), "ok");
    }
    assert.deepEqual(tally, { "unknown-key": 7, "keys-unavailable": 9_993 });
    assert.equal(plaid.asked.length, 7);
  });

  test("costs 7 look-ups, all at once", async () => {
    const { plaid, known, keys } = await flooded();
    const { opened, open } = gate();
    plaid.trouble = async () => {
      await opened;
      return refusal(400, "INVALID_WEBHOOK_VERIFICATION_KEY_ID", "INVALID_INPUT");
    };
    const outcomes = strange(10_000).map((kid) => reasonOf(keys, kid));
    assert.equal(await plaid.outcome(await plaid.sign(known), keys), "ok");
    open();
    await Promise.all(outcomes);
    assert.equal(plaid.asked.length, 7);
  });

  test("costs 7 look-ups a minute, however long it goes on, and 10 where each id comes again and again", async () => {
    const { plaid, keys } = await flooded();
    for (let minute = 1; minute <= 20; minute++) {
      for (const kid of strange(50)) await reasonOf(keys, kid);
      assert.equal(plaid.asked.length, 7 * minute);
      plaid.seconds += 60;
    }
    plaid.asked.length = 0;
    for (let minute = 1; minute <= 20; minute++) {
      for (const kid of strange(50)) for (let i = 0; i < 5; i++) await reasonOf(keys, kid);
      assert.equal(plaid.asked.length, 10 * minute);
      plaid.seconds += 60;
    }
  });

  const troubles: [name: string, trouble: () => Answer | Promise<Answer>, attempts: number][] = [
    ["our credentials are wrong", () => refusal(400, "INVALID_API_KEYS", "INVALID_INPUT"), 1],
    ["Plaid sends something else than keys", () => answer(200, { key: {}, request_id: "r1" }), 1],
    ["Plaid sends a page", () => answer(403, "<html>", "text/html"), 3],
    ["Plaid limits our rate", () => refusal(429, "RATE_LIMIT", "RATE_LIMIT_EXCEEDED"), 3],
    ["Plaid is away", () => Promise.reject(networkError("ECONNREFUSED", "connect")), 3],
  ];
  for (const [name, trouble, attempts] of troubles) {
    test(`costs no more while ${name}, whether the ids differ or not`, async () => {
      for (const [kids, cost] of [
        [strange(2_000), 7],
        [Array.from({ length: 2_000 }, () => "the same"), 10],
      ] as const) {
        const { plaid, known, keys } = await flooded();
        plaid.trouble = trouble;
        for (const kid of kids) assert.equal(await reasonOf(keys, kid), "keys-unavailable");
        assert.equal(plaid.asked.length, cost * attempts);
        assert.equal(await plaid.outcome(await plaid.sign(known), keys), "ok");
        plaid.trouble = null;
        plaid.seconds += 60;
        assert.equal(await reasonOf(keys, kids[0]!), "unknown-key");
      }
    });
  }

  test("an id that is strange is asked for once a minute", async () => {
    const { plaid, keys } = await flooded();
    for (let i = 0; i < 100; i++) assert.equal(await reasonOf(keys, "strange"), "unknown-key");
    assert.equal(plaid.asked.length, 1);
    plaid.seconds += 59;
    assert.equal(await reasonOf(keys, "strange"), "unknown-key");
    assert.equal(plaid.asked.length, 1);
    plaid.seconds += 1;
    assert.equal(await reasonOf(keys, "strange"), "unknown-key");
    assert.equal(plaid.asked.length, 2);
  });

  test("a new key of Plaid's is put off by it, not lost: it works when it comes again, in the midst of the flood", async () => {
    const { plaid, known, keys } = await flooded();
    for (const kid of strange(1_000)) await reasonOf(keys, kid);
    const young = await plaid.newKey();
    assert.equal(await plaid.outcome(await plaid.sign(young), keys), "keys-unavailable");
    assert.ok(!plaid.asked.includes(young.kid));
    for (const kid of strange(9_000)) await reasonOf(keys, kid);
    plaid.seconds += 30;
    assert.equal(await plaid.outcome(await plaid.sign(young), keys), "ok");
    assert.equal(await plaid.outcome(await plaid.sign(known), keys), "ok");
  });

  test("remembers no more than 10 000 ids that were turned away", async () => {
    const { plaid, keys } = await flooded();
    for (const kid of strange(7)) await reasonOf(keys, kid);
    const young = await plaid.newKey();
    assert.equal(await reasonOf(keys, young.kid), "keys-unavailable");
    for (const kid of strange(10_000)) await reasonOf(keys, kid);
    assert.equal(await reasonOf(keys, young.kid), "keys-unavailable");
    assert.equal(await reasonOf(keys, young.kid), "ok");
  });

  test("a new key of Plaid's is put off, not lost, by ids that come again as it does: a minute later it works", async () => {
    const { plaid, keys } = await flooded();
    for (const kid of strange(1_000)) for (let i = 0; i < 2; i++) await reasonOf(keys, kid);
    const young = await plaid.newKey();
    for (let i = 0; i < 5; i++)
      assert.equal(await plaid.outcome(await plaid.sign(young), keys), "keys-unavailable");
    plaid.seconds += 60;
    assert.equal(await plaid.outcome(await plaid.sign(young), keys), "ok");
  });

  test("does not undo its bound by ever new spellings of a key that Plaid would take for the same", async () => {
    const plaid = new SigningPlaid();
    const { kid } = await plaid.newKey({}, "KID");
    const post: Post = (url, _body, headers, signal) =>
      plaid.post(url, JSON.stringify({ key_id: kid }), headers, signal);
    const keys = plaidKeys({ ...plaid.config, post }, { now: plaid.now });
    for (let i = 0; i < 1_000; i++) assert.equal(await reasonOf(keys, `kid${i}`), "keys-unavailable");
    assert.equal(plaid.asked.length, 7);
    assert.equal(await reasonOf(keys, kid), "keys-unavailable");
    assert.equal(await reasonOf(keys, kid), "ok");
  });

  test("does not keep the hour's look-up of a known key from being made", async () => {
    const { plaid, known, keys } = await flooded();
    plaid.seconds += hour;
    for (const kid of strange(1_000)) await reasonOf(keys, kid);
    assert.equal(plaid.asked.length, 7);
    assert.equal(await plaid.outcome(await plaid.sign(known), keys), "ok");
    assert.deepEqual(plaid.asked.slice(7), [known.kid]);
  });

  test("of deliveries under a known id, when its hour is over and Plaid gives no key, costs 10 look-ups a minute", async () => {
    const { plaid, known, keys } = await flooded();
    plaid.seconds += hour;
    plaid.trouble = () => refusal(400, "INVALID_API_KEYS", "INVALID_INPUT");
    for (let minute = 1; minute <= 5; minute++) {
      for (let i = 0; i < 100; i++) assert.equal(await reasonOf(keys, known.kid), "keys-unavailable");
      assert.equal(plaid.asked.length, 10 * minute);
      plaid.seconds += 60;
    }
    plaid.trouble = null;
    assert.equal(await reasonOf(keys, known.kid), "ok");
    assert.equal(await plaid.outcome(await plaid.sign(await plaid.newKey()), keys), "ok");
  });

  test("asks once an hour for a key that expired long ago and is named again and again", async () => {
    const { plaid, keys } = await flooded();
    const old = await plaid.newKey({ expired_at: noon - 2 * hour });
    for (let i = 0; i < 1_000; i++) {
      assert.equal(await reasonOf(keys, old.kid), "ok");
      await reasonOf(keys, `strange ${i}`);
    }
    assert.equal(plaid.asked.length, 8);
    plaid.seconds += hour;
    assert.equal(await reasonOf(keys, old.kid), "ok");
    assert.equal(plaid.asked.length, 9);
  });

  test("good keys use up nothing: 100 in a minute are all looked up", async () => {
    const plaid = new SigningPlaid();
    const signers = await Promise.all(Array.from({ length: 100 }, () => plaid.newKey()));
    const keys = plaid.keys();
    for (const { kid } of signers) assert.equal(await reasonOf(keys, kid), "ok");
  });

  test("a key that was unknown a moment ago and now is known works after a minute", async () => {
    const { plaid, keys } = await flooded();
    assert.equal(await reasonOf(keys, "late"), "unknown-key");
    const late = await plaid.newKey({}, "late");
    assert.equal(await reasonOf(keys, "late"), "unknown-key");
    plaid.seconds += 60;
    assert.equal(await plaid.outcome(await plaid.sign(late), keys), "ok");
  });
});

describe("a Plaid that is away", () => {
  test("is tried again as any read is, and each delivery is told to come again", async () => {
    const plaid = new SigningPlaid();
    const key = await plaid.newKey();
    const keys = plaid.keys();
    plaid.trouble = () => Promise.reject(networkError("ECONNREFUSED", "connect"));
    assert.equal(await plaid.outcome(await plaid.sign(key), keys), "keys-unavailable");
    assert.equal(plaid.asked.length, 3);
    plaid.trouble = null;
    assert.equal(await plaid.outcome(await plaid.sign(key), keys), "ok");
  });

  test("does not stop webhooks under keys known for less than an hour", async () => {
    const plaid = new SigningPlaid();
    const key = await plaid.newKey();
    const keys = plaid.keys();
    assert.equal(await plaid.outcome(await plaid.sign(key), keys), "ok");
    plaid.trouble = () => Promise.reject(networkError("ECONNREFUSED", "connect"));
    plaid.seconds += hour - 1;
    assert.equal(await plaid.outcome(await plaid.sign(key), keys), "ok");
    plaid.seconds += 1;
    assert.equal(await plaid.outcome(await plaid.sign(key), keys), "keys-unavailable");
    plaid.trouble = null;
    assert.equal(await plaid.outcome(await plaid.sign(key), keys), "ok");
  });

  test("a configuration that cannot be right is a TypeError at once", () => {
    const { config } = scripted(answer(200, {}));
    assert.throws(() => plaidKeys({ ...config, secret: "" }), {
      name: "TypeError",
      message: /config\.secret must be/,
    });
    assert.throws(() => plaidKeys(config, { clock: Date.now } as object), {
      name: "TypeError",
      message: /the options cannot have `clock`/,
    });
    assert.throws(() => plaidKeys(config, { now: 5 as never }), {
      name: "TypeError",
      message: /now must be/,
    });
  });
});
