// From one request to one answer, as Plaid gives it: what is served at all, in which order a request is looked at,
// whose credentials it has, what its answer's bytes and headers are. It knows nothing of how requests arrive.

import * as endpoints from "sett/endpoints";
import { invalidField, missingFields, object, text, unknownFields, words, type Fields } from "sett/kinds";
import { cutLine, type FaultEffect } from "./faults.ts";
import { handlers } from "./handlers/index.ts";
import type { Asking } from "./items.ts";
import { render } from "./json.ts";
import { isPlaidPath } from "./paths.ts";
import type { Plaid } from "./plaid.ts";
import { Refusal } from "./refusals.ts";

/** A request, however it came. `header` is given lower-case names. */
export interface Call {
  readonly method: string;
  readonly path: string;
  header(name: string): string | null | undefined;
  readonly body: string;
  readonly signal?: AbortSignal | undefined;
}

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Which credentials are good: `"any"` that are not empty, or these. */
export type Credentials = "any" | readonly { readonly client_id: string; readonly secret: string }[];

/** Whether it is such a pair. */
export const isPair = (given: unknown) =>
  object.accepts(given) && invalidField({ client_id: words, secret: words }, given as object) === undefined;

const credential = { ...text, expected: "a properly formatted, non-empty string" };
const credentialFields = { client_id: credential, secret: credential };

interface Row {
  readonly request: Fields;
  readonly handle: (request: never, plaid: Plaid, asking: Asking) => object;
}
const rows: ReadonlyMap<string, Row> = new Map(
  Object.entries(endpoints).map(([name, { path, request }]) => [
    path,
    { request, handle: handlers[name as keyof typeof endpoints] },
  ]),
);

/** Of a recorded answer of Plaid's; `Date`, `Content-Length` and `Connection` come from whoever sends it. */
const headers = {
  Server: "nginx",
  "Content-Type": "application/json; charset=utf-8",
  "Plaid-Version": "2020-09-14",
  Vary: "Accept-Encoding",
  "X-Envoy-Upstream-Service-Time": "1",
  "X-Envoy-Decorator-Operation": "default.svc-apiv2:8080/*",
  "Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "X-Xss-Protection": "1; mode=block",
};

/** For pages of other origins, which may call everything here. */
export const preflight = {
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
  "Access-Control-Allow-Headers": "Content-Type, PLAID-CLIENT-ID, PLAID-SECRET, Plaid-Version",
  "Access-Control-Max-Age": "600",
};

