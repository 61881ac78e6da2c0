// `worker`: what it is told. What it does is in working.ts, which is loaded only for it.

import type { Register } from "./command.ts";
import { whole } from "./filters.ts";
import { port } from "./serve.ts";
import type { WorkerCommand } from "./working.ts";

export const register: Register = (cli) => {
  cli.add<WorkerCommand>(
    {
      name: "worker",
      does: "works on the sweeps there are, until it is told to end; on PostgreSQL start as many as you like",
      examples: [
        "sett worker",
        "sett worker --until-idle",
        "sett worker --in-flight 128 --metrics-port 9464",
      ],
    },
    (command) =>
      command
        .option("--in-flight <number>", "calls to Plaid at a time; 64 unless told", whole)
        .option("--lease <span>", "how long a killed worker's shard waits for another; 30s unless told")
        .option("--until-idle", "ends when no sweep has anything left to do")
        .option(
          "--metrics-port <number>",
          "/metrics, /healthz and /readyz on that port; 0 for any free one",
          port,
        )
        .option("--metrics-host <address>", "address for them", "127.0.0.1"),
    async (call) => (await import("./working.ts")).workUntilTold(call),
  );
};
