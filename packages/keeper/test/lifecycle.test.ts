// The keeper's door over both databases.

import { lifecycleContract } from "./lifecycle-contract.ts";
import { testPlaces } from "./places.ts";

const { places, escrowFolder } = testPlaces("lifecycle");

for (const [name, empty] of Object.entries(places)) {
  lifecycleContract({ name, empty: async () => ({ url: await empty(), folder: escrowFolder() }) });
}
