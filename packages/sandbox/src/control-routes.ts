// The control over HTTP, for tests in any language: one row for each call of control.ts, JSON in and out. A body that
// is not as its row says is a 400 that names the field and what was expected.

import { Hono } from "hono";
import {
  boolean,
  invalidField,
  list,
  missingFields,
  object,
  text,
  unknownFields,
  type Fields,
} from "sett/kinds";
import { preflight } from "./answer.ts";
import { ControlError, disconnectReason, duration, moment, webhookCount, type Control } from "./control.ts";
import type { FaultOrder } from "./faults.ts";
import type { Limit } from "./limits.ts";
import { Refusal } from "./refusals.ts";
import type { Switches } from "./switches.ts";
import type { Snapshot } from "./world.ts";

/** A body that has been checked against its row's fields. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- what `fields` has checked; the types are the control's
type Body = any;

interface Route {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  readonly fields?: Fields;
  run(body: Body, id: string): unknown;
}

function routes(control: Control): Route[] {
  const { clock, faults, items, link, keys, webhooks, limits, switches } = control;
  const time = () => ({ now: new Date(clock.now()).toISOString(), running: clock.running() });
  const get = (path: string, run: Route["run"]): Route => ({ method: "GET", path, run });
  const post = (path: string, fields: Fields, run: Route["run"]): Route => ({
    method: "POST",
    path,
    fields,
    run,
  });
  const event = (name: string, fields: Fields, run: Route["run"]) =>
    post(`/items/:id/${name}`, fields, (body, id) => {
      run(body, id);
      return items.get(id);
    });

  return [
    get("/clock", time),
    post("/clock/advance", { ms: duration, "patience_ms?": duration }, async ({ ms, patience_ms }) => {
      await clock.advance(ms, patience_ms);
      return time();
    }),
    post("/clock/set", { time: moment, "patience_ms?": duration }, async (body) => {
      await clock.set(body.time, body.patience_ms);
      return time();
    }),
    post("/clock/stop", {}, () => (clock.stop(), time())),
    post("/clock/run", {}, () => (clock.run(), time())),

    get("/faults", () => ({ faults: faults.list() })),
    post("/faults", { faults: list }, (body: { faults: FaultOrder[] }) => ({
      faults: faults.add(...body.faults),
    })),
    { method: "DELETE", path: "/faults", run: () => (faults.clear(), { faults: [] }) },

    get("/items", () => ({ items: items.list() })),
    get("/items/:id", (_, id) => items.get(id)),
    event("login_required", { "reason?": text }, ({ reason }, id) => items.loginRequired(id, reason)),
    event("fail", { error_code: text, "reason?": text }, (body, id) =>
      items.fail(id, body.error_code, body.reason),
    ),
    event("complete_update_mode", { "select_accounts?": boolean }, (body, id) =>
      items.completeUpdateMode(id, body.select_accounts),
    ),
    event("repair_login", {}, (_, id) => items.repairLogin(id)),
    event("revoke_permission", {}, (_, id) => items.revokePermission(id)),
    event("revoke_account", { "account_id?": text }, (body, id) => items.revokeAccount(id, body.account_id)),
    event("new_accounts", {}, (_, id) => items.newAccounts(id)),
    event("pending_disconnect", { "reason?": disconnectReason }, ({ reason }, id) =>
      items.pendingDisconnect(id, reason),
    ),
    event("pending_expiration", {}, (_, id) => items.pendingExpiration(id)),
    event("age", {}, (_, id) => items.age(id)),

    post(
      "/link/complete",
      { link_token: text, "institution_id?": text, "username?": text, "password?": text },
      ({ link_token, ...choices }) => link.complete(link_token, choices),
    ),
    post("/link/exit", { link_token: text, "error_code?": text }, (body) =>
      link.exit(body.link_token, body.error_code),
    ),

    get("/keys", async () => ({ keys: await keys.list() })),
    post("/keys/rotate", { "keep_old?": boolean }, (body) =>
      keys.rotate({ keepOld: body.keep_old ?? false }),
    ),
    post("/keys/:id/expire", {}, async (_, kid) => (keys.expire(kid), { keys: await keys.list() })),

    get("/webhooks", () => ({ webhooks: webhooks.list() })),
    post("/webhooks/:id/replay", { "as_signed?": boolean }, (body, id) => {
      webhooks.replay(id, { asSigned: body.as_signed ?? false });
      return { webhooks: webhooks.list() };
    }),
    post("/webhooks/duplicate", { "count?": webhookCount }, (body) => (webhooks.duplicate(body.count), {})),
    post("/webhooks/hold", {}, () => (webhooks.hold(), {})),
    post("/webhooks/release", { "webhook_message_ids?": list }, (body) => {
      webhooks.release(body.webhook_message_ids);
      return { webhooks: webhooks.list() };
    }),
    post("/webhooks/idle", {}, async () => {
      await webhooks.idle();
      return { webhooks: webhooks.list() };
    }),

    get("/limits", limits.get),
    { method: "PUT", path: "/limits", fields: { on: boolean, "limits?": object }, run: setLimits },
    get("/switches", switches.get),
    { method: "PUT", path: "/switches", run: (body: Partial<Switches>) => switches.set(body) },
    get("/institutions", () => ({ institutions: control.institutions() })),

    get("/snapshot", control.snapshot),
    { method: "PUT", path: "/snapshot", run: (body: Snapshot) => (control.restore(body), {}) },
    post("/reset", {}, () => (control.reset(), {})),
  ];

  function setLimits(body: { on: boolean; limits?: Record<string, Limit> }) {
    limits.set(body.on, body.limits);
    return limits.get();
  }
}

/** The routes of /_sandbox, as a function from Request to Response. */
export function controlRoutes(control: Control): (request: Request) => Response | Promise<Response> {
  const app = new Hono().basePath("/_sandbox");
  // What is nobody's mistake but ours must not look like an answer.
  app.onError((thrown) => {
    throw thrown;
  });
  app.options("*", () => new Response(null, { status: 204, headers: preflight }));
  const json = (body: unknown, status = 200) =>
    new Response(`${JSON.stringify(body, null, 2)}\n`, {
      status,
      headers: { "Content-Type": "application/json", "Access-Control-Allow-Origin": "*" },
    });
  for (const { method, path, fields, run } of routes(control)) {
    app.on(method, path, async (context) => {
      try {
        const body = method === "GET" || method === "DELETE" ? {} : parse(await context.req.text(), fields);
        return json(await run(body, context.req.param("id") ?? ""));
      } catch (thrown) {
        if (thrown instanceof ControlError) return json({ error: thrown.message }, 400);
        // Link that does not come to its end: the error that its user would be shown.
        if (thrown instanceof Refusal) return json({ error: thrown.code, plaid_error: thrown.body }, 400);
        throw thrown;
      }
    });
  }
  app.all("*", () => json({ error: "there is no such control; docs/sandbox.md lists them" }, 404));
  return (request) => app.fetch(request);
}

/** An empty body is an empty object. */
function parse(written: string, fields: Fields | undefined): object {
  let body: unknown;
  try {
    body = written === "" ? {} : JSON.parse(written);
  } catch {
    throw new ControlError("the body must be JSON");
  }
  if (!object.accepts(body)) throw new ControlError("the body must be a JSON object");
  if (!fields) return body as object;
  const missing = missingFields(fields, body as object)[0];
  if (missing !== undefined) throw new ControlError(`${missing} must be given: ${fields[missing]!.expected}`);
  const unknown = unknownFields(fields, body as object)[0];
  if (unknown !== undefined)
    throw new ControlError(
      `${unknown} is not known here; fields are ${Object.keys(fields).join(", ") || "none"}`,
    );
  const invalid = invalidField(fields, body as object);
  if (invalid !== undefined) throw new ControlError(invalid);
  return body as object;
}
