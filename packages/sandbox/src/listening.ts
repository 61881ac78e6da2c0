// The seam between the sandbox, which runs anywhere, and its port, which needs Node.

import type { Call, Reply } from "./answer.ts";

/** An open port. */
export interface Listening {
  /** Without a slash at the end, such as `http://127.0.0.1:4242`. */
  readonly url: string;
  /** Closes the port and every connection to it. */
  close(): Promise<void>;
}

/** What a port serves: Plaid's paths by `answer`, of which a rejection is a line that was cut, and /_sandbox. */
export interface Served {
  answer(call: Call): Promise<Reply>;
  control(): Promise<(request: Request) => Response | Promise<Response>>;
}

/** Serves a sandbox on a port; rejects when the port cannot be had. */
export type Listen = (served: Served, port: number, host: string) => Promise<Listening>;
