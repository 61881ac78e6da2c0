// How a command can end: one table, from which the exit codes, `sett --help` and docs/cli.md come.

export const exits = {
  done: { code: 0, means: "done" },
  failed: { code: 1, means: "not done, and nothing is left open; the message says why" },
  usage: { code: 2, means: "the command, a setting or a file of settings is wrong; nothing was begun" },
  unconfirmed: { code: 3, means: "it cannot be undone and was not confirmed: ask for it with --yes" },
  some: { code: 4, means: "some of several are done, others are not; one line for each says which" },
  unfinished: {
    code: 5,
    means: "begun, and how it went is not known yet: do not ask again, the keeper finishes it",
  },
  unknown: { code: 6, means: "the keeper has no such Item, key or sweep" },
  person: {
    code: 7,
    means: "a token is lost: Plaid's support or the user must act; the message says what to send",
  },
  interrupted: { code: 130, means: "stopped by a signal before all was done; what was begun is finished" },
} as const satisfies Record<string, { readonly code: number; readonly means: string }>;

/** The name of a row. */
export type Ending = keyof typeof exits;

/** The end of a command from anywhere within it: caught once, in run.ts, and said on stderr. */
export class Stop extends Error {
  readonly ending: Ending;

  constructor(ending: Ending, message: string) {
    super(message);
    this.ending = ending;
  }
}

/** A mistake in what was given. */
export const wrong = (message: string): Stop => new Stop("usage", message);

/** The table as text. */
export const exitTable = (): string =>
  Object.values(exits)
    .map(({ code, means }) => `  ${String(code).padStart(3)}  ${means}`)
    .join("\n");
