// A few seeds of the storm in sweep-chaos.ts; the file itself runs many.

import assert from "node:assert/strict";
import { test } from "node:test";
import { testPlaces } from "./places.ts";
import { chaos } from "./sweep-chaos.ts";

const { places, escrowFolder, kill9, restart } = testPlaces("chaos");

for (const [name, workers, items, kills] of [
  ["PostgreSQL", 3, 60, 3],
  ["SQLite", 1, 24, 2],
] as const) {
  test(`${name}: killed workers, lost answers, hanging calls: every Item is settled or named, none is rotated twice`, async (t) => {
    const came = await chaos({
      url: await places[name](),
      folder: escrowFolder(),
      seed: 7,
      workers,
      items,
      kills,
      restart:
        name === "SQLite"
          ? undefined
          : async () => {
              await kill9();
              await restart();
            },
    });
    assert.deepEqual(came.complaints, []);
    assert.equal(came.done + came.failed, items);
    t.diagnostic(JSON.stringify(came));
  });
}
