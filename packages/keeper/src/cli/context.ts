// All that a command has of the world outside: a process gives it its own (../cli.ts), a test whatever it likes.

import type { Readable, Writable } from "node:stream";

export interface Input extends Readable {
  readonly isTTY?: boolean;
  /** Of a terminal: keys one by one, and not shown. */
  setRawMode?(raw: boolean): unknown;
}

export interface Output extends Writable {
  readonly isTTY?: boolean;
  /** Of a terminal; 0 where it does not say. */
  readonly columns?: number;
}

export interface Context {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Relative paths start here. */
  readonly cwd: string;
  readonly stdin: Input;
  /** What was asked for. */
  readonly stdout: Output;
  /** Everything else: progress, questions, what went wrong. */
  readonly stderr: Output;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** Aborted when the program is asked to end: what was begun is finished, nothing new is begun. */
  readonly signal: AbortSignal;
}

/** Whether the end was asked for by nobody, but whoever read the results is gone. */
export const isUnread = ({ signal }: Context): boolean =>
  (Object(signal.reason) as { code?: unknown }).code === "EPIPE";
