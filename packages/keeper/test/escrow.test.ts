// The escrow's promises: what was acknowledged is there after any cut of power or process, whatever else is damaged.

import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import fc from "fast-check";
import { err, ok } from "sett";
import { openEscrow, type Escrow } from "../src/escrow/escrow.ts";
import { nodeFiles, type Files } from "../src/escrow/files.ts";
import { lookInto } from "../src/escrow/look.ts";
import { encodeRecord, encodeSettled, scan, type EscrowRecord } from "../src/escrow/journal.ts";
import { failure, value } from "./contract/database.ts";
import { powerCutDisk } from "./power-cut.ts";

let root: string;
let folder: string;
let made = 0;
before(async () => void (root = await mkdtemp(join(tmpdir(), "sett-escrow-"))));
after(() => rm(root, { recursive: true }));
beforeEach(() => void (folder = join(root, String(++made))));

const mint = () => `j${++made}`;
const entry = (id: string, more: Partial<EscrowRecord> = {}): EscrowRecord => ({
  id,
  at: 1,
  meta: { kind: "exchange", item_id: null },
  sealed: Buffer.from(`sealed ${id}`),
  ...more,
});
const keepIn = (escrow: Escrow, record: EscrowRecord) => escrow.record(record, async () => ok(record.sealed));
const ids = (records: readonly EscrowRecord[]) => records.map(({ id }) => id).sort();

/** As a process leaves it that is killed: its files as they are, its lock gone. */
async function abandoned(records: readonly EscrowRecord[], settled: readonly string[] = []): Promise<string> {
  const escrow = value(await openEscrow(folder, { mint }));
  await Promise.all(records.map((record) => keepIn(escrow, record)));
  for (const id of settled) await escrow.settle(id);
  await escrow.close();
  const [name] = (await readdir(folder)).filter((file) => file.endsWith(".journal"));
  return join(folder, name!);
}

const recordArbitrary: fc.Arbitrary<EscrowRecord> = fc.record(
  {
    id: fc.uuid(),
    at: fc.nat(),
    meta: fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.nat(), fc.constant(null)), {
      noNullPrototype: true,
    }),
    sealed: fc
      .uint8Array({ maxLength: 300 })
      // Bytes that look like a record's own.
      .map((bytes) => Buffer.concat([Buffer.from("SET\x01"), bytes, Buffer.alloc(bytes.length % 5)])),
  },
  { noNullPrototype: true },
);

describe("the bytes of a journal", () => {
  test("what was written is read, with or without zeros behind it", () => {
    fc.assert(
      fc.property(fc.array(recordArbitrary), fc.nat(100), (records, zeros) => {
        const bytes = Buffer.concat([...records.map(encodeRecord), encodeSettled("x"), Buffer.alloc(zeros)]);
        assert.deepEqual(scan(bytes), { records, settled: ["x"], damage: [] });
      }),
    );
  });

  test("cut at every byte: every whole record is read, the rest is torn, nothing is called damaged", () => {
    const records = ["a", "bb", "ccc"].map((id) => entry(id, { sealed: Buffer.from([1, 0, 0, 0]) }));
    const parts = records.map(encodeRecord);
    const whole = Buffer.concat(parts);
    for (let cut = 0; cut <= whole.length; cut++) {
      for (const zeros of [0, 1, 13, 500]) {
        const found = scan(Buffer.concat([whole.subarray(0, cut), Buffer.alloc(zeros)]));
        let end = 0;
        const expected = records.filter((_, index) => (end += parts[index]!.length) <= cut);
        assert.deepEqual(found.records, expected, `cut at ${cut}`);
        for (const { kind } of found.damage)
          assert.equal(kind, "torn", `cut at ${cut}, ${zeros} zeros behind it`);
      }
    }
  });

  test("any one bit changed: that record is called damaged, and only that one is lost", () => {
    const records = ["a", "bb", "ccc"].map((id) => entry(id));
    const parts = records.map(encodeRecord);
    const whole = Buffer.concat([...parts, Buffer.alloc(64)]);
    let start = 0;
    for (const [index, part] of parts.entries()) {
      for (let bit = 0; bit < part.length * 8; bit++) {
        const bytes = Buffer.from(whole);
        bytes[start + (bit >> 3)]! ^= 1 << (bit & 7);
        const found = scan(bytes);
        assert.deepEqual(found.records, records.toSpliced(index, 1), `bit ${bit} of record ${index}`);
        assert.deepEqual(found.damage, [{ kind: "damaged", offset: start, bytes: part.length }]);
      }
      start += part.length;
    }
  });

  test("any damage whatever: the untouched records are read", () => {
    fc.assert(
      fc.property(
        fc.array(recordArbitrary, { minLength: 2, maxLength: 6 }),
        fc.nat(),
        fc.uint8Array({ minLength: 1, maxLength: 40 }),
        (records, where, garbage) => {
          const parts = records.map(encodeRecord);
          const bytes = Buffer.concat(parts);
          const at = where % bytes.length;
          const stop = Math.min(bytes.length, at + garbage.length);
          bytes.set(garbage.subarray(0, stop - at), at);
          const found = new Set(scan(bytes).records.map(({ id }) => id));
          let start = 0;
          for (const [index, part] of parts.entries()) {
            const end = start + part.length;
            if (end <= at || start >= stop) assert.ok(found.has(records[index]!.id), `record ${index}`);
            start = end;
          }
        },
      ),
    );
  });
});

