// A full disk and a cut of power, met by a whole keeper: whatever failed when, in the end every live Item has its
// token, or a record says that it has none. In which order the escrow and the database are written is not said here.

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { sql as raw } from "kysely";
import { createSandbox } from "@sett/sandbox";
import { ok } from "sett";
import { nodeFiles, type Files } from "../src/escrow/files.ts";
import type { Keeper } from "../src/keeper.ts";
import type { KeeperFailure } from "../src/lifecycle/failure.ts";
import { configFor, open, publicToken, value, violations } from "./lifecycle-world.ts";
import { powerCutDisk } from "./power-cut.ts";

let root: string;
let made = 0;
before(async () => void (root = await mkdtemp(join(tmpdir(), "sett-disaster-"))));
after(() => rm(root, { recursive: true }));
const place = () => join(root, String(++made));

/** Lets the database's file grow no more, and fills what room is left in it; or lets it grow again. */
async function fill({ database }: Keeper, isFull: boolean): Promise<void> {
  const pages = isFull ? 1 : 1_000_000; // never fewer than there are
  const limit = raw`${raw.raw(`pragma max_page_count = ${pages}`)}`;
  value(await database.transaction(async (sql) => ok(void (await limit.execute(sql)))));
  for (let bytes = isFull ? 100_000 : 0; bytes >= 1;) {
    const row = { environment: "sandbox" as const, at: 0, kind: "filler", detail: "x".repeat(bytes) };
    const added = await database.read((sql) => sql.insertInto("events").values(row).execute());
    if (!added.ok) bytes = Math.floor(bytes / 2);
  }
}

const isFull = (failure: KeeperFailure): boolean =>
  failure.kind === "pending"
    ? isFull(failure.cause)
    : (failure.kind === "database" && failure.database.kind === "full") ||
      (failure.kind === "escrow" && failure.escrow.kind === "full") ||
      failure.kind === "vault";

for (const full of [["database"], ["escrow"], ["database", "escrow"]] as const) {
  for (const when of ["begin", "intended", "answered"] as const) {
    test(`no room for the ${full.join(" and the ")} after "${when}": nothing is lost once there is room again`, async (t) => {
      const sandbox = await createSandbox();
      const plaid = configFor(sandbox);
      let noRoom = false;
      const refuse = () => {
        if (noRoom) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
      };
      const files: Files = {
        ...nodeFiles,
        create: async (path) => {
          refuse();
          const file = await nodeFiles.create(path);
          return {
            ...file,
            write: async (bytes, position) => {
              refuse();
              return file.write(bytes, position);
            },
            sync: () => file.sync(),
            close: () => file.close(),
          };
        },
      };
      let armed = "";
      const at = async (step: string) => {
        if (step !== armed) return;
        armed = "";
        noRoom = full.some((what) => what === "escrow");
        if (full.some((what) => what === "database")) await fill(keeper, true);
      };
      const keeper = await open(place(), place(), plaid, { at, files });
      const removals = new Set<string>();
      const failures: KeeperFailure[] = [];
      try {
        const item_id = value(await keeper.link(await publicToken(plaid))).item_id;
        const doomed = value(await keeper.link(await publicToken(plaid))).item_id;
        const given = await publicToken(plaid);
        const acts = {
          link: () => keeper.link(given),
          rotate: () => keeper.rotate(item_id),
          webhook: () => keeper.updateWebhook(item_id, "http://127.0.0.1:9/full"),
          remove: () => {
            removals.add(doomed);
            return keeper.remove(doomed);
          },
        };
        for (const [name, act] of Object.entries(acts)) {
          armed = `${name}: ${when}`;
          const done = await act();
          if (!done.ok) failures.push(done.error);
          noRoom = false;
          await fill(keeper, false);
          const recovery = value(await keeper.recover());
          assert.deepEqual([recovery.open, recovery.bad], [[], []], name);
          assert.deepEqual(await violations(sandbox, keeper, { removals }), [], name);
        }
        for (const failure of failures)
          assert.ok(failure.kind === "unfinished" || isFull(failure), JSON.stringify(failure));
        if (full.some((what) => what === "database")) assert.ok(failures.length > 0);
        // What was not begun may be asked for again.
        value(await keeper.link(given));
        value(await keeper.get(item_id));
        value(await acts.remove());
        assert.deepEqual(await violations(sandbox, keeper, { removals }), []);
        t.diagnostic(failures.map(({ kind }) => kind).join(", "));
      } finally {
        await keeper.close();
        await sandbox.close();
      }
    });
  }
}

