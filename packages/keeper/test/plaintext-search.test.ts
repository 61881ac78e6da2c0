// The search must be able to find: a clean result of plaintext.test.ts is worth what this is worth.

import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { test } from "node:test";
import * as fc from "fast-check";
import { formsOf, searchFor } from "./plaintext-search.ts";

const tokens = new Map<string, string | Uint8Array>(
  Array.from({ length: 500 }, (_, index) => [`access token ${index}`, `access-sandbox-${randomUUID()}`]),
);
const key = randomBytes(32);
const search = searchFor(new Map([...tokens, ["secret", randomBytes(15).toString("hex")], ["key", key]]));
const text = (index: number) => tokens.get(`access token ${index}`) as string;

/** How a careless program writes a text down. */
const writings: Readonly<Record<string, (text: string) => Buffer>> = {
  "as it is": (text) => Buffer.from(text),
  "in hex": (text) => Buffer.from(Buffer.from(text).toString("hex")),
  "in hex, capitals": (text) => Buffer.from(Buffer.from(text).toString("hex").toUpperCase()),
  "in base64": (text) => Buffer.from(Buffer.from(text).toString("base64")),
  "in base64url": (text) => Buffer.from(Buffer.from(text).toString("base64url")),
  "in UTF-16, little-endian": (text) => Buffer.from(text, "utf16le"),
  "in UTF-16, big-endian": (text) => Buffer.from(text, "utf16le").swap16(),
  "as JSON in base64": (text) => Buffer.from(Buffer.from(JSON.stringify({ text })).toString("base64")),
  "its id alone": (text) => Buffer.from(text.slice("access-sandbox-".length)),
  "its id in capitals": (text) => Buffer.from(text.slice("access-sandbox-".length).toUpperCase()),
  "its id without dashes": (text) => Buffer.from(text.slice("access-sandbox-".length).replaceAll("-", "")),
  "its id as a PostgreSQL uuid": (text) =>
    Buffer.from(text.slice("access-sandbox-".length).replaceAll("-", ""), "hex"),
};

test("a token is found however it is written, wherever it stands, and by its name", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: tokens.size - 1 }),
      fc.constantFrom(...Object.keys(writings)),
      fc.uint8Array({ maxLength: 64 }),
      fc.uint8Array({ maxLength: 64 }),
      (index, how, before, after) => {
        const bytes = Buffer.concat([before, writings[how]!(text(index)), after]);
        const found = search.in("here", bytes);
        assert.ok(
          found.some(({ secret, place }) => secret === `access token ${index}` && place === "here"),
          `not found: ${how}`,
        );
      },
    ),
    { numRuns: 500 },
  );
});

test("a token within a text that was put in base64 is found at each of the three alignments", () => {
  for (const before of ["", "x", "xy", "xyz"]) {
    const written = Buffer.from(Buffer.from(`${before}${text(7)} and more`).toString("base64"));
    assert.ok(search.in("there", written).length > 0, `after ${before.length} characters`);
  }
});

test("a key is found as bytes, in hex and in base64, with the place where it stands", () => {
  for (const written of [key, Buffer.from(key.toString("hex")), Buffer.from(key.toString("base64url"))]) {
    const [found] = search.in("file", Buffer.concat([Buffer.alloc(1_000), written]));
    assert.deepEqual([found?.secret, found?.place, found?.offset], ["key", "file", 1_000]);
  }
});

test("what is no secret is not found: other tokens, the same beginning, random bytes, zeros", () => {
  const others = Array.from({ length: 20_000 }, () => `access-sandbox-${randomUUID()} `).join("");
  const cut = text(3).slice(0, -1);
  const bytes = [Buffer.from(others), Buffer.from(cut), randomBytes(2_000_000), Buffer.alloc(1_000_000)];
  assert.deepEqual(search.in("elsewhere", Buffer.concat(bytes)), []);
});

test("what is found is told without a word of it", () => {
  const found = search.in("here", Buffer.from(text(11)));
  assert.ok(found.length > 0);
  assert.doesNotMatch(JSON.stringify(found), /sandbox|[0-9a-f]{8}/);
  assert.ok(search.forms > search.secrets * 20);
  assert.throws(() => formsOf("short") && searchFor(new Map([["short", "short"]])), TypeError);
});
