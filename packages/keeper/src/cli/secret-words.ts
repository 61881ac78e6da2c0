// What looks like a secret. On a command line it is refused, for other users of the machine read it there and shells
// write it down; in what is written it is masked, should one ever get that far.

import type { Context } from "./context.ts";

/** What comes before a secret, and the secret. */
const token = /((?:access|public|link|processor)-(?:sandbox|production|development)-)([\w-]+)/gi;
const key = /(sett-(?:kek|recipient-key)-\d+:)[^\s"']+/g;
const password = /(\w+:\/\/[^\s"':/]*:)[^\s"'/]+(?=@)/g;
const passwordGiven = /(\w+:\/\/\S*[?&]password=)[^\s&#"']+/gi;

/** Whether a URL has a password in it. What would end it within a text is a part of it where it stands alone. */
export const hasPassword = (url: string): boolean =>
  [password, passwordGiven].some((is) => url.replace(/[\s"']/g, "_").search(is) >= 0);

const looks: readonly { readonly what: string; readonly is: (given: string) => boolean }[] = [
  // A name such as ./public-sandbox-token is none: Plaid's have 36 characters after the environment.
  {
    what: "a token of Plaid's",
    is: (given) => [...given.matchAll(token)].some(([, , id]) => id!.length >= 12),
  },
  { what: "a key of sett's", is: (given) => given.search(key) >= 0 },
  { what: "a URL with a password", is: hasPassword },
  { what: "a secret of Plaid's", is: (given) => /^[0-9a-f]{30}$/i.test(given) },
];

/** Those of the environment. */
export const secretsOf = (env: Context["env"]): readonly string[] => [
  env["PLAID_SECRET"] ?? "",
  ...(env["SETT_KEYS"] ?? "").split(/\s+/),
];

/** What is wrong with the arguments, without a word of them. `secrets` are those that are known. */
export function secretIn(argv: readonly string[], secrets: readonly string[] = []): string | undefined {
  for (const [at, given] of argv.entries()) {
    const holds = secrets.some((secret) => secret.length > 7 && given.includes(secret));
    const look = looks.find(({ is }) => is(given) || is(given.replace(/^--?[\w-]+=/, "")));
    if (!holds && !look) continue;
    return (
      `argument ${at + 1} looks like ${look?.what ?? "a secret"}: sett takes none on its command line, where every ` +
      `process of the machine and your shell's history can read it. Give it on standard input, in a file or in the ` +
      `environment (sett --help says which), and consider this one known.`
    );
  }
  return undefined;
}

/** The text without anything of the shape of a secret, nor any of those that are known. */
export function masked(text: string, secrets: readonly string[] = []): string {
  let safe = text;
  for (const secret of secrets) if (secret.length > 7) safe = safe.replaceAll(secret, "***");
  return [token, key, password, passwordGiven].reduce((text, is) => text.replace(is, "$1***"), safe);
}
