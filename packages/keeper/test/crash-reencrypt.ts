// A process that re-encrypts in small batches and ends itself with SIGKILL at its n-th step: see crash-reencrypt.test.ts.

import { writeSync } from "node:fs";
import { openDatabase, type Database } from "../src/database/database.ts";
import { reencrypt } from "../src/vault/reencrypt.ts";
import { localKeyRing } from "../src/vault/ring.ts";
import { openVault } from "../src/vault/vault.ts";
import { ringText, value } from "./lifecycle-world.ts";

export interface Order {
  readonly url: string;
  readonly batch: number;
  /** 0: never. */
  readonly killAt: number;
}

const { url, batch, killAt } = JSON.parse(process.argv[2]!) as Order;
let steps = 0;

function step(name: string): void {
  writeSync(1, `${name}\n`);
  if (++steps === killAt) process.kill(process.pid, "SIGKILL");
}

const database = value(await openDatabase(url, { now: Date.now() }));
const ring = localKeyRing(ringText);
const vault = value(await openVault({ database, ring, environment: "sandbox", now: Date.now }));
const watched: Database = {
  ...database,
  read: async (work) => {
    step("before a read");
    const read = await database.read(work);
    step("after a read");
    return read;
  },
  transaction: async (work) => {
    step("before a transaction");
    const done = await database.transaction(async (sql) => {
      const result = await work(sql);
      step("before a commit");
      return result;
    });
    step("after a commit");
    return done;
  },
};
const report = value(await reencrypt(vault, watched, { batch, onBatch: () => step("after a batch") }));
if (!report.complete || report.failed > 0) throw new Error("not all of it could be opened");
vault.close();
await database.close();
