// The keeper as a service. It receives webhooks, applies them, and finishes what is left open, until it is told to end;
// then it takes no more, finishes what it has begun, and closes.

import { once } from "node:events";
import type { Call } from "./command.ts";
import { isUnread, type Context } from "./context.ts";
import type { Ending } from "./exits.ts";
import { listen } from "./listening.ts";
import { open, refuseUnlessThere } from "./open.ts";
import { masked } from "./secret-words.ts";
import { sentence } from "./sentences.ts";
import { soundSettings } from "./settings.ts";
import { createTally, type Tally } from "./tally.ts";

/** A reader of the log that does not read may not fill the memory: what would go beyond is dropped. */
const logBytes = 1 << 20;

export interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly linkFromWebhooks?: true;
}

type Log = (event: string, fields?: Record<string, unknown>) => void;

export async function serveUntilTold(call: Call<ServeOptions>): Promise<Ending> {
  const { context, globals } = call;
  const { now, signal } = context;
  const settings = soundSettings(context, globals.config);
  refuseUnlessThere(settings);
  const tally = createTally(now);
  const log = createLog(context, settings.secret);
  const keeper = await open(call, settings, {
    onAttempt: tally.attempt,
    recoverEveryMs: 30_000,
    linkFromWebhooks: call.options.linkFromWebhooks && (() => ({})),
    onRefusal: (refusal) => {
      tally.refusal(refusal);
      log("webhook refused", { reason: refusal.reason, detail: refusal.detail });
    },
    onProblem: (problem) => log("problem", { problem: textOf(problem) }),
    onRecovered: (recovered) => {
      tally.recovered(recovered);
      tellOf(recovered, log);
    },
  });
  try {
    const place = { ...call.options, option: "--port" };
    const server = await listen(context, settings, keeper, tally, place, {
      receive: keeper.receive,
      log: (request) => log("request", request),
    });
    const { url } = server;
    call.out.note(`sett serve is ready on ${url}; Plaid's webhooks go to ${url}/webhook`);
    log("ready", { url });
    if (!signal.aborted) await once(signal, "abort");
    log("stopping");
    await server.close();
    log("stopped");
  } finally {
    await keeper.close();
  }
  return isUnread(context) ? "failed" : "done"; // then nobody has told it to
}

/** One line of JSON for each event, on stdout. */
function createLog({ stdout, now }: Context, secret: string | null): Log {
  return (event, fields = {}) => {
    if (stdout.writableLength > logBytes) return;
    const line = JSON.stringify({ time: new Date(now()).toISOString(), event, ...fields });
    stdout.write(`${masked(line, [secret ?? ""])}\n`);
  };
}

function tellOf(recovered: Parameters<Tally["recovered"]>[0], log: Log): void {
  if (!recovered.ok) return log("recovery failed", { problem: sentence(recovered.error).text });
  const { adopted, restored, finished, open: left, bad, damage } = recovered.value;
  if (adopted.length + restored.length + finished > 0) log("recovered", { adopted, restored, finished });
  for (const failure of left) log("left open", { problem: sentence(failure).text });
  for (const failure of bad) log("needs a person", { problem: sentence(failure).text });
  for (const { detail } of damage) log("escrow damaged", { problem: detail });
}

/** Of what a background task said: its own failures are plain data, and anything else is a mistake. */
function textOf(problem: unknown): string {
  if (problem instanceof Error) return problem.stack ?? problem.message;
  return JSON.stringify(problem);
}
