// A webhook as the history may keep it: Link's webhooks carry public tokens and link tokens. What is called a token or
// has the shape of one is starred out; the name counts too, because Plaid may change the shape without notice.

const shape = /((?:access|public|link|processor)-(?:sandbox|production|development)-)[\w-]*/gi;
const named = /token|secret/i;

/** A copy of a JSON value without tokens. */
export function redacted<Value>(value: Value): Value {
  return without(value, false) as Value;
}

function without(value: unknown, secret: boolean): unknown {
  if (typeof value === "string") return secret ? "***" : value.replace(shape, "$1***");
  if (Array.isArray(value)) return value.map((one) => without(one, secret));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, one]) => [
      name.replace(shape, "$1***"),
      without(one, secret || named.test(name)),
    ]),
  );
}
