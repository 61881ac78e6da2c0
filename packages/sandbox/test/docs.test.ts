// Law: docs/sandbox.md names every control over HTTP, every switch with its values, and every word of a fault.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { switchTable } from "../src/index.ts";

const docs = readFileSync(join(import.meta.dirname, "../../../docs/sandbox.md"), "utf8");
const routes = readFileSync(join(import.meta.dirname, "../src/control-routes.ts"), "utf8");

test("every route of /_sandbox has an example", () => {
  const paths = [...routes.matchAll(/"(\/[a-z_/:]+)"/g)].map(([, path]) => path!);
  const events = [...routes.matchAll(/event\(\s*"(\w+)"/g)].map(([, name]) => `/items/:id/${name}`);
  assert.ok(paths.length > 20 && events.length === 10);
  for (const path of [...paths, ...events].filter((each) => each !== "/_sandbox")) {
    const pattern = path.replace(":id", "\\$[A-Z]+");
    assert.match(docs, new RegExp(`\\$S${pattern}[ \`]`), path);
  }
});

test("every switch is listed as unverified, its default first", () => {
  for (const [name, { values, question }] of Object.entries(switchTable)) {
    const row = docs.split("\n").find((line) => line.startsWith(`| \`${name}\``));
    assert.ok(row?.includes(values.map((value) => `\`${value}\``).join(", ")), name);
    assert.ok(row?.includes(question), name);
  }
});

test("every kind of fault is described", () => {
  for (const word of ['`"hang"`', '`"reset"`', '`"drop-after-commit"`', '`"garbage"`', "delayMs", '"status"'])
    assert.ok(docs.includes(word), word);
});
