// Faults as data: what goes wrong with the next calls of a path. A fault is chosen in a test, over /_sandbox or in a
// seed file, always in the same words.

import { isRefusalCode, type RefusalCode } from "./refusals.ts";

/**
 * What happens instead of, before or after the work that was asked for.
 *
 * - an `error_code`: Plaid refuses with it; nothing is done
 * - `{ status }`: a proxy's HTML page of this status; nothing is done
 * - `"hang"`: no answer, ever, until the caller gives up; nothing is done
 * - `"reset"`: the line is cut before anything is done
 * - `"drop-after-commit"`: it is done, and the line is cut instead of the answer
 * - `"garbage"`: it is done, and status 200 comes with the first half of the answer
 * - `{ delayMs }`: it is done and answered, after that time on the sandbox's clock
 */
export type FaultEffect =
  | RefusalCode
  | "hang"
  | "reset"
  | "drop-after-commit"
  | "garbage"
  | { readonly status: number }
  | { readonly delayMs: number };

/** A fault as it is ordered. */
export interface FaultOrder {
  /** Such as `/item/get`, or `*` for every path of Plaid's. */
  readonly path: string;
  /** How many calls it strikes; 1 unless told. */
  readonly times?: number;
  readonly then: FaultEffect;
}

/** A fault that is waiting. `times` counts down. */
export interface Fault extends FaultOrder {
  readonly id: string;
  readonly times: number;
}

const words: readonly unknown[] = ["hang", "reset", "drop-after-commit", "garbage"];
/** Statuses that an answer with a body can have. */
const isStatus = (status: unknown) =>
  Number.isInteger(status) &&
  (status as number) >= 200 &&
  (status as number) <= 599 &&
  ![204, 205, 304].includes(status as number);

/** What is wrong with an order that comes from outside, as a sentence; undefined when nothing is. */
export function faultInOrder(order: unknown): string | undefined {
  if (typeof order !== "object" || order === null) return "a fault must be an object";
  const { path, times = 1, then, ...rest } = order as Record<string, unknown>;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) return `${unknown} is not a field of a fault; its fields are path, times, then`;
  if (typeof path !== "string" || !/^(\*|(\/[\w.-]+)+)$/.test(path))
    return 'path must be a path such as "/item/get", or "*"';
  if (!Number.isInteger(times) || (times as number) < 1) return "times must be an integer of at least 1";
  if (typeof then === "object" && then !== null) {
    const { status, delayMs } = then as Record<string, unknown>;
    const only = Object.keys(then).length === 1;
    if (only && isStatus(status)) return undefined;
    if (only && typeof delayMs === "number" && delayMs >= 0 && delayMs < 2 ** 31) return undefined;
    return "then must be { status } with an HTTP status of 200 to 599 that has a body, or { delayMs } with milliseconds";
  }
  if (words.includes(then) || isRefusalCode(then)) return undefined;
  return 'then must be a documented error_code, "hang", "reset", "drop-after-commit", "garbage", { status } or { delayMs }';
}

/** A line that was cut, as the platforms' own `fetch` reports one. */
export const cutLine = () =>
  new TypeError("fetch failed", {
    cause: Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read" }),
  });
