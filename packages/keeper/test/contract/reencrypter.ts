// A process that re-encrypts until it is killed: see vault.ts.

import { openDatabase } from "../../src/database/database.ts";
import { reencrypt } from "../../src/vault/reencrypt.ts";
import { localKeyRing } from "../../src/vault/ring.ts";
import { openVault } from "../../src/vault/vault.ts";
import { value } from "./database.ts";

const [url, key, time] = process.argv.slice(2);
const now = Number(time);
const database = value(await openDatabase(url!, { now }));
const vault = value(
  await openVault({ database, ring: localKeyRing(key!), environment: "sandbox", now: () => now }),
);
await reencrypt(vault, database, { batch: 50, onBatch: ({ moved }) => process.send!(moved) });