/** Answers calls. A cut line is a rejection; an answer is there before the promise is, unless a fault delays it. */
export function createAnswer(plaid: Plaid, credentials: Credentials, closing: AbortSignal) {
  const answer = async (call: Call): Promise<Reply> => {
    if (call.method === "OPTIONS") return { status: 204, headers: preflight, body: "" };
    const path = call.path.includes("//") ? call.path.replace(/\/{2,}/g, "/") : call.path;
    const fault = call.method === "POST" ? takeFault(plaid, path) : undefined;
    return fault === undefined ? work(call, path) : strike(fault, call, path);
  };

  const strike = async (fault: FaultEffect, call: Call, path: string): Promise<Reply> => {
    if (typeof fault === "object") {
      if ("status" in fault) {
        plaid.world.commit();
        return proxyPage(fault.status, call);
      }
      const { epoch } = plaid.world;
      const late = plaid.clock.until(plaid.clock.now() + fault.delayMs).then(() => {
        // It was meant for a world that a restore or a reset has ended.
        if (plaid.world.epoch !== epoch) throw cutLine();
        return work(call, path);
      });
      return Promise.race([late, givenUp(call.signal)]);
    }
    if (fault === "drop-after-commit") work(call, path);
    plaid.world.commit();
    if (fault === "reset" || fault === "drop-after-commit") throw cutLine();
    if (fault === "hang") return givenUp(call.signal);
    if (fault === "garbage") {
      const whole = work(call, path);
      return { ...whole, status: 200, body: whole.body.slice(0, whole.body.length / 2) };
    }
    return refuse(new Refusal(fault), call);
  };

  /** Never resolves; rejects when the caller gives up, or the sandbox closes. */
  const givenUp = (signal: AbortSignal | undefined) =>
    new Promise<never>((_, reject) => {
      const leave = () => reject(signal?.aborted ? signal.reason : cutLine());
      if (signal?.aborted || closing.aborted) leave();
      signal?.addEventListener("abort", leave, { once: true });
      closing.addEventListener("abort", leave, { once: true });
    });

  const work = (call: Call, path: string): Reply => {
    try {
      const row = rows.get(path);
      if (!row || call.method !== "POST") return absent(call, path);
      const { client_id, request } = admit(row.request, call);
      plaid.limits.count(path, "client", client_id);
      const answered = row.handle(request as never, plaid, { path, client_id });
      const body = render({ ...answered, request_id: plaid.ids.requestId() });
      plaid.world.commit();
      return { status: 200, headers: headersFor(call), body };
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      plaid.world.commit();
      return refuse(thrown, call);
    }
  };

  const refuse = ({ status, body }: Refusal, call: Call): Reply => ({
    status,
    headers: headersFor(call),
    body: render({ ...body, request_id: plaid.ids.requestId() }),
  });

  /** A path that has no row, or a method that Plaid does not serve. */
  const absent = (call: Call, path: string): Reply => {
    if (call.method !== "POST" || !isPlaidPath(path)) throw new Refusal("NOT_FOUND");
    if (path === "/item/public_token/create") throw new Refusal("NO_LONGER_AVAILABLE");
    // In no shape of Plaid's, so that nobody takes it for Plaid's word.
    return {
      status: 501,
      headers: openTo(call, { "Content-Type": "application/json" }),
      body: render({ path, sett_sandbox: "not modelled" }),
    };
  };

  /** Looks a request over in the order of the switch, and finds out who asks. */
  const admit = (fields: Fields, call: Call) => {
    const { client_id, secret, ...request } = parse(call);
    const { credentialPrecedence, validationOrder } = plaid.switches();
    const pick = (inHeader: string | null | undefined, inBody: unknown) =>
      (credentialPrecedence === "headers" ? inHeader || inBody : (inBody ?? inHeader)) ?? undefined;
    const given = {
      client_id: pick(call.header("plaid-client-id"), client_id),
      secret: pick(call.header("plaid-secret"), secret),
    };

    const refuseMissing = (missing: string[]) => {
      if (missing.length > 0) throw new Refusal("MISSING_FIELDS", missing.join(", "));
    };
    const refuseUnknown = () => {
      const unknown = unknownFields(fields, request);
      if (unknown.length > 0) throw new Refusal("UNKNOWN_FIELDS", unknown.join(", "));
    };
    const refuseInvalid = (expected: Fields, value: object) => {
      const invalid = invalidField(expected, value);
      if (invalid !== undefined) throw new Refusal("INVALID_FIELD", invalid);
    };
    const checkCredentials = () => {
      refuseInvalid(credentialFields, given);
      // A client may have two secrets, while it changes from one to the other.
      const areGiven = (pair: { client_id: string; secret: string }) =>
        pair.client_id === given.client_id && pair.secret === given.secret;
      if (credentials !== "any" && !credentials.some(areGiven)) throw new Refusal("INVALID_API_KEYS");
    };

    if (validationOrder === "credentials-first") {
      refuseMissing(missingFields(credentialFields, given));
      checkCredentials();
    }
    if (validationOrder === "unknown-missing-invalid") refuseUnknown();
    refuseMissing([...missingFields(credentialFields, given), ...missingFields(fields, request)]);
    refuseUnknown();
    refuseInvalid(fields, request);
    checkCredentials();
    return { client_id: given.client_id as string, request };
  };

  return answer;
}

function parse(call: Call): Record<string, unknown> {
  const contentType = call.header("content-type");
  if (!contentType) throw new Refusal("INVALID_HEADERS");
  if (!/^application\/json\s*(;|$)/i.test(contentType)) throw new Refusal("INVALID_BODY");
  let body: unknown;
  try {
    body = JSON.parse(call.body);
  } catch {
    throw new Refusal("INVALID_BODY");
  }
  if (!object.accepts(body)) throw new Refusal("INVALID_BODY");
  return body as Record<string, unknown>;
}

/** The first fault that waits for a path, counted down; `*` is for paths of Plaid's alone. */
function takeFault({ world }: Plaid, path: string): FaultEffect | undefined {
  for (const fault of world.all("faults")) {
    if (fault.path !== path && !(fault.path === "*" && isPlaidPath(path))) continue;
    if (fault.times === 1) world.drop("faults", fault.id);
    else world.put("faults", fault.id, { ...fault, times: fault.times - 1 });
    return fault.then;
  }
  return undefined;
}

const headersFor = (call: Call): Headers => {
  const version = call.header("plaid-version") || headers["Plaid-Version"];
  return openTo(
    call,
    version === headers["Plaid-Version"] ? headers : { ...headers, "Plaid-Version": version },
  );
};

type Headers = Readonly<Record<string, string>>;
/** Only browsers send an `Origin`, and only they look for the header it asks for. */
const openTo = (call: Call, sent: Headers): Headers =>
  call.header("origin") ? { ...sent, "Access-Control-Allow-Origin": "*" } : sent;

const proxyPage = (status: number, call: Call): Reply => ({
  status,
  headers: openTo(call, { Server: "nginx", "Content-Type": "text/html" }),
  body: `<html>\r\n<head><title>${status}</title></head>\r\n<body>\r\n<center><h1>${status}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`,
});
