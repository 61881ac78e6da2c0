// Rows sealed anew a second, and the memory it takes: `reencrypt` against a loop over the same batches. One pass over all
// rows is one process, which also tells how much memory it had. `SETT_BENCH_ROWS=1000000` for a million.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { built } from "../built.ts";
import { start } from "../programs.ts";
import type { Comparison, Promised } from "../report.ts";
import { middle, ratio, type Pace } from "../rounds.ts";
import { withPlaces } from "./compare.ts";
import type { Order, Told } from "./reencrypting.ts";

const perSecond = ({ rows, ms }: Told) => (rows * 1_000) / ms;

async function run(file: string, order: Order): Promise<Told> {
  const child = start([process.execPath, file], true);
  child.send(order);
  const stop = new AbortController();
  child.once("exit", () => stop.abort(new Error("the process ended before its time")));
  const [told] = (await once(child, "message", { signal: stop.signal })) as [Told];
  return told;
}

export async function compareReencryption({ rounds }: Pace): Promise<Comparison> {
  const asked = Number(process.env["SETT_BENCH_ROWS"] ?? 0);
  const count = asked > 0 ? asked : rounds > 3 ? 100_000 : 20_000;
  const passes = Math.max(1, Math.min(3, Math.round(300_000 / count)));
  const file = await built("keeper/reencrypting.ts");
  return withPlaces(async ({ database }) => {
    const rows: Comparison["rows"][number][] = [];
    const promises: Promised[] = [];
    const ring = `sett-kek-1:${randomBytes(32).toString("base64url")}`;
    for (const place of ["SQLite", "PostgreSQL"] as const) {
      const seen = new Map<string, Told[]>();
      const orders: Omit<Order, "what">[] = [];
      for (const who of ["bare", "sett"] as const) {
        const order = { who, url: await database[place](`reencrypt-${who}`), rows: count, ring };
        await run(file, { ...order, what: "fill" });
        orders.push(order);
        seen.set(who, []);
      }
      for (let pass = 0; pass < passes; pass++) {
        for (const order of orders) {
          const told = await run(file, { ...order, what: "pass" });
          if (told.rows !== count) throw new Error(`${told.rows} of ${count} rows were sealed anew`);
          seen.get(order.who)!.push(told);
        }
      }
      const to = ratio(seen, "sett", "bare", perSecond);
      const rss = middle(seen, "sett", ({ rss }) => rss);
      const speeds = (["bare", "sett"] as const).map((who) => middle(seen, who, perSecond));
      rows.push([place, speeds[0]!, speeds[1]!, to, middle(seen, "bare", ({ rss }) => rss), rss]);
      promises.push({ what: place, value: to, least: 0.4 });
      promises.push({ what: `${place}, memory of the process`, value: rss, most: 200, unit: " MiB" });
    }
    return {
      title: "Rows sealed anew a second",
      how:
        `${count} Items, 250 at a time, each opened, sealed under a new data key and updated; the bare loop does the same ` +
        `with node:crypto and one statement a batch (SQLite: one transaction). Ours has its heap as the program \`sett\` has it. ${passes} interleaved passes, medians.`,
      columns: ["", "bare/s", "sett/s", "sett to bare", "bare MiB", "sett MiB"],
      rows,
      promises,
    };
  });
}
