// What a command reads from a person or a pipe: a secret that is not shown, a yes, a list of ids.

import { createInterface } from "node:readline";
import { addAbortSignal } from "node:stream";
import type { Call } from "./command.ts";
import type { Context, Input } from "./context.ts";
import { Stop, wrong } from "./exits.ts";

const longestSecret = 65_536;

/** A secret from stdin: asked for without an echo on a terminal, else all that stdin holds. */
export async function readSecret(context: Context, question: string): Promise<string> {
  const { stdin, stderr } = context;
  if (stdin.isTTY !== true) return readAll(context);
  stderr.write(`${question} (it is not shown): `);
  stdin.setRawMode?.(true);
  try {
    return await unlessStopped(context, typed(stdin));
  } finally {
    stdin.setRawMode?.(false);
    stdin.pause();
    stderr.write("\n");
  }
}

async function readAll({ stdin, signal }: Context): Promise<string> {
  let text = "";
  try {
    for await (const chunk of addAbortSignal(signal, stdin.setEncoding("utf8")) as AsyncIterable<string>) {
      text += chunk;
      if (text.length > longestSecret) throw wrong("what came on standard input is too long for a token");
    }
  } catch (thrown) {
    throw signal.aborted ? nothingBegun() : thrown;
  }
  return text.trim();
}

/** What comes of it, unless the program is to end first: what is read from may be silent for ever. */
export function unlessStopped<Value>({ signal }: Context, work: Promise<Value>): Promise<Value> {
  const stopped = new Promise<never>((_, reject) => {
    const stop = () => reject(nothingBegun());
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
  });
  return Promise.race([work, stopped]);
}

const nothingBegun = () => new Stop("interrupted", "stopped; nothing was begun");

/** Up to Enter. Ctrl-C and Ctrl-D are for the program, as the terminal hands on every key as it is. */
function typed(stdin: Input): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const end = (settle: () => void) => {
      stdin.off("data", onData);
      settle();
    };
    const onData = (chunk: string) => {
      for (const key of chunk) {
        if (key === "\r" || key === "\n") return end(() => resolve(text.trim()));
        if (key === "\u0003" || key === "\u0004") return end(() => reject(nothingBegun()));
        if (key === "\u007f" || key === "\b") text = text.slice(0, -1);
        else text += key;
      }
    };
    stdin.setEncoding("utf8").on("data", onData).resume();
  });
}

/** Goes on only with a yes: of --yes, or typed on a terminal, where standard input is not read for Items (`-`). */
export async function confirm(
  { context, options, args }: Pick<Call<{ readonly yes?: true }>, "context" | "options" | "args">,
  what: string,
): Promise<void> {
  if (options.yes) return;
  const { stdin, stderr, signal } = context;
  if (args.includes("-") || stdin.isTTY !== true || stderr.isTTY !== true)
    throw new Stop("unconfirmed", `${what}: say --yes if that is what you want`);
  stderr.write(`${what}? Type yes: `);
  const lines = createInterface({ input: stdin, signal });
  try {
    for await (const line of lines) {
      if (line.trim().toLowerCase() === "yes") return;
      break;
    }
  } finally {
    lines.close();
  }
  throw new Stop("unconfirmed", "nothing was done");
}

/**
 * Ids of Items, each once: the arguments, or with `-` what is on standard input, one to a line, as `sett items` writes
 * them, with or without --json.
 */
export async function readItemIds(
  { stdin, signal }: Context,
  args: readonly string[],
): Promise<readonly string[]> {
  if (!args.includes("-")) return [...new Set(args)];
  if (args.length > 1) throw wrong("`-` reads the ids from standard input: give it alone");
  const ids = new Set<string>();
  for await (const line of createInterface({ input: stdin, signal })) {
    const id = idIn(line);
    if (id !== "") ids.add(id);
  }
  if (signal.aborted) throw nothingBegun();
  return [...ids];
}

function idIn(line: string): string {
  const [first = ""] = line.trim().split(/\s/, 1);
  if (!first.startsWith("{")) return first;
  try {
    const { item_id } = JSON.parse(line) as { item_id?: unknown };
    if (typeof item_id === "string") return item_id;
  } catch {}
  throw wrong("a line of standard input begins like JSON and is no object with an item_id");
}
