// What a handler is: a function of one request and of what it may touch, for one row of sett's table of endpoints.

import type { Endpoint } from "sett/endpoints";
import type { Asking } from "../items.ts";
import type { Plaid } from "../plaid.ts";

/** Answers a request that has been checked against its row; throws a `Refusal` to say no. */
export type Handler<Row> =
  Row extends Endpoint<infer Request, infer Answer>
    ? (request: Request, plaid: Plaid, asking: Asking) => Omit<Answer, "request_id">
    : never;
