// What is done when the keeper opens, and from time to time: tokens that wait in the escrow are brought in, and what was
// begun and left open is finished. It may be done at any time, by any number of processes at once, and be cut short.

import { sql as raw } from "kysely";
import { err, ok, type Result } from "sett";
import { leaseOfItem } from "../database/leases.ts";
import type { EscrowDamage } from "../escrow/escrow.ts";
import type { KeeperFailure } from "./failure.ts";
import type { Flights } from "./flights.ts";
import type { IntentRow } from "./ledger.ts";
import { resumeExchange } from "./link.ts";
import { causeOf, read, type Means } from "./means.ts";
import type { Salvage } from "./salvage.ts";
import { probeStranded } from "./stranded.ts";

/** What recovery came to. */
export interface Recovery {
  /** Items whose new token was waiting in the escrow and is now in the database. */
  readonly adopted: readonly string[];
  /** Items that were stranded, and whose token works after all. */
  readonly restored: readonly string[];
  /** How many intents were finished, whatever their ending. */
  readonly finished: number;
  /** How many others are at, in other processes or in this one. */
  readonly underWay: number;
  /** What could not be finished, and why. */
  readonly open: readonly KeeperFailure[];
  /** Endings that a person must see. */
  readonly bad: readonly KeeperFailure[];
  /** Places in the escrow that could not be read. */
  readonly damage: readonly EscrowDamage[];
}

/** Intents are worked on so many at a time. */
const atOnce = 8;
const page = 500;

export async function recover(
  means: Means,
  salvage: Salvage,
  flights: Flights,
): Promise<Result<Recovery, KeeperFailure>> {
  const looked = await salvage.look();
  if (!looked.ok) return looked;
  const { adopted, waiting, damage } = looked.value;
  const sum = { finished: 0, underWay: 0, open: [...waiting], bad: [] as KeeperFailure[] };

  const resume = async (intent: IntentRow): Promise<Result<unknown, KeeperFailure>> => {
    try {
      return intent.item_id === null
        ? await resumeExchange(means, salvage, intent)
        : await flights.land(intent.item_id, 0);
    } catch (thrown) {
      // It is this one's own trouble, and the others must not wait for it.
      const { item_id, intent_id } = intent;
      return err({ kind: "unfinished", item_id, intent_id, cause: causeOf(thrown) });
    }
  };
  const finish = async (intent: IntentRow) => {
    const done = await resume(intent);
    if (done.ok) sum.finished++;
    else if (done.error.kind === "busy" || (done.error.kind === "unfinished" && done.error.cause === null))
      sum.underWay++;
    else if (done.error.kind === "stranded" || done.error.kind === "lost") {
      sum.finished++;
      sum.bad.push(done.error);
    } else sum.open.push(done.error);
  };

  const isFree = ({ item_id, until_ms, held_by }: OpenIntent) => {
    if (item_id === null) return (until_ms ?? 0) <= means.now();
    // What this process holds and is not at, it could not give back.
    return held_by === null || (held_by === means.holder && !flights.isAt(item_id));
  };

  for (let after: OpenIntent | undefined; ;) {
    const found = await openIntents(means, after);
    if (!found.ok) {
      // What was brought in before is to be told all the same.
      if (adopted.length === 0 && sum.finished === 0) return found;
      sum.open.push(found.error);
      break;
    }
    after = found.value.at(-1);
    const free = found.value.filter(isFree);
    sum.underWay += found.value.length - free.length;
    for (let at = 0; at < free.length; at += atOnce) {
      await Promise.all(free.slice(at, at + atOnce).map(finish));
    }
    if (found.value.length < page) break;
  }
  const { restored, open } = await probeStranded(means);
  sum.open.push(...open);
  return ok({ adopted, restored, ...sum, damage });
}

type OpenIntent = IntentRow & {
  /** Who has the lease of its Item; null where nobody has. */
  readonly held_by: string | null;
};

function openIntents(
  means: Means,
  after: OpenIntent | undefined,
): Promise<Result<readonly OpenIntent[], KeeperFailure>> {
  return read(means, (sql) => {
    let open = sql
      .selectFrom("intents")
      .leftJoin("leases", (join) =>
        join
          .on("leases.name", "=", raw<string>`${raw.lit(leaseOfItem(""))} || intents.item_id`)
          .on("leases.until_ms", ">", means.now()),
      )
      .selectAll("intents")
      .select("leases.holder as held_by")
      .where("settled_at", "is", null)
      .where("environment", "=", means.environment);
    if (after) {
      const { opened_at, intent_id } = after;
      open = open.where((is) =>
        is.or([
          is("opened_at", ">", opened_at),
          is.and([is("opened_at", "=", opened_at), is("intent_id", ">", intent_id)]),
        ]),
      );
    }
    return open.orderBy("opened_at").orderBy("intent_id").limit(page).execute();
  });
}
