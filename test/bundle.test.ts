// What a bundle of sett weighs, and what is not in it: calls that the program does not make, and Node.

import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { buildPackages, bundle } from "./build.ts";
import { root } from "./program.ts";

/** Bytes of a program that only calls Item.get, minified and compressed. A bare fetch takes 250. */
const maxItemGet = 2_400;

await buildPackages();

/** A program, bundled as its user would: of what the packages have built, for no platform in particular. */
const bundled = (contents: string) =>
  bundle({
    stdin: { contents, resolveDir: root },
    minify: true,
    write: false,
    platform: "neutral",
    conditions: ["module"],
    target: "es2022",
  });

test("Item.get alone brings what it takes to call one endpoint", async (context) => {
  const code = await bundled(`
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
    const code = await bundled(`export * from ${JSON.stringify(entry)};`);
    assert.doesNotMatch(code, /["']node:/);
    if (entry !== "@sett/sandbox") assert.ok(!code.includes("/_sandbox"));
  });
}
