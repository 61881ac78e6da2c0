// A receiver from Request to Response: what it answers, that it hands each delivery over once and none never, and that
// nothing that arrives or that is thrown makes it fail.

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import {
  receive,
  type Receiver,
  type Reception,
  type Refusal,
  type SigningKey,
  type VerificationKeys,
  type VerifiedDelivery,
  type Webhook,
} from "../src/webhook/index.ts";
import { networkError } from "./scripted.ts";
import { forge, newKeyPair, noon, SigningPlaid, syncUpdates } from "./signing-plaid.ts";

type Body = Uint8Array<ArrayBuffer> | string | ReadableStream;

const post = (body: Body, header: string | null | undefined, headers: Record<string, string> = {}) =>
  new Request("https://example.test/plaid", {
    method: "POST",
    body,
    headers: { ...headers, ...(header && { "plaid-verification": header }) },
    ...({ duplex: "half" } as object),
  });

/** A receiver beside a Plaid, what it handed over and what it told. */
async function stage(
  handler: (webhook: Webhook, delivery: VerifiedDelivery) => unknown = () => {},
  reception: Partial<Reception> = {},
) {
  const plaid = new SigningPlaid();
  const key = await plaid.newKey();
  const handed: VerifiedDelivery[] = [];
  const refusals: Refusal[] = [];
  const errors: unknown[] = [];
  const receiver = receive(
    (webhook, delivery) => {
      handed.push(delivery);
      return handler(webhook, delivery);
    },
    {
      keys: plaid.keys(),
      now: plaid.now,
      onRefusal: (refusal) => refusals.push(refusal),
      onError: (error) => errors.push(error),
      ...reception,
    },
  );
  /** Signs a body now, unless told otherwise, and delivers it. */
  const deliver = async (body: string = syncUpdates, iatSeconds?: number, signer = key) =>
    statusAndText(await receiver(post(body, (await plaid.sign(signer, body, iatSeconds)).header)));
  return { plaid, key, receiver, deliver, handed, refusals, errors };
}

const statusAndText = async (response: Response) => `${response.status} ${(await response.text()).trim()}`;

const gate = () => {
  let open!: () => void;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
};

