// A Plaid of a few lines: a transport that gives the answers it was told to, in order, and keeps what it was sent.

import type { Answer, Config, Post } from "../src/index.ts";

type Reply = Answer | Error | "hang";

export interface Sent {
  readonly url: string;
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

export const answer = (status: number, body: unknown, contentType = "application/json"): Answer => ({
  status,
  headers: new Map([["content-type", contentType]]),
  body: typeof body === "string" ? body : JSON.stringify(body),
});

export const refusal = (
  status: number,
  error_code: string,
  error_type = "ITEM_ERROR",
  more: object = {},
): Answer =>
  answer(status, {
    error_type,
    error_code,
    error_message: "m",
    display_message: null,
    request_id: "r1",
    ...more,
  });

export const itemAnswer = (more: object = {}): Answer =>
  answer(200, { item: { item_id: "i1", webhook: "", error: null, ...more }, status: null, request_id: "r2" });

/** An error as Node's fetch throws it. */
export const networkError = (code: string, syscall?: string): Error =>
  new TypeError("fetch failed", {
    cause: Object.assign(new Error(`${syscall ?? "read"} ${code}`), { code, syscall }),
  });

/** A configuration whose transport answers with these replies; the last one answers for ever. It never waits. */
export function scripted(...replies: Reply[]): { config: Config; sent: Sent[]; slept: number[] } {
  const sent: Sent[] = [];
  const slept: number[] = [];
  const post: Post = (url, body, headers, signal) => {
    sent.push({ url, body, headers });
    const reply = replies[Math.min(sent.length, replies.length) - 1]!;
    if (reply === "hang") {
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    }
    return reply instanceof Error ? Promise.reject(reply) : Promise.resolve(reply);
  };
  const config: Config = {
    clientId: "client-1234567890",
    secret: "secret-1234567890",
    post,
    random: () => 0.5,
    sleep: async (ms) => slept.push(ms),
  };
  return { config, sent, slept };
}
