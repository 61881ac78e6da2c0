// What to do about a failure, and the exception for those who prefer one. Apart from failure.ts so that a program
// that asks no advice does not carry the table of codes.

import type { Result } from "../result.ts";
import { errorCodes, type Advice } from "./codes.ts";
import * as endpoints from "./endpoints.ts";
import { happened, type Failure } from "./failure.ts";

const soon = { action: "retry", delayMs: 1_000 } as const;
const investigate = { action: "investigate" } as const;

/** Of what was not sent: a certificate that is not trusted, a port that fetch goes to for nobody. */
const hopeless = /CERT|SIGNED|UNABLE_TO|^bad port$/;

/**
 * What a program should do next. Never "retry" where a repeat could do harm: a lost exchange or rotation says
 * "investigate", and so does an endpoint that is not in the table.
 */
export function advice(failure: Failure): Advice {
  const effect =
    Object.values(endpoints).find((endpoint) => endpoint.path === failure.path)?.effect ?? "once";
  if (happened(failure) === "unknown" && effect === "once") return investigate;
  if (failure.kind === "unsent" && hopeless.test(`${failure.code ?? failure.detail}`)) return investigate;
  if (failure.kind !== "refused") return soon;
  const { error_code, error_type } = failure.error;
  if (Object.hasOwn(errorCodes, error_code)) return errorCodes[error_code as keyof typeof errorCodes];
  if (error_type === "INVALID_REQUEST" || error_type === "INVALID_INPUT") return { action: "fix-request" };
  if (error_type === "API_ERROR") return soon;
  if (error_type === "RATE_LIMIT_EXCEEDED" || failure.status === 429)
    return { action: "retry", delayMs: 60_000 };
  return failure.status > 499 ? soon : investigate;
}

/** The failure in one line, for a log or a person. */
export const describe = (failure: Failure): string => sentence(failure).replace(/\s+/g, " ");

// Plaid's words and the network's may have several lines: OpenSSL ends all of its own with a line break.
function sentence(failure: Failure): string {
  const { path, attempts } = failure;
  const done = happened(failure) === "no" ? "it did not happen" : "it may have happened";
  const times = attempts === 1 ? "" : ` after ${attempts} attempts`;
  switch (failure.kind) {
    case "refused": {
      const { error_code, error_message } = failure.error;
      const id = failure.request_id ? `, request_id ${failure.request_id}` : "";
      return `${path} refused${times}: ${error_code}, ${error_message ?? "no message"} (HTTP ${failure.status}${id}); ${done}`;
    }
    case "unreadable": {
      const what =
        failure.detail ??
        (failure.why === "not-json" ? "the answer is not JSON" : "the answer is not Plaid's");
      return `${path} unreadable${times}: ${what} (HTTP ${failure.status}, ${failure.contentType ?? "no content type"}); ${done}`;
    }
    default: {
      const why = [failure.why, failure.code, failure.detail].filter((part) => part !== null).join(", ");
      return `${path} ${failure.kind}${times}: ${why}; ${done}`;
    }
  }
}

/** A failure as an exception. Like the failure, it holds no secret, and it prints as one line and the failure. */
export class PlaidFailure extends Error {
  override readonly name = "PlaidFailure";
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(describe(failure));
    this.failure = failure;
  }

  toJSON(): { name: string; message: string; failure: Failure } {
    return { name: this.name, message: this.message, failure: this.failure };
  }
}

/** The value of a result, or the throw of a {@link PlaidFailure}. */
export function unwrap<Value>(result: Result<Value, Failure>): Value {
  if (result.ok) return result.value;
  throw new PlaidFailure(result.error);
}
