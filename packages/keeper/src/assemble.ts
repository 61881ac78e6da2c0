// What is behind the keeper's door: the rooms put together, the rounds that come by themselves, and the end of it all, in
// an order that loses nothing.

import { ok, type Config, type Result } from "sett";
import { itemGet } from "sett/endpoints";
import {
  observationOf,
  refuseUnlessFunction,
  refuseUnlessSubscriber,
  refuseUnlessUpdate,
} from "./arguments.ts";
import type { Budget } from "./budget/budget.ts";
import type { Keeper, KeeperOptions } from "./keeper.ts";
import { createActs, createFinish, unlessAlready, type Acts } from "./lifecycle/acts.ts";
import { createDoor } from "./lifecycle/door.ts";
import type { KeeperFailure } from "./lifecycle/failure.ts";
import { Flights } from "./lifecycle/flights.ts";
import { forgetUser } from "./lifecycle/forget.ts";
import { exportItems } from "./lifecycle/export.ts";
import { importItem } from "./lifecycle/import.ts";
import { linker } from "./lifecycle/once.ts";
import { importFields, importItems } from "./lifecycle/import-many.ts";
import { refuseUnfit, refuseUnknown } from "./lifecycle/known.ts";
import { readView, type ItemView } from "./lifecycle/ledger.ts";
import type { Means } from "./lifecycle/means.ts";
import { recover, type Recovery } from "./lifecycle/recover.ts";
import { Salvage } from "./lifecycle/salvage.ts";
import { listItems } from "./lifecycle/selection.ts";
import { abandon } from "./lifecycle/stranded.ts";
import { itemIdOf, noteOf } from "./lifecycle/texts.ts";
import { createUsage } from "./lifecycle/usage.ts";
import { lender } from "./lifecycle/use.ts";
import { publicTokenTaker } from "./hosted.ts";
import { createNews } from "./news.ts";
import { prune } from "./prune.ts";
import { createSweeps, type SubmitSweep } from "./sweep/sweeps.ts";

/** How each room that is open is closed, in the order in which they were opened. */
export type Opened = (() => unknown)[];

/** Closes them from the outside in, each whatever became of the one before. Rejects with the first failure, at the end. */
export async function closeRooms(opened: Opened): Promise<void> {
  const failures: unknown[] = [];
  for (const close of opened.toReversed()) {
    try {
      await close();
    } catch (thrown) {
      failures.push(thrown);
    }
  }
  if (failures.length > 0) throw failures[0];
}

