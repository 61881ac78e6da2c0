#!/usr/bin/env node
// `sett-sandbox`: a sandbox on a port, for any language's client of Plaid. Exit codes: 0 after SIGINT or SIGTERM, 1
// when it cannot start (port in use, folder damaged or in use, a file that does not read), 2 for wrong usage.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command, CommanderError, InvalidArgumentError } from "commander";
import {
  createSandbox,
  sandboxCredentials,
  type Control,
  type Credentials,
  type SandboxOptions,
} from "./index.ts";
import { isPair } from "./answer.ts";
import { faultInOrder, type FaultOrder } from "./faults.ts";
import { faultInSwitches } from "./switches.ts";

const CANNOT_START = 1;
const WRONG_USAGE = 2;

interface Flags {
  readonly port: number;
  readonly host: string;
  readonly data?: string;
  readonly seed?: string;
  readonly limits?: true;
  readonly clock?: string;
  readonly faults?: readonly FaultOrder[];
  readonly credentials?: Credentials;
  readonly anyCredentials?: true;
  readonly switch?: Readonly<Record<string, string>>;
}

const port = (given: string) => {
  if (!/^\d{1,5}$/.test(given) || Number(given) > 65_535)
    throw new InvalidArgumentError("It must be a number from 0 (any free port) to 65535.");
  return Number(given);
};
const moment = (given: string) => {
  if (Number.isNaN(Date.parse(given)))
    throw new InvalidArgumentError("It must be an ISO time, such as 2026-01-31T12:00:00Z.");
  return given;
};
const oneSwitch = (given: string, former: Readonly<Record<string, string>> = {}) => {
  const [name = "", value = ""] = given.split("=", 2);
  const wrong = faultInSwitches({ [name]: value });
  if (wrong) throw new InvalidArgumentError(`${wrong}.`);
  return { ...former, [name]: value };
};
const json = (file: string): unknown => {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (thrown) {
    throw new InvalidArgumentError(`It must be a file of JSON: ${(thrown as Error).message}.`);
  }
};
const faults = (file: string) => {
  const orders = json(file);
  if (!Array.isArray(orders)) throw new InvalidArgumentError("It must hold a list of faults.");
  for (const [index, order] of orders.entries()) {
    const wrong = faultInOrder(order);
    if (wrong) throw new InvalidArgumentError(`Fault ${index + 1}: ${wrong}.`);
  }
  return orders as FaultOrder[];
};
const credentials = (file: string) => {
  const pairs = json(file);
  if (!Array.isArray(pairs) || !pairs.every(isPair))
    throw new InvalidArgumentError("It must hold a list of { client_id, secret }.");
  return pairs as Credentials;
};

const version = (): string => {
  const manifest = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
};

const program = new Command("sett-sandbox")
  .description(
    "A local Plaid for development and tests: exact on the wire, with a clock you can move and faults you can order.",
  )
  .option("-p, --port <number>", "port; 0 for any free one", port, 4242)
  .option("--host <address>", "address to listen on; /_sandbox is open to whoever reaches it", "127.0.0.1")
  .option("--data <folder>", "keep everything in this folder, over restarts and kills")
  .option("--seed <seed>", "the same seed gives the same tokens and ids")
  .option("--limits", "Plaid's rate limits of Sandbox")
  .option("--clock <time>", "begin at this time, and stand still until moved", moment)
  .option(
    "--faults <file>",
    'a JSON list of faults, such as [{ "path": "/item/get", "then": "reset" }]; with --data, ordered again only when it has changed',
    faults,
  )
  .option("--credentials <file>", "a JSON list of { client_id, secret } to accept", credentials)
  .option("--any-credentials", "accept all credentials that are not empty")
  .option(
    "--switch <name=value>",
    "an answer to what is not verified about Plaid; may be repeated",
    oneSwitch,
  )
  .addHelpText(
    "after",
    `
Examples:
  $ sett-sandbox                                     on http://127.0.0.1:4242
  $ sett-sandbox --port 0 --data ./plaid             any free port; state survives
  $ sett-sandbox --clock 2026-01-01T00:00:00Z --seed 7
  $ curl -X POST localhost:4242/_sandbox/clock/advance -d '{"ms": 2592000000}'

Credentials, unless you choose others: client_id ${sandboxCredentials.client_id}, secret ${sandboxCredentials.secret}.
docs/sandbox.md describes /_sandbox. Exit codes: 0 after SIGINT or SIGTERM, 1 cannot start, 2 wrong usage.`,
  )
  .version(version(), "-V, --version")
  .exitOverride();

/** In a folder that has seen the same list before, what remains of it goes on; a new list takes the place of all that wait. */
function order({ faults }: Control, orders: readonly FaultOrder[], folder: string | undefined) {
  const seen = folder && join(folder, "ordered-faults.json");
  const list = `${JSON.stringify(orders)}\n`;
  if (seen && existsSync(seen) && readFileSync(seen, "utf8") === list) return;
  faults.clear();
  faults.add(...orders);
  if (seen) writeFileSync(seen, list);
}

async function main() {
  try {
    program.parse();
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown;
    process.exitCode = thrown.exitCode === 0 ? 0 : WRONG_USAGE;
    return;
  }
  const flags = program.opts<Flags>();
  const accepted = flags.anyCredentials ? "any" : flags.credentials;
  const options: SandboxOptions = {
    switches: flags.switch ?? {},
    limits: flags.limits === true,
    ...(flags.seed !== undefined && { seed: flags.seed }),
    ...(flags.clock !== undefined && { now: flags.clock }),
    ...(flags.data !== undefined && { data: flags.data }),
    ...(accepted && { credentials: accepted }),
  };
  const sandbox = await createSandbox(options);
  if (flags.faults) order(sandbox.control, flags.faults, flags.data);
  let url: string;
  try {
    ({ url } = await sandbox.listen(flags.port, flags.host));
  } catch (thrown) {
    await sandbox.close();
    const inUse = (thrown as NodeJS.ErrnoException).code === "EADDRINUSE";
    throw inUse
      ? new Error(
          `port ${flags.port} on ${flags.host} is in use; choose another with --port, or 0 for any free one`,
        )
      : thrown;
  }
  const hint = accepted
    ? ""
    : ` (client_id ${sandboxCredentials.client_id}, secret ${sandboxCredentials.secret})`;
  console.log(`sett-sandbox is ready on ${url}${hint}`);

  const end = () => {
    process.off("SIGINT", end).off("SIGTERM", end);
    void sandbox.close();
  };
  process.on("SIGINT", end).on("SIGTERM", end);
}

try {
  await main();
} catch (thrown) {
  console.error(`sett-sandbox: ${thrown instanceof Error ? thrown.message : thrown}`);
  process.exitCode = CANNOT_START;
}