describe("the escrow", () => {
  test("gives to the next what was not settled, until it is", async () => {
    await abandoned([entry("a"), entry("b", { at: 0 }), entry("c")], ["a"]);
    const next = value(await openEscrow(folder, { mint }));
    const { records, damage, torn } = value(await next.replay());
    assert.deepEqual(records, [entry("b", { at: 0 }), entry("c")]);
    assert.deepEqual([damage, torn], [[], 0]);
    assert.equal(next.waiting, 2);
    await next.settle("b");
    await next.close();

    const third = value(await openEscrow(folder, { mint }));
    assert.deepEqual(ids(value(await third.replay()).records), ["c"]);
    await third.settle("c");
    assert.equal(third.waiting, 0);
    await third.close();
    assert.deepEqual(
      (await readdir(folder)).filter((name) => !name.endsWith(".lock")),
      [],
    );
  });

  test("the files and the folder are their owner's alone", async () => {
    const path = await abandoned([entry("a")]);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
  });

  test("records at once are all there, and share the syncs", async () => {
    const disk = powerCutDisk();
    const escrow = value(await openEscrow("/e", { mint, files: disk.files }));
    const before = disk.syncs();
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, (_, index) => keepIn(escrow, entry(`r${index}`))),
    );
    assert.ok(outcomes.every(({ ok }) => ok));
    assert.ok(disk.syncs() - before <= 3, `${disk.syncs() - before} syncs`);
  });

  test("compaction keeps what is open, and the file small", async () => {
    const escrow = value(await openEscrow(folder, { mint, compactAt: 10_000 }));
    for (let index = 0; index < 300; index++) {
      value(await keepIn(escrow, entry(`r${index}`, { sealed: Buffer.alloc(200, 1) })));
      if (index % 100 !== 0) value(await escrow.settle(`r${index}`));
    }
    const [name] = (await readdir(folder)).filter((file) => file.endsWith(".journal"));
    assert.ok((await stat(join(folder, name!))).size <= 65_536);
    await escrow.close();
    const next = value(await openEscrow(folder, { mint }));
    assert.deepEqual(ids(value(await next.replay()).records), ["r0", "r100", "r200"]);
    await next.close();
  });

  test("that another's record is settled outlives our compaction", async () => {
    await abandoned([entry("theirs"), entry("open")]);
    const escrow = value(await openEscrow(folder, { mint, compactAt: 500 }));
    value(await escrow.replay());
    await escrow.settle("theirs");
    for (let index = 0; index < 20; index++) {
      await keepIn(escrow, entry(`r${index}`));
      await escrow.settle(`r${index}`);
    }
    await escrow.close();
    const next = value(await openEscrow(folder, { mint }));
    assert.deepEqual(ids(value(await next.replay()).records), ["open"]);
    await next.close();
  });

  test("damage is told with file and offset, the rest is given, the file is kept", async () => {
    const path = await abandoned(["a", "b", "c"].map((id) => entry(id)));
    const bytes = await readFile(path);
    const offset = encodeRecord(entry("a")).length;
    bytes[offset + 20]! ^= 0xff;
    await writeFile(path, bytes);
    const escrow = value(await openEscrow(folder, { mint }));
    const { records, damage } = value(await escrow.replay());
    assert.deepEqual(ids(records), ["a", "c"]);
    assert.equal(damage.length, 1);
    assert.equal(damage[0]!.file, path);
    assert.equal(damage[0]!.offset, offset);
    assert.ok(damage[0]!.detail.includes(path) && damage[0]!.detail.includes(`offset ${offset}`));
    await escrow.settle("a");
    await escrow.settle("c");
    await escrow.close();
    assert.deepEqual(await readFile(`${path}.damaged`), bytes);
  });

  test("a torn tail is passed over", async () => {
    const path = await abandoned([entry("a"), entry("b")]);
    await truncate(path, encodeRecord(entry("a")).length + 30);
    const escrow = value(await openEscrow(folder, { mint }));
    const { records, damage, torn } = value(await escrow.replay());
    assert.deepEqual([ids(records), damage, torn], [["a"], [], 1]);
    await escrow.close();
  });

  test("the journal of a living process is left alone; of a killed one, taken over by one alone", async () => {
    const child = fork(join(import.meta.dirname, "escrow-writer.ts"), [folder], {
      execArgv: ["--conditions=@sett/source"],
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const acknowledged = await untilKilled(child, 200, async () => {
      const escrow = value(await openEscrow(folder, { mint }));
      assert.deepEqual(value(await escrow.replay()).records, []);
      await escrow.close();
    });
    const both = await Promise.all([openEscrow(folder, { mint }), openEscrow(folder, { mint })]);
    const replays = await Promise.all(both.map((escrow) => value(escrow).replay()));
    const found = replays.map((replay) => ids(value(replay).records));
    assert.ok(found.some((list) => list.length === 0));
    const all = new Set(found.flat());
    for (const id of acknowledged) assert.ok(all.has(id), `${id} was acknowledged and is lost`);
    for (const escrow of both) await value(escrow).close();
  });

  test("a record that cannot be made fails alone: the others of its write are there, and those that come after", async () => {
    const escrow = value(await openEscrow(folder, { mint }));
    const tooLarge = keepIn(escrow, entry("large", { sealed: Buffer.alloc(1 << 20) }));
    const outcomes = await Promise.allSettled([
      keepIn(escrow, entry("a")),
      tooLarge,
      escrow.record(entry("thrown"), () => Promise.reject(new RangeError("mine"))),
      escrow.record(entry("refused"), async () => err("no" as const)),
      keepIn(escrow, entry("b")),
      // One that waits for what then fails.
      new Promise(setImmediate).then(() => new Promise(setImmediate)).then(() => escrow.settle("large")),
    ]);
    assert.deepEqual(
      outcomes.map((one) => (one.status === "fulfilled" ? one.value : String(one.reason))),
      [
        ok("kept"),
        "TypeError: the record is too large for the escrow",
        "RangeError: mine",
        err("no"),
        ok("kept"),
        ok(undefined),
      ],
    );
    value(await keepIn(escrow, entry("c")));
    await escrow.close();
    const next = value(await openEscrow(folder, { mint }));
    assert.deepEqual(ids(value(await next.replay()).records), ["a", "b", "c"]);
    await next.close();
  });

  test("what was taken over is given until it is settled, whatever fails in between", async () => {
    const disk = powerCutDisk();
    for (const name of ["aaa", "bbb"]) {
      const escrow = value(await openEscrow("/e", { mint: () => name, files: disk.files }));
      value(await keepIn(escrow, entry(`${name}'s`)));
      if (name === "aaa") value(await keepIn(escrow, entry("second")));
      await escrow.close();
    }
    let unreadable = "bbb";
    const files: Files = {
      ...disk.files,
      read: async (path) => {
        if (path === `/e/${unreadable}.journal`) throw Object.assign(new Error("i/o"), { code: "EIO" });
        return disk.files.read(path);
      },
    };
    const escrow = value(await openEscrow("/e", { mint, files }));
    assert.equal(failure(await escrow.replay()).code, "EIO");
    unreadable = "";
    const given = async () => ids(value(await escrow.replay()).records);
    assert.deepEqual(await given(), ["aaa's", "bbb's", "second"]);
    assert.deepEqual(await given(), ["aaa's", "bbb's", "second"]);
    // Already while it is being settled.
    const settling = escrow.settle("second");
    assert.deepEqual(await given(), ["aaa's", "bbb's"]);
    value(await settling);
    value(await escrow.settle("bbb's"));
    disk.fail("remove");
    assert.equal(failure(await escrow.settle("aaa's")).kind, "full");
    disk.fail(undefined);
    assert.deepEqual(await given(), []);
    assert.deepEqual(
      await disk.files.list("/e").then((names) => names.filter((name) => /^(aaa|bbb)/.test(name))),
      [],
    );
    await escrow.close();
  });

  test("no journal goes while whoever replayed it says no, and what is settled in it stays so", async () => {
    await abandoned([entry("a")]);
    const [theirs] = await readdir(folder);
    const escrow = value(await openEscrow(folder, { mint }));
    const asked: string[] = [];
    let may = false;
    const replay = async (by: Escrow) =>
      ids(value(await by.replay(async (names) => (asked.push(...names), may))).records);
    assert.deepEqual(await replay(escrow), ["a"]);
    assert.deepEqual(asked, []);
    value(await escrow.settle("a"));
    assert.deepEqual(
      asked.map((name) => `${name}.journal`),
      [theirs],
    );
    await escrow.close();
    assert.ok((await readdir(folder)).includes(theirs!));

    may = true;
    const next = value(await openEscrow(folder, { mint }));
    assert.deepEqual(await replay(next), []);
    assert.ok(!(await readdir(folder)).includes(theirs!));
    await next.close();
  });

  test("what one dead process had settled of another's is remembered by the third, through a power cut", async () => {
    const disk = powerCutDisk();
    const first = value(await openEscrow("/e", { mint: () => "first", files: disk.files }));
    for (const id of ["settled", "open"]) value(await keepIn(first, entry(id)));
    await first.close();
    const second = value(await openEscrow("/e", { mint: () => "second", files: disk.files }));
    value(await second.replay());
    value(await second.settle("settled"));
    await second.close();
    const third = value(await openEscrow("/e", { mint: () => "third", files: disk.files }));
    assert.deepEqual(ids(value(await third.replay()).records), ["open"]);
    assert.ok(!(await disk.files.list("/e")).includes("second.journal"));

    const files = disk.afterPowerCut().files;
    const fourth = value(await openEscrow("/e", { mint, files }));
    assert.deepEqual(ids(value(await fourth.replay()).records), ["open"]);
  });

  test("who only says what is settled in a journal that is not ours stays beside it", async () => {
    await abandoned([entry("settled"), entry("open")]);
    const dead = value(await openEscrow(folder, { mint }));
    value(await dead.replay());
    value(await dead.settle("settled"));
    await dead.close();
    const others = value(await openEscrow(folder, { mint, isOurs: () => false }));
    assert.deepEqual(value(await others.replay()).records, []);
    await others.close();
    const next = value(await openEscrow(folder, { mint }));
    assert.deepEqual(ids(value(await next.replay()).records), ["open"]);
    await next.close();
  });

  test("two in one process do not take each other's, and looking does not loosen a lock", async () => {
    const one = value(await openEscrow(folder, { mint }));
    value(await keepIn(one, entry("one's")));
    const two = value(await openEscrow(folder, { mint }));
    for (let times = 0; times < 3; times++) assert.deepEqual(value(await two.replay()).records, []);
    const child = fork(join(import.meta.dirname, "escrow-writer.ts"), [folder, "replay"], {
      execArgv: ["--conditions=@sett/source"],
    });
    const [said] = (await once(child, "message")) as [string[]];
    assert.deepEqual(said, []);
    await one.close();
    await two.close();
  });
});

