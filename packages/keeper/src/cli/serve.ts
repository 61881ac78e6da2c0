// `serve`: what it is told. What it does is in serving.ts, which is loaded only for it.

import { InvalidArgumentError } from "commander";
import type { Register } from "./command.ts";
import type { ServeOptions } from "./serving.ts";

export const register: Register = (cli) => {
  cli.add<ServeOptions>(
    {
      name: "serve",
      does: "receives Plaid's webhooks at /webhook and finishes what is left open; /healthz, /readyz and /metrics for those who watch",
      examples: ["sett serve --port 8080", "sett serve --host 0.0.0.0 --port 8080"],
    },
    (command) =>
      command
        .option(
          "--host <address>",
          "address to listen on; /metrics is open to whoever reaches it",
          "127.0.0.1",
        )
        .option(
          "--link-from-webhooks",
          "link the Items whose public tokens come by webhook (Hosted and Multi-Item Link)",
        )
        .option("-p, --port <number>", "port; 0 for any free one", port, 8080),
    async (call) => (await import("./serving.ts")).serveUntilTold(call),
  );
};

/** Reads the number of a port. */
export function port(given: string): number {
  if (!/^\d{1,5}$/.test(given) || Number(given) > 65_535)
    throw new InvalidArgumentError("It must be a number from 0 (any free port) to 65535.");
  return Number(given);
}
