// The vault over both databases, and the ring's file.

import assert from "node:assert/strict";
import { chmod, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { addKeyToFile, createKeyFile, localKeyRing, newKey, readKeyFile } from "../src/vault/ring.ts";
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

test("a key that was being added when the process ended is taken up, if it is whole", async () => {
  const folder = newFolder();
  await mkdir(folder);
  const path = join(folder, "kek");
  await createKeyFile(path);
  const former = String(await readKeyFile(path));
  const left = `${newKey()}\n`;
  const leave = (text: string) => writeFile(`${path}.new`, text, { mode: 0o600 });
  await leave(left + former);
  assert.equal(String(await addKeyToFile(path)), left + former);
  assert.equal(String(await readKeyFile(path)), left + former);

  const now = left + former;
  for (const text of [
    "",
    left,
    left.slice(0, 20),
    left + former,
    `${left}\n${now}`,
    left + now.slice(0, -3),
  ]) {
    await leave(text);
    await assert.rejects(addKeyToFile(path), {
      code: "EEXIST",
      message: /nothing uses its key, so delete it/,
    });
    assert.equal(String(await readKeyFile(path)), now);
    await rm(`${path}.new`);
  }
  const more = String(await addKeyToFile(path));
  assert.ok(more.endsWith(now) && more.length > now.length);
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
