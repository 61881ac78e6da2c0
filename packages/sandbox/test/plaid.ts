// What the tests of the sandbox share: one to talk to, and the words to talk with.

import { createSandbox, sandboxCredentials, type SandboxOptions } from "../src/index.ts";

export const START = Date.parse("2026-01-01T00:00:00Z");
export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

export interface Answered {
  readonly status: number;
  // A test knows what it asked for; a wrong guess fails it.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly body: any;
  readonly text: string;
  readonly headers: Headers;
}

/** A webhook as its receiver saw it. */
export interface Received {
  readonly at: number;
  readonly url: string;
  readonly text: string;
  readonly code: string;
  readonly verification: string;
}

/** A sandbox that stands still at START and hands its webhooks to `receiver`, which answers 200 unless told. */
export async function aPlaid(options: SandboxOptions = {}) {
  const received: Received[] = [];
  const plaid = {
    receiver: (_: Received): Response | Promise<Response> => new Response(),
  };
  const sandbox = await createSandbox({
    seed: 1,
    now: START,
    deliver: async (request) => {
      const text = await request.text();
      const webhook: Received = {
        at: sandbox.control.clock.now(),
        url: request.url,
        text,
        code: JSON.parse(text).webhook_code,
        verification: request.headers.get("plaid-verification")!,
      };
      received.push(webhook);
      return plaid.receiver(webhook);
    },
    ...options,
  });
  const { control } = sandbox;

  /** A call with good credentials in the headers; an undefined header is left out. */
  async function call(path: string, request: unknown, headers: Record<string, string | undefined> = {}) {
    const all = {
      "Content-Type": "application/json",
      "PLAID-CLIENT-ID": sandboxCredentials.client_id,
      "PLAID-SECRET": sandboxCredentials.secret,
      "Plaid-Version": "2020-09-14",
      ...headers,
    };
    const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
    const body = typeof request === "string" ? request : JSON.stringify(request);
    const answer = await sandbox.post(
      `https://sandbox.plaid.com${path}`,
      body,
      given as Record<string, string>,
      AbortSignal.timeout(5_000),
    );
    const answered: Answered = {
      status: answer.status,
      headers: answer.headers as Headers,
      text: answer.body,
      body: answer.headers.get("content-type")?.includes("json") ? parsed(answer.body) : answer.body,
    };
    return answered;
  }

  /** An Item from nothing to its access token. */
  async function item(
    products: readonly string[] = ["transactions"],
    given: { institution_id?: string; options?: object; headers?: Record<string, string> } = {},
  ) {
    const { institution_id = "ins_109508", options, headers } = given;
    const created = await call(
      "/sandbox/public_token/create",
      { institution_id, initial_products: products, ...(options && { options }) },
      headers,
    );
    const { public_token } = created.body as { public_token: string };
    const exchanged = await call("/item/public_token/exchange", { public_token }, headers);
    const { access_token, item_id } = exchanged.body as { access_token: string; item_id: string };
    return { public_token, access_token, item_id };
  }

  return Object.assign(plaid, { sandbox, control, received, call, item });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** An Item's error as it stands on the wire, in what a test compares. */
export const refused = ({ status, body }: Answered) => [
  status,
  body.error_type,
  body.error_code,
  body.error_message,
];
