// A program of the bench as users would have it: plain JavaScript, nothing to be compiled at the start, which costs a
// process 40 MiB.

import { basename, join } from "node:path";
import { build } from "esbuild";

/** Below a node_modules, so that the packages that stay outside are found from there. */
const folder = join(import.meta.dirname, "node_modules/.built");

/** Builds the program, which stands in this path below the bench, and gives its file. */
export async function built(program: string): Promise<string> {
  const outfile = join(folder, basename(program).replace(/\.ts$/, ".mjs"));
  await build({
    entryPoints: [join(import.meta.dirname, program)],
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
