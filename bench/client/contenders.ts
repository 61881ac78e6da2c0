// The clients that ask for an Item: each as its own documentation says to use it, with the same request, and each
// looks at the answer once, so that none can leave it unread.

import type { MakeContender, Prepared } from "../contender.ts";
import { accessToken, credentials, itemId } from "../recorded.ts";

const { clientId, secret } = credentials;
const headers = {
  "Content-Type": "application/json",
  "PLAID-CLIENT-ID": clientId,
  "PLAID-SECRET": secret,
  "Plaid-Version": "2020-09-14",
};
const requestBody = () => JSON.stringify({ access_token: accessToken });

interface ItemAnswer {
  readonly item: { readonly item_id: string };
}

function check({ item }: ItemAnswer): void {
  if (item.item_id !== itemId) throw new Error("not the recorded Item");
}

/** As many as pooledPost opens, and more than are in flight. */
const connections = 64;

async function settWith(config: object): Promise<Prepared> {
  const { Item, unwrap } = await import("sett");
  const plaid = { clientId, secret, ...config };
  return { once: async () => check(unwrap(await Item.get(accessToken, plaid))) };
}

export const contenders = {
  "undici Pool.request": async (baseUrl) => {
    const { Pool } = await import("undici");
    const pool = new Pool(baseUrl, { connections });
    return {
      once: async () => {
        const { body } = await pool.request({
          method: "POST",
          path: "/item/get",
          headers,
          body: requestBody(),
        });
        check(JSON.parse(await body.text()) as ItemAnswer);
      },
    };
  },
  "sett, pooledPost": async (baseUrl) => {
    const { pooledPost } = await import("sett/node");
    return settWith({ baseUrl, post: pooledPost({ connections }) });
  },
  fetch: async (baseUrl) => ({
    once: async () => {
      const answer = await fetch(`${baseUrl}/item/get`, { method: "POST", headers, body: requestBody() });
      check(JSON.parse(await answer.text()) as ItemAnswer);
    },
  }),
  "fetch with AbortSignal.timeout": async (baseUrl) => ({
    once: async () => {
      const init = { method: "POST", headers, body: requestBody(), signal: AbortSignal.timeout(30_000) };
      const answer = await fetch(`${baseUrl}/item/get`, init);
      check(JSON.parse(await answer.text()) as ItemAnswer);
    },
  }),
  "sett, default": async (baseUrl) => settWith({ baseUrl }),
  "plaid 47.0.0 (official)": async (baseUrl) => {
    const { Configuration, PlaidApi } = await import("plaid");
    const baseOptions = { headers: { "PLAID-CLIENT-ID": clientId, "PLAID-SECRET": secret } };
    const api = new PlaidApi(new Configuration({ basePath: baseUrl, baseOptions }));
    return { once: async () => check((await api.itemGet({ access_token: accessToken })).data) };
  },
} satisfies Record<string, MakeContenderAt>;

/** A contender that is told where the server is. */
type MakeContenderAt = (baseUrl: string) => ReturnType<MakeContender>;
