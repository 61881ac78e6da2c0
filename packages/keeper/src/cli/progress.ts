// How far a long command has come: on a terminal one line with a bar that is rewritten, elsewhere a plain line every ten
// seconds. Both on stderr. It has no timer: whoever works says each step.

import type { Context } from "./context.ts";
import type { Out } from "./out.ts";
import { span } from "./spans.ts";

const terminalEveryMs = 100;
/** Also for programs, which are told as objects. */
export const plainEveryMs = 10_000;

/** What whoever works knows better than is seen from here. */
export interface Pace {
  /** Now, where it can change. */
  readonly total?: number;
  /** Null where nothing can be said. */
  readonly perSecond: number | null;
  readonly leftMs: number | null;
}

export interface Progress {
  /** So much is done; `more` is said after it. The pace is reckoned from the beginning on unless told. */
  at(done: number, more?: string, pace?: Pace): void;
  /** Wipes the line away. */
  end(): void;
}

/** `total` is null where nobody knows it. */
export function createProgress(
  { stderr, now }: Context,
  out: Out,
  what: string,
  total: number | null,
): Progress {
  const everyMs = stderr.isTTY ? terminalEveryMs : plainEveryMs;
  const begun = now();
  let said = stderr.isTTY ? -Infinity : begun;

  const reckoned = (done: number, elapsed: number): Pace => {
    const perSecond = elapsed > 0 && done > 0 ? (done * 1_000) / elapsed : null;
    const left = total !== null && perSecond !== null ? (total - done) / perSecond : null;
    return { perSecond, leftMs: left === null ? null : left * 1_000 };
  };

  return {
    at(done, more, pace) {
      const time = now();
      if (time - said < everyMs) return;
      said = time;
      const { perSecond, leftMs, total: of = total } = pace ?? reckoned(done, time - begun);
      const parts = [
        of === null ? `${what} ${done}` : `${what} ${done} of ${of} (${percent(done, of)} %)`,
        ...(perSecond === null ? [] : [`${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond)}/s`]),
        ...(leftMs === null ? [] : [`${span(leftMs)} left`]),
        ...(more === undefined || more === "" ? [] : [more]),
      ].join(", ");
      if (stderr.isTTY) out.rewrite(of === null ? parts : `${bar(done, of)} ${parts}`);
      else out.note(parts);
    },
    end: () => out.rewrite(),
  };
}

const percent = (done: number, total: number) => (total === 0 ? 100 : Math.floor((done * 100) / total));

const barLength = 10;
const bar = (done: number, total: number) => {
  const full = Math.floor((percent(done, total) * barLength) / 100);
  return "█".repeat(full) + "░".repeat(barLength - full);
};
