// One call, from arguments to outcome: checks what the caller gave, sends it, and sends it again only where that
// cannot do harm. The credentials and the knowledge of what must never be sent twice live here.

import { err, type Result } from "../result.ts";
import { read } from "./answer.ts";
import type { Endpoint } from "./endpoints.ts";
import { masked, type Failure, type Finding } from "./failure.ts";
import { configFields, endpointPath, invalidField, object } from "./kinds.ts";
import { disconnection, fetchPost, type Post } from "./transport.ts";

/** What every call is given last: whose credentials, which Plaid, how patient to be. Nothing is read from the environment. */
export interface Config {
  readonly clientId: string;
  readonly secret: string;
  /** Which of Plaid's hosts; "sandbox" unless told. */
  readonly env?: "sandbox" | "production" | undefined;
  /** In place of Plaid's host: an emulator, a proxy. An http(s) URL without credentials, query or fragment. */
  readonly baseUrl?: string | undefined;
  /** The transport; the platform's fetch unless told. */
  readonly post?: Post | undefined;
  /** The deadline of the whole call, retries and pauses included, in milliseconds. 30 000 unless told. */
  readonly timeoutMs?: number | undefined;
  /** How many times a request may be made again, where that cannot do harm. 2 unless told. */
  readonly retries?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** A clock in milliseconds, of which only differences are used. */
  readonly now?: (() => number) | undefined;
  /** From 0 to 1, for the jitter of pauses. */
  readonly random?: (() => number) | undefined;
  /** Waits between attempts. */
  readonly sleep?: ((ms: number) => Promise<unknown>) | undefined;
  /** Told of each attempt as it ends. What it throws or rejects with is dropped: a bug in a log line must not lose a token. */
  readonly onAttempt?: ((attempt: Attempt) => void) | undefined;
}

/** One attempt of a call, over. It holds no secret. */
export interface Attempt {
  readonly path: string;
  /** 1 for the first. */
  readonly attempt: number;
  readonly durationMs: number;
  /** Null when the attempt brought the answer. */
  readonly failure: Failure | null;
  /** Milliseconds until the next attempt; null when this was the last. */
  readonly retryInMs: number | null;
}

/**
 * Calls any endpoint of Plaid's that sett has no function for, with the same safety. The request goes out as it is
 * and the answer comes back unread. It is sent again only where it surely was not carried out.
 */
export async function call(path: string, request: object, config: Config): Promise<Result<unknown, Failure>> {
  if (!endpointPath.accepts(path)) throw new TypeError(`the path must be ${endpointPath.expected}`);
  if (!object.accepts(request)) throw new TypeError(`${path}: the request must be an object`);
  return callEndpoint(
    { path: path as `/${string}`, effect: "once", request: {}, answer: {} },
    request,
    config,
  );
}

/** Calls an endpoint of the table. Rejects with a TypeError where the caller's own arguments cannot be right. */
export async function callEndpoint<Request extends object, Answered>(
  endpoint: Endpoint<Request, Answered>,
  request: Request,
  config: Config,
): Promise<Result<Answered, Failure>> {
  const { path, effect } = endpoint;
  const mistake =
    invalidField(configFields, Object(config), "config.") ?? invalidField(endpoint.request, Object(request));
  if (mistake) throw new TypeError(`${path}: ${mistake}`);

  const {
    clientId,
    secret,
    env = "sandbox",
    baseUrl = `https://${env}.plaid.com`,
    post = fetchPost,
    timeoutMs = 30_000,
    retries = 2,
    now = () => performance.now(),
    random = Math.random,
    sleep = pause,
    signal: caller,
    onAttempt,
  } = config;
  const url = baseUrl.replace(/\/*$/, path);
  const headers = {
    "Content-Type": "application/json",
    "PLAID-CLIENT-ID": clientId,
    "PLAID-SECRET": secret,
    "Plaid-Version": "2020-09-14",
  };
  const body = JSON.stringify(request);
  const secrets = () => secretsIn(body, [secret, clientId]);

  // A call ends with its deadline or its caller's signal, even if the transport ignores both. But the transport has its
  // word first, which may be that nothing was sent.
  const stopper = new AbortController();
  const { signal } = stopper;
  const end = new Promise<void>((resolve) => signal.addEventListener("abort", () => setTimeout(resolve)));
  const onAbort = () => stopper.abort("aborted");
  const deadline = now() + timeoutMs;
  caller?.addEventListener("abort", onAbort);
  const timer = setTimeout(() => stopper.abort("timeout"), timeoutMs);
  if (caller?.aborted) onAbort();

  const attempt = async (removing: boolean): Promise<Result<Answered, Finding>> => {
    const tooLate = signal.aborted;
    let thrown: unknown;
    try {
      const answer = !tooLate && (await Promise.race([post(url, body, headers, signal), end]));
      if (answer) return read(answer, endpoint, secrets, removing);
    } catch (error) {
      thrown = error;
    }
    const found = masked(disconnection(thrown), secrets());
    if (!signal.aborted) return err(found);
    return err({ kind: tooLate ? "unsent" : found.kind, why: signal.reason, code: null, detail: null });
  };

  try {
    for (let attempts = 1, lost = 0; ; attempts++) {
      const sent = now();
      const seen = await attempt(effect === "remove" && lost > 0);
      const failure = seen.ok
        ? null
        : { ...seen.error, path, attempts, lost: (lost += mayHaveHappened(seen.error)) };

      const delayMs = random() * 500 * 2 ** attempts;
      const again =
        failure &&
        attempts <= retries &&
        isPassing(failure) &&
        !(lost && effect === "once") &&
        !signal.aborted &&
        now() + delayMs < deadline;
      // Async, so that a rejection is dropped as a throw is: one that nobody catches ends the process.
      (async () =>
        onAttempt?.({
          path,
          attempt: attempts,
          durationMs: now() - sent,
          failure,
          retryInMs: again ? delayMs : null,
        }))().catch(() => {});
      if (again) await Promise.race([sleep(delayMs), end]);
      if (!again || signal.aborted) return failure ? err(failure) : (seen as { ok: true; value: Answered });
    }
  } finally {
    clearTimeout(timer);
    caller?.removeEventListener("abort", onAbort);
  }
}

/** 1 where Plaid may have carried out the request that ended so. The type too, since the status is not promised. */
const mayHaveHappened = (finding: Finding) =>
  +(finding.kind === "refused"
    ? (finding.status > 499 || finding.error.error_type === "API_ERROR") &&
      finding.error.error_code !== "PLANNED_MAINTENANCE"
    : finding.kind !== "unsent");

/** Whether the same request may fare better in a moment. A spent quota is a 429 too, and does not come back. */
const isPassing = (finding: Finding) =>
  finding.kind !== "refused" ||
  finding.status > 499 ||
  finding.error.error_type === "API_ERROR" ||
  (finding.status === 429 && !/CREDITS|TRIAL|ADDITION/.test(finding.error.error_code));

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** These and what else was sent of secrets, for masking; looked for only once there is something to mask. */
function secretsIn(body: string, secrets: string[]): string[] {
  JSON.parse(body, (key, value) => {
    if (/token|secret|password/i.test(key)) secrets.push(...[value].flat().map(String));
    return value;
  });
  return secrets;
}
