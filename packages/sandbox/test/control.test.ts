// Law: whatever code can do to a sandbox, HTTP can do too; a malformed call is a 400 that names the field and what was
// expected; and a whole state can be kept and brought back.

import assert from "node:assert/strict";
import { test } from "node:test";
import { aPlaid, DAY, HOUR, MINUTE, SECOND, START } from "./plaid.ts";

/** The control over HTTP, of a sandbox of its own. */
async function overHttp() {
  const plaid = await aPlaid();
  const send = async (method: string, path: string, body?: unknown) => {
    const written = typeof body === "string" || body === undefined ? body : JSON.stringify(body);
    const answer = await plaid.sandbox.fetch(`/_sandbox${path}`, {
      method,
      ...(written !== undefined && { body: written }),
    });
    return { status: answer.status, body: await answer.json() };
  };
  return { ...plaid, send };
}

const linkRequest = {
  client_name: "n",
  language: "en",
  country_codes: ["US"],
  user: { client_user_id: "u" },
  products: ["auth"],
};

/** As JavaScript sees it. */
type Loose = Readonly<Record<string, Readonly<Record<string, (...given: readonly unknown[]) => unknown>>>>;

test("the clock over HTTP", async () => {
  const { send } = await overHttp();
  assert.deepEqual((await send("GET", "/clock")).body, { now: "2026-01-01T00:00:00.000Z", running: false });
  assert.equal((await send("POST", "/clock/advance", { ms: 1500 })).body.now, "2026-01-01T00:00:01.500Z");
  assert.equal(
    (await send("POST", "/clock/set", { time: "2026-02-01T00:00:00Z" })).body.now,
    "2026-02-01T00:00:00.000Z",
  );
  assert.equal((await send("POST", "/clock/run")).body.running, true);
  assert.equal((await send("POST", "/clock/stop")).body.running, false);
});

test("Items over HTTP, each event by its name", async () => {
  const { send, item, control } = await overHttp();
  const { item_id } = await item(["auth"]);
  assert.equal((await send("GET", "/items")).body.items[0].item_id, item_id);
  const after = async (event: string, body?: object) =>
    (await send("POST", `/items/${item_id}/${event}`, body)).body;
  assert.equal(
    (await after("login_required", { reason: "OAUTH_USER_REVOKED" })).error.error_code_reason,
    "OAUTH_USER_REVOKED",
  );
  assert.equal((await after("repair_login")).error, null);
  assert.equal((await after("fail", { error_code: "ITEM_LOCKED" })).error.error_code, "ITEM_LOCKED");
  assert.equal((await after("complete_update_mode")).error, null);
  assert.equal((await after("new_accounts")).unchosen_accounts.length, 1);
  assert.equal((await after("complete_update_mode", { select_accounts: true })).unchosen_accounts.length, 0);
  assert.equal((await after("revoke_account")).accounts.length, 5);
  assert.equal((await after("pending_expiration")).consent_expires_at, START + 7 * DAY);
  assert.equal((await after("pending_disconnect", { reason: "INSTITUTION_MIGRATION" })).error, null);
  assert.equal((await after("age")).error.error_code, "ITEM_LOGIN_REQUIRED");
  assert.equal((await after("revoke_permission")).error.error_code, "USER_PERMISSION_REVOKED");
  assert.deepEqual((await send("GET", `/items/${item_id}`)).body, control.items.get(item_id));
});

