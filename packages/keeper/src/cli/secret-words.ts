// What looks like a secret. On a command line it is refused, for other users of the machine read it there and shells
// write it down; in what is written it is masked, should one ever get that far.

const token = /((access|public|link|processor)-(sandbox|production|development)-)[\w-]+/i;
const key = /(sett-(?:kek|recipient-key)-\d+:)[^\s"']+/;
const password = /(\w+:\/\/[^\s"':/]*:)[^\s"'/]+(?=@)/;
const passwordGiven = /(\w+:\/\/\S*[?&]password=)[^\s&#"']+/i;

/** Whether a URL has a password in it. What would end it within a text is a part of it where it stands alone. */
export const hasPassword = (url: string): boolean =>
  [password, passwordGiven].some((is) => is.test(url.replace(/[\s"']/g, "_")));

const looks: readonly { readonly what: string; readonly is: Pick<RegExp, "test"> }[] = [
  // A name such as ./public-sandbox-token is none: Plaid's have 36 characters after the environment.
  {
    what: "a token of Plaid's",
    is: /(access|public|link|processor)-(sandbox|production|development)-[\w-]{12,}/i,
  },
  { what: "a key of sett's", is: key },
  { what: "a URL with a password", is: { test: hasPassword } },
  { what: "a secret of Plaid's", is: /^[0-9a-f]{30}$/i },
];

/** What is wrong with the arguments, without a word of them. `secrets` are those that are known. */
export function secretIn(argv: readonly string[], secrets: readonly string[] = []): string | undefined {
  for (const [at, given] of argv.entries()) {
    const holds = secrets.some((secret) => secret.length > 7 && given.includes(secret));
    const look = looks.find(({ is }) => is.test(given) || is.test(given.replace(/^--?[\w-]+=/, "")));
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
  return safe
    .replace(new RegExp(token, "gi"), "$1***")
    .replace(new RegExp(key, "g"), "$1***")
    .replace(new RegExp(password, "g"), "$1***")
    .replace(new RegExp(passwordGiven, "gi"), "$1***");
}
