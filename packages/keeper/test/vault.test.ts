// The vault over both databases, and the ring's file.

import assert from "node:assert/strict";
import { chmod, mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createKeyFile, localKeyRing, readKeyFile } from "../src/vault/ring.ts";
import { vaultContract } from "./contract/vault.ts";
import { testPlaces } from "./places.ts";

const { places, newFolder } = testPlaces("vault");

for (const [name, empty] of Object.entries(places)) vaultContract({ name, empty });

test("a key file is its owner's alone, is never overwritten, and is refused when others can read it", async () => {
  const folder = newFolder();
  await mkdir(folder);
  const path = join(folder, "kek");
  await createKeyFile(path);
  assert.equal((await stat(path)).mode & 0o777, 0o600);
  localKeyRing(await readKeyFile(path));
  const before = await readFile(path, "utf8");
  await assert.rejects(createKeyFile(path), { code: "EEXIST" });
  assert.equal(await readFile(path, "utf8"), before);
  for (const mode of [0o640, 0o604, 0o660]) {
    await chmod(path, mode);
    await assert.rejects(readKeyFile(path), /can be read by others/);
  }
});

test("a ring that is no ring is refused", () => {
  for (const text of [
    "",
    " \n",
    "sett-kek-1:",
    "sett-kek-1:AAAA",
    `sett-kek-2:${"A".repeat(43)}`,
    "hunter2",
  ]) {
    assert.throws(() => localKeyRing(text), TypeError, JSON.stringify(text));
  }
});
