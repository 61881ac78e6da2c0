// The load: POST /item/get over 50 connections, the same for every server. It uses undici's Pool.dispatch, which does
// the least for a call that a client on Node can, so that the server and not the load is what is measured.

import type { MakeContender } from "../contender.ts";

/** What is asked for, and of whom. */
export interface Load {
  readonly origin: string;
  readonly accessToken: string;
  readonly headers: Record<string, string>;
}

export const connections = 50;

export const contenders = {
  load: async ({ origin, accessToken, headers }: Load) => {
    const { Pool } = await import("undici");
    const pool = new Pool(origin, { connections });
    const body = JSON.stringify({ access_token: accessToken });
    const once = () =>
      new Promise<void>((resolve, reject) => {
        let status = 0;
        let bytes = 0;
        pool.dispatch(
          { method: "POST", path: "/item/get", headers, body },
          {
            onRequestStart: () => {}, // undici insists on it
            onResponseStart: (_controller, statusCode) => void (status = statusCode),
            onResponseData: (_controller, chunk) => void (bytes += chunk.length),
            onResponseEnd: () => {
              if (status === 200 && bytes > 300) resolve();
              else reject(new Error(`${origin} answered ${status} with ${bytes} bytes`));
            },
            onResponseError: (_controller, error) => reject(error),
          },
        );
      });
    return { once };
  },
} satisfies Record<string, (load: Load) => ReturnType<MakeContender>>;
