// What is behind the keeper's door: the rooms put together, each call of the door counted, so that `close` can wait for
// what is under way, and the rounds that come by themselves.

import { ok, type Config, type Result } from "sett";
import { itemGet } from "sett/endpoints";
import type { Budget } from "./budget/budget.ts";
import type { Keeper, KeeperOptions } from "./keeper.ts";
import { createActs, createFinish, unlessAlready } from "./lifecycle/acts.ts";
import type { KeeperFailure } from "./lifecycle/failure.ts";
import { Flights } from "./lifecycle/flights.ts";
import { forgetUser } from "./lifecycle/forget.ts";
import { exportItems } from "./lifecycle/export.ts";
import { importItem } from "./lifecycle/import.ts";
import { linker } from "./lifecycle/once.ts";
import { importItems } from "./lifecycle/import-many.ts";
import { readView, type ItemView } from "./lifecycle/ledger.ts";
import type { Means } from "./lifecycle/means.ts";
import { recover, type Recovery } from "./lifecycle/recover.ts";
import { Salvage } from "./lifecycle/salvage.ts";
import { listItems } from "./lifecycle/selection.ts";
import { abandon } from "./lifecycle/stranded.ts";
import { lender } from "./lifecycle/use.ts";
import { publicTokenTaker } from "./hosted.ts";
import { createNews } from "./news.ts";
import { createSweeps, type SubmitSweep } from "./sweep/sweeps.ts";

/** Puts the rooms together. `sweepPlaid` is the configuration under which sweeps call. */
export async function assemble(
  means: Means,
  budget: Budget,
  sweepPlaid: Config,
  recoverEveryMs: number,
  { onRecovered, onRefusal, onProblem, linkFromWebhooks, database: url }: KeeperOptions,
): Promise<Keeper> {
  const { database, vault, escrow } = means;
  const salvage = new Salvage(means);
  const flights = new Flights(means, salvage, createFinish(means, salvage));
  const acts = createActs(means, salvage, flights);
  const paced = { ...means, plaid: sweepPlaid };
  const sweeping = createSweeps(paced, { acts: createActs(paced, salvage, flights), budget, url });

  let underWay = 0;
  let whenIdle = () => {};
  const over = () => {
    if (--underWay === 0) whenIdle();
  };
  let closed = false;
  const closing = new AbortController();
  /** Refuses after the end, and lets `close` wait for what was begun before it. */
  const counted = <Value>(work: () => Promise<Value>): Promise<Value> => {
    if (closed) throw new TypeError("the keeper has been closed");
    const working = work();
    underWay++;
    working.then(over, over);
    return working;
  };
  const link = linker(means, salvage);
  const news = createNews(means, lender(means, flights), {
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
        try {
          onRecovered?.(recovered);
        } catch {
          // A bug in a log line must not end a recovery.
        }
        return recovered;
      })
      .finally(() => (recovering = undefined)));
  const tidy = async () => {
    void (await recoverOnce());
    await news.work();
  };
  const recovered = await recoverOnce();
  await news.work();
  const timer =
    recoverEveryMs > 0 ? setInterval(() => void counted(tidy), recoverEveryMs).unref() : undefined;

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
        if (linked.ok && !closed) void counted(news.linked);
        return linked.ok ? asked(linked.value, since) : linked;
      }),
    importItem: (accessToken, { userId } = {}) =>
      counted(async () => {
        const since = means.now();
        const imported = await importItem(means, accessToken, userId);
        return imported.ok ? asked(imported.value, since) : imported;
      }),
    abandon: (itemId, { note }) =>
      counted(async () => {
        if (typeof note !== "string" || note.trim() === "" || note.length > 512)
          throw new TypeError("the note must be a text of 1 to 512 characters");
        return abandon(means, salvage, flights, itemId, note);
      }),
    importItems: (source, options = {}) =>
      counted(() => {
        const signal = AbortSignal.any([closing.signal, ...(options.signal ? [options.signal] : [])]);
        const permit = (itemId: string | undefined) => budget.take(itemGet.path, { itemId, signal });
        return importItems(means, source, { ...options, signal }, { heal: news.heal, permit });
      }),
    exportItems: (options) => counted(() => exportItems(means, news.use, options)),
    forgetUser: (userId) => counted(() => forgetUser(means, userId)),
    list: (selection = {}, page = {}) => counted(() => listItems(means, selection, page)),
    find: (itemId) => counted(() => readView(means, itemId)),
    get: (itemId) => counted(() => news.get(itemId)),
    use: (itemId, work) => counted(() => news.use(itemId, work)),
    rotate: (itemId, { from } = {}) =>
      counted(async () => {
        const done = await news.during(itemId, () => acts.rotate(itemId, from));
        return unlessAlready(means, "rotated", itemId, done);
      }),
    updateWebhook: (itemId, webhook) =>
      counted(() => news.during(itemId, () => acts.updateWebhook(itemId, webhook))),
    remove: (itemId, reason) =>
      counted(async () => unlessAlready(means, "removed", itemId, await acts.remove(itemId, reason))),
    sweep: ((operation, options) =>
      counted(() => sweeping.sweep(operation, options as never))) as SubmitSweep,
    sweeps: sweeping.sweeps,
    receive: news.receive,
    subscribe: news.subscribe,
    observe: (itemId, observation) => counted(() => news.observe(itemId, observation)),
    updateMode: (itemId, request, choices) => counted(() => news.updateMode(itemId, request, choices)),
    recover: () => counted(recoverOnce),
    close: async () => {
      if (closed) return;
      closed = true;
      closing.abort();
      clearInterval(timer);
      await sweeping.close();
      await new Promise<void>((resolve) => {
        whenIdle = resolve;
        if (underWay === 0) resolve();
      });
      await news.close();
      await salvage.idle();
      await budget.close();
      await escrow.close();
      vault.close();
      await database.close();
    },
  };
}
