// Webhooks verified a second on one core: what the checks around the signature cost.

import { canPin, startContender } from "../programs.ts";
import type { Comparison } from "../report.ts";
import { cpuMicros, interleaved, middle, perSecond, ratio, type Sample, type Pace } from "../rounds.ts";
import { contenders } from "./contenders.ts";

/** A receiver under load has some of them at once. */
const inFlight = 16;

export async function compareWebhooks({ rounds, forMs }: Pace): Promise<Comparison> {
  const oneCore = await canPin();
  const names = Object.keys(contenders);
  const started = new Map(
    await Promise.all(
      names.map(
        async (name) => [name, await startContender("webhook/contenders.ts", name, null, oneCore)] as const,
      ),
    ),
  );
  const seen = await interleaved(names, rounds, async (name) => {
    const contender = started.get(name)!;
    const single = await contender.run({ inFlight: 1, forMs: forMs / 2 });
    return { single, many: await contender.run({ inFlight, forMs }) };
  });
  await Promise.all([...started.values()].map((program) => program.end()));

  type Seen = { readonly single: Sample; readonly many: Sample };
  const many = (read: (sample: Sample) => number) => (both: Seen) => read(both.many);
  const bare = "jose jwtVerify, key imported once";
  const recipe = "the documented recipe";
  const sett = "sett verifyWebhook";
  return {
    title: "Webhooks verified a second",
    how:
      `Signed webhooks of about 400 bytes, keys at hand, ${inFlight} in flight${oneCore ? ", one core (`taskset -c 0`)" : ""}; ` +
      `${rounds} interleaved rounds of ${forMs / 1000} s, medians. jwtVerify alone looks at no body.`,
    columns: [
      "verifier",
      "webhooks/s",
      "CPU µs",
      "to jwtVerify",
      "to the recipe",
      "one at a time/s",
      "to jwtVerify ",
    ],
    rows: names.map((name) => [
      name,
      middle(seen, name, many(perSecond)),
      middle(seen, name, many(cpuMicros)),
      ratio(seen, name, bare, many(perSecond)),
      ratio(seen, name, recipe, many(perSecond)),
      middle(seen, name, ({ single }) => perSecond(single)),
      ratio(seen, name, bare, ({ single }) => perSecond(single)),
    ]),
    promises: [
      {
        what: "verifyWebhook to bare jwtVerify",
        value: ratio(seen, sett, bare, many(perSecond)),
        least: 0.95,
      },
      { what: "verifyWebhook to the recipe", value: ratio(seen, sett, recipe, many(perSecond)), least: 2.5 },
    ],
    remarks: oneCore ? [] : ["There is no taskset here: helper threads may have used other cores."],
  };
}