describe("answers", () => {
  test("200 for a webhook, and hands over what it says, when it was signed and its hash", async () => {
    const { deliver, handed, refusals } = await stage();
    assert.equal(await deliver(), "200 taken");
    assert.equal(handed.length, 1);
    assert.deepEqual(handed[0]!.webhook, JSON.parse(syncUpdates));
    assert.equal(handed[0]!.iatSeconds, noon);
    assert.match(handed[0]!.bodySha256, /^[0-9a-f]{64}$/);
    assert.deepEqual(refusals, []);
  });

  test("200 only when the handler has ended", async () => {
    const { opened, open } = gate();
    const events: string[] = [];
    const { deliver } = await stage(() => opened.then(() => events.push("handled")));
    const answered = deliver().then(() => events.push("answered"));
    events.push("waiting");
    open();
    await answered;
    assert.deepEqual(events, ["waiting", "handled", "answered"]);
  });

  test("401 with the reason for what is not believed, and tells of it", async () => {
    const { plaid, key, receiver, deliver, refusals, handed } = await stage();
    const stranger: SigningKey = { kid: key.kid, privateKey: (await newKeyPair()).privateKey };
    const { header } = await plaid.sign(key);
    assert.equal(await statusAndText(await receiver(post(syncUpdates, null))), "401 malformed");
    assert.equal(await deliver(syncUpdates, noon - 301), "401 stale");
    assert.equal(await deliver(syncUpdates, noon + 61), "401 future");
    assert.equal(await deliver(syncUpdates, noon, stranger), "401 bad-signature");
    assert.equal(await deliver(syncUpdates, noon, { ...key, kid: "strange" }), "401 unknown-key");
    assert.equal(await statusAndText(await receiver(post(`${syncUpdates} `, header))), "401 body-mismatch");
    assert.equal(await statusAndText(await receiver(post("", header))), "401 body-mismatch");
    const wrong = await forge({ alg: "HS256", kid: key.kid }, {}, new Uint8Array(32));
    assert.equal(await statusAndText(await receiver(post(syncUpdates, wrong))), "401 wrong-alg");
    plaid.publish(key.kid, { expired_at: noon - 10 });
    plaid.seconds += 3_600;
    assert.equal(await deliver(), "401 expired-key");
    assert.deepEqual(
      refusals.map(({ reason }) => reason),
      [
        "malformed",
        "stale",
        "future",
        "bad-signature",
        "unknown-key",
        "body-mismatch",
        "body-mismatch",
        "wrong-alg",
        "expired-key",
      ],
    );
    assert.deepEqual(handed, []);
  });

  test("401 for a request without a body, and for the header twice", async () => {
    const { plaid, key, receiver } = await stage();
    const { header } = await plaid.sign(key);
    const bare = new Request("https://example.test/", {
      method: "POST",
      headers: { "plaid-verification": header! },
    });
    assert.equal(await statusAndText(await receiver(bare)), "401 body-mismatch");
    const twice = post(syncUpdates, header);
    twice.headers.append("Plaid-Verification", header!);
    assert.equal(await statusAndText(await receiver(twice)), "401 malformed");
  });

  for (const method of ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"]) {
    test(`405 to ${method}, without reading or asking`, async () => {
      const { plaid, key, receiver, handed, refusals } = await stage();
      const { header } = await plaid.sign(key);
      const response = await receiver(
        new Request("https://example.test/", { method, headers: { "plaid-verification": header! } }),
      );
      assert.equal(response.status, 405);
      assert.equal(response.headers.get("allow"), "POST");
      assert.deepEqual([plaid.asked, handed, refusals], [[], [], []]);
    });
  }

  test("503 while the key cannot be asked for, and takes the webhook when Plaid sends it again", async () => {
    const { plaid, deliver, handed, refusals } = await stage();
    plaid.trouble = () => Promise.reject(networkError("ECONNREFUSED", "connect"));
    assert.equal(await deliver(), "503 keys-unavailable");
    assert.equal(refusals[0]!.reason, "keys-unavailable");
    plaid.trouble = null;
    plaid.seconds += 30;
    assert.equal(await deliver(), "200 taken");
    assert.equal(handed.length, 1);
  });

  for (const [kind, thrower] of [
    [
      "throws",
      () => {
        throw new Error("database: access-sandbox-1234");
      },
    ],
    ["rejects", () => Promise.reject(new Error("database: access-sandbox-1234"))],
    ["rejects with nothing", () => Promise.reject(undefined)],
  ] as const) {
    test(`500 when the handler ${kind}, tells of it, and hands the same delivery over again`, async () => {
      let failing = true;
      const { deliver, handed, errors, refusals } = await stage(() => failing && thrower());
      assert.equal(await deliver(), "500 not taken; send it again");
      assert.equal(await deliver(), "500 not taken; send it again");
      assert.equal(errors.length, 2);
      failing = false;
      assert.equal(await deliver(), "200 taken");
      assert.equal(await deliver(), "200 seen before");
      assert.equal(handed.length, 3);
      assert.deepEqual(refusals, []);
    });
  }

  test("nothing of what it knows in any answer", async () => {
    const { plaid, key, receiver } = await stage(() => {
      throw new Error("secret-1234567890 access-sandbox-1234");
    });
    const { header } = await plaid.sign(key);
    const parts = header!.split(".");
    const requests = [
      post(syncUpdates, header),
      post(syncUpdates, null),
      post("{}", header),
      post(syncUpdates, `${parts[0]}.${parts[1]}.${parts[1]}`),
      new Request("https://example.test/?secret-1234567890"),
      post(new Uint8Array(2 ** 20 + 1), header),
    ];
    for (const request of requests) {
      const response = await receiver(request);
      const said = (await response.text()) + JSON.stringify([...response.headers]);
      for (const secret of ["secret", "client-", "access-", key.kid, "wz666", ...parts, "Error", ".ts"]) {
        assert.ok(!said.includes(secret), `${secret} in ${said}`);
      }
      assert.match(response.headers.get("content-type")!, /^text\/plain/);
    }
  });
});

