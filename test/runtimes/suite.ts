// The contract between a suite and the runtimes that run it, and nothing else.
//
// A suite file is an ES module whose default export is a `Suite`. It is bundled into one file and run by
// every runtime, so it and all that it imports use only what all of them have: no `node:` import (the bundle
// refuses it), no process, no Buffer. It never throws for a failed test; it says so in the outcome. It names
// the same tests everywhere: a test that one runtime has and another has not is a failure of the other.

/** What a suite is told. It crosses process borders as JSON, so it holds JSON only. */
export interface SuiteEnv {
  /** Where the server under test listens, with no slash at the end: `http://127.0.0.1:4242`. */
  readonly baseUrl: string;
  readonly [name: string]: unknown;
}

/** One test, run. It failed when it has an `error`: what was wrong, in as many lines as that takes. */
export interface Outcome {
  readonly name: string;
  readonly error?: string;
}

export type Suite = (env: SuiteEnv) => Promise<Outcome[]>;

/** What came back from one runtime. */
export interface Report {
  readonly version: string;
  readonly outcomes: readonly Outcome[];
  /** What the runtime itself printed; shown only when something failed. */
  readonly log: string;
}

/** A suite, bundled and ready to be run. */
export interface Job {
  /** A folder with the bundle, `suite.mjs`, in which a runtime may write what it needs. */
  readonly folder: string;
  readonly env: SuiteEnv;
  /** Aborts when the runtime's time is up: then nothing of it may go on running. */
  readonly signal: AbortSignal;
}

/** Thrown when a runtime is not to be had on this platform; the message says why. */
export class Unavailable extends Error {}

/** The outcomes in what a runtime sent back, or a throw: no answer of another form may pass for a success. */
export function readOutcomes(answer: unknown): Outcome[] {
  if (!Array.isArray(answer) || answer.length === 0) throw new Error("the suite gave back no outcomes");
  return answer.map((entry: Partial<Outcome> | null) => {
    if (typeof entry?.name !== "string") throw new Error("the suite gave back an outcome without a name");
    if (entry.error === undefined) return { name: entry.name };
    return { name: entry.name, error: String(entry.error) };
  });
}
