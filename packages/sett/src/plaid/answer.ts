// What an answer of Plaid's means: the thing asked for, Plaid's refusal, or something that Plaid never sends. A
// field that must be there is looked for before the caller is told that it is; a cast would only promise it.

import { err, ok, type Result } from "../result.ts";
import type { Endpoint } from "./endpoints.ts";
import { masked, type Finding, type Unreadable } from "./failure.ts";
import { invalidField, object, text } from "./kinds.ts";
import type { Answer } from "./transport.ts";
import type { PlaidError } from "./wire.ts";

/**
 * Reads an answer. `removing` says that an earlier attempt of the same call may have removed the Item already:
 * then ITEM_NOT_FOUND is not a refusal but the news that it is done.
 */
export function read<Request, Answered>(
  { status, headers, body }: Answer,
  { answer }: Endpoint<Request, Answered>,
  secrets: () => string[],
  removing: boolean,
): Result<Answered, Finding> {
  const unreadable = (why: Unreadable["why"], detail: string | null = null) => {
    const type = headers.get("content-type") ?? null;
    // Only what is no success surely carries no token.
    const [contentType, page] = masked([type, status > 299 ? body : null] as const, secrets());
    const excerpt = page && page.slice(0, 200);
    return err({ kind: "unreadable" as const, status, why, detail, contentType, excerpt });
  };

  let parsed;
  try {
    parsed = JSON.parse(body);
  } catch {
    return unreadable("not-json");
  }
  // Not by the status alone: an error under 200 would pass for the answer of a call that promises no field.
  if (status === 200 && object.accepts(parsed) && !(parsed.error_type && parsed.error_code)) {
    const missing = invalidField(answer, parsed);
    if (missing) return unreadable("missing-field", missing);
    // Plaid writes "" where an Item has no webhook, and its own schema says null. Nothing is no webhook, too.
    if ("item" in answer) parsed.item.webhook ||= null;
    return ok(parsed);
  }
  if (!text.accepts(parsed?.error_code)) return unreadable("not-plaid");
  const error: PlaidError = masked(parsed, secrets());
  const request_id = error.request_id ?? null;
  if (removing && error.error_code === "ITEM_NOT_FOUND") return ok({ request_id } as Answered);
  return err({ kind: "refused", status, error, request_id });
}