describe("the length of a body", () => {
  test("413 for one byte more than told, without asking for a key", async () => {
    const bytes = new TextEncoder().encode(syncUpdates);
    const exact = await stage(undefined, { maxBytes: bytes.length });
    assert.equal(await exact.deliver(), "200 taken");
    const less = await stage(undefined, { maxBytes: bytes.length - 1 });
    assert.equal(await less.deliver(), `413 the body is longer than ${bytes.length - 1} bytes`);
    assert.deepEqual([less.plaid.asked, less.handed, less.refusals], [[], [], []]);
  });

  test("is 1 MiB unless told", async () => {
    const { deliver } = await stage();
    const padded = (length: number) => syncUpdates.padEnd(length);
    assert.equal(await deliver(padded(2 ** 20)), "200 taken");
    assert.match(await deliver(padded(2 ** 20 + 1)), /^413 /);
  });

  test("that is no number, as an unset variable makes it, is refused before the first webhook", async () => {
    await assert.rejects(
      stage(undefined, { maxBytes: Number.NaN }),
      /^TypeError: maxBytes must be an integer/,
    );
  });

  test("an endless body is not read to its end", async () => {
    let pulled = 0;
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>(
      {
        pull: (controller) => {
          pulled++;
          controller.enqueue(new Uint8Array(1_000));
        },
        cancel: () => void (cancelled = true),
      },
      { highWaterMark: 0 },
    );
    const { receiver } = await stage(undefined, { maxBytes: 10_000 });
    assert.equal((await receiver(post(endless, "a.b.c"))).status, 413);
    assert.equal(pulled, 11);
    assert.ok(cancelled);
  });

  test("a body that will not be cancelled is answered all the same", async () => {
    for (const cancel of [() => new Promise<void>(() => {}), () => Promise.reject(new Error("no"))]) {
      const stubborn = new ReadableStream<Uint8Array>({
        pull: (controller) => controller.enqueue(new Uint8Array(1_000)),
        cancel,
      });
      const { receiver } = await stage(undefined, { maxBytes: 10_000 });
      assert.equal((await receiver(post(stubborn, "a.b.c"))).status, 413);
    }
  });

  test("the pieces in which a body comes do not matter", async () => {
    const { plaid, key, receiver } = await stage();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(syncUpdates.length), { maxLength: 20 }), async (cuts) => {
        plaid.seconds++;
        const bytes = new TextEncoder().encode(syncUpdates);
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const pieces = at.slice(1).map((end, i) => bytes.slice(at[i], end));
        const { header } = await plaid.sign(key);
        const response = await receiver(post(new Blob(pieces).stream(), header));
        assert.equal(response.status, 200);
      }),
      { numRuns: 50 },
    );
  });
});

