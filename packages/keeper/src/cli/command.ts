// What commands are made of: each file of commands registers its own here, gives each an example, and says with an
// `Ending` how it ended.

import type { Command } from "commander";
import { isUnread, type Context } from "./context.ts";
import type { Ending } from "./exits.ts";
import { createOut, type Out } from "./out.ts";

/** Options that every command has. */
export interface Globals {
  readonly config?: string;
  readonly json?: true;
}

/** One call of a command. */
export interface Call<Options> {
  readonly context: Context;
  readonly out: Out;
  readonly globals: Globals;
  readonly args: readonly string[];
  readonly options: Options;
}

/** What a command is called, what it does, and how it is called: what its help says. */
export interface About {
  readonly name: string;
  readonly does: string;
  readonly examples: readonly string[];
  /** It changes nothing, always or `with --dry-run`, and opens no more then than `withBooks` does: its help says so. */
  readonly looks?: true | `with${string}`;
  /** It never opens more than `withBooks` does, whatever it changes: its help says so. */
  readonly offline?: true;
}

/** To which a file adds its commands. */
export interface Cli {
  /**
   * Adds a command: `name` with its arguments, such as `show <item_id>`. `make` adds what else it needs; `work` is done
   * when it is called.
   */
  add<Options extends object>(
    about: About,
    make: (command: Command) => Command,
    work: (call: Call<Options>) => Promise<Ending>,
  ): void;
  /** Commands below one of that name, such as `keys list`. */
  group(about: About): Cli;
}

/** What a file of commands exports. */
export type Register = (cli: Cli) => void;

/** Adds to `program`, and tells `end` how the command that was called ended. */
export function createCli(program: Command, context: Context, end: (ending: Ending) => void): Cli {
  return {
    add<Options extends object>(
      { name, does, examples, ...needs }: About,
      make: (command: Command) => Command,
      work: (call: Call<Options>) => Promise<Ending>,
    ) {
      const command = make(inheriting(program.command(name), program).description(does));
      command.addHelpText("after", shown(examples) + needed(needs));
      command.action(async () => {
        const globals = command.optsWithGlobals<Globals>();
        const out = createOut(context, globals.json === true);
        const call = { context, out, globals, args: command.args, options: command.opts<Options>() };
        try {
          const ending = await work(call);
          // A reader that has seen enough (`sett items | head`) is no failure.
          end(ending === "interrupted" && needs.looks === true && isUnread(context) ? "done" : ending);
        } finally {
          out.rewrite();
        }
      });
    },
    group({ name, does, examples }) {
      const group = inheriting(program.command(name), program).description(does);
      group.addHelpText("after", shown(examples));
      return createCli(group, context, end);
    },
  };
}

/** Commander hands its settings on to commands that it makes itself, but not how errors are shown. */
const inheriting = (command: Command, from: Command) => command.copyInheritedSettings(from);

function needed({ looks, offline }: Pick<About, "looks" | "offline">): string {
  if (looks === undefined) return offline ? "\n\nIt needs none of Plaid's credentials." : "";
  const when = looks === true ? "It" : `W${looks.slice(1)} it`;
  return offline
    ? `\n\n${when} changes nothing. It never needs Plaid's credentials.`
    : `\n\n${when} changes nothing, and needs none of Plaid's credentials.`;
}

const shown = (examples: readonly string[]) =>
  `\nExample${examples.length > 1 ? "s" : ""}:\n${lines(examples)}`;

const lines = (examples: readonly string[]) => examples.map((example) => `  $ ${example}`).join("\n");
