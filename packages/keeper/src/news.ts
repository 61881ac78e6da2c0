// What Plaid tells of Items, and what the keeper tells of them: the inbox and the subscribers, at work for one keeper.

import { err, type Failure, type ItemGetResponse, type Result } from "sett";
import { plaidKeys, type Receiver } from "sett/webhook";
import { createInbox, type Inbox } from "./inbox/inbox.ts";
import { createSubscriptions, type EventHandler } from "./inbox/subscriptions.ts";
import type { KeeperFailure } from "./lifecycle/failure.ts";
import type { Means } from "./lifecycle/means.ts";

export interface News {
  /** The endpoint for Plaid's webhooks. */
  readonly receive: Receiver;
  subscribe(name: string, handler: EventHandler, options?: { readonly from?: "beginning" | "now" }): void;
  readonly observe: Inbox["observe"];
  /** Applies what waits and hands on what is new: after a link, and on a timer. */
  work(): Promise<void>;
  close(): Promise<void>;
}

/** Applied deliveries are needed for as long as one may be repeated, 5 minutes; a day lets a person look. */
const forgetAfterMs = 24 * 3_600_000;

export function createNews(
  means: Means,
  get: (itemId: string) => Promise<Result<ItemGetResponse, KeeperFailure>>,
): News {
  const { database, vault, environment, plaid, now, holder } = means;
  const subscriptions = createSubscriptions({ database, environment, now, holder });
  const inbox = createInbox({
    database,
    vault,
    keys: plaidKeys(plaid, { now }),
    now,
    heal: async (itemId) => {
      const seen = await get(itemId);
      return seen.ok ? seen : err(seen.error.kind === "plaid" ? seen.error.failure : notAsked(seen.error));
    },
    onApplied: () => void subscriptions.tick(),
  });

  return {
    receive: inbox.receive,
    subscribe(name, handler, options) {
      subscriptions.subscribe(name, handler, options);
      void subscriptions.tick();
    },
    observe: inbox.observe,
    async work() {
      // What fails here is taken up again the next time.
      void (await inbox.apply());
      void (await inbox.forget(forgetAfterMs));
      await subscriptions.tick();
    },
    async close() {
      await inbox.close();
      await subscriptions.close();
    },
  };
}

/** The keeper's own reason not to ask Plaid, as the failure of a call that was never made. */
const notAsked = ({ kind }: KeeperFailure): Failure => ({
  kind: "unsent",
  why: "aborted",
  code: null,
  detail: `the keeper did not ask: ${kind}`,
  path: "/item/get",
  attempts: 0,
  lost: 0,
});
