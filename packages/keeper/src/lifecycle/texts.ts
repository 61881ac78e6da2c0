// What a text must be that the keeper keeps or looks for. What a browser brings may be anything; and what a database, or
// Plaid, will not take has to be found out before Plaid has done something for it, for afterwards it would stand in the
// way of every write that there is to make.

import type { Kind } from "sett/kinds";

/** The longest `user_id`, `item_id` or `institution_id`, in UTF-16 units: two of them go into an index of PostgreSQL's. */
export const longestId = 255;
/** The longest token; Plaid's have some fifty. */
export const longestToken = 1_024;

/** The longest URL. */
const longestUrl = 8_192;

/** The longest note that a person leaves for others. */
export const longestNote = 512;

/** What is kept of a bank's name. */
export const longestName = 1_024;

/** Whether both databases keep it as it is. */
export function isText(value: unknown, longest = longestId): value is string {
  return (
    typeof value === "string" &&
    value !== "" &&
    value.length <= longest &&
    !value.includes("\0") &&
    value.isWellFormed()
  );
}

/** Whether Plaid may be given it as a webhook, and both databases keep it. */
export const isWebUrl = (value: unknown): value is string =>
  isText(value, longestUrl) && /^https?:$/.test(URL.parse(value)?.protocol ?? "");

/** Such a text. */
export const textUpTo = (longest: number): Kind => ({
  expected: `a text of 1 to ${longest} characters: well-formed Unicode, without NUL`,
  accepts: (value) => isText(value, longest),
});

/** The value, where it is such a text. The error has its name and nothing of it. */
export function textOf(name: string, value: unknown, longest = longestId): string {
  if (isText(value, longest)) return value;
  throw new TypeError(`${name} must be ${textUpTo(longest).expected}`);
}

/** The same, or null where there is none. */
export const textOrNull = (name: string, value: unknown, longest = longestId): string | null =>
  value === undefined || value === null ? null : textOf(name, value, longest);

/** Of which Item somebody speaks. */
export const itemIdOf = (value: unknown): string => textOf("the item_id", value);

/** What a person leaves for others to read. */
export function noteOf(value: unknown): string {
  const note = textOf("the note", value, longestNote);
  if (note.trim() === "") throw new TypeError("the note must say something");
  return note;
}

/** What can be kept of a text that is only to be shown: it is cut and cleaned, never refused. */
export function shownOf(text: string, longest: number): string | null {
  const clean = text.slice(0, longest + 1).replaceAll("\0", "");
  return (
    clean
      .slice(0, longest)
      .replace(/[\uD800-\uDBFF]$/, "")
      .toWellFormed() || null
  );
}