describe("looking into the escrow", () => {
  test("who looks hides nothing from who opens it meanwhile, and leaves nothing behind", async () => {
    await abandoned([entry("a"), entry("b", { at: 3 })], ["a"]);
    const living = value(await openEscrow(folder, { mint }));
    value(await keepIn(living, entry("living's")));
    let opened = 0;
    const between = async <Read>(read: Read) => {
      const next = value(await openEscrow(folder, { mint }));
      assert.deepEqual(ids(value(await next.replay()).records), ["b"]);
      await next.close();
      opened++;
      return read;
    };
    const { records } = value(
      await lookInto(folder, {
        list: async (path) => between(await nodeFiles.list(path)),
        read: async (path) => between(await nodeFiles.read(path)),
      }),
    );
    assert.equal(opened, 3);
    assert.deepEqual(
      records.map(({ id }) => id),
      ["living's", "b"],
    );
    const before = await readdir(folder);
    value(await lookInto(folder));
    assert.deepEqual(await readdir(folder), before);
    await living.close();
  });

  test("what anybody says is settled does not wait, and a journal that goes meanwhile is no failure", async () => {
    await abandoned([entry("theirs"), entry("open")]);
    const living = value(await openEscrow(folder, { mint }));
    value(await living.replay());
    value(await living.settle("theirs"));
    const seen = async (files?: Files) => ids(value(await lookInto(folder, files)).records);
    assert.deepEqual(await seen(), ["open"]);
    const list = async (path: string) => {
      const names = await nodeFiles.list(path);
      value(await living.settle("open"));
      return names;
    };
    assert.deepEqual(await seen({ ...nodeFiles, list }), []);
    await living.close();
  });

  test("damage is told, what was put aside is named, and a folder that is not there is said so", async () => {
    assert.equal(failure(await lookInto(folder)).code, "ENOENT");
    const path = await abandoned([entry("a"), entry("b")]);
    const bytes = await readFile(path);
    bytes[20]! ^= 0xff;
    await writeFile(path, bytes);
    await writeFile(`${path}.damaged`, "");
    const { records, damage, aside } = value(await lookInto(folder));
    assert.deepEqual([ids(records), damage.map(({ file, offset }) => [file, offset])], [["b"], [[path, 0]]]);
    assert.deepEqual(aside, [`${basename(path)}.damaged`]);
    assert.deepEqual(await readFile(path), bytes);
  });
});