test("faults, keys, webhooks, limits, switches and institutions over HTTP", async () => {
  const { send, item, call, control } = await overHttp();
  const faults = [{ path: "/item/get", then: "reset" }];
  assert.equal((await send("POST", "/faults", { faults })).body.faults[0].times, 1);
  assert.equal((await send("GET", "/faults")).body.faults.length, 1);
  assert.deepEqual((await send("DELETE", "/faults")).body, { faults: [] });

  const [key] = (await send("GET", "/keys")).body.keys;
  const rotated = (await send("POST", "/keys/rotate", { keep_old: true })).body;
  assert.notEqual(rotated.kid, key.kid);
  const { keys } = (await send("POST", `/keys/${key.kid}/expire`)).body;
  assert.equal(keys[0].expired_at, START / 1000);

  const { access_token } = await item(["auth"], { options: { webhook: "https://app.test/hook" } });
  await send("POST", "/webhooks/hold");
  await call("/sandbox/item/reset_login", { access_token });
  const [held] = (await send("GET", "/webhooks")).body.webhooks;
  assert.deepEqual([held.held, held.delivery_status], [true, "PENDING"]);
  await send("POST", "/webhooks/release", { webhook_message_ids: [held.webhook_message_id] });
  assert.equal((await send("POST", "/webhooks/idle")).body.webhooks[0].delivery_status, "DELIVERED");
  await send("POST", `/webhooks/${held.webhook_message_id}/replay`, { as_signed: true });
  await send("POST", "/webhooks/duplicate", { count: 2 });
  assert.equal((await send("POST", "/webhooks/idle")).body.webhooks.length, 2);

  assert.equal((await send("PUT", "/limits", { on: true })).body.on, true);
  assert.equal((await send("GET", "/limits")).body.limits["/item/get"].item, 40);
  assert.equal(
    (await send("PUT", "/switches", { revokedItem: "ITEM_NOT_FOUND" })).body.revokedItem,
    "ITEM_NOT_FOUND",
  );
  assert.equal(control.switches.get().revokedItem, "ITEM_NOT_FOUND");
  assert.equal((await send("GET", "/institutions")).body.institutions.length, control.institutions().length);
});

test("Link over HTTP; an error that its user would see is a 400 with Plaid's words", async () => {
  const { send, call } = await overHttp();
  const { link_token } = (await call("/link/token/create", linkRequest)).body;
  assert.match((await send("POST", "/link/complete", { link_token })).body.public_token, /^public-sandbox-/);
  const wrong = await send("POST", "/link/complete", { link_token, password: "wrong" });
  assert.deepEqual([wrong.status, wrong.body.error], [400, "INVALID_CREDENTIALS"]);
  assert.ok((await send("POST", "/link/exit", { link_token })).body.link_session_id);
});