for (const well of ["database", "escrow"] as const) {
  test(`a token that nothing took is there when the keeper is closed, if by then there is room for the ${well}`, async () => {
    const sandbox = await createSandbox();
    const plaid = configFor(sandbox);
    let noRoom = false;
    const files: Files = {
      ...nodeFiles,
      create: async (path) => {
        const file = await nodeFiles.create(path);
        return {
          ...file,
          write: async (bytes, position) => {
            if (noRoom) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
            return file.write(bytes, position);
          },
        };
      },
    };
    const at = async (step: string) => {
      if (step !== "rotate: answered") return;
      noRoom = true;
      await fill(keeper, true);
    };
    const [url, folder] = [place(), place()];
    const keeper = await open(url, folder, plaid, { at, files });
    const { item_id } = value(await keeper.link(await publicToken(plaid)));
    const rotated = await keeper.rotate(item_id);
    assert.partialDeepStrictEqual(rotated, { ok: false, error: { kind: "pending", kept: "memory" } });
    if (well === "database") await fill(keeper, false);
    else noRoom = false;
    await keeper.close();

    const next = await open(url, folder, plaid, { now: () => Date.now() + 600_000 });
    const { adopted, open: left, bad } = value(next.recovered);
    assert.deepEqual([adopted, left, bad], [well === "escrow" ? [item_id] : [], [], []]);
    value(await next.get(item_id));
    assert.deepEqual(await violations(sandbox, next, { removals: new Set() }), []);
    await next.close();
    await sandbox.close();
  });
}

for (const what of ["link", "rotate", "remove"] as const) {
  test(`the power is cut at every step of the escrow's disk: ${what}`, async (t) => {
    let cuts = 0;
    let kept = 0;
    for (let cutAfter = 0, whole = false; !whole; cutAfter++) {
      const sandbox = await createSandbox();
      const plaid = configFor(sandbox);
      const [url, folder] = [place(), "/escrow"];
      const setUp = await open(url, place(), plaid);
      const { item_id } = value(await setUp.link(await publicToken(plaid)));
      await setUp.close();
      const given = await publicToken(plaid);

      const disk = powerCutDisk({ cutAfter });
      let acknowledged: Awaited<ReturnType<typeof dying>> | undefined;
      let isDark = false;
      const dark = disk.dark.then(() => void (isDark = true));
      /** In the dark nothing goes on. */
      const lit = <Value>(going: Value) => (isDark ? new Promise<never>(() => {}) : going);
      const dying = async () => {
        const keeper = await open(url, folder, plaid, { files: disk.files, at: () => lit(undefined) });
        const act = {
          link: () => keeper.link(given),
          rotate: () => keeper.rotate(item_id),
          remove: () => keeper.remove(item_id),
        };
        const done = await lit(await act[what]());
        acknowledged = done;
        await keeper.close();
        return done;
      };
      await Promise.race([dying(), dark]);
      whole = !isDark;
      if (isDark) cuts++;

      const now = () => Date.now() + 600_000; // the leases of the dead have run out
      const after = disk.afterPowerCut();
      const keeper = await open(url, folder, plaid, { files: after.files, now });
      const recovery = value(keeper.recovered);
      assert.deepEqual(recovery.open, [], `cut after ${cutAfter}`);
      const removals = new Set(what === "remove" ? [item_id] : []);
      assert.deepEqual(await violations(sandbox, keeper, { removals }), [], `cut after ${cutAfter}`);
      if (acknowledged?.ok) {
        kept++;
        assert.deepEqual(recovery.bad, [], "what was acknowledged is there");
        if (what !== "remove") value(await keeper.get(acknowledged.value.item_id));
      }
      await keeper.close();
      await sandbox.close();
    }
    assert.ok(cuts > 2 && kept > 0);
    t.diagnostic(`${cuts} cuts`);
  });
}
