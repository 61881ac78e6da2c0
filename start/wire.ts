// What goes over the wire, as a newcomer can read it: a transport that prints each request and its answer, with every
// token under a name of its own instead of its text.

import { styleText } from "node:util";
import { fetchPost, type Post } from "sett";

const isToken = /^(access|public|link)-(sandbox|production)-/;
/** Of an answer, what the story needs; the rest is shown as "…". */
const told = new Set([
  "access_token",
  "new_access_token",
  "public_token",
  "item_id",
  "item",
  "webhook",
  "error",
  "error_code",
  "error_type",
  "error_message",
  "institution_name",
  "reset_login",
  "request_id",
  "reason_code",
  "institution_id",
  "initial_products",
]);

/** Longer texts are cut, in characters. */
const longest = 72;

export const dim = (text: string) => styleText("dim", text);

export interface Wire {
  readonly post: Post;
  /** A token's name, such as ‹access token 1›. */
  readonly nameOf: (token: string) => string;
}

export function printedWire(print: (line: string) => void): Wire {
  const names = new Map<string, string>();
  const counts = new Map<string, number>();

  const nameOf = (token: string) => {
    const known = names.get(token);
    if (known) return known;
    const kind = token.split("-")[0]!;
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    const name = `‹${kind} token ${count}›`;
    names.set(token, name);
    return name;
  };

  const shown = (value: unknown): string => {
    if (typeof value === "string") {
      if (isToken.test(value)) return nameOf(value);
      return JSON.stringify(value.length > longest ? `${value.slice(0, longest)}…` : value);
    }
    if (Array.isArray(value)) return `[${value.map(shown).join(", ")}]`;
    if (typeof value !== "object" || value === null) return String(value);
    const members = Object.entries(value);
    const parts = members
      .filter(([name]) => told.has(name))
      .map(([name, member]) => `${name}: ${shown(member)}`);
    if (parts.length < members.length) parts.push("…");
    return `{ ${parts.join(", ")} }`;
  };
  const json = (text: string) => {
    try {
      return shown(JSON.parse(text));
    } catch {
      return `${text.length} characters that are not JSON`;
    }
  };

  const post: Post = async (url, body, headers, signal) => {
    // Both lines when the answer is there: the keeper asks in the background too.
    const sent = `    → POST ${new URL(url).pathname} ${json(body)}`;
    const tell = (answered: string) => print(dim(`${sent}\n    ← ${answered}`));
    try {
      const answer = await fetchPost(url, body, headers, signal);
      tell(`${answer.status} ${json(answer.body)}`);
      return answer;
    } catch (error) {
      tell("no answer");
      throw error;
    }
  };
  return { post, nameOf };
}