/** Puts the rooms together, and adds its own to those that are open. `sweepPlaid` is the configuration under which sweeps call. */
export async function assemble(
  means: Means,
  budget: Budget,
  sweepPlaid: Config,
  recoverEveryMs: number,
  opened: Opened,
  { onRecovered, onRefusal, onProblem, linkFromWebhooks, database: url }: KeeperOptions,
): Promise<Keeper> {
  const { database, vault } = means;
  const salvage = new Salvage(means);
  const flights = new Flights(means, salvage, createFinish(means, salvage));
  const paced = { ...means, plaid: sweepPlaid };
  const door = createDoor();
  const { counted } = door;
  const pacedActs = createActs(paced, salvage, flights);
  /** Each counted by itself: a worker is not waited for beyond its grace, but a call of its may bring a token. */
  const countedActs: Acts = {
    rotate: (...asked) => counted(() => pacedActs.rotate(...asked)),
    updateWebhook: (...asked) => counted(() => pacedActs.updateWebhook(...asked)),
    remove: (...asked) => counted(() => pacedActs.remove(...asked)),
  };
  /** A bug in a log line must not end the process, nor what it tells of. */
  const tell = <Told>(hear: ((told: Told) => void) | undefined, told: Told) => {
    try {
      hear?.(told);
    } catch {}
  };
  const problem = (what: unknown) => tell(onProblem, what);
  const sweeping = createSweeps(paced, { acts: countedActs, budget, url, door, problem });

  const acts = createActs(means, salvage, flights);
  const link = linker(means, salvage);
  const usage = createUsage(means);
  const news = createNews(means, lender(means, flights), {
    closing: door.closing,
    onRefusal,
    onProblem,
    takePublicToken: linkFromWebhooks && publicTokenTaker(linkFromWebhooks, link),
  });
  /** An Item that was here before is whole again, or was all along; how it is, only Plaid knows. */
  const asked = async <View extends ItemView>(
    view: View,
    since: number,
  ): Promise<Result<View, KeeperFailure>> => {
    if (view.token_version === 1 && view.linked_at >= since) return ok(view);
    await news.heal(view.item_id);
    const now = await readView(means, view.item_id);
    return now.ok ? ok({ ...view, ...now.value }) : now;
  };

  let recovering: Promise<Result<Recovery, KeeperFailure>> | undefined;
  const recoverOnce = () =>
    (recovering ??= recover(means, salvage, flights)
      .then((recovered) => {
        if (recovered.ok) news.healBehind([...recovered.value.adopted, ...recovered.value.restored]);
        tell(onRecovered, recovered);
        return recovered;
      })
      .finally(() => (recovering = undefined)));
  const tidy = async () => {
    void (await recoverOnce().catch(problem));
    await news.work().catch(problem);
  };
  const recovered = await recoverOnce();
  await news.work().catch(problem);
  const timer =
    recoverEveryMs > 0
      ? setInterval(() => void counted(tidy).catch(problem), recoverEveryMs).unref()
      : undefined;

  let ending: Promise<void> | undefined;
  // From the last to the first: each room is left only when nobody who needs it is at work any more.
  opened.push(
    () => salvage.idle(),
    () => news.close(),
    () => usage.close(),
    () => door.idle(),
    () => sweeping.close(),
    () => clearInterval(timer),
    () => door.close(),
  );

  return {
    budget,
    database,
    vault,
    recovered,
    link: (publicToken, options = {}) =>
      counted(async () => {
        const since = means.now();
        const linked = await link(publicToken, options);
        // Its first webhooks may have come before it was here.
        if (linked.ok && !door.closed) void counted(news.linked).catch(problem);
        return linked.ok ? asked(linked.value, since) : linked;
      }),
    importItem: (accessToken, options = {}) =>
      counted(async () => {
        refuseUnknown("the options of importItem", options, ["userId"]);
        const since = means.now();
        const imported = await importItem(means, accessToken, options.userId);
        return imported.ok ? asked(imported.value, since) : imported;
      }),
    abandon: (itemId, reason) =>
      counted(async () => {
        refuseUnknown("the reason", reason, ["note"]);
        return abandon(means, salvage, flights, itemIdOf(itemId), noteOf(reason.note));
      }),
    importItems: (source, options = {}) =>
      counted(async () => {
        refuseUnfit("the options of importItems", options, importFields);
        const signal = AbortSignal.any([door.closing, ...(options.signal ? [options.signal] : [])]);
        const permit = (itemId: string | undefined) => budget.take(itemGet.path, { itemId, signal });
        return importItems(paced, source, { ...options, signal }, { heal: news.heal, permit });
      }),
    exportItems: async (options) => {
      const sealed = await counted(() => exportItems(means, news.use, options));
      return sealed.ok
        ? ok({ ...sealed.value, [Symbol.asyncIterator]: () => door.each(sealed.value) })
        : sealed;
    },
    forgetUser: (userId) => counted(() => forgetUser(means, userId)),
    prune: (options) => counted(() => prune(means, options, door.closing)),
    list: (selection = {}, page = {}) => counted(() => listItems(means, selection, page)),
    find: (itemId) => counted(() => readView(means, itemIdOf(itemId))),
    get: (itemId) => counted(() => news.get(itemIdOf(itemId))),
    use: (itemId, work) =>
      counted(() => {
        refuseUnlessFunction("the work", work);
        return news.use(itemIdOf(itemId), work, usage.lent);
      }),
    rotate: (itemId, options = {}) =>
      counted(async () => {
        refuseUnknown("the options of rotate", options, ["from"]);
        const done = await news.during(itemIdOf(itemId), () => acts.rotate(itemId, options.from));
        return unlessAlready(means, "rotated", itemId, done);
      }),
    updateWebhook: (itemId, webhook) =>
      counted(() => news.during(itemIdOf(itemId), () => acts.updateWebhook(itemId, webhook))),
    remove: (itemId, reason) =>
      counted(async () =>
        unlessAlready(means, "removed", itemId, await acts.remove(itemIdOf(itemId), reason)),
      ),
    sweep: ((operation, options) =>
      counted(() => sweeping.sweep(operation, options as never))) as SubmitSweep,
    sweeps: sweeping.sweeps,
    // What comes too late is not taken, so Plaid sends it again.
    receive: async (request) =>
      door.closed ? new Response(null, { status: 503 }) : counted(() => news.receive(request)),
    subscribe(name, handler, options) {
      door.refuseIfClosed();
      refuseUnlessSubscriber(name, handler, options);
      news.subscribe(name, handler, options);
    },
    observe: (itemId, observation) =>
      counted(async () => {
        const seen = observationOf(observation);
        return news.observe(itemIdOf(itemId), seen);
      }),
    updateMode: (itemId, request, choices) =>
      counted(async () => {
        refuseUnlessUpdate(request, choices);
        return news.updateMode(itemIdOf(itemId), request, choices);
      }),
    recover: () => counted(recoverOnce),
    close: () => (ending ??= closeRooms(opened)),
  };
}