describe("exactly once", () => {
  test("the same delivery, later", async () => {
    const { deliver, handed, plaid } = await stage();
    assert.equal(await deliver(syncUpdates, noon), "200 taken");
    for (const later of [0, 1, 299, 300]) {
      plaid.seconds = noon + later;
      assert.equal(await deliver(syncUpdates, noon), "200 seen before");
    }
    plaid.seconds = noon + 301;
    assert.equal(await deliver(syncUpdates, noon), "401 stale");
    assert.equal(handed.length, 1);
  });

  test("the same delivery, 50 times at once, waits for the one that is handled", async () => {
    const { opened, open } = gate();
    const { deliver, handed } = await stage(() => opened);
    const answers = Array.from({ length: 50 }, () => deliver());
    open();
    const texts = (await Promise.all(answers)).sort();
    assert.deepEqual(texts, [...Array<string>(49).fill("200 seen before"), "200 taken"]);
    assert.equal(handed.length, 1);
  });

  test("the same delivery at once, while the handler fails: all are told to come again, one is handed over", async () => {
    const { opened, open } = gate();
    let failing = true;
    const { deliver, handed, errors } = await stage(async ({ webhook_code }) => {
      if ((webhook_code as string) === "OTHER") return;
      await opened;
      if (failing) throw new Error("no");
    });
    const answers = Array.from({ length: 10 }, () => deliver());
    // The ten are through their verification, and wait for the first of them, long before these have come and gone.
    for (let i = 0; i < 30; i++) {
      const other = JSON.stringify({ webhook_type: "ITEM", webhook_code: "OTHER", i });
      assert.equal(await deliver(other), "200 taken");
    }
    open();
    for (const text of await Promise.all(answers)) assert.match(text, /^500 /);
    assert.deepEqual([handed.length, errors.length], [31, 1]);
    failing = false;
    assert.equal(await deliver(), "200 taken");
  });

  test("two webhooks that say the same, signed at different seconds, are both handed over", async () => {
    const { deliver, handed } = await stage();
    assert.equal(await deliver(syncUpdates, noon - 1), "200 taken");
    assert.equal(await deliver(syncUpdates, noon), "200 taken");
    assert.equal(handed[0]!.bodySha256, handed[1]!.bodySha256);
  });

  test("two webhooks of the same second are both handed over", async () => {
    const { deliver } = await stage();
    assert.equal(await deliver(syncUpdates), "200 taken");
    assert.equal(await deliver(syncUpdates.replace("SYNC_UPDATES_AVAILABLE", "RECURRING")), "200 taken");
  });

  test("the same delivery under another signature that is as good is the same delivery", async () => {
    const { plaid, key, receiver, deliver, handed } = await stage();
    const { header } = await plaid.sign(key);
    // Of the signature (r, s) anyone can make (r, n - s), which ECDSA accepts as well.
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
    const [head, payload, signature] = header!.split(".");
    const bytes = Buffer.from(signature!, "base64url");
    const s = order - BigInt(`0x${bytes.subarray(32).toString("hex")}`);
    bytes.set(Buffer.from(s.toString(16).padStart(64, "0"), "hex"), 32);
    const other = [head, payload, bytes.toString("base64url")].join(".");
    assert.notEqual(other, header);
    assert.equal(await statusAndText(await receiver(post(syncUpdates, other))), "200 taken");
    assert.equal(await statusAndText(await receiver(post(syncUpdates, header))), "200 seen before");
    assert.equal(await deliver(), "200 seen before");
    assert.equal(handed.length, 1);
  });

  test("although the clock goes on between the check of the time and the look into the memory", async () => {
    const plaid = new SigningPlaid();
    const key = await plaid.newKey();
    const { header } = await plaid.sign(key);
    let handed = 0;
    let ms = noon * 1000;
    const receiver = receive(() => handed++, { keys: plaid.keys(), now: () => ms++ });
    assert.equal((await receiver(post(syncUpdates, header))).status, 200);
    // The delivery is 300 s old to the millisecond when it is checked, and older when it is looked for.
    ms = (noon + 300) * 1000;
    assert.equal((await receiver(post(syncUpdates, header))).status, 200);
    assert.equal(handed, 1);
  });

  test("in any order and number, as time goes on: each second's delivery once, unless the handler failed", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            advance: fc.oneof(fc.constant(0), fc.nat(200)),
            age: fc.integer({ min: -60, max: 400 }),
            body: fc.constantFrom("A", "B"),
            fails: fc.boolean(),
          }),
          { maxLength: 40 },
        ),
        async (arrivals) => {
          let fails = false;
          const taken = new Set<string>();
          const { plaid, deliver } = await stage((_webhook, { bodySha256, iatSeconds }) => {
            if (fails) throw new Error("no");
            const id = `${bodySha256} ${iatSeconds}`;
            assert.ok(!taken.has(id), "handed over twice");
            taken.add(id);
          });
          const seen = new Set<string>();
          for (const { advance, age, body, ...arrival } of arrivals) {
            plaid.seconds += advance;
            fails = arrival.fails;
            const id = `${body} ${plaid.seconds - age}`;
            const answer = await deliver(
              JSON.stringify({ webhook_type: "ITEM", webhook_code: body }),
              plaid.seconds - age,
            );
            const expected =
              age > 300 ? "401 stale" : seen.has(id) ? "200 seen before" : fails ? "500" : "200 taken";
            assert.ok(answer.startsWith(expected), `${answer}, not ${expected}`);
            if (answer === "200 taken") seen.add(id);
          }
          assert.equal(taken.size, seen.size);
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("memory", () => {
  test("of what was taken ends with the time in which it could be believed again", async () => {
    const map = watchMaps();
    try {
      const { plaid, deliver, handed } = await stage();
      const sizes: number[] = [];
      for (let second = 0; second < 1_500; second++) {
        plaid.seconds = noon + second;
        await deliver(syncUpdates, plaid.seconds - (second % 7) * 30);
        sizes.push(map.largest());
      }
      assert.equal(handed.length > 750, true);
      assert.ok(Math.max(...sizes) <= 600, `${Math.max(...sizes)} deliveries remembered`);
    } finally {
      map.unwatch();
    }
  });
});

/** Tells the size of the largest Map filled since, through the platform's own prototype. */
function watchMaps() {
  const { set } = Map.prototype;
  const seen = new Set<Map<unknown, unknown>>();
  Map.prototype.set = function (key, value) {
    if (typeof key === "string" && /^[0-9a-f]{64}\.\d+$/.test(key)) seen.add(this);
    return set.call(this, key, value);
  };
  return {
    largest: () => Math.max(0, ...[...seen].map(({ size }) => size)),
    unwatch: () => void (Map.prototype.set = set),
  };
}

describe("never fails itself", () => {
  let key: SigningKey;
  let plaid: SigningPlaid;
  before(async () => {
    plaid = new SigningPlaid();
    key = await plaid.newKey();
  });
  const good = async (receiver: Receiver) =>
    statusAndText(await receiver(post(syncUpdates, (await plaid.sign(key)).header)));

  test("when the body breaks off, as it does when the sender hangs up", async () => {
    const { receiver, refusals, errors } = await stage();
    const broken = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.error(new Error("aborted")),
    });
    assert.equal((await receiver(post(broken, "a.b.c"))).status, 400);
    assert.deepEqual([refusals, errors], [[], []]);
  });

  test("when the body has been read by somebody else, and says so", async () => {
    const { receiver } = await stage();
    const request = post(syncUpdates, (await plaid.sign(key)).header);
    await request.json();
    assert.match(await statusAndText(await receiver(request)), /^500 not-raw/);
  });

  for (const [name, fail] of [
    [
      "throws",
      () => {
        throw new Error("a bug in a log line");
      },
    ],
    ["rejects", () => Promise.reject(new Error("a bug in a log line"))],
  ] as [string, () => void][]) {
    test(`when onRefusal ${name}`, async () => {
      const receiver = receive(() => {}, { keys: plaid.keys(), now: plaid.now, onRefusal: fail });
      assert.equal((await receiver(post(syncUpdates, null))).status, 401);
      assert.equal(await good(receiver), "200 taken");
    });

    test(`when onError ${name}`, async () => {
      let failing = true;
      const handler = () => {
        if (failing) throw new Error("no");
      };
      const receiver = receive(handler, { keys: plaid.keys(), now: plaid.now, onError: fail });
      for (const text of await Promise.all([good(receiver), good(receiver)])) assert.match(text, /^500 /);
      failing = false;
      assert.equal(await good(receiver), "200 taken");
    });
  }

  test("when the keys throw, and tells of it: a configuration that cannot be right, for one", async () => {
    const errors: unknown[] = [];
    const mistaken: VerificationKeys = async () => {
      throw new TypeError("config.secret must be visible ASCII characters");
    };
    const receiver = receive(() => {}, {
      keys: mistaken,
      now: plaid.now,
      onError: (error) => errors.push(error),
    });
    assert.equal(await good(receiver), "500 not taken; send it again");
    assert.match(String(errors[0]), /config\.secret/);
  });

  test("whatever arrives", async () => {
    const receiver = receive(() => {}, { keys: plaid.keys(), now: plaid.now });
    const bodies = fc.oneof(
      fc.uint8Array({ maxLength: 300 }) as fc.Arbitrary<Uint8Array<ArrayBuffer>>,
      fc.string({ unit: "binary" }),
      fc.json(),
    );
    const headers = fc.string({
      unit: fc.integer({ min: 0x20, max: 0xff }).map((c) => String.fromCharCode(c)),
    });
    await fc.assert(
      fc.asyncProperty(bodies, headers, async (body, header) => {
        assert.equal((await receiver(post(body, header))).status, 401);
      }),
      { numRuns: 300 },
    );
  });
});

