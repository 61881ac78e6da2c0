// JSON as Plaid writes it: keys in alphabetical order, two spaces of indentation, and `<`, `>`, `&` and the two line
// separators escaped, as Go's encoder does. The bytes matter: clients log them, and webhooks are signed over them.

/** A value as an answer of Plaid's has it. Members that are undefined are left out. */
export const render = (value: unknown): string => write(value, "\n");

/** The same without indentation. */
export const renderCompact = (value: unknown): string =>
  escape(JSON.stringify(value, (_, member) => (isObject(member) ? sorted(member) : member)));

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const sorted = (value: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));

function write(value: unknown, line: string): string {
  if (typeof value === "string") return escape(JSON.stringify(value));
  if (typeof value !== "object" || value === null) return JSON.stringify(value ?? null);
  const inner = line + "  ";
  if (Array.isArray(value)) {
    if (value.length === 0) return "[]";
    return `[${inner}${value.map((member) => write(member, inner)).join("," + inner)}${line}]`;
  }
  const members = value as Record<string, unknown>;
  let written = "";
  for (const key of Object.keys(members).sort()) {
    const member = members[key];
    if (member === undefined) continue;
    written += `${written && ","}${inner}${escape(JSON.stringify(key))}: ${write(member, inner)}`;
  }
  return written ? `{${written}${line}}` : "{}";
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
