// Sweeps over both databases.

import { sweepContract } from "./sweep-contract.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("sweep");
for (const name of ["SQLite", "PostgreSQL"] as const)
  sweepContract({ name, empty: async () => ({ url: await places[name](), folder: escrowFolder() }) });
