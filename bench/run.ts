// The benches: what sett costs and saves, side by side with its peers. Prints one Markdown table each, for the README
// to quote; how a number comes about is in the bench's own folder.
//
//   npm run bench [-- --only client|webhook|emulator|weight|keeper-link|keeper-use|keeper-reencrypt|sweep-allowance|
//                            sweep-cut|sweep-live|sweep-unlimited] [--quick] [--full] [--json]
//
// `--full` has the sweeps over as many Items as was promised: an hour, and some GB of disk.

import { parseArgs } from "node:util";
import { compareClients } from "./client/compare.ts";
import { compareEmulators } from "./emulator/compare.ts";
import { compareLinks, compareUses } from "./keeper/compare.ts";
import { compareReencryption } from "./keeper/reencrypt.ts";
import { endAll } from "./programs.ts";
import { kept, markdown, type Comparison, type Setting } from "./report.ts";
import type { Pace } from "./rounds.ts";
import { compareAllowance, compareCut } from "./sweep/allowance.ts";
import { compareTraffic } from "./sweep/traffic.ts";
import { compareUnlimited } from "./sweep/unlimited.ts";
import { compareWebhooks } from "./webhook/compare.ts";
import { compareWeights } from "./weight/compare.ts";

const benches: Record<string, (pace: Pace) => Promise<Comparison | Comparison[]>> = {
  client: compareClients,
  webhook: compareWebhooks,
  emulator: compareEmulators,
  weight: compareWeights,
  "keeper-link": compareLinks,
  "keeper-use": compareUses,
  "keeper-reencrypt": compareReencryption,
  "sweep-allowance": compareAllowance,
  "sweep-cut": compareCut,
  "sweep-live": compareTraffic,
  "sweep-unlimited": compareUnlimited,
};

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    quick: { type: "boolean" },
    full: { type: "boolean" },
    json: { type: "boolean" },
  },
});
const { only, quick = false, full = false, json = false } = values;
if (only !== undefined && !Object.hasOwn(benches, only)) {
  console.error(`--only must be one of ${Object.keys(benches).join(", ")}`);
  process.exit(2);
}
const pace = quick ? { rounds: 3, forMs: 300, full } : { rounds: 11, forMs: 1_000, full };
const flags = [only && `--only ${only}`, quick && "--quick", full && "--full", json && "--json"].filter(
  Boolean,
);
const setting: Setting = {
  node: process.versions.node,
  date: new Date().toISOString().slice(0, 10),
  command: flags.length > 0 ? `npm run bench -- ${flags.join(" ")}` : "npm run bench",
};

const comparisons: Comparison[] = [];
try {
  for (const [name, compare] of Object.entries(benches)) {
    if (only !== undefined && only !== name) continue;
    for (const comparison of [await compare(pace)].flat()) {
      comparisons.push(comparison);
      if (!json) console.log(markdown(comparison, setting));
    }
  }
} finally {
  endAll();
}
if (json) {
  const told = comparisons.map((comparison) => ({
    ...comparison,
    promises: comparison.promises.map((promised) => ({ ...promised, kept: kept(promised) })),
  }));
  console.log(JSON.stringify({ ...setting, comparisons: told }, null, 2));
}