describe("a programmer's mistake is a TypeError that names what is wrong", () => {
  const keys: VerificationKeys = () => assert.fail("looked up");
  const mistakes: readonly (readonly [RegExp, readonly unknown[]])[] = [
    [/^the handler must be a function/, []],
    [/^the handler must be a function/, [{}, { keys }]],
    [/^the reception must be an object/, [() => {}]],
    [/^keys must be a function/, [() => {}, {}]],
    [/^keys must be a function/, [() => {}, { keys: "keys" }]],
    [/^now must be a function/, [() => {}, { keys, now: 5 }]],
    [/^onRefusal must be a function/, [() => {}, { keys, onRefusal: {} }]],
    [
      /^the reception cannot have `maxByte`; what is known is keys, now, maxBytes/,
      [() => {}, { keys, maxByte: 1 }],
    ],
  ];
  test("when the receiver is made", () => {
    for (const [message, given] of mistakes)
      assert.throws(() => (receive as (...given: readonly unknown[]) => unknown)(...given), {
        name: "TypeError",
        message,
      });
  });

  test("when it is given what is no Request, such as one of Express", async () => {
    const receiver = receive(() => {}, { keys });
    for (const request of [undefined, {}, { method: "POST", headers: {}, body: {} }])
      await assert.rejects(receiver(request as never), /^TypeError: the request must be a Request/);
  });
});
