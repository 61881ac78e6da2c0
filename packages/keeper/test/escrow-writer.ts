// A process that records until it is killed, or that says what it finds: see escrow.test.ts.

import { randomUUID } from "node:crypto";
import { ok } from "sett";
import { openEscrow } from "../src/escrow/escrow.ts";
import { value } from "./contract/database.ts";

const [folder, what] = process.argv.slice(2);
const escrow = value(await openEscrow(folder!, { mint: randomUUID }));
if (what === "replay") {
  process.send!(value(await escrow.replay()).records.map(({ id }) => id));
  process.disconnect();
} else {
  for (let index = 0; ; index++) {
    const id = `w${index}`;
    value(await escrow.record({ id, at: index, meta: {} }, async () => ok(Buffer.alloc(100, 1))));
    process.send!(id);
  }
}
