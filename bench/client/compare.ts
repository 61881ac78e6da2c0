// Calls a second: what a client's convenience costs over the bare transport below it.

import { startContender, startServer } from "../programs.ts";
import type { Comparison } from "../report.ts";
import { cpuMicros, interleaved, middle, perSecond, ratio, type Pace } from "../rounds.ts";
import { contenders } from "./contenders.ts";

const inFlight = 50;

export async function compareClients({ rounds, forMs }: Pace): Promise<Comparison> {
  const server = await startServer("bare-server.ts");
  const names = Object.keys(contenders);
  const started = new Map(
    await Promise.all(
      names.map(
        async (name) => [name, await startContender("client/contenders.ts", name, server.origin)] as const,
      ),
    ),
  );
  const seen = await interleaved(names, rounds, (name) => started.get(name)!.run({ inFlight, forMs }));
  await Promise.all([...started.values(), server].map((program) => program.end()));

  const calls = (name: string, base: string) => ratio(seen, name, base, perSecond);
  const official = "plaid 47.0.0 (official)";
  return {
    title: "Calls a second",
    how:
      `\`Item.get\` with ${inFlight} in flight against a bare node:http server in another process that answers with a ` +
      `recorded body; ${rounds} interleaved rounds of ${forMs / 1000} s, medians. CPU is the client's process alone.`,
    columns: [
      "client",
      "calls/s",
      "CPU µs/call",
      "calls to Pool.request",
      "calls to fetch",
      "calls to official",
    ],
    rows: names.map((name) => [
      name,
      middle(seen, name, perSecond),
      middle(seen, name, cpuMicros),
      calls(name, "undici Pool.request"),
      calls(name, "fetch"),
      calls(name, official),
    ]),
    promises: [
      {
        what: "pooled to bare Pool.request",
        value: calls("sett, pooledPost", "undici Pool.request"),
        least: 0.85,
      },
      { what: "pooled to the official client", value: calls("sett, pooledPost", official), least: 5 },
      { what: "default to bare fetch", value: calls("sett, default", "fetch"), least: 0.95 },
    ],
  };
}