describe("the escrow on a disk that fails", () => {
  test("power cut after every step: what was acknowledged is there, and the next begins well", async () => {
    for (let step = 0; ; step++) {
      const disk = powerCutDisk({ cutAfter: step });
      const acknowledged = new Set<string>();
      const settled = new Set<string>();
      const life = async () => {
        const opened = await openEscrow("/data/e", { mint, files: disk.files, compactAt: 700 });
        if (!opened.ok) return;
        const escrow = opened.value;
        value(await escrow.replay());
        for (let index = 0; index < 12; index++) {
          const group = [`${index}a`, `${index}b`];
          const outcomes = await Promise.all(group.map((id) => keepIn(escrow, entry(id))));
          for (const [at, id] of group.entries()) if (outcomes[at]!.ok) acknowledged.add(id);
          settled.add(`${index}a`);
          await escrow.settle(`${index}a`);
        }
        await escrow.close();
      };
      await Promise.race([life(), disk.dark]);
      const survived = disk.afterPowerCut();
      const next = value(await openEscrow("/data/e", { mint, files: survived.files }));
      const { records, damage } = value(await next.replay());
      const found = new Set(ids(records));
      for (const id of acknowledged) {
        assert.ok(
          found.has(id) || settled.has(id),
          `cut after step ${step}: ${id} was acknowledged and is lost`,
        );
      }
      assert.deepEqual(damage, [], `cut after step ${step}`);
      if (!disk.wasCut()) {
        assert.ok(step > 100, `only ${step} steps`);
        break;
      }
    }
  });

  test("however many folders had to be made for it, a power cut leaves them", async () => {
    const disk = powerCutDisk();
    const escrow = value(await openEscrow("/a/b/c/d", { mint, files: disk.files }));
    value(await keepIn(escrow, entry("kept")));
    const next = value(await openEscrow("/a/b/c/d", { mint, files: disk.afterPowerCut().files }));
    assert.deepEqual(ids(value(await next.replay()).records), ["kept"]);
  });

  test("a full disk is told as such, and what comes after it is safe", async () => {
    for (const operation of ["write", "sync", "create", "rename", "syncFolder"] as const) {
      const disk = powerCutDisk();
      const escrow = value(await openEscrow("/e", { mint, files: disk.files, compactAt: 400 }));
      const acknowledged: string[] = [];
      const add = async (id: string) => {
        const outcome = await keepIn(escrow, entry(id));
        if (outcome.ok) acknowledged.push(id);
        return outcome;
      };
      for (let index = 0; index < 4; index++) value(await add(`before ${index}`));
      disk.fail(operation);
      let failed = 0;
      for (let index = 0; index < 6; index++) {
        const outcome = await add(`during ${index}`);
        if (outcome.ok) continue;
        failed++;
        assert.equal(outcome.error.kind, "full");
      }
      assert.ok(failed > 0, operation);
      disk.fail(undefined);
      value(await add("after"));
      const next: Escrow = value(await openEscrow("/e", { mint, files: disk.afterPowerCut().files }));
      const found = new Set(ids(value(await next.replay()).records));
      for (const id of acknowledged) assert.ok(found.has(id), `${operation}: ${id}`);
    }
  });
});

/** Lets the child record, looks on in between, and kills it when it has had `count` acknowledged. */
async function untilKilled(
  child: ChildProcess,
  count: number,
  lookOn: () => Promise<void>,
): Promise<string[]> {
  const acknowledged: string[] = [];
  const enough = new Promise<void>((resolve) => {
    child.on("message", (id: string) => {
      acknowledged.push(id);
      if (acknowledged.length >= count) resolve();
    });
  });
  await once(child, "message");
  await lookOn();
  await enough;
  child.kill("SIGKILL");
  await once(child, "close");
  return acknowledged;
}
