// The state machine against histories that the real sandbox made: whatever order its webhooks come in, however many
// times, whichever are lost, one /item/get later the state is the sandbox's, as far as anything can still tell.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { createSandbox, sandboxCredentials, type Sandbox } from "@sett/sandbox";
import { Item, Sandbox as SandboxCalls, unwrap, type Config, type ItemGetResponse } from "sett";
import type { Webhook } from "sett/webhook";
import type { ItemState } from "../src/database/schema.ts";
import { seen, stateOf, type Facts, type Observation, type Standing } from "../src/inbox/state.ts";

const START = Date.UTC(2026, 0, 1);
const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;

/** Of an Item of which nothing has been seen. */
const nothingKnown: Facts = {
  error: { at: 0, iat: null, code: null },
  consent: { at: 0, iat: null, endsAt: null, announced: false },
  disconnect: { at: 0, iat: null, date: null, reason: null, over: false },
  accounts: { at: 0, iat: null, waiting: false },
};

type Op =
  | { op: "loginRequired" | "repair" | "revoke" | "newAccounts" | "warn" | "warnOfToken" }
  | { op: "fail"; code: string }
  | { op: "update"; select: boolean }
  | { op: "pass"; seconds: number };

const ops = (many: number) =>
  fc.array(
    fc.oneof(
      fc.constantFrom<Op>(
        { op: "loginRequired" },
        { op: "repair" },
        { op: "revoke" },
        { op: "newAccounts" },
        { op: "warn" },
        { op: "warnOfToken" },
        { op: "update", select: true },
        { op: "update", select: false },
        { op: "fail", code: "ITEM_LOCKED" },
        { op: "fail", code: "INSTITUTION_DOWN" },
      ),
      fc
        .constantFrom(1, 40, 200, 3_600, 90_000, 3 * 86_400, 8 * 86_400)
        .map((seconds): Op => ({ op: "pass", seconds })),
    ),
    { maxLength: many },
  );

/** A sandbox with one Item, in the United States or the United Kingdom, whose webhooks `receive` answers. */
async function anItem(british: boolean, receive: (text: string, header: string) => Promise<number> | number) {
  const sandbox = await createSandbox({
    now: START,
    deliver: async (request) =>
      new Response(null, {
        status: await receive(await request.text(), request.headers.get("plaid-verification")!),
      }),
  });
  const plaid: Config = {
    clientId: sandboxCredentials.client_id,
    secret: sandboxCredentials.secret,
    post: sandbox.post,
    now: sandbox.control.clock.now,
  };
  const { public_token } = unwrap(
    await SandboxCalls.createPublicToken(british ? "ins_117650" : "ins_109508", ["transactions"], plaid, {
      webhook: "https://example.com/plaid",
    }),
  );
  const { access_token, item_id } = unwrap(await Item.exchangePublicToken(public_token, plaid));
  return { sandbox, plaid, access_token, item_id };
}

/** Does one thing to the Item, and lets a second pass, so that all has an order. */
async function happen({ control }: Sandbox, item_id: string, british: boolean, op: Op): Promise<void> {
  switch (op.op) {
    case "loginRequired":
      control.items.loginRequired(item_id);
      break;
    case "repair":
      control.items.repairLogin(item_id);
      break;
    case "revoke":
      control.items.revokePermission(item_id);
      break;
    case "newAccounts":
      control.items.newAccounts(item_id);
      break;
    case "warn":
    case "warnOfToken":
      // Each continent has its own warning, and never the other's.
      if (british) control.items.pendingExpiration(item_id);
      else if (op.op === "warn") control.items.pendingDisconnect(item_id, "INSTITUTION_MIGRATION");
      else control.items.pendingDisconnect(item_id, "INSTITUTION_TOKEN_EXPIRATION");
      break;
    case "fail":
      control.items.fail(item_id, op.code);
      break;
    case "update":
      control.items.completeUpdateMode(item_id, op.select);
      break;
    case "pass":
      await control.clock.advance(op.seconds * SECOND);
  }
  await control.clock.advance(SECOND);
}

