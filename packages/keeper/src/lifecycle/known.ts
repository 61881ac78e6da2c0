// Names that nobody knows. A filter that is misspelt would select everything, an option that is misspelt would do nothing,
// and neither would be noticed: so both are refused.

/** Refuses what is no object, and an object with a name in it that is not known. */
export function refuseUnknown(what: string, given: unknown, known: readonly string[]): void {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw new TypeError(`${what} must be an object`);
  for (const name of Object.keys(given))
    if (!known.includes(name))
      throw new TypeError(
        `${what} cannot have \`${name.slice(0, 64)}\`; what is known is ${known.join(", ")}`,
      );
}
