// What sett promises on every platform, asked of a sandbox on a port. The suite runs as it is in Node, Bun, Deno, workerd
// and Chromium, so it uses only what all of them have. It works with Items of its own and leaves no state that
// matters.

import {
  Accounts,
  advice,
  call,
  happened,
  Institution,
  Item,
  Link,
  Sandbox,
  unwrap,
  type Config,
  type Failure,
  type Result,
} from "sett";
import { plaidKeys, receive, signWebhook, verifyWebhook, type VerificationKeys } from "sett/webhook";
import type { Outcome, SuiteEnv } from "../runtimes/suite.ts";

/** `order` has the next call of a path go wrong. */
type Law = (plaid: Config, order: (path: string, then: unknown) => Promise<void>) => Promise<void>;

const webhookUrl = "http://127.0.0.1:9/plaid";

function equal(actual: unknown, expected: unknown, what: string): void {
  const [got, wanted] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (got !== wanted) throw new Error(`${what}: expected ${wanted}, got ${got}`);
}

function failed(result: Result<unknown, Failure>): Failure {
  if (result.ok) throw new Error("the call should have failed");
  return result.error;
}

const codeOf = (failure: Failure) => (failure.kind === "refused" ? failure.error.error_code : failure.kind);

async function newItem(plaid: Config, webhook?: string) {
  const { public_token } = unwrap(
    await Sandbox.createPublicToken(
      "ins_109508",
      ["auth", "transactions"],
      plaid,
      webhook === undefined ? undefined : { webhook },
    ),
  );
  return { public_token, ...unwrap(await Item.exchangePublicToken(public_token, plaid)) };
}