/** The state that the sandbox has the Item in, and what of it nobody could know who did not get the webhook. */
function truth({ control }: Sandbox, item_id: string) {
  const item = control.items.get(item_id);
  const now = control.clock.now();
  const task = control
    .snapshot()
    .changes.find(([table, key]) => table === "tasks" && key === `disconnect ${item_id}`)?.[2];
  const code = item.error?.error_code ?? null;
  const ends = item.consent_expires_at;
  return {
    code,
    error:
      code === null
        ? null
        : code === "ITEM_LOGIN_REQUIRED"
          ? "login_required"
          : code === "USER_PERMISSION_REVOKED"
            ? "revoked"
            : "error",
    disconnecting: task !== undefined && task !== null,
    expiring: ends !== null && ends > now && ends - now <= 7 * DAY,
    newAccounts: item.unchosen_accounts.length > 0,
    last: item.last_webhook,
  } as const;
}

interface Came {
  readonly webhook: Webhook;
  readonly iatSeconds: number;
}

/** What the state must be: of the two things that /item/get does not show, as far as what came tells. */
function expected(
  sandbox: Sandbox,
  item_id: string,
  came: readonly Came[],
  updates: readonly (Op & { at: number })[],
): { states: ItemState[]; code: string | null } {
  const is = truth(sandbox, item_id);
  if (is.error) return { states: [is.error], code: is.code };
  const lastUpdate = updates.at(-1)?.at ?? 0;
  const lastChoice = updates.filter((one) => one.op === "update" && one.select).at(-1)?.at ?? 0;
  // A warning says when it was due and until when it holds, however late it was sent.
  const holds = ({ webhook, iatSeconds }: Came, since: number) => {
    if (webhook.webhook_type !== "ITEM" || webhook.webhook_code !== "PENDING_DISCONNECT") {
      return iatSeconds * SECOND >= since;
    }
    const date = Date.parse(webhook.disconnect_time);
    return date - 7 * DAY >= since && date > sandbox.control.clock.now();
  };
  const told = (code: string, since: number) =>
    came.some((one) => one.webhook.webhook_code === code && holds(one, since)) ||
    (is.last?.code_sent === code && is.last.sent_at >= since);
  if (is.disconnecting && told("PENDING_DISCONNECT", lastUpdate)) {
    return { states: ["pending_disconnect"], code: null };
  }
  // That consent ends is shown, but not that it is called a disconnection; that may be guessed from the last time.
  if (is.expiring && is.disconnecting) {
    return { states: ["pending_expiration", "pending_disconnect"], code: null };
  }
  if (is.expiring) return { states: ["pending_expiration"], code: null };
  const hinted = told("NEW_ACCOUNTS_AVAILABLE", lastChoice);
  // A webhook tried again after the user has chosen cannot be told from a new one.
  const states: ItemState[] = !hinted
    ? ["healthy"]
    : is.newAccounts
      ? ["new_accounts"]
      : ["new_accounts", "healthy"];
  return { states, code: null };
}

const linked: Standing = { state: "healthy", facts: nothingKnown };
const after = (observations: readonly Observation[], from = linked): Standing =>
  observations.reduce<Standing>((standing, observation) => seen(standing, observation), from);

test("any order, duplication and loss of a true history, then one /item/get: the state is the sandbox's", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      ops(12),
      fc.array(fc.boolean(), { minLength: 1, maxLength: 7 }),
      fc.infiniteStream(fc.nat(999)),
      async (british, history, answers, chance) => {
        const came: Came[] = [];
        let turn = 0;
        const { sandbox, plaid, access_token, item_id } = await anItem(british, (text, header) => {
          const claims = JSON.parse(Buffer.from(header.split(".")[1]!, "base64url").toString());
          came.push({ webhook: JSON.parse(text) as Webhook, iatSeconds: claims.iat });
          return answers[turn++ % answers.length] ? 200 : 500;
        });
        const updates: (Op & { at: number })[] = [];
        for (const op of history) {
          if (op.op === "update") updates.push({ ...op, at: sandbox.control.clock.now() });
          await happen(sandbox, item_id, british, op);
        }
        const roll = () => chance.next().value as number;
        const kept = came.filter(() => roll() < 700);
        const receivedAt = sandbox.control.clock.now();
        const observations: Observation[] = [
          ...[...kept, ...kept.filter(() => roll() < 300)].map((one) => ({
            kind: "webhook" as const,
            ...one,
            receivedAt,
          })),
          ...updates.map(({ at, ...op }) => ({
            kind: "updated" as const,
            at,
            accountsSelected: op.op === "update" && op.select,
          })),
        ]
          .map((observation) => [roll(), observation] as const)
          .sort(([a], [b]) => a - b)
          .map(([, observation]) => observation);

        await sandbox.control.clock.advance(SECOND);
        const at = sandbox.control.clock.now();
        const answer = unwrap(await Item.get(access_token, plaid));
        const want = expected(sandbox, item_id, kept, updates);
        const got = after([...observations, { kind: "answer", answer, at }]);
        assert.ok(want.states.includes(got.state), `${got.state} is not ${want.states.join(" or ")}`);
        assert.equal(got.facts.error.code, want.code);
        // And however late the rest comes, it changes nothing of what /item/get has shown.
        const more = after(
          observations.map((one) => ({ ...one })),
          got,
        );
        assert.ok(want.states.includes(more.state), `then ${more.state}`);
        await sandbox.close();
      },
    ),
    { numRuns: 150 },
  );
});

