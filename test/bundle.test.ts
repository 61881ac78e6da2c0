// What a bundle of sett weighs, and what is not in it: calls that the program does not make, and Node.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { buildPackages } from "./build.ts";
import { checks, installChecks } from "./install.ts";
import { root } from "./program.ts";

/** Bytes of a program that only calls Item.get, minified and compressed. A bare fetch takes 250. */
const maxItemGet = 2_300;

await installChecks();
await buildPackages();

// Said here so that the repository type-checks without esbuild's being installed.
interface Esbuild {
  build(options: Record<string, unknown>): Promise<{ outputFiles: { text: string }[] }>;
}
const { build } = createRequire(join(checks, "package.json"))("esbuild") as Esbuild;

/** The bundle of a program, as its user would make it: of what the packages have built, for no platform in particular. */
async function bundle(contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "neutral",
    target: "es2022",
    logLevel: "silent", // what is wrong is in the error that it throws
  });
  return outputFiles.map(({ text }) => text).join("");
}

test("Item.get alone brings what it takes to call one endpoint", async (context) => {
  const code = await bundle(`
    import * as Item from "sett/item";
    export const get = (token, config) => Item.get(token, config);`);
  const { length } = gzipSync(code, { level: 9 });
  context.diagnostic(`${code.length} bytes, ${length} compressed`);
  assert.ok(length <= maxItemGet, `${length} bytes`);
  assert.ok(code.includes("/item/get"));
  for (const path of [
    "/item/remove",
    "/item/public_token/exchange",
    "/item/access_token/invalidate",
    "/item/webhook/update",
    "/link/",
    "/sandbox/",
    "/accounts/",
  ]) {
    assert.ok(!code.includes(path), path);
  }
});

for (const entry of ["sett", "sett/item", "sett/webhook", "sett/endpoints", "sett/kinds", "@sett/sandbox"]) {
  test(`${entry} is bundled without Node`, async () => {
    // For a neutral platform esbuild finds no module of Node's, so that an import of one is an error.
    const code = await bundle(`export * from ${JSON.stringify(entry)};`);
    assert.doesNotMatch(code, /["']node:/);
    if (entry !== "@sett/sandbox") assert.ok(!code.includes("/_sandbox"));
  });
}
