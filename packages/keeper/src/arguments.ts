// What is said to the keeper from outside: refused at its door, by name, where it cannot be meant, and filled in where it
// need not be said.

import { dirname, join } from "node:path";
import type { Config } from "sett";
import { itemGet, linkTokenCreate } from "sett/endpoints";
import {
  boolean,
  callback,
  configFields,
  integer,
  invalidField,
  object,
  oneOf,
  openShape,
  text,
  type FieldsOf,
  type Kind,
} from "sett/kinds";
import { refuseUnlessTerms } from "./budget/budget.ts";
import type { UpdateModeChoices, UpdateModeRequest } from "./inbox/update-mode.ts";
import type { Observation } from "./inbox/state.ts";
import type { KeeperOptions } from "./keeper.ts";
import { abortSignal, refuseUnfit, refuseUnknown } from "./lifecycle/known.ts";
import { longestId, textOf, textUpTo } from "./lifecycle/texts.ts";
import type { News } from "./news.ts";

/** Where the escrow is when nothing is said about it. */
export function besideDatabase(database: string): string {
  if (/^postgres(ql)?:/.test(database))
    throw new TypeError("with PostgreSQL the escrow needs a `folder` of its own, on a local disk");
  return database.startsWith("sqlite:")
    ? join(dirname(database.slice("sqlite:".length)), "escrow")
    : join(database, "escrow");
}

const has = (value: unknown, ...functions: readonly string[]): boolean =>
  functions.every((name) => callback.accepts((value as Record<string, unknown> | null | undefined)?.[name]));

const number = (expected: string, least: number): Kind => ({
  expected,
  accepts: (value) => typeof value === "number" && value >= least,
});

/** Sett looks at the rest of it no sooner than it is used. */
const plaidFields: FieldsOf<Config> = {
  ...configFields,
  "post?": callback,
  "retries?": number("a number of at least 0", 0),
  "signal?": abortSignal,
  "now?": callback,
  "random?": callback,
  "sleep?": callback,
  "onAttempt?": callback,
};

const optionFields: FieldsOf<KeeperOptions> = {
  plaid: object,
  database: text,
  keys: {
    expected: "a key ring, such as localKeyRing makes of a text",
    accepts: (value) => has(value, "wrap", "unwrap") && text.accepts((value as { kekId?: unknown }).kekId),
  },
  "folder?": text,
  "actor?": textUpTo(longestId),
  "now?": callback,
  "mint?": callback,
  "wait?": callback,
  "patienceMs?": number("a number of milliseconds, of at least 0", 0),
  // A timer takes no more.
  "recoverEveryMs?": integer(0, 2 ** 31 - 1),
  "linkFromWebhooks?": callback,
  "onRecovered?": callback,
  "onRefusal?": callback,
  "onProblem?": callback,
  "budget?": {
    expected: "false, or an object with limits and share",
    accepts: (value) => value === false || object.accepts(value),
  },
  "at?": callback,
  "files?": { expected: "a file system", accepts: (value) => has(value, "makeFolder", "create", "lock") },
};

/** Refuses options of `openKeeper` that cannot be right. */
export function refuseUnlessOptions(options: KeeperOptions): void {
  refuseUnfit("the options of openKeeper", options, optionFields);
  refuseUnfit("plaid", options.plaid, plaidFields, "plaid.");
  const { budget } = options;
  if (!budget) return;
  refuseUnknown("budget", budget, ["limits", "share"]);
  refuseUnlessTerms(budget.limits, budget.share);
}

type SubscribeOptions = NonNullable<Parameters<News["subscribe"]>[2]>;
const subscribeFields: FieldsOf<SubscribeOptions> = { "from?": oneOf("beginning", "now") };

export function refuseUnlessSubscriber(name: unknown, handler: unknown, options: unknown): void {
  textOf("the name of a subscriber", name);
  refuseUnlessFunction("the handler", handler);
  if (options !== undefined) refuseUnfit("the options of subscribe", options, subscribeFields);
}

export function refuseUnlessFunction(name: string, value: unknown): void {
  if (!callback.accepts(value)) throw new TypeError(`${name} must be ${callback.expected}`);
}

const time: Kind = {
  expected: "a time since 1970",
  accepts: (value) => Number.isFinite(value) && (value as number) >= 0,
};

const observations: {
  readonly [Name in Observation["kind"]]: FieldsOf<Extract<Observation, { readonly kind: Name }>>;
} = {
  webhook: {
    kind: text,
    webhook: openShape({ webhook_type: text, webhook_code: text }),
    iatSeconds: time,
    receivedAt: time,
  },
  answer: { kind: text, answer: openShape(itemGet.answer), at: time },
  refused: { kind: text, error_code: text, at: time },
  updated: { kind: text, accountsSelected: boolean, at: time },
};

/** What was seen, at whole times: those that are stored are. */
export function observationOf(observation: Observation): Observation {
  const kind = oneOf(...Object.keys(observations));
  if (!object.accepts(observation)) throw new TypeError("an observation must be an object");
  if (!kind.accepts(observation.kind)) throw new TypeError(`kind must be ${kind.expected}`);
  refuseUnfit(`an observation of kind ${observation.kind}`, observation, observations[observation.kind]);
  const whole = (value: unknown) => (typeof value === "number" ? Math.floor(value) : value);
  const fields = Object.entries(observation).map(([name, value]) => [name, whole(value)]);
  return Object.fromEntries(fields) as Observation;
}

const choiceFields: FieldsOf<UpdateModeChoices> = { "evenIfHealthy?": boolean, "selectAccounts?": boolean };

/** The Item may need no mending, and then nobody else would look at the request. */
export function refuseUnlessUpdate(request: UpdateModeRequest, choices: UpdateModeChoices | undefined): void {
  if (!object.accepts(request)) throw new TypeError("the request must be an object");
  const fault = invalidField(linkTokenCreate.request, request);
  if (fault !== undefined) throw new TypeError(fault);
  if (choices !== undefined) refuseUnfit("the choices", choices, choiceFields);
}