const item = (code: string | null, more: object = {}): ItemGetResponse =>
  ({
    item: {
      item_id: "i",
      available_products: [],
      billed_products: [],
      update_type: "background",
      webhook: null,
      consent_expiration_time: null,
      error: code && { error_code: code, error_type: "ITEM_ERROR", error_message: "", display_message: null },
      ...more,
    },
    status: null,
    request_id: "r",
  }) as ItemGetResponse;
const webhook = (iatSeconds: number, webhook_code: string, more: object = {}): Observation => ({
  kind: "webhook",
  webhook: { webhook_type: "ITEM", webhook_code, item_id: "i", ...more } as unknown as Webhook,
  iatSeconds,
  receivedAt: iatSeconds * SECOND + 500,
});
const error = (iat: number, error_code: string) => webhook(iat, "ERROR", { error: { error_code } });
const T = Date.UTC(2026, 5, 1) / SECOND;

test("webhooks of different seconds come to the same facts in any order", () => {
  const any = fc.constantFrom(
    (iat: number) => error(iat, "ITEM_LOGIN_REQUIRED"),
    (iat: number) => error(iat, "ITEM_LOCKED"),
    (iat: number) => webhook(iat, "LOGIN_REPAIRED"),
    (iat: number) => webhook(iat, "USER_PERMISSION_REVOKED"),
    (iat: number) => webhook(iat, "NEW_ACCOUNTS_AVAILABLE"),
    (iat: number) =>
      webhook(iat, "PENDING_DISCONNECT", {
        reason: "INSTITUTION_MIGRATION",
        disconnect_time: new Date(iat * SECOND + 7 * DAY).toISOString(),
      }),
  );
  fc.assert(
    fc.property(
      fc
        .array(fc.tuple(any, fc.nat(20)), { maxLength: 12 })
        .chain((made) => fc.tuple(fc.constant(made), fc.shuffledSubarray(made, { minLength: made.length }))),
      ([made, shuffled]) => {
        const facts = (list: typeof made) => after(list.map(([make, second]) => make(T + second))).facts;
        assert.deepEqual(facts(shuffled), facts(made));
      },
    ),
  );
});

test("a warning is not a break, and an error hides what it does not end", () => {
  const date = new Date((T + 7 * 86_400) * SECOND).toISOString();
  let standing = after([webhook(T, "PENDING_EXPIRATION", { consent_expiration_time: date })]);
  assert.equal(standing.state, "pending_expiration");
  standing = after([webhook(T + 1, "NEW_ACCOUNTS_AVAILABLE"), error(T + 2, "ITEM_LOGIN_REQUIRED")], standing);
  assert.equal(standing.state, "login_required");
  standing = after([webhook(T + 3, "LOGIN_REPAIRED")], standing);
  assert.equal(standing.state, "pending_expiration");
  // Update mode has begun consent anew: /item/get shows it.
  const renewed = item(null, {
    consent_expiration_time: new Date((T + 180 * 86_400) * SECOND).toISOString(),
  });
  standing = after([{ kind: "answer", answer: renewed, at: (T + 60) * SECOND }], standing);
  assert.equal(standing.state, "new_accounts");
  standing = after([{ kind: "updated", accountsSelected: true, at: (T + 61) * SECOND }], standing);
  assert.equal(standing.state, "healthy");
});

test("an older webhook never overrides what was seen later, and is doubted where clocks may differ", () => {
  const checked = after([{ kind: "answer", answer: item(null), at: T * SECOND }]);
  const old = seen(checked, error(T - 300, "ITEM_LOGIN_REQUIRED"));
  assert.deepEqual([old.state, old.doubt, old.events], ["healthy", false, []]);
  const near = seen(checked, error(T - 30, "ITEM_LOGIN_REQUIRED"));
  assert.deepEqual([near.state, near.doubt], ["healthy", true]);
  // Newer; but it may be the last try of a webhook that is older.
  const retried = seen(checked, error(T + 3_600, "ITEM_LOGIN_REQUIRED"));
  assert.deepEqual([retried.state, retried.doubt], ["login_required", true]);
  const sure = seen(checked, error(T + 100_000, "ITEM_LOGIN_REQUIRED"));
  assert.deepEqual([sure.state, sure.doubt], ["login_required", false]);
});

