// A Plaid of one's own: in the process, or on a port. Everything about it can be moved from `control`: its clock, its
// faults, its Items, its keys and its webhooks.

import type { Post } from "sett";
import {
  boolean,
  callback,
  faultInOptions,
  integer,
  invalidField,
  object,
  text,
  type FieldsOf,
} from "sett/kinds";
import { createAnswer, isPair, type Credentials } from "./answer.ts";
import { LATEST_MS } from "./clock.ts";
import { createControl, moment, type Control } from "./control.ts";
import type { Deliver } from "./delivery.ts";
import { liveBy } from "./life.ts";
import type { Listen, Listening, Served } from "./listening.ts";
import { createPlaid } from "./plaid.ts";
import { faultInSwitches, type Switches } from "./switches.ts";
import type { Journal } from "./world.ts";

export type { Credentials } from "./answer.ts";
export type { Control } from "./control.ts";
export { REJECTION_SAMPLE, type Deliver } from "./delivery.ts";
export type { Fault, FaultEffect, FaultOrder } from "./faults.ts";
export { sandboxLimits, type Limit } from "./limits.ts";
export type { Listening } from "./listening.ts";
export { switchTable, type Switches } from "./switches.ts";
export type { AttemptRecord, DeliveryRecord, ItemRecord, Snapshot } from "./world.ts";

/** The credentials that a sandbox accepts unless it is told others. */
export const sandboxCredentials = { client_id: "sandbox-client-id", secret: "sandbox-secret" } as const;

/** How a sandbox is to be. */
export interface SandboxOptions {
  /** Fixes every token and id: the same seed gives the same ones. A random seed unless told. */
  readonly seed?: number | string;
  /** Where the clock stands still until it is moved; without it, it runs with the machine's. */
  readonly now?: number | string | Date;
  /** Plaid's rate limits of Sandbox; off unless told. */
  readonly limits?: boolean;
  /** Good credentials; {@link sandboxCredentials} unless told. `"any"` takes all that are not empty. */
  readonly credentials?: Credentials;
  /** Answers to what is not verified about Plaid; see docs/sandbox.md. */
  readonly switches?: Partial<Switches>;
  /** Sends webhooks in place of the platform's fetch. */
  readonly deliver?: Deliver;
  /** A folder to keep everything in, over restarts and kills; on Node only. The clock in it wins over `now`. */
  readonly data?: string;
}

const optionFields: FieldsOf<SandboxOptions> = {
  "seed?": {
    expected: "a number or a text",
    accepts: (value) => Number.isFinite(value) || typeof value === "string",
  },
  "now?": moment,
  "limits?": boolean,
  "credentials?": {
    expected: '"any" or a list of { client_id, secret }',
    accepts: (value) => value === "any" || (Array.isArray(value) && value.every(isPair)),
  },
  "switches?": object,
  "deliver?": callback,
  "data?": text,
};

/** A running sandbox. */
export interface Sandbox {
  /** A transport for sett: `{ ...config, post: sandbox.post }`. */
  readonly post: Post;
  /** As the platform's fetch, but that the host of the URL does not matter. */
  fetch(input: Request | URL | string, init?: RequestInit): Promise<Response>;
  /** Opens a port, on Node; any free one and this machine only unless told. */
  listen(port?: number, host?: string): Promise<Listening>;
  readonly control: Control;
  /** Ends its ports and timers; calls that hang are cut, and webhooks on their way let go. */
  close(): Promise<void>;
}

/** Makes a sandbox. Rejects with a TypeError where an option cannot be right. */
export async function createSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const wrong = faultInOptions("the options", options, optionFields);
  if (wrong) throw new TypeError(wrong);
  const { credentials = [sandboxCredentials], limits = false, data } = options;
  const now = options.now === undefined ? null : new Date(options.now).getTime();
  if (now !== null && (now < 0 || now > LATEST_MS))
    throw new TypeError("now must be a time between 1970 and the year 9999");
  const wrongSwitch = faultInSwitches(options.switches ?? {});
  if (wrongSwitch) throw new TypeError(wrongSwitch);

  const journal = data === undefined ? undefined : await openFolder(data);
  const plaid = createPlaid({
    // No secret hangs on it, and the first touch of `crypto` costs Node more than all the rest here.
    seed: options.seed ?? `${Math.random()} ${Math.random()}`,
    now,
    switches: options.switches ?? {},
    limits,
    deliver: options.deliver ?? ((request) => fetch(request)),
    journal,
  });
  liveBy(plaid);
  plaid.resume();

  const closing = new AbortController();
  const answer = createAnswer(plaid, credentials, closing.signal);
  const control = createControl(plaid);
  // Loaded when first needed: few tests reach for the control over HTTP.
  let loaded: ReturnType<Served["control"]> | undefined;
  const routes = () =>
    (loaded ??= import("./control-routes.ts").then(({ controlRoutes }) => controlRoutes(control)));
  const ports = new Set<Listening>();
  const close = async () => {
    closing.abort();
    plaid.delivery.abandon();
    await Promise.all([...ports].map((port) => port.close()));
    plaid.clock.close();
    journal?.close();
  };
  let closed: Promise<void> | undefined;

  return {
    control,
    async post(url, body, headers, signal) {
      signal.throwIfAborted();
      const lower = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
      const path = new URL(url).pathname;
      const reply = await answer({ method: "POST", path, header: (name) => lower.get(name), body, signal });
      return { status: reply.status, headers: new Headers(reply.headers), body: reply.body };
    },
    async fetch(input, init) {
      const whole = typeof input === "string" && input.startsWith("/") ? `http://sandbox${input}` : input;
      const request = new Request(whole, init);
      request.signal.throwIfAborted();
      const path = new URL(request.url).pathname;
      if (path.startsWith("/_sandbox")) return (await routes())(request);
      const { method, headers: asked, signal } = request;
      const body = await request.text();
      const reply = await answer({ method, path, body, signal, header: (name) => asked.get(name) });
      const { status, headers } = reply;
      return new Response(reply.body === "" ? null : reply.body, { status, headers });
    },
    async listen(port = 0, host = "127.0.0.1") {
      const wrong = invalidField({ port: integer(0, 65_535), host: text }, { port, host });
      if (wrong) throw new TypeError(wrong);
      const { listen }: { listen: Listen } = await import(nodeOnly.listen);
      const listening = await listen({ answer, control: routes }, port, host);
      ports.add(listening);
      return listening;
    },
    close: () => (closed ??= close()),
  };
}

/** Loaded where they are needed, under names that a bundler for a platform without `node:` cannot follow. */
const nodeOnly: Readonly<Record<"listen" | "folder", string>> = {
  listen: "./listen.ts",
  folder: "./folder.ts",
};

async function openFolder(path: string): Promise<Journal> {
  const { openFolder }: { openFolder: (path: string) => Promise<Journal> } = await import(nodeOnly.folder);
  return openFolder(path);
}
