// The vault over both databases, and the ring's file.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdir, open, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
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
  const leave = async (text: string, secondsAgo = 11) => {
    await writeFile(`${path}.new`, text, { mode: 0o600 });
    const then = Date.now() / 1_000 - secondsAgo;
    await utimes(`${path}.new`, then, then);
  };
  await leave(left + former, 0);
  await assert.rejects(addKeyToFile(path), { code: "EEXIST", message: /another process adds a key/ });
  assert.equal(String(await readKeyFile(path)), former);
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

test("a key that somebody else adds at the same moment is kept", async () => {
  const folder = newFolder();
  await mkdir(folder);
  const path = join(folder, "kek");
  const [former, theirs] = [`${newKey()}\n`, `${newKey()}\n`];
  // What is read from a pipe ends when the test says so.
  execFileSync("mkfifo", ["-m", "600", path]);
  const adding = addKeyToFile(path);
  const pipe = await open(path, "w");
  await pipe.writeFile(former);
  await writeFile(`${path}.theirs`, theirs + former, { mode: 0o600 });
  await rename(`${path}.theirs`, path);
  await pipe.close();
  const ring = String(await adding);
  assert.ok(ring.endsWith(theirs + former));
  assert.equal(String(await readKeyFile(path)), ring);
  assert.equal(ring.split("\n").length, 4);
});
