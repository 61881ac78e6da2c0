// The power goes at every step of the escrow's, with a whole keeper above it, while the database is held back until the
// escrow has the token, or until it has begun to write it, or for good. The next keeper finds the database as it was at
// that moment, and of the escrow's disk only what was synced.

import assert from "node:assert/strict";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createSandbox } from "@sett/sandbox";
import BetterSqlite from "better-sqlite3";
import { Item, unwrap } from "sett";
import type { Files } from "../src/escrow/files.ts";
import { configFor, open, publicToken, value, violations } from "./lifecycle-world.ts";
import { powerCutDisk } from "./power-cut.ts";

let root: string;
let made = 0;
before(async () => void (root = await mkdtemp(join(tmpdir(), "sett-power-"))));
after(() => rm(root, { recursive: true }));

type Release = "at once" | "at the first write" | "when escrowed" | "never";

/** Gives what was wrong after the cut, and whether there was one. */
async function cut(what: "link" | "rotate", release: Release, cutAfter: number) {
  const sandbox = await createSandbox();
  const plaid = configFor(sandbox);
  const folder = join(root, `data-${++made}`);
  const disk = powerCutDisk({ cutAfter });
  let holder: BetterSqlite.Database | undefined;
  let kept = false;
  const letGo = () => void holder?.close();
  const files: Files = {
    ...disk.files,
    create: async (path) => {
      const file = await disk.files.create(path);
      const write: typeof file.write = async (bytes, position) => {
        await file.write(bytes, position);
        if (release === "at the first write") letGo();
      };
      return { ...file, write };
    },
  };
  const at = (step: string) => {
    if (step === `${what}: answered` && release !== "at once") {
      holder = new BetterSqlite(join(folder, "sett.db"));
      holder.exec("begin immediate");
    }
    if (step === `${what}: escrowed` || step === `${what}: committed`) kept = true;
    if (step === `${what}: escrowed` && release === "when escrowed") letGo();
    // Nobody who waits for the database hears of it any more.
    if (step === `${what}: escrowed` && release === "never") over.resolve();
  };
  const over = Promise.withResolvers<void>();
  const first = open(folder, "/escrow", plaid, { files, at });
  const token = await publicToken(plaid);
  const work = first.then(async (keeper) => {
    if (what === "link") value(await keeper.link(token));
    else {
      const { access_token, item_id } = unwrap(await Item.exchangePublicToken(token, plaid));
      value(await keeper.importItem(access_token));
      value(await keeper.rotate(item_id));
    }
    // Until what nobody waits for has come to its end, too.
    if (!disk.wasCut()) await Promise.race([keeper.close(), disk.dark]);
  });
  await Promise.race([work, disk.dark, over.promise]);

  const copy = join(root, `copy-${made}`);
  await cp(folder, copy, { recursive: true });
  const next = await open(copy, "/escrow", plaid, { files: disk.afterPowerCut().files });
  const said = await violations(sandbox, next, { removals: new Set() });
  const rows = await next.database.sql.selectFrom("intents").select("outcome").execute();
  if (rows.some(({ outcome }) => outcome === null)) said.push("an intent is open");
  const givenUp = rows.some(({ outcome }) => outcome === "lost" || outcome === "stranded");
  if (kept && givenUp) said.push("given up, though it was kept");
  await next.close();
  letGo();
  await sandbox.close();
  return { said: said.map((one) => `${cutAfter}: ${one}`), wasCut: disk.wasCut(), kept };
}

for (const what of ["link", "rotate"] as const) {
  for (const release of ["at once", "at the first write", "when escrowed", "never"] as const) {
    test(`${what}, the database let go ${release}: what was kept is there after any cut`, async (t) => {
      const complaints: string[] = [];
      let cuts = 0;
      for (let cutAfter = 0; ; cutAfter++) {
        const { said, wasCut, kept } = await cut(what, release, cutAfter);
        complaints.push(...said);
        if (wasCut) cuts++;
        else {
          assert.ok(kept);
          break;
        }
      }
      assert.deepEqual(complaints, []);
      t.diagnostic(`${cuts} cuts`);
    });
  }
}
