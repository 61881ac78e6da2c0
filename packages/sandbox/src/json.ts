// JSON as Plaid writes it: keys in alphabetical order, two spaces of indentation, and `<`, `>`, `&` and the two line
// separators escaped, as Go's encoder does. The bytes matter: clients log them, and webhooks are signed over them.

/** A value as an answer of Plaid's has it. Members that are undefined are left out. */
export const render = (value: unknown): string => escape(JSON.stringify(inOrder(value), null, 2));

/** The same without indentation. */
export const renderCompact = (value: unknown): string => escape(JSON.stringify(inOrder(value)));

/** The same value with its keys in order: JSON.stringify then writes it at once, many times as fast as piece by piece. */
function inOrder(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(inOrder);
  const members = value as Record<string, unknown>;
  const ordered: Record<string, unknown> = {};
  for (const key of Object.keys(members).sort()) ordered[key] = inOrder(members[key]);
  return ordered;
}

const special = /[<>&\u2028\u2029]/;
const escape = (text: string) =>
  special.test(text)
    ? text.replace(/[<>&\u2028\u2029]/g, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`)
    : text;

/** Whole seconds, as in `created_at` and `expiration`. */
export const toSecond = (ms: number) => `${new Date(ms).toISOString().slice(0, 19)}Z`;

/** Up to three digits after the second, without trailing zeros, as in `sent_at`. */
export const toMillisecond = (ms: number) => new Date(ms).toISOString().replace(/\.?0*Z$/, "Z");
