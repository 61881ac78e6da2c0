// Law: a fault strikes the calls it was ordered for, as often as it was ordered, and does or does not do the work
// exactly as its description says.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { FaultEffect } from "../src/index.ts";
import { aPlaid, refused, SECOND } from "./plaid.ts";

/** Removes an Item under a fault; tells what came back and whether the Item is gone. */
async function removeUnder(then: FaultEffect) {
  const { call, control, item } = await aPlaid();
  const { access_token, item_id } = await item();
  control.faults.add({ path: "/item/remove", then });
  const outcome = call("/item/remove", { access_token });
  return {
    control,
    outcome,
    gone: () => control.items.get(item_id).removed_at !== null,
    again: () => call("/item/remove", { access_token }),
  };
}
const isReset = (thrown: TypeError & { cause?: { code?: string } }) =>
  thrown instanceof TypeError && thrown.cause?.code === "ECONNRESET";

test("an error code refuses with its documented status, and nothing is done", async () => {
  const { outcome, gone, again } = await removeUnder("PLANNED_MAINTENANCE");
  assert.deepEqual(refused(await outcome).slice(0, 3), [503, "API_ERROR", "PLANNED_MAINTENANCE"]);
  assert.equal(gone(), false);
  assert.equal((await again()).status, 200);
});

test("a status is a proxy's page, and nothing is done", async () => {
  const { outcome, gone } = await removeUnder({ status: 502 });
  const { status, headers, text } = await outcome;
  assert.deepEqual([status, headers.get("content-type")], [502, "text/html"]);
  assert.match(text, /^<html>/);
  assert.equal(gone(), false);
});

test("reset cuts the line, and nothing is done", async () => {
  const { outcome, gone } = await removeUnder("reset");
  await assert.rejects(outcome, isReset);
  assert.equal(gone(), false);
});

test("drop-after-commit cuts the line, and it is done", async () => {
  const { outcome, gone, again } = await removeUnder("drop-after-commit");
  await assert.rejects(outcome, isReset);
  assert.equal(gone(), true);
  assert.equal((await again()).body.error_code, "ITEM_NOT_FOUND");
});

test("garbage is status 200 and half an answer, and it is done", async () => {
  const { outcome, gone } = await removeUnder("garbage");
  const { status, text } = await outcome;
  assert.equal(status, 200);
  assert.throws(() => JSON.parse(text), SyntaxError);
  assert.equal(gone(), true);
});

test("hang ends when the caller gives up, with the caller's reason, and nothing is done", async () => {
  const { sandbox, control, item } = await aPlaid();
  const { access_token, item_id } = await item();
  control.faults.add({ path: "/item/remove", then: "hang" });
  const caller = new AbortController();
  const body = JSON.stringify({ access_token });
  const hanging = sandbox.post("http://x/item/remove", body, {}, caller.signal);
  const reason = new Error("enough");
  caller.abort(reason);
  await assert.rejects(hanging, reason);
  assert.equal(control.items.get(item_id).removed_at, null);
});

test("closing the sandbox cuts what hangs", async () => {
  const { sandbox, control } = await aPlaid();
  control.faults.add({ path: "*", then: "hang" });
  const hanging = sandbox.post("http://x/item/get", "{}", {}, new AbortController().signal);
  await sandbox.close();
  await assert.rejects(hanging, isReset);
});

test("delayMs waits on the sandbox's clock, then does it and answers", async () => {
  const { control, outcome, gone } = await removeUnder({ delayMs: 5 * SECOND });
  await control.clock.advance(5 * SECOND - 1);
  assert.equal(gone(), false);
  await control.clock.advance(1);
  assert.equal((await outcome).status, 200);
  assert.equal(gone(), true);
});

test("a call that waits while the sandbox is reset is cut, and nothing is done in the new world", async () => {
  const { call, control } = await aPlaid();
  control.faults.add({ path: "/sandbox/public_token/create", then: { delayMs: SECOND } });
  const request = { institution_id: "ins_109508", initial_products: ["auth"] };
  const slow = call("/sandbox/public_token/create", request);
  control.reset();
  await assert.rejects(slow, isReset);
  assert.deepEqual(control.items.list(), []);
});

