// A transport that tells a budget what is sent and what comes back. Of an access token it makes a hash that only this
// process can make, to know whether one Item is asked too often; the token itself is kept nowhere.

import { hash, randomUUID } from "node:crypto";
import type { Answer, Post } from "sett";
import type { About, Companions } from "./companions.ts";
import type { Till } from "./till.ts";

interface Books {
  readonly tillOf: (path: string) => Till;
  readonly companions: Companions;
  readonly now: () => number;
}

const salt = randomUUID();

/** Codes that say whose limit it is. Others may be the client's or the Item's. */
const clients = new Set([
  "ACCOUNTS_BALANCE_GET_LIMIT",
  "INSTITUTIONS_GET_LIMIT",
  "INSTITUTIONS_GET_BY_ID_LIMIT",
]);
const items = new Set(["BALANCE_LIMIT"]);
/** Not about how fast one calls, though the status is the same. */
const spent = /CREDITS|TRIAL|ADDITION/;

export function countedPost(post: Post, use: "live" | "sweep", about: About | undefined, books: Books): Post {
  const { tillOf, companions, now } = books;
  return async (url, body, headers, signal) => {
    const path = pathOf(url);
    const till = tillOf(path);
    if (till.off) return post(url, body, headers, signal);
    const name = nameIn(body);
    if (name !== undefined) companions.count(path, name);
    const generation = till.sent(use);
    const answer = await post(url, body, headers, signal);
    if (answer.status !== 429) {
      till.passed(generation);
      return answer;
    }
    const code = /"error_code"\s*:\s*"(\w+)"/.exec(answer.body)?.[1] ?? "";
    const retryMs = retryAfter(answer, now);
    const itemId = about?.itemId;
    const own =
      items.has(code) ||
      code === "INSTITUTION_RATE_LIMIT" ||
      spent.test(code) ||
      (name !== undefined && companions.isFull(path, name)) ||
      (itemId !== undefined && companions.isFull(path, itemId));
    const client = !own && (clients.has(code) || till.isClients(itemId ?? name));
    if (client) till.refused(generation, retryMs);
    else if (!spent.test(code)) companions.refused(path, code, { ...about, itemId: itemId ?? name }, retryMs);
    return answer;
  };
}

const paths = new Map<string, string>();

/** Of a URL of Plaid's, or of a proxy's that lies below a path of its own. */
function pathOf(url: string): string {
  let path = paths.get(url);
  if (path === undefined) {
    const { pathname } = new URL(url);
    path =
      /\/(item|accounts|auth|identity|transactions|investments|liabilities|institutions|link|sandbox|processor|asset_report|network|webhook_verification_key)\/.*$/.exec(
        pathname,
      )?.[0] ?? pathname;
    if (paths.size >= 1_000) paths.clear();
    paths.set(url, path);
  }
  return path;
}

function nameIn(body: string): string | undefined {
  const token = /"access_token"\s*:\s*"([^"]+)"/.exec(body)?.[1];
  return token && hash("sha256", salt + token, "base64url");
}

/** What the answer itself says of how long to wait, in milliseconds; 0 when it does not. */
function retryAfter({ headers }: Answer, now: () => number): number {
  const said = headers.get("retry-after");
  if (!said) return 0;
  const ms = /^\s*\d+\s*$/.test(said) ? Number(said) * 1_000 : Date.parse(said) - now();
  return ms > 0 ? Math.min(ms, 3_600_000) : 0;
}
