// Plaid's rate limits in Sandbox: so many calls a minute for an Item and for a client, by endpoint. Off unless asked
// for. Windows are whole minutes of the sandbox's clock, and are not kept over a restart.

import { endpointPath } from "sett/kinds";
import type { Clock } from "./clock.ts";
import { isRefusalCode, Refusal, type RefusalCode } from "./refusals.ts";
import type { Switches } from "./switches.ts";

/** Calls a minute; an absent number is no limit. */
export interface Limit {
  readonly item?: number;
  readonly client?: number;
  readonly code: RefusalCode;
}

export type Limits = ReturnType<typeof createLimits>;

const MINUTE_MS = 60_000;

/** The Sandbox columns of Plaid's table. For endpoints that it does not list, see `unlistedLimits`. */
export const sandboxLimits: Readonly<Record<string, Limit>> = {
  "/item/get": { item: 40, client: 5_000, code: "ITEM_GET_LIMIT" },
  "/item/remove": { item: 100, client: 500, code: "RATE_LIMIT" },
  "/accounts/get": { item: 100, client: 5_000, code: "ACCOUNTS_LIMIT" },
  "/institutions/get_by_id": { client: 400, code: "INSTITUTIONS_GET_BY_ID_LIMIT" },
};

/** Of production, by a secondary source. */
const productionLimits: Readonly<Record<string, Limit>> = {
  "/item/public_token/exchange": { client: 12_000, code: "RATE_LIMIT" },
  "/link/token/create": { client: 20_000, code: "RATE_LIMIT" },
};

/** What is wrong with limits that come from outside, as a sentence; undefined when nothing is. */
export function faultInLimits(given: object): string | undefined {
  const isCount = (value: unknown) =>
    value === undefined || (Number.isInteger(value) && (value as number) >= 0);
  for (const [path, limit] of Object.entries(given)) {
    const { item, client, code, ...rest } = (limit ?? {}) as Record<string, unknown>;
    if (!endpointPath.accepts(path)) return "limits must be by path, such as /item/get";
    if (!isCount(item) || !isCount(client) || !isRefusalCode(code) || Object.keys(rest).length > 0)
      return `limits must be { item?, client?, code } by path, with counts a minute and an error_code; ${path} is not`;
  }
  return undefined;
}

export function createLimits(clock: Clock, switches: () => Switches, on: boolean) {
  let overrides: Readonly<Record<string, Limit>> = {};
  let minute = 0;
  let counts = new Map<string, number>();

  const limits = (): Readonly<Record<string, Limit>> => ({
    ...sandboxLimits,
    ...(switches().unlistedLimits === "production" && productionLimits),
    ...overrides,
  });

  /** The switch answers for the code that Plaid does not document; another that was asked for stands. */
  const codeOf = (path: string, { code }: Limit) =>
    path === "/item/remove" && code === "RATE_LIMIT" ? switches().removeLimitCode : code;

  return {
    /** Counts a call, and throws Plaid's 429 when it is one too many. */
    count(path: string, whose: "item" | "client", id: string) {
      if (!on) return;
      const limit = limits()[path];
      const most = limit?.[whose];
      if (limit === undefined || most === undefined) return;
      const current = Math.floor(clock.now() / MINUTE_MS);
      if (current !== minute) {
        minute = current;
        counts = new Map();
      }
      const key = `${path} ${whose} ${id}`;
      const count = (counts.get(key) ?? 0) + 1;
      counts.set(key, count);
      if (count > most) throw new Refusal(codeOf(path, limit));
    },
    /** On or off, or other numbers for some paths. */
    set(nowOn: boolean, given = overrides) {
      on = nowOn;
      overrides = given;
    },
    state: () => ({ on, limits: limits() }),
    /** Begins all windows anew. */
    forget() {
      counts = new Map();
    },
  };
}
