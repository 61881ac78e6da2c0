// What is done when the keeper opens, and from time to time: tokens that wait in the escrow are brought in, and what was
// begun and left open is finished. It may be done at any time, by any number of processes at once, and be cut short.

import { ok, type Result } from "sett";
import type { EscrowDamage } from "../escrow/escrow.ts";
import type { KeeperFailure } from "./failure.ts";
import type { Flights } from "./flights.ts";
import type { IntentRow } from "./ledger.ts";
import { resumeExchange } from "./link.ts";
import { databaseFailed, type Means } from "./means.ts";
import { leaseOfExchange, leaseOfItem } from "./arrival.ts";
import type { Salvage } from "./salvage.ts";

/** What recovery came to. */
export interface Recovery {
  /** Items whose new token was waiting in the escrow and is now in the database. */
  readonly adopted: readonly string[];
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

  const finish = async (intent: IntentRow) => {
    const done =
      intent.item_id === null
        ? await resumeExchange(means, salvage, intent)
        : await flights.land(intent.item_id, 0);
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
    if (!found.ok) return found;
    after = found.value.rows.at(-1);
    const free = found.value.rows.filter((intent) => !found.value.held.has(leaseOf(intent)));
    sum.underWay += found.value.rows.length - free.length;
    for (let at = 0; at < free.length; at += atOnce) {
      await Promise.all(free.slice(at, at + atOnce).map(finish));
    }
    if (found.value.rows.length < page) return ok({ adopted, ...sum, damage });
  }
}

const leaseOf = ({ item_id, intent_id }: IntentRow) =>
  item_id === null ? leaseOfExchange(intent_id) : leaseOfItem(item_id);

async function openIntents(
  { database, environment, now }: Means,
  after: IntentRow | undefined,
): Promise<Result<{ rows: readonly IntentRow[]; held: ReadonlySet<string> }, KeeperFailure>> {
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
    if (rows.length === 0) return { rows, held: new Set<string>() };
    const names = rows.map(leaseOf);
    const held = await sql
      .selectFrom("leases")
      .select("name")
      .where("name", "in", names)
      .where("until_ms", ">", now())
      .execute();
    return { rows, held: new Set(held.map(({ name }) => name)) };
  });
  return found.ok ? found : { ok: false, error: databaseFailed(found.error) };
}
