// sett: call Plaid about Items. The modules are named after what they are about; every function takes its
// configuration and gives a Result. Webhooks are verified in sett/webhook.

export * as Accounts from "./plaid/accounts.ts";
export { advice, describe, PlaidFailure, unwrap } from "./plaid/advice.ts";
export { bind } from "./plaid/bind.ts";
export { call, type Attempt, type Config } from "./plaid/call.ts";
export { errorCodes, type Advice, type ErrorCode, type KnownErrorCode } from "./plaid/codes.ts";
export {
  happened,
  type Failure,
  type Refused,
  type Unanswered,
  type Unreadable,
  type Unsent,
} from "./plaid/failure.ts";
export * as Institution from "./plaid/institution.ts";
export * as Item from "./plaid/item.ts";
export * as Link from "./plaid/link.ts";
export * as Sandbox from "./plaid/sandbox.ts";
export { fetchPost, type Answer, type Post } from "./plaid/transport.ts";
export * as Webhook from "./plaid/webhook.ts";
export type * from "./plaid/wire.ts";
export { err, ok, type Result } from "./result.ts";
