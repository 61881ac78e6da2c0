// Names that nobody knows. A filter that is misspelt would select everything, an option that is misspelt would do nothing,
// and neither would be noticed: so both are refused.

import { faultInOptions, type Fields, type Kind } from "sett/kinds";

/** For what is looked at elsewhere. */
export const anything: Kind = { expected: "anything", accepts: () => true };

export const abortSignal: Kind = {
  expected: "an AbortSignal",
  accepts: (value) => value instanceof AbortSignal,
};

/** Refuses what is no object, an object with a name in it that is not known, and one in which a field breaks its kind. */
export function refuseUnfit(what: string, given: unknown, fields: Fields, prefix?: string): void {
  const fault = faultInOptions(what, given, fields, prefix);
  if (fault !== undefined) throw new TypeError(fault);
}

/** The same, whatever the fields hold. */
export const refuseUnknown = (what: string, given: unknown, known: readonly string[]): void =>
  refuseUnfit(what, given, Object.fromEntries(known.map((name) => [name, anything])));
