// The law of docs/scale.md: its tables are what the simulation prints for the figures that were measured.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { tables, sweep, type Figures } from "../bench/scale/simulate.ts";

const root = join(import.meta.dirname, "..");
const figures = JSON.parse(await readFile(join(root, "bench/scale/figures.json"), "utf8")) as Figures;
/** A table without the spaces that line its columns up. */
const plain = (text: string) => text.replace(/ +/g, " ").replace(/-{3,}/g, "---");

test("docs/scale.md quotes the simulation", async () => {
  const page = plain(await readFile(join(root, "docs/scale.md"), "utf8"));
  for (const [name, table] of Object.entries(tables(figures)))
    assert.ok(
      page.includes(plain(table)),
      `the table "${name}" is not as \`node bench/scale/simulate.ts\` prints it`,
    );
});

test("a sweep is never quicker than each of its bounds allows", () => {
  const fleet = { items: 1e6, workers: 2, databases: 1, allowance: 1, share: 0.3 };
  const { minutes } = sweep("remove", fleet, figures);
  assert.ok(minutes >= 1e6 / (2_000 * 0.7));
  assert.ok(minutes >= 1e6 / (2 * figures.workerPerSecond.remove * 60));
  assert.ok(minutes >= 1e6 / (figures.settledPerSecond.remove * 60));
  const twice = sweep("remove", { ...fleet, allowance: 2, workers: 4, databases: 2 }, figures);
  assert.ok(twice.minutes <= minutes && twice.minutes >= minutes / 2 - 1);
});