test("a warning that is sent once more after update mode has averted it stays averted", () => {
  const date = new Date((T + 7 * 86_400) * SECOND).toISOString();
  const warning = (iat: number) => [
    webhook(iat, "PENDING_DISCONNECT", { disconnect_time: date, reason: "INSTITUTION_MIGRATION" }),
    webhook(iat, "PENDING_EXPIRATION", { consent_expiration_time: date }),
  ];
  const updated: Observation = { kind: "updated", accountsSelected: false, at: (T + 60) * SECOND };
  assert.equal(after(warning(T + 30)).state, "pending_disconnect");
  assert.equal(after([...warning(T), updated, ...warning(T + 3_600)]).state, "healthy");
  assert.equal(after([updated, ...warning(T + 3_600)]).state, "healthy");
});

test("a check is later than all that came before it, however far Plaid's clock is ahead", () => {
  const ahead = { ...error(T + 50, "ITEM_LOGIN_REQUIRED"), receivedAt: T * SECOND } as Observation;
  const healed = after([ahead, { kind: "answer", answer: item(null), at: T * SECOND + 200 }]);
  assert.equal(healed.state, "healthy");
});

test("what the keeper itself began, no webhook ends; what it saw meanwhile is not forgotten", () => {
  for (const state of ["stranded", "removing", "removed"] as const) {
    const next = seen({ state, facts: nothingKnown }, error(T, "ITEM_LOGIN_REQUIRED"));
    assert.deepEqual([next.state, next.events, next.doubt], [state, [], false]);
    assert.equal(stateOf(next.facts), "login_required");
  }
});

test("a refusal counts where it is about the Item", () => {
  const refused = (error_code: string) => after([{ kind: "refused", error_code, at: T * SECOND }]).state;
  assert.equal(refused("ITEM_LOGIN_REQUIRED"), "login_required");
  assert.equal(refused("ITEM_LOCKED"), "error");
  assert.equal(refused("USER_PERMISSION_REVOKED"), "revoked");
  assert.equal(refused("ITEM_NOT_FOUND"), "revoked");
  for (const code of [
    "PRODUCT_NOT_READY",
    "RATE_LIMIT",
    "INVALID_ACCESS_TOKEN",
    "INSTITUTION_DOWN",
    "NEW_CODE",
  ]) {
    assert.equal(refused(code), "healthy", code);
  }
});

test("a lost announcement that was the last webhook comes back with /item/get", () => {
  const with_ = (code_sent: string): ItemGetResponse => ({
    ...item(null),
    status: { last_webhook: { code_sent, sent_at: new Date(T * SECOND).toISOString() } },
  });
  const at = (T + 10) * SECOND;
  const known = (code: string) => after([{ kind: "answer", answer: with_(code), at }]);
  assert.equal(known("NEW_ACCOUNTS_AVAILABLE").state, "new_accounts");
  assert.equal(known("PENDING_DISCONNECT").state, "pending_disconnect");
  const updated: Observation = { kind: "updated", accountsSelected: true, at: (T + 5) * SECOND };
  for (const code of ["NEW_ACCOUNTS_AVAILABLE", "PENDING_DISCONNECT"]) {
    assert.equal(after([updated, { kind: "answer", answer: with_(code), at }]).state, "healthy");
  }
});

test("a webhook about data makes an Item in error worth a look, and every other kind changes nothing", () => {
  const broken = after([error(T, "ITEM_LOGIN_REQUIRED")]);
  const data = {
    ...webhook(T + 60, "SYNC_UPDATES_AVAILABLE", { webhook_type: "TRANSACTIONS" }),
  };
  const looked = seen(broken, data);
  assert.deepEqual([looked.state, looked.doubt, looked.events], ["login_required", true, []]);
  for (const code of ["USER_ACCOUNT_REVOKED", "WEBHOOK_UPDATE_ACKNOWLEDGED", "SOMETHING_NEW"]) {
    const next = seen(broken, webhook(T + 60, code));
    assert.equal(next.facts, broken.facts, code);
  }
  assert.equal(seen(linked, webhook(T, "ERROR", { error: null })).doubt, true);
});
