// From Plaid's answer to the database: what carries a token goes to the database and into the escrow at the same time.
// If the database has it first, it need not be in the escrow; if the database does not take it, it is. The same last
// step brings in what a dead process, or a dead database, left in the escrow. A token that Plaid gave is true whoever
// holds the lease by now (see arrival.ts).

import { err, ok, type Result } from "sett";
import type { Replay } from "../escrow/escrow.ts";
import type { EscrowRecord } from "../escrow/journal.ts";
import type { KeeperFailure } from "./failure.ts";
import { arrive, sweeperOf, type Given } from "./arrival.ts";
import type { ItemView } from "./ledger.ts";
import { causeOf, databaseFailed, openText, sealText, type Means } from "./means.ts";

type VaultFailed = Extract<KeeperFailure, { readonly kind: "vault" }>;

interface Held {
  readonly item_id: string;
  readonly intent_id: string;
  /** Its name in the escrow. */
  readonly record: string;
  readonly kept: "escrow" | "memory";
  open(): Promise<Result<Given, KeeperFailure>>;
  /** Puts it into the escrow, unless it is there; one that the disk did not take is tried again. */
  toEscrow(): Promise<Result<undefined, KeeperFailure>>;
}

/** What a look into the escrow brought. */
export interface Salvaged {
  /** Items whose new token was brought in. */
  readonly adopted: readonly string[];
  /** Still waiting, and why. */
  readonly waiting: readonly KeeperFailure[];
  readonly damage: Replay["damage"];
  readonly torn: number;
}

export class Salvage {
  readonly #means: Means;
  /** In the escrow, or at worst only here, and not in the database yet. */
  readonly #held = new Map<string, Held>();
  #looking: Promise<unknown> = Promise.resolve();
  /** What nobody waits for but the end. */
  readonly #behind = new Set<Promise<unknown>>();

  constructor(means: Means) {
    this.#means = means;
  }

