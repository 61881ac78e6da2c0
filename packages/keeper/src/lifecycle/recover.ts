// What is done when the keeper opens, and from time to time: tokens that wait in the escrow are brought in, and what was
// begun and left open is finished. It may be done at any time, by any number of processes at once, and be cut short.

import { leaseOfItem } from "../database/leases.ts";
import { err, ok, type Result } from "sett";
import type { EscrowDamage } from "../escrow/escrow.ts";
import type { KeeperFailure } from "./failure.ts";
import type { Flights } from "./flights.ts";
import type { IntentRow } from "./ledger.ts";
import { resumeExchange } from "./link.ts";
import { causeOf, databaseFailed, type Means } from "./means.ts";
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

  for (let after: IntentRow | undefined; ;) {
    const found = await openIntents(means, after);
    if (!found.ok) {
      // What was brought in before is to be told all the same.
      if (adopted.length === 0 && sum.finished === 0) return found;
      sum.open.push(found.error);
      break;
    }
    after = found.value.rows.at(-1);
    const isFree = ({ item_id, until_ms }: IntentRow) => {
      if (item_id === null) return (until_ms ?? 0) <= means.now();
      const holder = found.value.held.get(leaseOfItem(item_id));
      // What this process holds and is not at, it could not give back.
      return holder === undefined || (holder === means.holder && !flights.isAt(item_id));
    };
    const free = found.value.rows.filter(isFree);
    sum.underWay += found.value.rows.length - free.length;
    for (let at = 0; at < free.length; at += atOnce) {
      await Promise.all(free.slice(at, at + atOnce).map(finish));
    }
    if (found.value.rows.length < page) break;
  }
  const { restored, open } = await probeStranded(means);
  sum.open.push(...open);
  return ok({ adopted, restored, ...sum, damage });
}

async function openIntents(
  { database, environment, now }: Means,
  after: IntentRow | undefined,
): Promise<Result<{ rows: readonly IntentRow[]; held: ReadonlyMap<string, string> }, KeeperFailure>> {
  const found = await database.read(async (sql) => {
    let open = sql
      .selectFrom("intents")
      .selectAll()
      .where("settled_at", "is", null)
      .where("environment", "=", environment);
    if (after) {
      const { opened_at, intent_id } = after;
      open = open.where((is) =>
        is.or([
          is("opened_at", ">", opened_at),
          is.and([is("opened_at", "=", opened_at), is("intent_id", ">", intent_id)]),
        ]),
      );
    }
    const rows = await open.orderBy("opened_at").orderBy("intent_id").limit(page).execute();
    const names = rows.flatMap(({ item_id }) => (item_id === null ? [] : [leaseOfItem(item_id)]));
    if (names.length === 0) return { rows, held: new Map<string, string>() };
    const held = await sql
      .selectFrom("leases")
      .select(["name", "holder"])
      .where("name", "in", names)
      .where("until_ms", ">", now())
      .execute();
    return { rows, held: new Map(held.map(({ name, holder }) => [name, holder])) };
  });
  return found.ok ? found : err(databaseFailed(found.error));
}