const malformed: readonly (readonly [string, string, unknown, RegExp])[] = [
  ["POST", "/clock/advance", "{", /^the body must be JSON$/],
  ["POST", "/clock/advance", "[]", /^the body must be a JSON object$/],
  ["POST", "/clock/advance", {}, /^ms must be given: a number of milliseconds/],
  ["POST", "/clock/advance", { ms: -1 }, /^ms must be a number of milliseconds, of at least 0$/],
  ["POST", "/clock/advance", { ms: "1" }, /^ms must be a number/],
  ["POST", "/clock/advance", { ms: 1, sec: 1 }, /^sec is not known here; fields are ms, patience_ms\?$/],
  ["POST", "/clock/set", { time: "soon" }, /^time must be an ISO time/],
  ["POST", "/clock/set", { time: 0 }, /^time must not be before the clock's/],
  ["POST", "/clock/advance", { ms: 1e20 }, /^ms must not lead beyond the year 9999$/],
  ["POST", "/clock/set", { time: 8.64e15 }, /^time must not be after the year 9999$/],
  ["POST", "/faults", { faults: "reset" }, /^faults must be a list$/],
  ["POST", "/faults", { faults: [{ path: "/item/get", then: "explode" }] }, /^then must be /],
  ["GET", "/items/none", undefined, /^item_id must be the id of an Item/],
  ["POST", "/items/none/age", {}, /^item_id must be the id of an Item/],
  ["POST", "/link/complete", {}, /^link_token must be given/],
  ["POST", "/keys/none/expire", {}, /^kid must be the id of a key/],
  ["POST", "/webhooks/none/replay", {}, /^webhook_message_id must be of a logged webhook/],
  ["POST", "/webhooks/duplicate", { count: -1 }, /^count must be an integer/],
  ["PUT", "/switches", { nothing: "x" }, /^nothing is not a switch/],
  ["PUT", "/snapshot", { format: 2 }, /^snapshot must be what snapshot\(\) gave$/],
  ["PUT", "/limits", { on: true, limits: { "/item/get": { item: "many" } } }, /^limits must be /],
  [
    "PUT",
    "/limits",
    { on: true, limits: { "/item/get": { items: 5, code: "RATE_LIMIT" } } },
    /^limits must be /,
  ],
  ["POST", "/webhooks/release", { webhook_message_ids: [7] }, /^webhook_message_ids must be /],
];
for (const [method, path, body, message] of malformed) {
  test(`${method} ${path} with ${typeof body === "string" ? body : JSON.stringify(body)} is refused by name`, async () => {
    const { send } = await overHttp();
    const answer = await send(method, path, body);
    assert.equal(answer.status, 400);
    assert.match(answer.body.error, message);
  });
}

test("PENDING_DISCONNECT has one of Plaid's reasons", async () => {
  const { send, item, control } = await overHttp();
  const { item_id } = await item(["auth"]);
  const answer = await send("POST", `/items/${item_id}/pending_disconnect`, {
    reason: ["INSTITUTION_MIGRATION"],
  });
  assert.deepEqual(
    [answer.status, answer.body.error],
    [400, "reason must be one of INSTITUTION_MIGRATION, INSTITUTION_TOKEN_EXPIRATION"],
  );
  assert.equal(
    control.snapshot().changes.some(([, key]) => key.startsWith("disconnect")),
    false,
  );
});

for (const damaged of [
  ["settings", "clock", {}],
  ["settings", "clock", { stopped_at: 1e300 }],
  ["settings", "clock", { offset: 1e300 }],
  ["settings", "switches", { revokedItem: "perhaps" }],
  ["settings", "nothing", {}],
  ["items", "i", { item_id: "i" }],
  ["tasks", "t", { kind: "age", subject: "i" }],
  ["deliveries", "d", {}],
  ["faults", "f", { id: "f", path: "/item/get", times: 1, then: "explode" }],
])
  test(`a snapshot with ${JSON.stringify(damaged)} is refused, and nothing is lost`, async () => {
    const { send, item, control } = await overHttp();
    await item();
    const before = control.snapshot();
    const answer = await send("PUT", "/snapshot", { format: 1, changes: [...before.changes, damaged] });
    assert.deepEqual([answer.status, answer.body.error], [400, "snapshot must be what snapshot() gave"]);
    assert.deepEqual(control.snapshot(), before);
  });

test("a snapshot with an Item of an institution that is not known is refused", async () => {
  const { item, control } = await aPlaid();
  await item();
  const { format, changes } = structuredClone(control.snapshot());
  const elsewhere = changes.map(([table, key, record]): (typeof changes)[number] => [
    table,
    key,
    table === "items" ? { ...record, institution_id: "ins_0" } : record,
  ]);
  assert.throws(() => control.restore({ format, changes: elsewhere }), /^ControlError: snapshot must be/);
});

test("a snapshot of before a switch was there leaves it at its default", async () => {
  const { call, control } = await aPlaid();
  const { format, changes } = structuredClone(control.snapshot());
  control.restore({
    format,
    changes: changes.map(([table, key, record]) => [
      table,
      key,
      key === "switches" ? { revokedItem: "ITEM_NOT_FOUND" } : record,
    ]),
  });
  assert.equal(control.switches.get().revokedItem, "ITEM_NOT_FOUND");
  assert.equal(control.switches.get().credentialPrecedence, "headers");
  const request = { institution_id: "ins_109508", country_codes: ["US"], secret: "wrong" };
  assert.equal((await call("/institutions/get_by_id", request)).status, 200);
});

test("moves come one after the other, each to where it was told", async () => {
  const { control } = await aPlaid();
  const { clock } = control;
  await Promise.all([clock.advance(HOUR), clock.set(START + 2 * HOUR), clock.set(START + MINUTE)]);
  assert.equal(clock.now(), START + 2 * HOUR);
});

/** A webhook on its way to a receiver that never answers. */
async function hanging(plaid: Awaited<ReturnType<typeof aPlaid>>) {
  plaid.receiver = () => new Promise(() => {});
  const { access_token } = await plaid.item(["auth"], { options: { webhook: "https://app.test/hook" } });
  await plaid.call("/sandbox/item/reset_login", { access_token });
  await plaid.control.clock.advance(SECOND, 5);
}

test("a clock that is stopped or set running while it moves is so afterwards", async () => {
  for (const order of ["stop", "run"] as const) {
    const plaid = await aPlaid();
    const { clock } = plaid.control;
    await hanging(plaid);
    if (order === "stop") clock.run();
    const moved = clock.advance(MINUTE, 20);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(clock.running(), order === "stop");
    clock[order]();
    assert.equal(clock.running(), order === "run");
    await moved;
    assert.equal(clock.running(), order === "run");
    await plaid.sandbox.close();
  }
});

test("a control that does not exist is a 404 that says where they are listed", async () => {
  const { send } = await overHttp();
  const answer = await send("POST", "/nothing");
  assert.equal(answer.status, 404);
  assert.match(answer.body.error, /docs\/sandbox\.md/);
});

test("events need an Item that exists and a code that does", async () => {
  const { control, item } = await aPlaid();
  const { item_id } = await item();
  assert.throws(
    () => control.items.fail(item_id, "NO_SUCH_CODE"),
    /error_code must be one of ITEM_LOGIN_REQUIRED, /,
  );
  assert.throws(
    () => control.items.revokeAccount(item_id, "none"),
    /account_id must be of an account of this Item/,
  );
  await assert.rejects(
    control.clock.advance(Number.NaN),
    /^ControlError: ms must be a number of milliseconds, of at least 0/,
  );
});

test("whatever is wrong with an argument is said by its name, and nothing is done", async () => {
  const { control, item, call, sandbox } = await aPlaid();
  const { item_id } = await item();
  const { link_token } = (await call("/link/token/create", linkRequest)).body;
  const loose = control as unknown as Loose;
  const on = (part: string, name: string, ...given: readonly unknown[]) => [part, name, given] as const;
  const before = control.snapshot();
  const wrong: readonly (readonly [RegExp, ReturnType<typeof on>])[] = [
    [/^link_token must be one that \/link\/token\/create gave/, on("link", "complete", "x")],
    [/^link_token must be one that/, on("link", "complete")],
    [/^link_token must be one that/, on("link", "exit", "x")],
    [/^the choices must be an object/, on("link", "complete", link_token, "ins_109508")],
    [/^the choices cannot have `institution`; /, on("link", "complete", link_token, { institution: "x" })],
    [/^username must be/, on("link", "complete", link_token, { username: 5 })],
    [/^patience_ms must be/, on("clock", "advance", 1, "x")],
    [/^patience_ms must be/, on("clock", "set", START, Number.NaN)],
    [/^time must be an ISO time/, on("clock", "set", null)],
    [/^reason must be/, on("items", "loginRequired", item_id, 5)],
    [/^reason must be one of/, on("items", "pendingDisconnect", item_id, "x")],
    [/^select_accounts must be a boolean/, on("items", "completeUpdateMode", item_id, "no")],
    [/^the options must be an object/, on("keys", "rotate", null)],
    [/^the options cannot have `keep`; /, on("keys", "rotate", { keep: true })],
    [/^the options cannot have `signed`; /, on("webhooks", "replay", "x", { signed: true })],
    [/^count must be/, on("webhooks", "duplicate", "x")],
    [/^webhook_message_ids must be/, on("webhooks", "release", "x")],
    [/^on must be a boolean/, on("limits", "set", "no")],
    [/^limits must be an object/, on("limits", "set", true, null)],
    [/^limits must be by path/, on("limits", "set", true, { "item/get": { item: 1, code: "RATE_LIMIT" } })],
    [/^the changes must be an object/, on("switches", "set")],
  ];
  for (const [said, [part, name, given]] of wrong)
    await assert.rejects(async () => loose[part]![name]!(...given), { name: "ControlError", message: said });
  assert.deepEqual(control.snapshot(), before);
  await assert.rejects(sandbox.listen("http" as never), /^TypeError: port must be/);
  await assert.rejects(sandbox.listen(0, 5 as never), /^TypeError: host must be/);
  await control.clock.advance(DAY);
  assert.throws(() => control.link.complete(link_token), /^Error: INVALID_LINK_TOKEN: invalid link_token/);
});

test("a snapshot brings back everything, the clock and what was due included", async () => {
  const { call, control, item, received } = await aPlaid();
  const { access_token, item_id } = await item(["auth"], { options: { webhook: "https://app.test/hook" } });
  control.faults.add({ path: "/nothing/here", then: "reset" });
  const kept = structuredClone(control.snapshot());

  await call("/item/remove", { access_token });
  control.faults.clear();
  await item();
  await control.clock.advance(DAY);
  control.restore(JSON.parse(JSON.stringify(kept)));

  assert.deepEqual(control.snapshot(), kept);
  assert.equal(control.clock.now(), START);
  assert.deepEqual(
    control.items.list().map((each) => each.item_id),
    [item_id],
  );
  assert.equal((await call("/item/get", { access_token })).body.item.error, null);
  await control.clock.advance(30 * DAY);
  assert.equal(received.at(-1)?.code, "ERROR");
});

test("after a restore the same things happen again", async () => {
  const { control, item } = await aPlaid();
  const kept = control.snapshot();
  const first = await item();
  control.restore(kept);
  assert.deepEqual(await item(), first);
});

test("reset goes back to the beginning, and nothing in flight reaches the new world", async () => {
  const plaid = await aPlaid();
  const { promise, resolve } = Promise.withResolvers<Response>();
  plaid.receiver = () => promise;
  const { access_token } = await plaid.item(["auth"], { options: { webhook: "https://app.test/hook" } });
  await plaid.call("/sandbox/item/reset_login", { access_token });
  await plaid.control.clock.advance(MINUTE, 5);
  plaid.control.reset();
  resolve(new Response());
  await plaid.control.webhooks.idle();
  assert.deepEqual(plaid.control.items.list(), []);
  assert.deepEqual(plaid.control.webhooks.list(), []);
  assert.equal(plaid.control.clock.now(), START);
  assert.equal((await plaid.call("/item/get", { access_token })).body.error_code, "INVALID_ACCESS_TOKEN");
});

test("after a reset nothing waits for a receiver that hangs, and no move goes on", async () => {
  const plaid = await aPlaid();
  await hanging(plaid);
  const { clock, webhooks } = plaid.control;
  const moves = [clock.advance(SECOND, 60_000), clock.advance(DAY, 60_000)];
  plaid.control.reset();
  await Promise.all(moves);
  await webhooks.idle();
  assert.equal(clock.now(), START);
});

test("a webhook that is still being signed is not sent after a reset", async () => {
  const plaid = await aPlaid();
  const { access_token } = await plaid.item(["auth"], { options: { webhook: "https://app.test/hook" } });
  await plaid.call("/sandbox/item/reset_login", { access_token });
  const moved = plaid.control.clock.advance(SECOND);
  await new Promise((resolve) => queueMicrotask(() => resolve(undefined)));
  plaid.control.reset();
  await moved;
  await plaid.control.webhooks.idle();
  assert.deepEqual(plaid.received, []);
});

test("a reset puts the rate limits back too", async () => {
  const { control } = await aPlaid();
  const { get, set } = control.limits;
  const made = get();
  set(true, { "/item/get": { item: 1, code: "ITEM_GET_LIMIT" } });
  control.reset();
  assert.deepEqual(get(), made);
});
