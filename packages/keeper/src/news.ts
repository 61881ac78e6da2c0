// What Plaid tells of Items, and what the keeper tells of them: the inbox and the subscribers, at work for one keeper.

import {
  err,
  Item,
  type Failure,
  type ItemGetResponse,
  type LinkTokenCreateResponse,
  type Result,
} from "sett";
import { itemGet } from "sett/endpoints";
import { plaidKeys, type Receiver } from "sett/webhook";
import { createInbox, type Inbox, type InboxOptions } from "./inbox/inbox.ts";
import { createSubscriptions, type EventHandler } from "./inbox/subscriptions.ts";
import {
  createUpdateToken,
  rememberLinkToken,
  type UpdateModeChoices,
  type UpdateModeFailure,
  type UpdateModeRequest,
} from "./inbox/update-mode.ts";
import type { KeeperFailure } from "./lifecycle/failure.ts";
import type { Means } from "./lifecycle/means.ts";
import type { Lend } from "./lifecycle/use.ts";
import { createWatch, type Watch } from "./watch.ts";

export interface News {
  /** The endpoint for Plaid's webhooks. */
  readonly receive: Receiver;
  subscribe(name: string, handler: EventHandler, options?: { readonly from?: "beginning" | "now" }): void;
  readonly observe: Inbox["observe"];
  /** Lends a token, and takes what is seen of the Item meanwhile. */
  readonly use: Lend;
  readonly during: Watch["during"];
  /** Plaid's own answer, which is taken too. */
  get(itemId: string): Promise<Result<ItemGetResponse, KeeperFailure>>;
  /** Asks Plaid about an Item of which it can only be assumed how it is, and takes the answer. */
  heal(itemId: string): Promise<void>;
  /** The same of several, when the caller has gone on. */
  healBehind(items: readonly string[]): void;
  updateMode(
    itemId: string,
    request: UpdateModeRequest,
    choices?: UpdateModeChoices,
  ): Promise<Result<LinkTokenCreateResponse, UpdateModeFailure<KeeperFailure>>>;
  /** After a link: applies what came before its Item, and hands on what is new. */
  linked(): Promise<void>;
  /** The same, and forgets what is old: on a timer. */
  work(): Promise<void>;
  close(): Promise<void>;
}

/** Who is told of what comes to nothing. */
export type Hearers = Pick<InboxOptions, "onRefusal" | "onProblem">;

interface Around extends Hearers, Pick<InboxOptions, "takePublicToken"> {
  /** Aborts when what is many ends with the one at hand: the rest is for the keeper that is opened next. */
  readonly closing?: AbortSignal | undefined;
}

/** So that one look serves many links. */
const lookAfterMs = 20;

/** Applied deliveries are needed for as long as one may be repeated, 5 minutes; a day lets a person look. */
const forgetAfterMs = 24 * 3_600_000;
const betweenPagesMs = 10;

export function createNews(means: Means, lend: Lend, { closing, ...hearers }: Around = {}): News {
  const { database, vault, environment, plaid, now, holder } = means;
  const subscriptions = createSubscriptions({
    database,
    environment,
    now,
    holder,
    signal: closing,
    onProblem: (_, problem) => hearers.onProblem?.(problem),
  });
  const ask = (itemId: string, by: Lend, asked: (answer: ItemGetResponse, at: number) => void) =>
    called(itemId, by, async (token) => {
      const at = now();
      const answer = await Item.get(token, plaid);
      if (answer.ok) asked(answer.value, at);
      return answer;
    });
  const inbox = createInbox({
    database,
    vault,
    keys: plaidKeys(plaid, { now }),
    now,
    heal: async (itemId) => {
      const seen = await ask(itemId, lend, () => {});
      return seen.ok ? seen : err(seen.error.kind === "plaid" ? seen.error.failure : notAsked(seen.error));
    },
    onApplied: () => void subscriptions.tick(),
    ...hearers,
  });
  // Nearly always there is none.
  const waiting = database.statement<object, unknown>((sql) =>
    sql
      .selectFrom("deliveries")
      .select("iat")
      .where("applied_at", "is", null)
      .where("environment", "=", environment)
      .limit(1),
  );
  let looking: Promise<void> | undefined;
  /** Whoever comes before a look has begun shares it. */
  const linked = () =>
    (looking ??= means.wait(lookAfterMs).then(async () => {
      looking = undefined;
      const found = await waiting({});
      if (found.ok && found.value.length > 0) void (await inbox.apply());
      await subscriptions.tick();
    }));
  const watch = createWatch(lend, inbox, now);
  const { use, during } = watch;
  /** What Plaid cannot tell now, its webhooks or the next answer will. */
  const heal = async (itemId: string) => void (await inbox.heal(itemId));

  let closed = false;
  let forgetting: Promise<void> | undefined;
  /** A page at a time, others' turn in between. */
  const forgetAll = async () => {
    while (!closed && !closing?.aborted) {
      const forgotten = await inbox.forget(forgetAfterMs);
      if (!forgotten.ok || forgotten.value === 0) return;
      await means.wait(betweenPagesMs);
    }
  };

  return {
    receive: inbox.receive,
    subscribe(name, handler, options) {
      subscriptions.subscribe(name, handler, options);
      void subscriptions.tick();
    },
    use,
    during,
    get: (itemId) => ask(itemId, use, (answer, at) => watch.notice(itemId, { kind: "answer", answer, at })),
    heal,
    healBehind: (items) =>
      watch.behind(async () => {
        for (const itemId of items) await heal(itemId);
      }),
    async observe(itemId, observation) {
      const seen = await inbox.observe(itemId, observation);
      // That the user came to the end of update mode does not say how the Item is now.
      if (seen.ok && seen.value && observation.kind === "updated") watch.behind(() => heal(itemId));
      return seen;
    },
    updateMode: (itemId, request, choices) =>
      createUpdateToken(
        {
          database,
          environment,
          plaid,
          use: (itemId, call) => called(itemId, use, call),
          remember: (made) => rememberLinkToken(database, vault, made, now()),
        },
        itemId,
        request,
        choices,
      ),
    linked,
    async work() {
      // What fails here is taken up again the next time.
      void (await inbox.apply());
      watch.behind(() => (forgetting ??= forgetAll().finally(() => (forgetting = undefined))));
      await subscriptions.tick();
    },
    async close() {
      closed = true;
      await watch.close();
      await inbox.close();
      await subscriptions.close();
    },
  };
}

/** One call with an Item's token, its failure the keeper's. */
async function called<Value>(
  itemId: string,
  lend: Lend,
  call: (token: string) => Promise<Result<Value, Failure>>,
): Promise<Result<Value, KeeperFailure>> {
  const used = await lend(itemId, call);
  if (!used.ok) return used;
  if (used.value.ok) return used.value;
  return err({ kind: "plaid", item_id: itemId, failure: used.value.error });
}

/** The keeper's own reason not to ask Plaid, as the failure of a call that was never made. */
const notAsked = ({ kind }: KeeperFailure): Failure => ({
  kind: "unsent",
  why: "aborted",
  code: null,
  detail: `the keeper did not ask: ${kind}`,
  path: itemGet.path,
  attempts: 0,
  lost: 0,
});