const laws: Record<string, Law> = {
  "an Item lives: made, exchanged, seen, moved, broken, rotated, removed": async (plaid) => {
    const { access_token, item_id } = await newItem(plaid);
    const { item, status } = unwrap(await Item.get(access_token, plaid));
    equal(
      [item.item_id, item.webhook, item.error, item.institution_id],
      [item_id, null, null, "ins_109508"],
      "a new Item",
    );
    equal(typeof status?.transactions, "object", "status has what the Item has");

    equal(
      unwrap(await Item.updateWebhook(access_token, webhookUrl, plaid)).item.webhook,
      webhookUrl,
      "a webhook is set",
    );
    equal(unwrap(await Item.updateWebhook(access_token, null, plaid)).item.webhook, null, "and taken away");

    equal(unwrap(await Sandbox.resetLogin(access_token, plaid)).reset_login, true, "reset_login");
    equal(
      unwrap(await Item.get(access_token, plaid)).item.error?.error_code,
      "ITEM_LOGIN_REQUIRED",
      "get still answers",
    );
    const accounts = failed(await Accounts.get(access_token, plaid));
    equal(
      [codeOf(accounts), advice(accounts).action],
      ["ITEM_LOGIN_REQUIRED", "update-mode"],
      "other calls refuse",
    );

    const { new_access_token } = unwrap(await Item.invalidateAccessToken(access_token, plaid));
    equal(
      codeOf(failed(await Item.get(access_token, plaid))),
      "INVALID_ACCESS_TOKEN",
      "the old token is dead",
    );
    equal(
      unwrap(await Item.get(new_access_token, plaid)).item.item_id,
      item_id,
      "the new one opens the same Item",
    );

    unwrap(await Item.remove(new_access_token, plaid, { reason_code: "OTHER", reason_note: "over" }));
    const gone = failed(await Item.get(new_access_token, plaid));
    equal(
      [codeOf(gone), advice(gone).action, happened(gone)],
      ["ITEM_NOT_FOUND", "gone", "no"],
      "a removed Item",
    );
  },

  "what stands beside an Item answers": async (plaid) => {
    const { access_token } = await newItem(plaid);
    const { accounts } = unwrap(await Accounts.get(access_token, plaid));
    equal(accounts.length > 0, true, "accounts");
    const one = accounts[0]!.account_id;
    equal(
      unwrap(await Accounts.get(access_token, plaid, [one])).accounts.map((each) => each.account_id),
      [one],
      "one account",
    );
    equal(
      unwrap(await Institution.getById("ins_109508", ["US"], plaid)).institution.name,
      "First Platypus Bank",
      "institution",
    );
    const user = { client_user_id: "u" };
    const { link_token } = unwrap(
      await Link.createToken(
        { client_name: "c", language: "en", country_codes: ["US"], user, products: ["auth"] },
        plaid,
      ),
    );
    equal(
      unwrap(await Link.getToken(link_token, plaid)).metadata.initial_products,
      ["auth"],
      "the link token remembers",
    );
    const raw = unwrap(await call("/item/get", { access_token }, plaid)) as { item: { webhook: unknown } };
    equal(raw.item.webhook, "", "call gives the wire as it is");
  },

  "refusals say what is wrong": async (plaid) => {
    const { public_token, access_token } = await newItem(plaid);
    const unknown = "access-sandbox-00000000-0000-0000-0000-000000000000";
    const refused: [Promise<Result<unknown, Failure>>, string][] = [
      [Item.exchangePublicToken(public_token, plaid), "INVALID_PUBLIC_TOKEN"],
      [Item.exchangePublicToken("nonsense", plaid), "INVALID_PUBLIC_TOKEN"],
      [Item.get(unknown, plaid), "INVALID_ACCESS_TOKEN"],
      [Item.get("nonsense", plaid), "INVALID_ACCESS_TOKEN"],
      [Item.get(access_token, { ...plaid, secret: "another-secret" }), "INVALID_API_KEYS"],
      [Institution.getById("ins_0", ["US"], plaid), "INVALID_INSTITUTION"],
      [Sandbox.fireWebhook(access_token, "NEW_ACCOUNTS_AVAILABLE", plaid), "SANDBOX_WEBHOOK_INVALID"],
      [call("/item/get", {}, plaid), "MISSING_FIELDS"],
      [call("/item/get", { access_token, more: 1 }, plaid), "UNKNOWN_FIELDS"],
      [call("/no/such/path", {}, plaid), "NOT_FOUND"],
    ];
    for (const [outcome, code] of refused) equal(codeOf(failed(await outcome)), code, code);
  },

  "every fault of the network is what it is, and a doubt is called a doubt": async (plaid, order) => {
    const brief = { ...plaid, retries: 0, timeoutMs: 2_000 };
    const faults: [then: unknown, kind: string, doubt: string][] = [
      ["RATE_LIMIT", "refused", "no"],
      ["INTERNAL_SERVER_ERROR", "refused", "unknown"],
      ["PLANNED_MAINTENANCE", "refused", "no"],
      [{ status: 502 }, "unreadable", "unknown"],
      ["reset", "unanswered", "unknown"],
      ["drop-after-commit", "unanswered", "unknown"],
      ["garbage", "unreadable", "unknown"],
    ];
    for (const [then, kind, doubt] of faults) {
      const { access_token } = await newItem(plaid);
      await order("/item/access_token/invalidate", then);
      const failure = failed(await Item.invalidateAccessToken(access_token, brief));
      equal([failure.kind, happened(failure)], [kind, doubt], JSON.stringify(then));
      const old = await Item.get(access_token, plaid);
      // Whatever was said, it must be true of the Item.
      if (!old.ok) equal(happened(failure), "unknown", `${JSON.stringify(then)} rotated the token`);
    }
  },

  "a call that hangs ends at its deadline": async (plaid, order) => {
    const { access_token } = await newItem(plaid);
    await order("/item/get", "hang");
    const failure = failed(await Item.get(access_token, { ...plaid, timeoutMs: 150 }));
    equal([failure.kind, failure.kind === "unanswered" && failure.why], ["unanswered", "timeout"], "hang");
  },

  "a read and a removal survive dropped answers by themselves": async (plaid, order) => {
    const { access_token } = await newItem(plaid);
    const quick = { ...plaid, random: () => 0 };
    await order("/item/get", "drop-after-commit");
    unwrap(await Item.get(access_token, quick));
    await order("/item/remove", "drop-after-commit");
    unwrap(await Item.remove(access_token, quick));
    equal(codeOf(failed(await Item.get(access_token, plaid))), "ITEM_NOT_FOUND", "removed");
  },

  "nobody listening is not an answer": async (plaid) => {
    const failure = failed(await Item.get("t", { ...plaid, baseUrl: "http://127.0.0.1:65535", retries: 0 }));
    // Only some platforms tell a connection that never was from one that broke.
    equal(failure.kind === "unsent" || failure.kind === "unanswered", true, failure.kind);
  },

  "no print of a failure shows a secret": async (plaid) => {
    const { access_token } = await newItem(plaid);
    unwrap(await Item.remove(access_token, plaid));
    for (const outcome of [
      await Item.get(access_token, plaid),
      await Item.get(access_token, { ...plaid, baseUrl: "http://127.0.0.1:65535", retries: 0 }),
    ]) {
      const printed = JSON.stringify(outcome) + String(failed(outcome));
      for (const secret of [access_token, plaid.secret, plaid.clientId])
        equal(printed.includes(secret), false, "a secret shows");
    }
  },

  "a webhook is received once, if it is genuine": async () => {
    const pair = (await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, [
      "sign",
      "verify",
    ])) as CryptoKeyPair;
    const keys: VerificationKeys = async () => ({
      ok: true,
      value: { key: pair.publicKey, expiredAtSeconds: null },
    });
    const seen: string[] = [];
    const webhooks = receive((webhook) => seen.push(webhook.webhook_code), { keys });
    const body = JSON.stringify(
      { webhook_type: "ITEM", webhook_code: "LOGIN_REPAIRED", item_id: "i" },
      null,
      2,
    );
    const header = await signWebhook(
      body,
      { kid: "k", privateKey: pair.privateKey },
      Math.floor(Date.now() / 1000),
    );
    const deliver = async (sent: string) => {
      const init = { method: "POST", body: sent, headers: { "plaid-verification": header } };
      return (await webhooks(new Request("http://127.0.0.1/plaid", init))).status;
    };
    equal([await deliver(body), await deliver(body), await deliver(`${body} `)], [200, 200, 401], "statuses");
    // What strangers send is refused without a trace: no promise is left to complain about.
    const [head, payload] = header.split(".");
    for (const [forged, reason] of [
      ["e30.e30.e30", "malformed"],
      [`${head}.${payload}.`, "bad-signature"],
      [`${head}.${payload}.${"A".repeat(86)}`, "bad-signature"],
    ] as const) {
      const refused = await verifyWebhook({ body, header: forged }, { keys });
      equal(!refused.ok && refused.error.reason, reason, forged);
    }
    equal(seen, ["LOGIN_REPAIRED"], "handed over");
  },

  "the sandbox's own keys verify, and strangers' do not": async (plaid) => {
    const keys = plaidKeys(plaid);
    const known = await keys("6c5516e1-92dc-479e-a8ff-5a51992e0001");
    equal(known.ok, true, "the documented key is served");
    const stranger = await verifyWebhook({ body: "{}", header: "e30.e30.e30" }, { keys });
    equal(!stranger.ok && stranger.error.reason, "malformed", "no key named");
    const unknown = await keys("00000000-0000-4000-8000-000000000000");
    equal(!unknown.ok && unknown.error.reason, "unknown-key", "an unknown key");
  },
};

export default async function suite({ baseUrl }: SuiteEnv): Promise<Outcome[]> {
  const plaid: Config = { clientId: "sandbox-client-id", secret: "sandbox-secret", baseUrl };
  const order = async (path: string, then: unknown) => {
    const answer = await fetch(`${baseUrl}/_sandbox/faults`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ faults: [{ path, then }] }),
    });
    if (!answer.ok) throw new Error(`the fault was not taken: ${answer.status} ${await answer.text()}`);
  };
  const outcomes: Outcome[] = [];
  for (const [name, law] of Object.entries(laws)) {
    try {
      await law(plaid, order);
      outcomes.push({ name });
    } catch (error) {
      outcomes.push({ name, error: error instanceof Error ? error.message : String(error) });
    }
  }
  return outcomes;
}
