// An Item's token, lent for one piece of work. Work that began with a token just before it was rotated is done again
// with the new one, so that those who use an Item need not know that it is being rotated.

import { err, ok, type Result } from "sett";
import type { Flights } from "./flights.ts";
import { saysDeadToken, type KeeperFailure } from "./failure.ts";
import { intentIsOpen } from "./ledger.ts";
import { databaseFailed, openText, read, type Means } from "./means.ts";
import { strandingOf } from "./stranded.ts";
import type { Lent } from "./usage.ts";

/** With so many rotations during one piece of work, somebody is rotating in a circle. */
const maxRounds = 10;

interface Loan {
  readonly token: string;
  readonly version: number;
  readonly usedAt: number | null;
}

/**
 * Lends tokens: see `Keeper.use`. What it gives or throws of the work is never the refusal of a token that was rotated away.
 * `lent` is told where that is to count as use of the Item.
 */
export type Lend = <Value>(
  itemId: string,
  work: (access_token: string) => Promise<Value>,
  lent?: Lent,
) => Promise<Result<Value, KeeperFailure>>;

export function lender(means: Means, flights: Flights): Lend {
  // No column more than is needed each time: what is brought but not looked at shows.
  const find = means.database.statement<{ item_id: string }, Row>((sql, value) =>
    sql
      .selectFrom("items")
      .select(["state", "token", "token_version", "used_at"])
      .select(intentIsOpen("rotate").as("turning"))
      .where("items.item_id", "=", value("item_id"))
      .where("environment", "=", means.environment),
  );

  const borrow = async (itemId: string): Promise<Result<Loan, KeeperFailure>> => {
    for (;;) {
      const found = await find({ item_id: itemId });
      if (!found.ok) return err(databaseFailed(found.error));
      const row = found.value[0];
      if (!row) return err({ kind: "unknown-item", item_id: itemId });
      if (row.state === "stranded") {
        const why = await read(means, (sql) => strandingOf(means, sql, itemId));
        return err(why.ok ? why.value : why.error);
      }
      if (row.state === "removing" || row.state === "removed" || row.token === null)
        return err({ kind: row.state === "removing" ? "removing" : "removed", item_id: itemId });
      if (row.turning) {
        const landed = await flights.land(itemId);
        if (!landed.ok) return landed;
        continue;
      }
      const token = await openText(means, row.token, { purpose: "token", subject: itemId });
      return token.ok ? ok({ token: token.value, version: row.token_version, usedAt: row.used_at }) : token;
    }
  };

  return async (itemId, work, lent) => {
    let loan = await borrow(itemId);
    if (loan.ok) lent?.(itemId, loan.value.usedAt);
    for (let round = 1; round <= maxRounds; round++) {
      if (!loan.ok) return loan;
      const { token, version } = loan.value;
      const isRefused = (outcome: unknown) => saysDeadToken(refusalIn(outcome));
      /** Whether it was refused with the token that the Item still has. */
      const isOurs = async () => {
        loan = await borrow(itemId);
        return loan.ok && loan.value.version === version;
      };
      try {
        const value = await work(token);
        if (!isRefused(value) || (await isOurs())) return ok(value);
      } catch (thrown) {
        if (!isRefused(thrown) || (await isOurs())) throw thrown;
      }
    }
    return loan.ok ? err({ kind: "busy", item_id: itemId }) : loan;
  };
}

interface Row {
  readonly state: string;
  readonly token: Buffer | null;
  readonly token_version: number;
  readonly used_at: number | null;
  readonly turning: unknown;
}

/**
 * Plaid's error code in what came of the work, or in what it threw: a Result or Failure of sett's or of the keeper's, an
 * exception of sett's, or that of Plaid's own client (`error.response.data`).
 */
export function refusalIn(outcome: unknown, depth = 0): string | undefined {
  if (typeof outcome !== "object" || outcome === null || depth > 3) return undefined;
  const said = outcome as Record<string, unknown>;
  if (typeof said["error_code"] === "string") return said["error_code"];
  for (const name of ["error", "failure", "response", "data"]) {
    const code = refusalIn(said[name], depth + 1);
    if (code !== undefined) return code;
  }
  return undefined;
}
