// Every fault of the sandbox x every Item call x every transport, through our client. Two laws: the failure is of the
// kind that the fault makes, and `happened` never says "no" of a thing that happened, as the sandbox's own state shows.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { createSandbox, type FaultEffect, type Listening, type Sandbox } from "@sett/sandbox";
import {
  happened,
  Item,
  Sandbox as Make,
  unwrap,
  type Config,
  type Failure,
  type Post,
  type Result,
} from "sett";
import { pooledPost, type PooledPost } from "sett/node";

const webhook = "http://127.0.0.1:9/plaid";

const faults: [effect: FaultEffect, kind: Failure["kind"]][] = [
  ["ITEM_LOGIN_REQUIRED", "refused"],
  ["INVALID_ACCESS_TOKEN", "refused"],
  ["RATE_LIMIT", "refused"],
  ["INTERNAL_SERVER_ERROR", "refused"],
  ["PLANNED_MAINTENANCE", "refused"],
  [{ status: 403 }, "unreadable"],
  [{ status: 502 }, "unreadable"],
  [{ status: 200 }, "unreadable"],
  ["garbage", "unreadable"],
  ["reset", "unanswered"],
  ["drop-after-commit", "unanswered"],
  ["hang", "unanswered"],
];

interface Made {
  readonly public_token: string;
  readonly access_token: string;
  readonly item_id: string;
}

/** A call, and whether the sandbox's Item shows that it was carried out. */
interface Call {
  readonly path: string;
  make(made: Made, plaid: Config): Promise<Result<unknown, Failure>>;
  /** Null for a read, which leaves no trace. */
  done: ((made: Made, sandbox: Sandbox) => boolean) | null;
}

const tokenOf = (sandbox: Sandbox, item_id: string) => sandbox.control.items.get(item_id).access_token;

const calls: Record<string, Call> = {
  exchange: {
    path: "/item/public_token/exchange",
    make: ({ public_token }, plaid) => Item.exchangePublicToken(public_token, plaid),
    done: ({ item_id }, sandbox) => tokenOf(sandbox, item_id) !== null,
  },
  get: { path: "/item/get", make: ({ access_token }, plaid) => Item.get(access_token, plaid), done: null },
  invalidate: {
    path: "/item/access_token/invalidate",
    make: ({ access_token }, plaid) => Item.invalidateAccessToken(access_token, plaid),
    done: ({ item_id, access_token }, sandbox) => tokenOf(sandbox, item_id) !== access_token,
  },
  remove: {
    path: "/item/remove",
    make: ({ access_token }, plaid) => Item.remove(access_token, plaid),
    done: ({ item_id }, sandbox) => sandbox.control.items.get(item_id).removed_at !== null,
  },
  updateWebhook: {
    path: "/item/webhook/update",
    make: ({ access_token }, plaid) => Item.updateWebhook(access_token, webhook, plaid),
    done: ({ item_id }, sandbox) => sandbox.control.items.get(item_id).webhook === webhook,
  },
};

describe("faults", () => {
  let sandbox: Sandbox;
  let port: Listening;
  let pooled: PooledPost;
  let transports: Record<string, { baseUrl: string; post?: Post }>;

  before(async () => {
    sandbox = await createSandbox({ deliver: async () => new Response() });
    port = await sandbox.listen();
    pooled = pooledPost();
    transports = {
      "in process": { baseUrl: "http://sandbox", post: sandbox.post },
      fetch: { baseUrl: port.url },
      pooled: { baseUrl: port.url, post: pooled },
    };
  });
  after(async () => {
    await pooled.close();
    await sandbox.close();
  });

  const newItem = async (plaid: Config, exchange: boolean): Promise<Made> => {
    const before = new Set(sandbox.control.items.list().map((item) => item.item_id));
    const { public_token } = unwrap(await Make.createPublicToken("ins_109508", ["auth"], plaid));
    const { item_id } = sandbox.control.items.list().find((item) => !before.has(item.item_id))!;
    if (!exchange) return { public_token, item_id, access_token: "" };
    return {
      public_token,
      item_id,
      access_token: unwrap(await Item.exchangePublicToken(public_token, plaid)).access_token,
    };
  };

  for (const transport of ["in process", "fetch", "pooled"]) {
    for (const [name, { path, make, done }] of Object.entries(calls)) {
      for (const [effect, kind] of faults) {
        test(`${name}, ${transport}, ${JSON.stringify(effect)}`, async () => {
          const plaid = {
            clientId: "sandbox-client-id",
            secret: "sandbox-secret",
            ...transports[transport]!,
          };
          const made = await newItem(plaid, name !== "exchange");
          sandbox.control.faults.add({ path, then: effect });
          const result = await make(made, {
            ...plaid,
            retries: 0,
            timeoutMs: effect === "hang" ? 40 : 10_000,
          });
          sandbox.control.faults.clear();
          assert.ok(!result.ok);
          assert.equal(result.error.kind, kind);
          if (done?.(made, sandbox))
            assert.equal(happened(result.error), "unknown", "it happened, and was denied");
          if (kind === "refused" && result.error.kind === "refused" && result.error.status < 500) {
            assert.equal(happened(result.error), "no", "a plain refusal leaves no doubt");
          }
        });

        if (effect === "hang") continue; // Its deadline is spent on the first attempt, so there is no second.
        test(`${name}, ${transport}, ${JSON.stringify(effect)}: with retries it ends well or says so`, async () => {
          const plaid = {
            clientId: "sandbox-client-id",
            secret: "sandbox-secret",
            ...transports[transport]!,
          };
          const made = await newItem(plaid, name !== "exchange");
          sandbox.control.faults.add({ path, then: effect });
          const result = await make(made, { ...plaid, sleep: async () => {} });
          sandbox.control.faults.clear();
          if (result.ok)
            assert.notEqual(done?.(made, sandbox), false, "success was claimed and nothing done");
          else if (done?.(made, sandbox))
            assert.equal(happened(result.error), "unknown", "it happened, and was denied");
          const repeats =
            ["get", "remove", "updateWebhook"].includes(name) ||
            ["RATE_LIMIT", "PLANNED_MAINTENANCE"].includes(String(effect));
          const passes = !["ITEM_LOGIN_REQUIRED", "INVALID_ACCESS_TOKEN"].includes(String(effect));
          assert.equal(result.ok, repeats && passes, "what may be repeated is, and what may not is not");
        });
      }

      test(`${name}, ${transport}, an answer that takes its time is waited for`, async () => {
        const plaid = { clientId: "sandbox-client-id", secret: "sandbox-secret", ...transports[transport]! };
        const made = await newItem(plaid, name !== "exchange");
        sandbox.control.faults.add({ path, then: { delayMs: 15 } });
        unwrap(await make(made, plaid));
        assert.notEqual(done?.(made, sandbox), false);
      });
    }
  }
});
