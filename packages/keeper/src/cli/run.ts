// A command line, from its words to its exit code, as a function of them and of the world outside. Commands that are
// added get a file with a register function, and a line here.

import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { register as registerChanges } from "./changes.ts";
import { createCli, type Register } from "./command.ts";
import type { Context } from "./context.ts";
import { register as registerDoctor } from "./doctor.ts";
import { exits, exitTable, Stop, type Ending } from "./exits.ts";
import { register as registerInit } from "./init.ts";
import { register as registerItems } from "./items.ts";
import { register as registerKeys } from "./keys.ts";
import { register as registerLink } from "./link.ts";
import { register as registerMove } from "./move.ts";
import { createOut } from "./out.ts";
import { register as registerPrune } from "./prune.ts";
import { forward, register as registerSandbox } from "./sandbox.ts";
import { secretIn, secretsOf } from "./secret-words.ts";
import { register as registerServe } from "./serve.ts";
import { settingsTable } from "./settings.ts";
import { register as registerSweep } from "./sweep.ts";

/** In the order of `sett --help`. */
const registers: readonly Register[] = [
  registerInit,
  registerLink,
  registerItems,
  registerChanges,
  registerSweep,
  registerMove,
  registerKeys,
  registerPrune,
  registerServe,
  registerDoctor,
  registerSandbox,
];

/** Runs one command; gives the exit code. */
export async function run(argv: readonly string[], context: Context): Promise<number> {
  const say = (text: string) => createOut(context, false).note(`sett: ${text}`);
  const shown = secretIn(argv, secretsOf(context.env));
  if (shown !== undefined) {
    say(shown);
    return exits.usage.code;
  }
  // Its arguments are the other program's.
  if (argv[0] === "sandbox") return forward(argv.slice(1), context);

  let ended: Ending = "usage";
  try {
    const program = createProgram(context, (ending) => (ended = ending));
    await program.parseAsync(helpLast(program, argv), { from: "user" });
    return exits[ended].code;
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : exits.usage.code;
    if (thrown instanceof Stop) {
      say(thrown.message);
      return exits[thrown.ending].code;
    }
    if (isOfSystem(thrown)) {
      say(thrown.message);
      return exits.failed.code;
    }
    const { stack, message } = thrown instanceof Error ? thrown : new Error(String(thrown));
    say(`a mistake in sett itself, please report it: ${stack ?? message}`);
    return exits.failed.code;
  }
}

/** A file that cannot be made, a disk that is full: the system's words are all there is to say. */
const isOfSystem = (thrown: unknown): thrown is NodeJS.ErrnoException =>
  thrown instanceof Error && "syscall" in thrown && "code" in thrown;

/**
 * `help keys list`, `keys help list` and `--help keys list` as what they mean, `keys list --help`: commander would look at
 * one name, or none. With a name that there is not, the words end there, or it would show other help and not say why.
 */
function helpLast(program: Command, argv: readonly string[]): readonly string[] {
  const { operands, unknown } = program.parseOptions([...argv]);
  const path: string[] = [];
  let isAsked = false;
  let command = program;
  for (const word of [...operands, ...unknown]) {
    if (command.commands.length === 0) break;
    if (/^(help|--help|-h)$/.test(word)) isAsked = true;
    else if (word.startsWith("-")) break;
    else {
      path.push(word);
      const below = command.commands.find((one) => one.name() === word);
      if (!below) return path;
      command = below;
    }
  }
  return isAsked ? [...path, "--help"] : argv;
}

/** All commands, with their options and their help. */
export function createProgram(context: Context, end: (ending: Ending) => void): Command {
  const { stdout, stderr } = context;
  const program = new Command("sett")
    .description("Holds Plaid Items: no token lost, leaked or forgotten.")
    .option("--config <file>", "the file of settings; ./sett.json unless told")
    .version(version(), "-V, --version")
    .option("--json", "results as JSON on stdout, one object a line")
    .showHelpAfterError("(sett help <command> says how it is used)")
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      getOutHelpWidth: () => stdout.columns || 80,
      getErrHelpWidth: () => stderr.columns || 80,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .addHelpText("after", `\n${settingsHelp()}\n\nExit codes:\n${exitTable()}`);
  const cli = createCli(program, context, end);
  for (const register of registers) register(cli);
  return program;
}

function version(): string {
  const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(manifest) as { version: string }).version;
}

function settingsHelp(): string {
  const rows = Object.entries(settingsTable).map(
    ([field, { env, what }]) => `  ${env.padEnd(16)} ${field.padEnd(9)} ${what.replaceAll("`", "")}`,
  );
  return (
    `Settings, from variables and from the fields of the file of settings (SETT_CONFIG names it too):\n` +
    `${rows.join("\n")}\n` +
    `  With _FILE after its name a variable names a file that holds the value: PLAID_SECRET_FILE=/run/secrets/plaid.\n` +
    `  Commands of which sett help <command> says so need neither Plaid's credentials nor SETT_FOLDER.`
  );
}
