import assert from "node:assert/strict";
import { test } from "node:test";
import { errorCodes, type Advice } from "../src/plaid/codes.ts";

const rows: [code: string, advice: Advice][] = Object.entries(errorCodes);

test("only an answer that says so outright gives an Item up", () => {
  const gone = rows.filter(([, advice]) => advice.action === "gone").map(([code]) => code);
  assert.deepEqual(gone, ["ITEM_NOT_FOUND", "ITEM_CONCURRENTLY_DELETED"]);
});

test("a retry stays within the minute of a rate limit's window, and waiting is a matter of hours", () => {
  for (const [code, advice] of rows) {
    if (advice.action === "retry") assert.ok(advice.delayMs > 0 && advice.delayMs <= 60_000, code);
    if (advice.action === "wait") assert.ok(advice.delayMs >= 3_600_000, code);
  }
});
