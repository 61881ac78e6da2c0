// Which of two words on the same thing is the later, and whether that can be known. Two clocks are at work, Plaid's and
// ours, and Plaid may sign a webhook a day after what it tells of.

/** When something was learned: by our clock in milliseconds, and for a webhook also by Plaid's, in Unix seconds. */
export interface Moment {
  readonly at: number;
  readonly iat: number | null;
}

export const SECOND = 1_000;
export const DAY = 24 * 3_600 * SECOND;
/** How long Plaid tries to deliver a webhook: as much later than its event it may have been signed. */
const retriesMs = DAY;
/** How far Plaid's clock and ours may be apart; what `sett/webhook` allows. */
export const skewMs = 60 * SECOND;

/** The word that stands, and whether the other may be the later one after all. Equal words leave no doubt. */
export function later<Word extends Moment>(
  held: Word,
  word: Word,
): { readonly stands: Word; readonly doubt: boolean } {
  const lead = ahead(word, held);
  const [said, heldSaid] = [textOf(word), textOf(held)];
  if (said === heldSaid) return { stands: lead > 0 ? word : held, doubt: false };
  // Of two webhooks of one second nobody knows the order: the same one must win, whichever comes first. A code stands
  // before null.
  const tie = word.iat !== null && held.iat !== null && lead === 0;
  const stands = (tie ? said < heldSaid : lead >= 0) ? word : held;
  const surelyLater = lead > retriesMs;
  const surelyOlder = lead < -(held.iat === null ? skewMs : retriesMs);
  return { stands, doubt: word.iat !== null && !surelyLater && !surelyOlder };
}

/** By how many milliseconds the first is later: by Plaid's clock where both have its time, else by ours. */
export const ahead = (a: Moment, b: Moment): number =>
  a.iat !== null && b.iat !== null ? (a.iat - b.iat) * SECOND : a.at - b.at;

/** A word without its moment. */
const textOf = ({ at: _, iat: __, ...word }: Moment): string => JSON.stringify(word);

/** Of a time as Plaid writes it; null for what is none. */
export const millis = (time: string | null | undefined): number | null => {
  const ms = Date.parse(time ?? "");
  return Number.isNaN(ms) ? null : ms;
};

/** Plaid writes the same moment with and without its milliseconds. */
export const sameSecond = (a: number | null, b: number | null): boolean =>
  a === null || b === null ? a === b : Math.floor(a / SECOND) === Math.floor(b / SECOND);
