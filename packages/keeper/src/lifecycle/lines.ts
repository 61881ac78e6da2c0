// Text as lines, whatever chunks it comes in, in bounded memory: a line that is too long is told of and passed over.

/** One line, without its end; `text` is null where it was longer than allowed. Lines are counted from 1. */
export interface Line {
  readonly line: number;
  readonly text: string | null;
}

/** In characters. A row of an import has a few hundred. */
export const maxLineLength = 65_536;

/** The lines of a source, as many at a time as a chunk ends. `onBytes` is told of each chunk's length. */
export async function* linesOf(
  source: AsyncIterable<Uint8Array | string>,
  onBytes: (length: number) => void,
): AsyncGenerator<Line[], void> {
  const decoder = new TextDecoder(); // leaves a byte order mark out
  let line = 1;
  let rest = "";
  let tooLong = false;
  const cut = (text: string): Line => {
    const whole = text.endsWith("\r") ? text.slice(0, -1) : text;
    const made = { line: line++, text: tooLong || whole.length > maxLineLength ? null : whole };
    tooLong = false;
    return made;
  };
  for await (const chunk of source) {
    onBytes(typeof chunk === "string" ? Buffer.byteLength(chunk) : chunk.byteLength);
    let text = typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
    if (line === 1 && rest === "" && text.startsWith("\uFEFF")) text = text.slice(1);
    const parts = text.split("\n");
    parts[0] = rest + parts[0]!;
    rest = parts.pop()!;
    if (rest.length > maxLineLength) {
      rest = "";
      tooLong = true;
    }
    if (parts.length > 0) yield parts.map(cut);
  }
  rest += decoder.decode();
  if (rest !== "" || tooLong) yield [cut(rest)];
}
