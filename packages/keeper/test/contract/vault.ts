// The vault over a database, whichever it is: what is sealed opens, in its place, with its keys, and not otherwise.

import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import { ok, type Result } from "sett";
import { openDatabase, type Database } from "../../src/database/database.ts";
import type { DatabaseFailure } from "../../src/database/failure.ts";
import { deliveryId, reencrypt, reencryptItems } from "../../src/vault/reencrypt.ts";
import type { VaultFailure } from "../../src/vault/failure.ts";
import { kms, localKeyRing, newKey, type KeyRing } from "../../src/vault/ring.ts";
import { openVault, Vault, type VaultOptions } from "../../src/vault/vault.ts";
import { failure, itemRow, now, value, type Place } from "./database.ts";

export function vaultContract(place: Place): void {
  describe(`a vault over ${place.name}`, () => {
    const key = newKey();
    let url: string;
    let database: Database;
    let vault: Vault;
    let clock = now;
    const open = (more: Partial<VaultOptions> = {}) =>
      openVault({ database, ring: localKeyRing(key), environment: "sandbox", now: () => clock, ...more });
    const token = (name: string) => Buffer.from(`access-sandbox-${name}`);
    const add = async (item_id: string, by: Vault = vault) => {
      const { bytes, key_id } = value(await by.seal(token(item_id), { purpose: "token", subject: item_id }));
      await database.sql
        .insertInto("items")
        .values(itemRow(item_id, { token: bytes, key_id }))
        .execute();
      return key_id;
    };
    const read = async (item_id: string, by: Vault = vault) => {
      const row = await database.sql
        .selectFrom("items")
        .select(["token", "key_id"])
        .where("item_id", "=", item_id)
        .executeTakeFirstOrThrow();
      return by.open(row.token!, { purpose: "token", subject: item_id }, row.key_id);
    };

    before(async () => {
      url = await place.empty();
      database = value(await openDatabase(url, { now }));
      vault = value(await open());
    });
    after(async () => {
      vault.close();
      await database.close();
    });

    test("what was sealed is opened, by another process too", async () => {
      await add("a");
      assert.deepEqual(value(await read("a")), token("a"));
      const other = value(await open());
      assert.deepEqual(value(await read("a", other)), token("a"));
      await add("b", other);
      assert.deepEqual(value(await read("b")), token("b"));
      other.close();
    });

    test("processes share a key, each with a block of its seals, within its bound", async () => {
      const policy = { sealsPerKey: 8, block: 4 };
      const fresh = value(await openDatabase(await place.empty(), { now }));
      const crowd = await Promise.all(
        Array.from({ length: 3 }, async () => value(await open({ database: fresh, policy }))),
      );
      const used = new Map<string, number>();
      await Promise.all(
        crowd.map(async (one) => {
          for (let times = 0; times < 10; times++) {
            const { key_id } = value(await one.seal(token("x"), { purpose: "token", subject: "x" }));
            used.set(key_id, (used.get(key_id) ?? 0) + 1);
          }
        }),
      );
      for (const [key_id, times] of used) assert.ok(times <= 8, `${key_id}: ${times}`);
      for (const { reserved } of value(await crowd[0]!.keys())) assert.ok(reserved <= 8);
      for (const one of crowd) one.close();
      await fresh.close();
    });

    test("another ring is the wrong key, told when the vault is opened", async () => {
      await add("wrong key");
      const refused = failure(await open({ ring: localKeyRing(newKey()) }));
      assert.equal(refused.kind, "wrong-key");
      const both = value(await open({ ring: localKeyRing(`${newKey()}\n${key}`) }));
      assert.deepEqual(value(await read("wrong key", both)), token("wrong key"));
      both.close();
    });

    test("a damaged row, a swapped row and a swapped environment are told apart", async () => {
      await add("mine");
      await add("yours");
      const row = await database.sql
        .selectFrom("items")
        .select(["token", "key_id"])
        .where("item_id", "=", "yours")
        .executeTakeFirstOrThrow();
      await database.sql.updateTable("items").set(row).where("item_id", "=", "mine").execute();
      assert.equal(failure(await read("mine")).kind, "swapped");
      const damaged = Buffer.from(row.token!);
      damaged[damaged.length - 3]! ^= 1;
      await database.sql.updateTable("items").set({ token: damaged }).where("item_id", "=", "mine").execute();
      assert.equal(failure(await read("mine")).kind, "damaged");
      await database.sql
        .updateTable("items")
        .set({ token: damaged.subarray(0, 20) })
        .where("item_id", "=", "mine")
        .execute();
      assert.equal(failure(await read("mine")).kind, "damaged");
      const intent = await vault.open(row.token!, { purpose: "intent", subject: "yours" });
      assert.equal(failure(intent).kind, "swapped");
      const production = value(await open({ environment: "production" }));
      assert.equal(failure(await read("yours", production)).kind, "unknown-key");
      production.close();
    });

    test("a damaged data key is told as such", async () => {
      const fresh = value(await openDatabase(await place.empty(), { now }));
      const one = value(await open({ database: fresh }));
      value(await one.seal(token("x"), { purpose: "token", subject: "x" }));
      const row = await fresh.sql.selectFrom("keys").selectAll().executeTakeFirstOrThrow();
      row.wrapped[row.wrapped.length - 1]! ^= 1;
      await fresh.sql.updateTable("keys").set({ wrapped: row.wrapped }).execute();
      const refused = failure(await open({ database: fresh }));
      assert.deepEqual([refused.kind, "what" in refused && refused.what], ["damaged", "key"]);
      one.close();
      await fresh.close();
    });

    test("a portable envelope needs no database", async () => {
      const sealed = value(await vault.sealPortable(token("escrow"), { purpose: "escrow", subject: "e" }));
      const elsewhere = value(await openDatabase(await place.empty(), { now }));
      const other = value(await open({ database: elsewhere }));
      const opened = await other.open(sealed, { purpose: "escrow", subject: "e" });
      assert.deepEqual(value(opened), token("escrow"));
      assert.equal(failure(await other.open(sealed, { purpose: "escrow", subject: "f" })).kind, "swapped");
      assert.equal(failure(await vault.open(sealed, { purpose: "token", subject: "e" })).kind, "swapped");
      const stranger = value(await open({ database: elsewhere, ring: localKeyRing(newKey()) }));
      assert.equal(
        failure(await stranger.open(sealed, { purpose: "escrow", subject: "e" })).kind,
        "wrong-key",
      );
      for (const one of [other, stranger]) one.close();
      await elsewhere.close();
    });

    test("law: open(seal(x)) = x; one bit changed, or any other place, is refused", async () => {
      const bytes = fc.uint8Array({ maxLength: 200 });
      const subject = fc.string({ unit: "grapheme", maxLength: 40 });
      const purpose = fc.constantFrom("token", "intent", "webhook", "escrow");
      const spot = fc.record({ purpose, subject }, { noNullPrototype: true });
      await fc.assert(
        fc.asyncProperty(
          bytes,
          spot,
          spot,
          fc.nat(),
          fc.boolean(),
          async (plain, at, elsewhere, bit, portable) => {
            const sealed = portable
              ? value(await vault.sealPortable(plain, at))
              : value(await vault.seal(plain, at)).bytes;
            assert.deepEqual(value(await vault.open(sealed, at)), Buffer.from(plain));
            if (at.purpose !== elsewhere.purpose || at.subject !== elsewhere.subject) {
              assert.equal(failure(await vault.open(sealed, elsewhere)).kind, "swapped");
            }
            const changed = Buffer.from(sealed);
            changed[(bit >> 3) % changed.length]! ^= 1 << (bit & 7);
            assert.equal((await vault.open(changed, at)).ok, false);
          },
        ),
        { numRuns: 300 },
      );
      const sealed = value(await vault.seal(token("every bit"), { purpose: "token", subject: "s" })).bytes;
      for (let bit = 0; bit < sealed.length * 8; bit++) {
        const changed = Buffer.from(sealed);
        changed[bit >> 3]! ^= 1 << (bit & 7);
        const { kind } = failure(await vault.open(changed, { purpose: "token", subject: "s" }));
        const inKeyId = bit >> 3 >= 1 && bit >> 3 < 9;
        assert.equal(kind, inKeyId ? "unknown-key" : "damaged", `bit ${bit}`);
      }
    });

    test("nothing printed holds a token or a key", async () => {
      const ring = localKeyRing(key);
      const printed = [vault, ring, await read("mine"), value(await vault.keys())]
        .map((thing) => inspect(thing, { depth: null, showHidden: true }) + JSON.stringify(thing))
        .join("\n");
      assert.ok(!printed.includes("access-sandbox"));
      assert.ok(!printed.includes(key.slice(-20)));
      assert.ok(!printed.includes(Buffer.from(key.slice(-43), "base64url").toString("hex")));
      assert.throws(
        () => localKeyRing(`${key}x`),
        (error: Error) => error instanceof TypeError && !inspect(error).includes(key.slice(-20)),
      );
    });

    test("a fingerprint is the same in every process, and another in every database", async () => {
      const other = value(await open());
      const parts = ["u1", "ins_1", "0000", "Checking"];
      const [mine, theirs] = [value(await vault.fingerprint(parts)), value(await other.fingerprint(parts))];
      assert.deepEqual(mine, theirs);
      assert.equal(mine.length, 32);
      assert.notDeepEqual(mine, value(await vault.fingerprint(["u1", "ins_10", "000", "Checking"])));
      const elsewhere = value(await openDatabase(await place.empty(), { now }));
      const stranger = value(await open({ database: elsewhere }));
      const [first, second] = await Promise.all([stranger.fingerprint(parts), stranger.fingerprint(parts)]);
      assert.deepEqual(value(first), value(second));
      assert.notDeepEqual(mine, value(first));
      for (const one of [other, stranger]) one.close();
      await elsewhere.close();
    });

    test("a new key-encryption key wraps the data keys anew, and the old one can go", async () => {
      const fresh = value(await openDatabase(await place.empty(), { now }));
      const old = value(await open({ database: fresh }));
      const place1 = { purpose: "token", subject: "x" } as const;
      const sealed = value(await old.seal(token("x"), place1));
      value(await old.fingerprint(["x"]));
      const newer = newKey();
      const both = value(await open({ database: fresh, ring: localKeyRing(`${newer} ${key}`) }));
      assert.equal(value(await both.rewrap()), 2);
      assert.equal(value(await both.rewrap()), 0);
      const only = value(await open({ database: fresh, ring: localKeyRing(newer) }));
      assert.deepEqual(value(await only.open(sealed.bytes, place1, sealed.key_id)), token("x"));
      assert.equal(failure(await open({ database: fresh })).kind, "wrong-key");
      for (const one of [old, both, only]) one.close();
      await fresh.close();
    });

    test("re-encryption moves every secret, and a key in use cannot be retired", async () => {
      const fresh = value(await openDatabase(await place.empty(), { now }));
      const one = value(await open({ database: fresh }));
      const seal = async (purpose: "token" | "intent" | "webhook", subject: string) =>
        value(await one.seal(token(subject), { purpose, subject }));
      for (let index = 0; index < 25; index++) {
        const { bytes, key_id } = await seal("token", `i${index}`);
        await fresh.sql
          .insertInto("items")
          .values(itemRow(`i${index}`, { token: bytes, key_id }))
          .execute();
        const intent = await seal("intent", `n${index}`);
        await fresh.sql
          .insertInto("intents")
          .values({
            intent_id: `n${index}`,
            environment: "sandbox",
            kind: "exchange",
            detail: intent.bytes,
            key_id: intent.key_id,
            opened_at: now,
          })
          .execute();
        const delivery = { body_sha256: `h${index % 5}`, iat: index };
        const body = await seal("webhook", deliveryId(delivery));
        await fresh.sql
          .insertInto("deliveries")
          .values({
            ...delivery,
            environment: "sandbox",
            webhook_type: "ITEM",
            webhook_code: "ERROR",
            body: body.bytes,
            key_id: body.key_id,
            received_at: now,
          })
          .execute();
      }
      // Of another environment in the same database: none of our business.
      const production = value(await open({ database: fresh, environment: "production" }));
      const theirs = value(await production.seal(token("p"), { purpose: "token", subject: "p" }));
      await fresh.sql
        .insertInto("items")
        .values(itemRow("p", { token: theirs.bytes, key_id: theirs.key_id, environment: "production" }))
        .execute();

      const old = value(await one.writeKeyId());
      assert.equal(failure(await one.retire(old)).kind, "still-open");
      const key_id = value(await one.newEpoch());
      assert.notEqual(key_id, old);
      assert.equal(failure(await one.retire(old)).kind, "too-soon");
      clock += 3_600_000;
      assert.deepEqual(failure(await one.retire(old)), {
        kind: "in-use",
        key_id: old,
        items: 25,
        others: 50,
      });

      // A damaged row stops nothing and stays.
      const row = await fresh.sql
        .selectFrom("items")
        .select("token")
        .where("item_id", "=", "i7")
        .executeTakeFirstOrThrow();
      const damaged = Buffer.from(row.token!).fill(0, 60, 62);
      await fresh.sql.updateTable("items").set({ token: damaged }).where("item_id", "=", "i7").execute();

      const first = value(await reencrypt(one, fresh, { batch: 4 }));
      assert.deepEqual([first.moved, first.failed, first.complete], [74, 1, true]);
      assert.deepEqual(
        first.failures.map(({ table, id, failure }) => [table, id, failure.kind]),
        [["items", "i7", "damaged"]],
      );
      assert.deepEqual(value(await reencrypt(one, fresh, { batch: 4 })).moved, 0);
      assert.deepEqual(failure(await one.retire(old)), { kind: "in-use", key_id: old, items: 1, others: 0 });
      await fresh.sql
        .updateTable("items")
        .set({ state: "removed", token: null, key_id: null, removed_at: now })
        .where("item_id", "=", "i7")
        .execute();
      value(await one.retire(old));
      assert.equal(failure(await one.retire(old)).kind, "unknown-key");

      const other = value(await open({ database: fresh }));
      for (let index = 0; index < 25; index++) {
        if (index === 7) continue;
        const { token: bytes, key_id } = await fresh.sql
          .selectFrom("items")
          .select(["token", "key_id"])
          .where("item_id", "=", `i${index}`)
          .executeTakeFirstOrThrow();
        const place = { purpose: "token", subject: `i${index}` } as const;
        assert.deepEqual(value(await other.open(bytes!, place, key_id)), token(`i${index}`));
      }
      const p = { purpose: "token", subject: "p" } as const;
      assert.deepEqual(value(await production.open(theirs.bytes, p, theirs.key_id)), token("p"));
      for (const each of [one, other, production]) each.close();
      await fresh.close();
    });

    test("a key that another process is about to use cannot be retired under it", async () => {
      const fresh = value(await openDatabase(await place.empty(), { now }));
      const one = value(await open({ database: fresh }));
      const { bytes, key_id } = value(await one.seal(token("late"), { purpose: "token", subject: "late" }));
      const other = value(await open({ database: fresh }));
      value(await other.newEpoch());
      clock += 3_600_000;
      value(await other.retire(key_id)); // nothing in the database uses it yet
      const stored = await fresh.transaction(async (sql) => {
        await sql
          .insertInto("items")
          .values(itemRow("late", { token: bytes, key_id }))
          .execute();
        return ok(undefined);
      });
      assert.equal((failure(stored) as DatabaseFailure).constraint, "foreign-key");
      // Sealed again it goes under the new key, without anybody's doing.
      const again = value(await one.seal(token("late"), { purpose: "token", subject: "late" }));
      assert.notEqual(again.key_id, key_id);
      for (const each of [one, other]) each.close();
      await fresh.close();
    });

    test("re-encryption moves to a key that another process has begun with a moment ago, and in time all seal with it", async () => {
      const fresh = value(await openDatabase(await place.empty(), { now }));
      const one = value(await open({ database: fresh }));
      const x = { purpose: "token", subject: "x" } as const;
      for (const item_id of ["i1", "i2", "i3"]) {
        const { bytes, key_id } = value(
          await one.seal(token(item_id), { purpose: "token", subject: item_id }),
        );
        await fresh.sql
          .insertInto("items")
          .values(itemRow(item_id, { token: bytes, key_id }))
          .execute();
      }
      const keys = async () => {
        const rows = await fresh.sql.selectFrom("items").select("key_id").distinct().execute();
        return rows.map(({ key_id }) => key_id);
      };
      const other = value(await open({ database: fresh }));
      const first = value(await other.newEpoch());
      assert.equal(value(await reencrypt(one, fresh, { batch: 2 })).moved, 3);
      assert.deepEqual(await keys(), [first]);

      const second = value(await other.newEpoch());
      one.lookAgain();
      const ids = ["i1", "i2", "i3"];
      assert.equal(value(await reencryptItems(one, fresh, ids)).moved, 3);
      assert.deepEqual(await keys(), [second]);

      const third = value(await other.newEpoch());
      clock += 60_000;
      assert.equal(value(await one.writeKeyId()), third, "whoever only asks for the name hears of it, too");
      assert.equal(value(await one.seal(token("x"), x)).key_id, third);
      for (const each of [one, other]) each.close();
      await fresh.close();
    });

    test("a renewal that was under way when a new key was begun with does not bring the old one back", async () => {
      const fresh = value(await openDatabase(await place.empty(), { now }));
      const x = { purpose: "token", subject: "x" } as const;
      const other = value(await open({ database: fresh }));
      const old = value(await other.writeKeyId());
      const reached = Promise.withResolvers<void>();
      const gate = Promise.withResolvers<void>();
      let reads = 0;
      const slow: Database = {
        ...fresh,
        async read(work) {
          const read = await fresh.read(work);
          // After two that open the vault, the first takes seals of the old key, which is open still.
          if (++reads !== 3) return read;
          reached.resolve();
          await gate.promise;
          return read;
        },
      };
      const one = value(await open({ database: slow }));
      assert.equal(reads, 2);
      const sealing = one.seal(token("x"), x);
      await reached.promise;
      const key_id = value(await one.newEpoch());
      gate.resolve();
      assert.notEqual(key_id, old);
      assert.equal(value(await sealing).key_id, key_id);
      for (const each of [one, other]) each.close();
      await fresh.close();
    });

    test("a clock that is put back does not keep a closed key in use", async () => {
      const fresh = value(await openDatabase(await place.empty(), { now }));
      let mine = now + 3_600_000;
      const one = value(await open({ database: fresh, now: () => mine }));
      const x = { purpose: "token", subject: "x" } as const;
      const old = value(await one.seal(token("x"), x)).key_id;
      mine = now;
      const other = value(await open({ database: fresh }));
      const key_id = value(await other.newEpoch());
      assert.notEqual(key_id, old);
      assert.equal(value(await one.writeKeyId()), key_id);
      assert.equal(value(await one.seal(token("x"), x)).key_id, key_id);
      for (const each of [one, other]) each.close();
      await fresh.close();
    });

    test("a row that is refused for its key costs one try, whatever the clock says and whichever way it went", async () => {
      const fresh = value(await openDatabase(await place.empty(), { now }));
      const one = value(await open({ database: fresh, now: () => now }));
      const other = value(await open({ database: fresh }));
      const x = { purpose: "token", subject: "x" } as const;
      const key = { key_id: "text" } as const;
      const take = fresh.together({ key }, (_, over) => [
        over("key", (sql) =>
          sql
            .updateTable("items")
            .from("key")
            .set((row) => ({ key_id: row.ref("key.key_id") })),
        ),
      ]);
      const ask = fresh.statement<{ key_id: string }, unknown>((sql, given) =>
        sql.updateTable("items").set({ key_id: given("key_id") }),
      );
      const ways: Record<string, (key_id: string) => Promise<Result<unknown, DatabaseFailure>>> = {
        transaction: (key_id) =>
          fresh.transaction(async (sql) => {
            await sql.updateTable("items").set({ key_id }).execute();
            return ok(undefined);
          }),
        read: (key_id) => fresh.read((sql) => sql.updateTable("items").set({ key_id }).execute()),
        statement: (key_id) => ask({ key_id }),
        together: (key_id) => take({ key: [{ key_id }] }),
      };
      const sealed = value(await other.seal(token("x"), x));
      await fresh.sql
        .insertInto("items")
        .values(itemRow("x", { token: sealed.bytes, key_id: sealed.key_id }))
        .execute();
      for (const [way, write] of Object.entries(ways)) {
        const gone = value(await one.seal(token("x"), x)).key_id;
        const key_id = value(await other.newEpoch());
        assert.ok((await write(key_id)).ok);
        clock += 3_600_000;
        value(await other.retire(gone));
        assert.equal(value(await one.seal(token("x"), x)).key_id, gone, "nothing tells of it");
        assert.equal(failure(await write(gone)).constraint, "foreign-key", way);
        assert.equal(value(await one.seal(token("x"), x)).key_id, key_id, way);
      }
      for (const each of [one, other]) each.close();
      await fresh.close();
    });

    test("rows changed during the re-encryption keep the change", async () => {
      const fresh = value(await openDatabase(await place.empty(), { now }));
      const one = value(await open({ database: fresh }));
      for (let index = 0; index < 40; index++) {
        const id = `i${String(index).padStart(2, "0")}`;
        const { bytes, key_id } = value(await one.seal(token(id), { purpose: "token", subject: id }));
        await fresh.sql
          .insertInto("items")
          .values(itemRow(id, { token: bytes, key_id }))
          .execute();
      }
      value(await one.newEpoch());
      const rotated: Promise<unknown>[] = [];
      const rotate = async (id: string) => {
        const { bytes, key_id } = value(
          await one.seal(token(`${id} rotated`), { purpose: "token", subject: id }),
        );
        await fresh.sql
          .updateTable("items")
          .set((row) => ({ token: bytes, key_id, token_version: row("token_version", "+", 1) }))
          .where("item_id", "=", id)
          .execute();
      };
      const running = reencrypt(one, fresh, { batch: 3 });
      for (let index = 0; index < 40; index += 2) rotated.push(rotate(`i${String(index).padStart(2, "0")}`));
      await Promise.all([running, ...rotated]);
      for (let index = 0; index < 40; index++) {
        const id = `i${String(index).padStart(2, "0")}`;
        const row = await fresh.sql
          .selectFrom("items")
          .select(["token", "key_id"])
          .where("item_id", "=", id)
          .executeTakeFirstOrThrow();
        const opened = value(await one.open(row.token!, { purpose: "token", subject: id }, row.key_id));
        assert.deepEqual(opened, token(index % 2 === 0 ? `${id} rotated` : id));
      }
      one.close();
      await fresh.close();
    });

    test("re-encryption that is killed is begun again and loses nothing", async () => {
      const shared = await place.empty();
      const fresh = value(await openDatabase(shared, { now }));
      const one = value(await open({ database: fresh }));
      const { rows } = fresh.differences;
      const names = Array.from({ length: 3_000 }, (_, index) => `i${String(index).padStart(5, "0")}`);
      const sealed = await Promise.all(
        names.map(async (id) => value(await one.seal(token(id), { purpose: "token", subject: id }))),
      );
      await fresh.sql
        .insertInto("items")
        .columns(["item_id", "environment", "state", "token", "key_id", "token_at", "linked_at"])
        .expression((from) =>
          from
            .selectFrom(
              rows("given", {
                id: { kind: "text", values: names },
                token: { kind: "bytes", values: sealed.map(({ bytes }) => bytes) },
                key: { kind: "text", values: sealed.map(({ key_id }) => key_id) },
              }),
            )
            .select((row) => [
              row.ref("given.id").as("item_id"),
              row.val("sandbox").as("environment"),
              row.val("healthy").as("state"),
              row.ref("given.token").as("token"),
              row.ref("given.key").as("key_id"),
              row.lit(now).as("token_at"),
              row.lit(now).as("linked_at"),
            ]),
        )
        .execute();
      const target = value(await one.newEpoch());
      const left = async () =>
        Number(
          (
            await fresh.sql
              .selectFrom("items")
              .select((row) => row.fn.countAll().as("n"))
              .where("key_id", "<>", target)
              .executeTakeFirstOrThrow()
          ).n,
        );
      let kills = 0;
      for (let before = await left(); before > 0 && kills < 3; before = await left()) {
        const child = fork(join(import.meta.dirname, "reencrypter.ts"), [shared, key, String(now)], {
          execArgv: ["--conditions=@sett/source"],
          stdio: ["ignore", "inherit", "inherit", "ipc"],
        });
        for (let moved = 0; moved < 250;) [moved] = (await once(child, "message")) as [number];
        child.kill("SIGKILL");
        await once(child, "close");
        assert.ok((await left()) < before);
        kills++;
      }
      assert.equal(kills, 3);
      const rest = await left();
      assert.equal(value(await reencrypt(one, fresh)).moved, rest);
      for (const id of names) {
        const row = await fresh.sql
          .selectFrom("items")
          .select(["token", "key_id"])
          .where("item_id", "=", id)
          .executeTakeFirstOrThrow();
        assert.equal(row.key_id, target);
        assert.deepEqual(value(await one.open(row.token!, { purpose: "token", subject: id })), token(id));
      }
      one.close();
      await fresh.close();
    });

    test("a key service is asked with the context, and its words stay outside", async () => {
      const fresh = value(await openDatabase(await place.empty(), { now }));
      const inner = localKeyRing(newKey());
      const asked: unknown[] = [];
      let down = false;
      const ring = kms("arn:example", {
        wrap: async (plain, context) => (asked.push(context), value(await inner.wrap(plain, context))),
        unwrap: async (wrapped, context) => {
          if (down) throw Object.assign(new Error(`cannot unwrap ${wrapped}`), { name: "Throttled" });
          return value(await inner.unwrap(wrapped, context));
        },
      });
      const one = value(await open({ database: fresh, ring }));
      const sealed = value(await one.seal(token("k"), { purpose: "token", subject: "k" }));
      assert.deepEqual(asked[1], { purpose: "sett seal", environment: "sandbox", key_id: sealed.key_id });
      down = true;
      const refused = failure(await open({ database: fresh, ring }));
      assert.equal(refused.kind, "keys-unavailable");
      assert.equal(refused.detail, "the key service failed: Throttled");
      down = false;
      const other = value(await open({ database: fresh, ring }));
      assert.deepEqual(value(await other.open(sealed.bytes, { purpose: "token", subject: "k" })), token("k"));
      for (const each of [one, other]) each.close();
      await fresh.close();
    });

    test("what a key service cannot unwrap again takes no key's place, and nothing is sealed with it", async () => {
      const fresh = value(await openDatabase(await place.empty(), { now }));
      const inner = localKeyRing(key);
      const one = value(await open({ database: fresh, ring: inner }));
      const x = { purpose: "token", subject: "x" } as const;
      const sealed = value(await one.seal(token("x"), x));
      const unwrap = inner.unwrap.bind(inner);
      const rings: Record<string, KeyRing> = {
        // As a service's answer in JSON may be, where nobody has told its type.
        "the key service gave no bytes": kms("text", {
          wrap: async () => "vault:v1:c2V0dA" as unknown as Uint8Array,
          unwrap: async (wrapped, context) => value(await inner.unwrap(wrapped, context)),
        }),
        "the wrapped key is cut": { kekId: "cut", wrap: async (plain) => ok(plain.slice(0, 7)), unwrap },
        "what was wrapped is unwrapped to something else": {
          kekId: "else",
          wrap: (plain, context) => inner.wrap(Buffer.from(plain).reverse(), context),
          unwrap,
        },
      };
      for (const [detail, ring] of Object.entries(rings)) {
        const moving = new Vault({ database: fresh, ring, environment: "sandbox", now: () => clock });
        const refused = [
          await moving.rewrap(),
          await moving.sealPortable(token("x"), x),
          await open({ database: fresh, ring }),
        ];
        for (const one of refused) assert.ok(failure<VaultFailure>(one).detail.includes(detail), detail);
        moving.close();
      }
      const again = value(await open({ database: fresh, ring: inner }));
      assert.deepEqual(value(await again.open(sealed.bytes, x, sealed.key_id)), token("x"));
      for (const each of [one, again]) each.close();
      await fresh.close();
    });

    test("a closed vault does nothing more", async () => {
      const one = value(await open());
      value(await one.seal(token("x"), { purpose: "token", subject: "x" }));
      one.close();
      await assert.rejects(one.seal(token("x"), { purpose: "token", subject: "x" }), /closed/);
      await assert.rejects(one.sealPortable(token("x"), { purpose: "escrow", subject: "x" }), /closed/);
    });
  });
}
