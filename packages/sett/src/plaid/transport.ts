// How a request reaches Plaid: one function, so that a test, a pool or a proxy can take its place. The default is
// the platform's own fetch.

/** What came back. `headers.get` is given lower-case names; a `Headers` or a `Map` fits. */
export interface Answer {
  readonly status: number;
  readonly headers: { get(name: string): string | null | undefined };
  readonly body: string;
}

/**
 * Sends one POST and gives back whatever answer comes, of any status. It rejects when there is none, and then must
 * not retry by itself: sett alone knows which requests may be sent twice. It must not follow redirects, because the
 * headers carry the credentials.
 */
export type Post = (
  url: string,
  body: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
) => Promise<Answer>;

/**
 * The default transport. Deno's fetch sends a POST again by itself when a kept-alive connection breaks before the
 * answer, unless the body is a stream; a second exchange or rotation that nobody asked for must not be. Browsers do
 * the same and cannot be kept from it (Plaid does not serve them). Every fetch does after a 421, which says that the
 * request was not carried out (RFC 9110, 15.5.20).
 */
export const fetchPost: Post = async (url, text, headers, signal) => {
  const once = "Deno" in globalThis;
  const body = once ? new Blob([text]).stream() : text;
  const init = {
    method: "POST",
    headers,
    body,
    signal,
    redirect: "manual",
    ...(once && { duplex: "half" }),
  } as const;
  const answer = await fetch(url, init);
  return { status: answer.status, headers: answer.headers, body: await answer.text() };
};

/** Signs, in a code or a system call, that no connection came to be: nothing was sent. */
const neverConnected = /REFUSED|NOTFOUND|EAI_|CONNECT_TIMEOUT|OpenSocket|CERT|SIGNED|UNABLE_TO| connect$/i;

/** Whatever somebody's transport throws: a DOMException's code is a number. */
interface Thrown {
  /** Of an AggregateError: one for each address that was tried. */
  readonly errors?: readonly Thrown[];
  readonly code?: unknown;
  readonly syscall?: unknown;
  readonly message?: unknown;
}

const textOrNull = (value: unknown) => (typeof value === "string" ? value : null);

/** What an exception of a transport tells: whether the request may have been sent, and the words to log. */
export function disconnection(thrown: unknown) {
  const { cause = thrown } = Object(thrown) as { cause?: unknown };
  const { code: said, syscall, message } = ((cause as Thrown)?.errors?.[0] ?? Object(cause)) as Thrown;
  const code = textOrNull(said);
  const detail = textOrNull(message);
  // "bad port" is all that fetch says of a port that it goes to for nobody.
  const unsent = detail === "bad port" || neverConnected.test(`${code} ${syscall}`);
  return { kind: unsent ? "unsent" : "unanswered", why: "disconnected", code, detail } as const;
}
