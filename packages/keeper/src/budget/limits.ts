// The limits that Plaid publishes, in calls a minute for a client and for an Item (docs/errors/rate-limit-exceeded), and
// what is assumed of an endpoint for which it publishes none.

import type { Environment } from "../database/schema.ts";

/** Calls a minute. What is left out is not known. */
export interface EndpointLimits {
  readonly perMinute?: number | undefined;
  readonly perItem?: number | undefined;
}

export type GivenLimits = Readonly<Record<string, EndpointLimits>>;

/** Where nothing is published: begun with so many calls a minute, which grow while there is no 429, up to so many. */
export const unpublished = { perMinute: 600, ceiling: 12_000 } as const;

type Row = readonly [client: number | null, item: number | null];

/** In production, and in Sandbox. */
const published: Readonly<Record<string, readonly [production: Row, sandbox: Row]>> = {
  "/item/get": [
    [5_000, 15],
    [5_000, 40],
  ],
  // Plaid's pages say 30 for an Item, and later 20.
  "/item/remove": [
    [2_000, 20],
    [500, 100],
  ],
  "/item/public_token/exchange": [
    [12_000, null],
    [null, null],
  ],
  "/link/token/create": [
    [20_000, null],
    [null, null],
  ],
  "/accounts/get": [
    [15_000, 15],
    [5_000, 100],
  ],
  "/accounts/balance/get": [
    [1_200, 5],
    [100, 25],
  ],
  "/auth/get": [
    [12_000, 15],
    [500, 100],
  ],
  "/identity/get": [
    [2_000, 15],
    [1_000, 100],
  ],
  "/transactions/get": [
    [20_000, 30],
    [1_000, 80],
  ],
  "/transactions/sync": [
    [2_500, 50],
    [1_000, 50],
  ],
  "/transactions/refresh": [
    [100, 2],
    [100, 2],
  ],
  "/transactions/recurring/get": [
    [1_000, 20],
    [1_000, 20],
  ],
  "/sandbox/transactions/create": [
    [null, null],
    [50, 2],
  ],
  "/liabilities/get": [
    [1_000, 15],
    [1_000, 10],
  ],
  "/investments/holdings/get": [
    [2_000, 15],
    [1_000, 100],
  ],
  "/investments/transactions/get": [
    [20_000, 30],
    [1_000, 100],
  ],
  "/investments/auth/get": [
    [500, 15],
    [500, 15],
  ],
  "/investments/refresh": [
    [100, 1],
    [100, 1],
  ],
  // 50 in the table, 25 in the text below it.
  "/institutions/get": [
    [25, null],
    [10, null],
  ],
  "/institutions/get_by_id": [
    [400, null],
    [400, null],
  ],
  "/asset_report/create": [
    [50, 5],
    [100, null],
  ],
  "/processor/token/create": [
    [500, null],
    [500, null],
  ],
  "/network/status/get": [
    [1_000, null],
    [1_000, null],
  ],
};

export function publishedLimits(path: string, environment: Environment): EndpointLimits {
  const [client, item] = published[path]?.[environment === "production" ? 0 : 1] ?? [null, null];
  return { perMinute: client ?? undefined, perItem: item ?? undefined };
}
