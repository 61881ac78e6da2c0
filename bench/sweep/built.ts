// The worker as users have it: plain JavaScript, nothing to be compiled at the start, which costs a process 40 MiB.

import { join } from "node:path";
import { build } from "esbuild";

/** Below a node_modules, so that the packages that stay outside are found from there. */
const outfile = join(import.meta.dirname, "../node_modules/.sweep/worker.mjs");

/** Builds it, and gives its file. */
export async function builtWorker(): Promise<string> {
  await build({
    entryPoints: [join(import.meta.dirname, "worker.ts")],
    outfile,
    bundle: true,
    format: "esm",
    platform: "node",
    conditions: ["@sett/source"],
    // All but ours.
    external: ["pg", "pg-boss", "kysely", "better-sqlite3", "undici", "hono", "jose", "csv-*", "@hono/*"],
  });
  return outfile;
}