  /** Keeps a token that Plaid has just given: when this resolves with `ok`, it is in the database. */
  async keep(given: Given): Promise<Result<ItemView, KeeperFailure>> {
    const { item_id, intent_id } = given;
    // Not the intent's own name, which may be used again: what was settled would then hide what came later.
    const record = this.#means.mint();
    let recording: Promise<Result<undefined, KeeperFailure>> | undefined;
    const recordOnce = async () => {
      const recorded = await asFailure(() => this.#record(given, record));
      if (recorded.ok) held.kept = "escrow";
      else recording = undefined;
      return recorded;
    };
    const held = {
      item_id,
      intent_id,
      record,
      kept: "memory" as Held["kept"],
      open: async () => ok(given),
      toEscrow: () => (recording ??= recordOnce()),
    };
    this.#held.set(record, held);
    // Side by side, the database first: where it is on this machine and free, it commits before the escrow's turn comes.
    const bringing = this.#bringIn(held, given);
    const first = held.toEscrow();
    const brought = await bringing;
    if (brought.ok) return brought;
    const recorded = await first;
    const escrow = recorded.ok || recorded.error.kind !== "escrow" ? null : recorded.error.escrow;
    return err({ ...about(held), cause: brought.error, escrow });
  }

  async #record(given: Given, id: string): Promise<Result<undefined, KeeperFailure>> {
    const { escrow, now, environment } = this.#means;
    const { kind, item_id, intent_id } = given;
    const meta = { kind, environment, item_id, intent_id };
    const recorded = await escrow.record({ id, at: now(), meta }, () => this.#seal(given, id));
    if (!recorded.ok) {
      const { error } = recorded;
      return err("vault" in error ? error : { kind: "escrow", escrow: error });
    }
    if (recorded.value === "kept") await this.#passed(given, "escrowed");
    return ok(undefined);
  }

  /** Brings in what is held for the Item, so that nobody works with a token that has a successor. */
  async bringInFor(itemId: string): Promise<Result<undefined, KeeperFailure>> {
    for (const held of [...this.#held.values()].filter(({ item_id }) => item_id === itemId)) {
      const brought = await openThen(held, (given) => this.#bringIn(held, given));
      if (!brought.ok) return brought;
    }
    return ok(undefined);
  }

  /** Takes over what the dead left in the escrow and brings in all that is held. One at a time: what one has taken over, the next must wait for. */
  look(): Promise<Result<Salvaged, KeeperFailure>> {
    const looked = this.#looking.then(() => this.#look());
    this.#looking = Promise.allSettled([looked]);
    return looked;
  }

  /** The same for one who is about to give an intent's token up for lost: an err where it is held and could not be brought in. */
  async lookFor(intentId: string): Promise<Result<Salvaged, KeeperFailure>> {
    const looked = await this.look();
    const waits =
      looked.ok && looked.value.waiting.find((one) => one.kind === "pending" && one.intent_id === intentId);
    return waits ? err(waits) : looked;
  }

  /**
   * For the end, when nothing is asked for any more: resolves when no look is under way, and nothing is on its way into
   * the escrow or out of it. What is held is tried once more before, for what is only in memory is then gone.
   */
  async idle(): Promise<void> {
    await this.#looking;
    if (this.#held.size > 0) void (await this.look());
    while (this.#behind.size > 0) await Promise.all(this.#behind);
  }

  async #look(): Promise<Result<Salvaged, KeeperFailure>> {
    const { escrow, environment } = this.#means;
    const replayed = await escrow.replay((gone) => this.#free(gone));
    if (!replayed.ok) return err({ kind: "escrow", escrow: replayed.error });
    const { records, damage, torn, gone } = replayed.value;
    for (const record of records) {
      if (record.meta["environment"] !== environment) continue; // another keeper's: it stays where it is
      this.#held.set(record.id, {
        item_id: String(record.meta["item_id"]),
        intent_id: String(record.meta["intent_id"]),
        record: record.id,
        kept: "escrow",
        open: () => this.#unseal(record),
        toEscrow: async () => ok(undefined),
      });
    }
    const adopted: string[] = [];
    const waiting: KeeperFailure[] = [];
    const done: string[] = [];
    for (const held of [...this.#held.values()]) {
      // The disk may be well again before the database is.
      if (held.kept === "memory") void (await held.toEscrow());
      const brought = await openThen(held, (given) => this.#write(held, given));
      if (brought.ok) {
        adopted.push(held.item_id);
        done.push(held.record);
      } else waiting.push({ ...about(held), cause: brought.error, escrow: null });
    }
    // The records last: with them goes the proof that their process is gone, and so whatever else it held is free.
    const freed = await this.#free(gone);
    if (freed) for (const id of done) void (await escrow.settle(id));
    return ok({ adopted, waiting, damage, torn });
  }

  /** Ends the leases of processes that are gone: their Items need not wait until they run out. */
  async #free(gone: readonly string[]): Promise<boolean> {
    if (gone.length === 0) return true;
    const freed = await this.#means.database.read(async (sql) => {
      const holders = gone.flatMap((holder) => [holder, sweeperOf(holder)]);
      await sql.updateTable("leases").set({ until_ms: 0 }).where("holder", "in", holders).execute();
      await sql
        .updateTable("intents")
        .set({ until_ms: 0 })
        .where("settled_at", "is", null)
        .where("item_id", "is", null)
        .where("holder", "in", gone)
        .execute();
    });
    return freed.ok;
  }

  #passed({ kind }: Given, step: "escrowed" | "committed" | "settled"): unknown {
    return this.#means.at(`${kind === "exchange" ? "link" : "rotate"}: ${step}`);
  }

  async #bringIn(held: Held, given: Given): Promise<Result<ItemView, KeeperFailure>> {
    const written = await this.#write(held, given);
    if (!written.ok) return written;
    // Nobody waits for it: should it fail, the record is replayed once more, and found to be in place.
    const settling = this.#means.escrow.settle(held.record);
    await this.#passed(given, "committed");
    const over = settling.then(async ({ ok }) => {
      if (ok) await this.#passed(given, "settled");
    });
    this.#behind.add(over);
    void over.then(() => this.#behind.delete(over));
    return written;
  }

  async #write(held: Held, given: Given): Promise<Result<ItemView, KeeperFailure>> {
    const { item_id, access_token } = given;
    const sealed = await sealText(this.#means, access_token, { purpose: "token", subject: item_id });
    if (!sealed.ok) return sealed;
    const written = await asFailure(() => arrive(this.#means, given, sealed.value));
    if (written.ok) this.#held.delete(held.record);
    return written;
  }

  async #seal(given: Given, id: string): Promise<Result<Buffer, VaultFailed>> {
    const plain = Buffer.from(JSON.stringify(given));
    const place = { purpose: "escrow", subject: id } as const;
    const sealed = await this.#means.vault.sealPortable(plain, place);
    plain.fill(0);
    return sealed.ok ? sealed : err({ kind: "vault", vault: sealed.error });
  }

  async #unseal({ id, sealed }: EscrowRecord): Promise<Result<Given, KeeperFailure>> {
    const text = await openText(this.#means, sealed, { purpose: "escrow", subject: id });
    return text.ok ? ok(JSON.parse(text.value) as Given) : text;
  }
}

/**
 * What is thrown over a token, such as a value that the database's driver cannot bind, is its own trouble and no other's, and
 * no reason to drop it.
 */
async function asFailure<Value>(
  work: () => Promise<Result<Value, KeeperFailure>>,
): Promise<Result<Value, KeeperFailure>> {
  try {
    return await work();
  } catch (thrown) {
    return err(databaseFailed(causeOf(thrown)));
  }
}

const openThen = <Value>(
  held: Held,
  work: (given: Given) => Promise<Result<Value, KeeperFailure>>,
): Promise<Result<Value, KeeperFailure>> =>
  asFailure(async () => {
    const given = await held.open();
    return given.ok ? work(given.value) : given;
  });

const about = ({ item_id, intent_id, kept }: Held) =>
  ({ kind: "pending", item_id, intent_id, kept }) as const;