test("a call that was given up before it was made is not made", async () => {
  const { sandbox, control, item } = await aPlaid();
  const { access_token, item_id } = await item();
  const headers = {
    "content-type": "application/json",
    "plaid-client-id": "sandbox-client-id",
    "plaid-secret": "sandbox-secret",
  };
  const body = JSON.stringify({ access_token });
  const reason = new Error("enough");
  const signal = AbortSignal.abort(reason);
  await assert.rejects(sandbox.post("http://x/item/remove", body, headers, signal), reason);
  await assert.rejects(sandbox.fetch("/item/remove", { method: "POST", body, headers, signal }), reason);
  assert.equal(control.items.get(item_id).removed_at, null);
});

test("a path that is not Plaid's is struck by its own faults, not by those of every path", async () => {
  const { call, control } = await aPlaid();
  control.faults.add({ path: "*", then: "RATE_LIMIT" }, { path: "/nothing/here", then: "ITEM_LOCKED" });
  assert.equal((await call("/nothing/here", {})).body.error_code, "ITEM_LOCKED");
  assert.equal((await call("/nothing/here", {})).body.error_code, "NOT_FOUND");
  assert.equal(control.faults.list().length, 1);
});

test("a caller that gives up on a slow Plaid does not stop it", async () => {
  const { sandbox, control, item } = await aPlaid();
  const { access_token, item_id } = await item();
  control.faults.add({ path: "/item/remove", then: { delayMs: SECOND } });
  const headers = {
    "content-type": "application/json",
    "plaid-client-id": "sandbox-client-id",
    "plaid-secret": "sandbox-secret",
  };
  const caller = new AbortController();
  const slow = sandbox.post("http://x/item/remove", JSON.stringify({ access_token }), headers, caller.signal);
  caller.abort();
  await assert.rejects(slow);
  assert.equal(control.items.get(item_id).removed_at, null);
  await control.clock.advance(SECOND);
  assert.notEqual(control.items.get(item_id).removed_at, null);
});

test("faults strike in their order, as many times as ordered, and other paths not at all", async () => {
  const { call, control, item } = await aPlaid();
  const { access_token } = await item();
  control.faults.add(
    { path: "/item/get", times: 2, then: "INTERNAL_SERVER_ERROR" },
    { path: "*", then: "RATE_LIMIT" },
  );
  const code = async (path: string) => (await call(path, { access_token })).body.error_code;
  assert.equal(await code("/item/get"), "INTERNAL_SERVER_ERROR");
  assert.equal(await code("/accounts/get"), "RATE_LIMIT");
  assert.equal(await code("/accounts/get"), undefined);
  assert.equal(await code("/item/get"), "INTERNAL_SERVER_ERROR");
  assert.equal(await code("/item/get"), undefined);
  assert.deepEqual(control.faults.list(), []);
  control.faults.add({ path: "*", times: 9, then: "reset" });
  control.faults.clear();
  assert.equal(await code("/item/get"), undefined);
});

const malformed: readonly (readonly [unknown, RegExp])[] = [
  [null, /a fault must be an object/],
  [{ then: "reset" }, /path must be /],
  [{ path: "item/get", then: "reset" }, /path must be /],
  [{ path: "/item/get", then: "explode" }, /then must be a documented error_code/],
  [{ path: "/item/get", then: { status: 99 } }, /then must be \{ status \}/],
  [{ path: "/item/get", then: { status: 204 } }, /then must be \{ status \}/],
  [{ path: "/item/get", then: { delayMs: -1 } }, /then must be \{ status \}/],
  [{ path: "/item/get", then: "reset", times: 0 }, /times must be an integer of at least 1/],
  [{ path: "/item/get", then: "reset", time: 1 }, /time is not a field of a fault/],
];
for (const [order, message] of malformed) {
  test(`a malformed fault is refused by name: ${JSON.stringify(order)}`, async () => {
    const { control } = await aPlaid();
    assert.throws(() => control.faults.add({ path: "*", then: "reset" }, order as never), message);
    assert.deepEqual(control.faults.list(), []);
  });
}
