// What a command says, and where: results on stdout, as text for people or as JSON for programs; everything else on
// stderr. Colour only where somebody sees it. A reader that is slow is waited for.

import { styleText } from "node:util";
import type { Context, Output } from "./context.ts";
import { masked, secretsOf } from "./secret-words.ts";

export type Style = Parameters<typeof styleText>[0];

export interface Out {
  /** Whether results are wanted as JSON, one object a line. */
  readonly json: boolean;
  /** Whether a person looks at the results. */
  readonly person: boolean;
  /** Columns of the terminal. */
  readonly columns: number;
  /** A result for people; nothing with --json. */
  line(text: string): Promise<void>;
  /** A result for programs; nothing without --json. */
  record(value: object): Promise<void>;
  /** What is no result. */
  note(text: string): void;
  /** In colour, if the results are. */
  paint(style: Style, text: string): string;
  /** The same for what is no result. */
  paintNote(style: Style, text: string): string;
  /** Over the note before it, on a terminal. Without `text` it is wiped away. */
  rewrite(text?: string): void;
}

export function createOut({ env, stdout, stderr }: Context, json: boolean): Out {
  const secrets = secretsOf(env);
  const safe = (text: string) => masked(text, secrets);
  const shown = (text: string) => tamed(safe(text));
  const write = async (text: string) => void (await written(stdout, `${text}\n`));
  let rewritten = false;
  const rewrite = (text = "") => {
    if (!stderr.isTTY || (!rewritten && text === "")) return;
    stderr.write(`\r\u001b[K${shown(text).slice(0, (stderr.columns || 80) - 1)}`);
    rewritten = text !== "";
  };
  return {
    json,
    person: stdout.isTTY === true && !json,
    columns: stdout.columns || 80,
    line: async (text) => {
      if (json) return;
      rewrite();
      await write(shown(text));
    },
    record: async (value) => {
      if (!json) return;
      rewrite();
      await write(safe(JSON.stringify(value)));
    },
    note: (text) => {
      rewrite();
      stderr.write(`${shown(text)}\n`);
    },
    paint: (style, text) => (coloured(stdout, env) ? styled(style, text) : text),
    paintNote: (style, text) => (coloured(stderr, env) ? styled(style, text) : text),
    rewrite,
  };
}

/** Writes to a reader that may be slow; false where there is none any more, of which the owner of the stream is told. */
export const written = (stream: Output, piece: string | Uint8Array): Promise<boolean> =>
  new Promise((resolve) => stream.write(piece, (error) => resolve(!error)));

/** What somebody else called a bank or a user may not move the cursor: colour is all that a terminal is told. */
const tamed = (text: string) =>
  text.replace(/\u001b\[[\d;]*m|[^\P{Cc}\n\t]/gu, (found) => (found.length > 1 ? found : " "));

const styled = (style: Style, text: string) => styleText(style, text, { validateStream: false });

/** https://no-color.org, and FORCE_COLOR as Node has it. */
function coloured(stream: Output, env: Context["env"]): boolean {
  if (env["NO_COLOR"]) return false;
  const forced = env["FORCE_COLOR"];
  if (forced !== undefined) return forced !== "0" && forced !== "false";
  return stream.isTTY === true && env["TERM"] !== "dumb";
}
