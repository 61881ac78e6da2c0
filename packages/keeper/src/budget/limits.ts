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

const published: Readonly<Record<string, Readonly<Record<Environment, Row>>>> = {
  "/item/get": { production: [5_000, 15], sandbox: [5_000, 40] },
  // Plaid's pages say 30 for an Item, and later 20.
  "/item/remove": { production: [2_000, 20], sandbox: [500, 100] },
  "/item/public_token/exchange": { production: [12_000, null], sandbox: [null, null] },
  "/link/token/create": { production: [20_000, null], sandbox: [null, null] },
  "/accounts/get": { production: [15_000, 15], sandbox: [5_000, 100] },
  "/accounts/balance/get": { production: [1_200, 5], sandbox: [100, 25] },
  "/auth/get": { production: [12_000, 15], sandbox: [500, 100] },
  "/identity/get": { production: [2_000, 15], sandbox: [1_000, 100] },
  "/transactions/get": { production: [20_000, 30], sandbox: [1_000, 80] },
  "/transactions/sync": { production: [2_500, 50], sandbox: [1_000, 50] },
  "/transactions/refresh": { production: [100, 2], sandbox: [100, 2] },
  "/transactions/recurring/get": { production: [1_000, 20], sandbox: [1_000, 20] },
  "/sandbox/transactions/create": { production: [null, null], sandbox: [50, 2] },
  "/liabilities/get": { production: [1_000, 15], sandbox: [1_000, 10] },
  "/investments/holdings/get": { production: [2_000, 15], sandbox: [1_000, 100] },
  "/investments/transactions/get": { production: [20_000, 30], sandbox: [1_000, 100] },
  "/investments/auth/get": { production: [500, 15], sandbox: [500, 15] },
  "/investments/refresh": { production: [100, 1], sandbox: [100, 1] },
  // 50 in the table, 25 in the text below it.
  "/institutions/get": { production: [25, null], sandbox: [10, null] },
  "/institutions/get_by_id": { production: [400, null], sandbox: [400, null] },
  "/asset_report/create": { production: [50, 5], sandbox: [100, null] },
  "/processor/token/create": { production: [500, null], sandbox: [500, null] },
  "/network/status/get": { production: [1_000, null], sandbox: [1_000, null] },
};

export function publishedLimits(path: string, environment: Environment): EndpointLimits {
  const [client, item] = published[path]?.[environment] ?? [null, null];
  return { perMinute: client ?? undefined, perItem: item ?? undefined };
}
