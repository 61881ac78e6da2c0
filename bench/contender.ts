// The process of one contender: makes it ready, then runs each round it is asked for. Hides nothing more than the
// conversation with the bench; it ends when the bench does.

import { drive, type Sample } from "./rounds.ts";
import type { Round } from "./programs.ts";

/** Gets ready once, and gives what makes one call. A call that did not do its work rejects. */
export type MakeContender = (setting: never) => Promise<Prepared>;

export interface Prepared {
  readonly once: () => Promise<unknown>;
  /** Before each round, outside of what is measured. */
  readonly prepare?: () => Promise<void>;
}

/** What part of a round's length is spent beforehand: on connections that closed while others had their turn. */
const warmUp = 0.2;

process.on("disconnect", () => process.exit());
const [, , module, name, setting] = process.argv;
const { contenders } = (await import(module!)) as { contenders: Record<string, MakeContender> };
const { once, prepare } = await contenders[name!]!(JSON.parse(setting!) as never);

process.on("message", ({ inFlight, forMs }: Round) => {
  void round(inFlight, forMs).then((sample) => process.send!(sample));
});
process.send!("ready");

async function round(inFlight: number, forMs: number): Promise<Sample> {
  await prepare?.();
  const before = await drive(once, inFlight, forMs * warmUp);
  const sample = await drive(once, inFlight, forMs);
  return { ...sample, allCalls: before.calls + sample.calls };
}
