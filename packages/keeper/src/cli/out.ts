// What a command says, and where: results on stdout, as text for people or as JSON for programs; everything else on
// stderr. Colour only where somebody sees it. A reader that is slow is waited for.

import { once } from "node:events";
import { styleText } from "node:util";
import type { Context, Output } from "./context.ts";
import { masked } from "./secret-words.ts";

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
  const secrets = [env["PLAID_SECRET"] ?? "", ...(env["SETT_KEYS"] ?? "").split(/\s+/)];
  const safe = (text: string) => masked(text, secrets);
  const write = async (stream: Output, text: string) => {
    if (!stream.write(`${safe(text)}\n`)) await once(stream, "drain");
  };
  let rewritten = false;
  const rewrite = (text = "") => {
    if (!stderr.isTTY || (!rewritten && text === "")) return;
    stderr.write(`\r\u001b[K${safe(text).slice(0, (stderr.columns ?? 80) - 1)}`);
    rewritten = text !== "";
  };
  return {
    json,
    person: stdout.isTTY === true && !json,
    columns: stdout.columns ?? 80,
    line: async (text) => {
      if (json) return;
      rewrite();
      await write(stdout, text);
    },
    record: async (value) => {
      if (json) await write(stdout, JSON.stringify(value));
    },
    note: (text) => {
      rewrite();
      stderr.write(`${safe(text)}\n`);
    },
    paint: (style, text) => (coloured(stdout, env) ? styled(style, text) : text),
    paintNote: (style, text) => (coloured(stderr, env) ? styled(style, text) : text),
    rewrite,
  };
}

const styled = (style: Style, text: string) => styleText(style, text, { validateStream: false });

/** https://no-color.org, and FORCE_COLOR as Node has it. */
function coloured(stream: Output, env: Context["env"]): boolean {
  if (env["NO_COLOR"]) return false;
  const forced = env["FORCE_COLOR"];
  if (forced !== undefined) return forced !== "0" && forced !== "false";
  return stream.isTTY === true && env["TERM"] !== "dumb";
}
