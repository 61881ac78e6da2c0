// The keeper's door over both databases.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before } from "node:test";
import { startPostgres, type TestPostgres } from "../../../test/postgres/start.ts";
import { lifecycleContract } from "./lifecycle-contract.ts";

let folder: string;
let postgres: TestPostgres;
let made = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "sett-lifecycle-"));
  postgres = await startPostgres();
});
after(async () => {
  await postgres.stop();
  await rm(folder, { recursive: true });
});

const escrow = () => join(folder, `escrow-${++made}`);
lifecycleContract({
  name: "SQLite",
  empty: async () => ({ url: join(folder, `data-${++made}`), folder: escrow() }),
});
lifecycleContract({
  name: "PostgreSQL",
  empty: async () => ({ url: await postgres.createDatabase(`life-${++made}`), folder: escrow() }),
});
