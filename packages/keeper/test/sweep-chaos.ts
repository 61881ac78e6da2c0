// A sweep that rotates a fleet while everything goes wrong: workers are killed, answers are lost, calls hang, the
// database dies once. `node --conditions=@sett/source packages/keeper/test/sweep-chaos.ts 20` runs 20 seeds on PostgreSQL
// and 20 on SQLite, and prints what it came to.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSandbox, type FaultEffect, type Snapshot } from "@sett/sandbox";
import { startPostgres } from "../../../test/postgres/start.ts";
import { configFor, open, publicToken, value, violations } from "./lifecycle-world.ts";
import { reported } from "./sweep-world.ts";
import type { WorkOrder } from "./sweep-worker.ts";

export interface Chaos {
  readonly url: string;
  readonly folder: string;
  readonly seed: number;
  readonly workers: number;
  readonly items: number;
  readonly kills: number;
  /** Kills the database and starts it again. */
  readonly restart?: (() => Promise<void>) | undefined;
}

export interface Came {
  /** What must not be. */
  readonly complaints: readonly string[];
  readonly done: number;
  readonly failed: number;
  readonly killed: number;
}

const program = join(import.meta.dirname, "sweep-worker.ts");
const paths = ["/item/access_token/invalidate", "/item/get"];
const longestMs = 90_000;

export async function chaos({ url, folder, seed, workers, items, kills, restart }: Chaos): Promise<Came> {
  const random = randomFrom(seed);
  const sandbox = await createSandbox({ seed });
  const plaid = configFor(sandbox);
  const keeper = await open(url, folder, plaid, { budget: false });
  const children: ChildProcess[] = [];
  try {
    for (let at = 0; at < items; at++) value(await keeper.link(await publicToken(plaid)));
    for (const path of paths)
      for (let call = 0; call < 6 * items; call++)
        sandbox.control.faults.add({ path, then: effect(random()) });
    const order: WorkOrder = { url, folder, baseUrl: (await sandbox.listen()).url };
    const { sweep_id } = value(await keeper.sweep("rotate", { order: "oldest", shardSize: 12 }));

    for (let at = 0; at < workers; at++) children[at] = start(order);
    let killed = 0;
    let restarted = restart === undefined;
    let over = false;
    const end = Date.now() + longestMs;
    while (!over && Date.now() < end) {
      await pause(200);
      const status = await keeper.sweeps.status(sweep_id);
      over = status.ok && status.value.ended_at !== null;
      const chance = random();
      const begun = children.flatMap((child, at) => (ready.has(child) ? [at] : []));
      if (over || chance > 0.3 || begun.length === 0) continue;
      if (!restarted && killed > 0) {
        restarted = true;
        await restart!();
      } else if (killed < kills) {
        const at = begun[Math.floor(random() * begun.length)]!;
        await kill(children[at]!);
        killed++;
        children[at] = start(order);
      }
    }
    for (const child of children) child.stdin!.end();
    await Promise.all(children.map((child) => closed(child)));

    const complaints: string[] = over ? [] : ["the sweep did not end"];
    value(await keeper.recover());
    const rows = await reported(keeper, sweep_id);
    if (rows.length !== items) complaints.push(`the report has ${rows.length} rows`);
    const rotations = new Map<string, number>();
    for (const { item_id, rotated } of tokensOf(sandbox.control.snapshot()))
      if (rotated) rotations.set(item_id, (rotations.get(item_id) ?? 0) + 1);
    for (const row of rows) {
      const times = rotations.get(row.item_id) ?? 0;
      if (times > 1) complaints.push(`${row.item_id} was rotated ${times} times`);
      if (row.outcome === "done" && times !== 1)
        complaints.push(`${row.item_id} is done, and was not rotated`);
      if (row.outcome === "failed" && row.todo === null)
        complaints.push(`${row.item_id} failed, and nobody knows`);
      if (row.outcome !== "done" && row.outcome !== "failed")
        complaints.push(`${row.item_id} is ${row.outcome}: ${row.what}`);
    }
    const status = value(await keeper.sweeps.status(sweep_id));
    const count = (outcome: string) => rows.filter((row) => row.outcome === outcome).length;
    if (status.done !== count("done") || status.failed !== count("failed"))
      complaints.push(
        `the counts are ${status.done} and ${status.failed}, the rows ${count("done")} and ${count("failed")}`,
      );
    complaints.push(...(await violations(sandbox, keeper, { removals: new Set() })));
    return { complaints, done: status.done, failed: status.failed, killed };
  } finally {
    for (const child of children) child.kill("SIGKILL");
    await keeper.close();
    await sandbox.close();
  }
}

/** 5 % answers lost after the work was done, 5 % 500s, 2 % that hang. */
const effect = (chance: number): FaultEffect =>
  chance < 0.05
    ? "drop-after-commit"
    : chance < 0.1
      ? "INTERNAL_SERVER_ERROR"
      : chance < 0.12
        ? "hang"
        : { delayMs: 120 };

function start(order: WorkOrder): ChildProcess {
  const child = spawn(process.execPath, ["--conditions=@sett/source", program, JSON.stringify(order)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  child.stdin!.on("error", () => {}); // it was killed
  child.stdout!.once("data", () => ready.add(child));
  return child;
}
const ready = new WeakSet<ChildProcess>();

async function kill(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  await closed(child);
}

async function closed(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

/** Every access token that ever was. */
const tokensOf = ({ changes }: Snapshot) =>
  changes.flatMap(([table, , record]) =>
    table === "access_tokens" ? [record as { item_id: string; rotated: boolean }] : [],
  );

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

if (import.meta.main) {
  const seeds = Number(process.argv[2] ?? 20);
  const home = await mkdtemp(join(tmpdir(), "sett-chaos-"));
  const postgres = await startPostgres();
  let bad = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    for (const name of ["PostgreSQL", "SQLite"] as const) {
      const own = join(home, `${name}-${seed}`);
      const isPostgres = name === "PostgreSQL";
      const came = await chaos({
        url: isPostgres ? await postgres.createDatabase(`chaos-${seed}`) : join(own, "data"),
        folder: join(own, "escrow"),
        seed,
        workers: isPostgres ? 4 : 1,
        items: isPostgres ? 120 : 60,
        kills: isPostgres ? 6 : 3,
        restart: isPostgres
          ? async () => {
              await postgres.kill9();
              await postgres.restart();
            }
          : undefined,
      });
      bad += came.complaints.length;
      console.log(seed, name, JSON.stringify(came));
    }
  }
  await postgres.stop();
  await rm(home, { recursive: true });
  console.log(`${seeds} seeds, ${bad} complaints`);
  process.exitCode = bad > 0 ? 1 : 0;
}
