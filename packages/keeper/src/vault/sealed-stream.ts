// Pieces of text sealed to a recipient, as a stream: who can open it stands in its first line, and what was changed, left
// out, moved, added or cut off is noticed. Nothing here knows what the pieces say.
//
//   sett-export-1 {"environment":"sandbox","recipient":"<16 hex>","enc":"<base64url>","at":<ms>}\n
//   flag (1) | length (4) | ciphertext | tag (16)          again and again; the flag is 01 for the last one, else 00
//
// HPKE (RFC 9180): its `info` is the first line, so that is bound too; the additional data of a piece is its flag, its
// nonce its place. After the last piece there is nothing.

import { err, ok, type Result } from "sett";
import type { Environment } from "../database/schema.ts";
import { tagBytes } from "./gcm.ts";
import { receiver, sender, type Sequence } from "./hpke.ts";
import { idOf, privatePair, publicFromText } from "./recipient.ts";

/** What the first line says. */
export interface SealedHead {
  readonly environment: Environment;
  /** The id of the recipient's key. */
  readonly recipient: string;
  /** When it was begun, in milliseconds since 1970. */
  readonly at: number;
}

/** Why an export cannot be read, or not to its end. Plain data without a token. */
export type ExportFailure =
  /** It does not begin as an export does, or as one of a later version. */
  | { readonly kind: "not-an-export"; readonly detail: string }
  /** It was sealed to another key: `recipient` is that one's id, `key` the id of the one that was tried. */
  | { readonly kind: "wrong-key"; readonly recipient: string; readonly key: string }
  /** It was changed on the way. What came before was whole. */
  | { readonly kind: "damaged"; readonly detail: string }
  /** It ends too early. What came before was whole. */
  | { readonly kind: "cut-short"; readonly detail: string }
  /** What it is read from failed. */
  | { readonly kind: "source"; readonly detail: string };

const prefix = "sett-export-";
const version = "1";
const maxHeadBytes = 1_024;
const frameBytes = 5;
const maxPieceBytes = 16 * 1024 * 1024;
const flags = { more: Buffer.from([0]), last: Buffer.from([1]) } as const;

/** Seals. Throws a TypeError for what is no public key. The pieces end with an error, or all of them are sealed. */
export async function* sealStream<Problem>(
  recipient: string,
  { environment, at }: Pick<SealedHead, "environment" | "at">,
  pieces: AsyncIterable<Result<string, Problem>>,
): AsyncGenerator<Result<Buffer, Problem>, void> {
  const key = publicFromText(recipient);
  let first = Buffer.alloc(0);
  const { sequence } = sender(key, (enc) => {
    const said = { environment, recipient: idOf(key), enc: enc.toString("base64url"), at };
    return (first = Buffer.from(`${prefix}${version} ${JSON.stringify(said)}\n`));
  });
  yield ok(first);
  for await (const piece of pieces) {
    if (!piece.ok) return yield piece;
    yield ok(frame(sequence, piece.value, flags.more));
  }
  yield ok(frame(sequence, "", flags.last));
}

function frame(sequence: Sequence, text: string, flag: Buffer): Buffer {
  const plain = Buffer.from(text);
  const sealed = sequence.seal(plain, flag);
  plain.fill(0);
  if (sealed.length > maxPieceBytes) throw new TypeError("a piece of an export is 16 MiB at most");
  const length = Buffer.alloc(4);
  length.writeUInt32BE(sealed.length);
  return Buffer.concat([flag, length, sealed]);
}

/** A stream whose first line has been read. The pieces end with an error unless the stream was whole. */
export interface OpenedStream extends SealedHead {
  readonly pieces: AsyncIterable<Result<string, ExportFailure>>;
}

/** Opens. Throws a TypeError for what is no private key. */
export async function openStream(
  source: AsyncIterable<Uint8Array>,
  privateKey: string | Buffer,
): Promise<Result<OpenedStream, ExportFailure>> {
  const keys = privatePair(privateKey);
  const bytes = new Taken(source);
  const line = await bytes.line();
  const begun = line.ok ? begin(line.value, keys) : line;
  if (!begun.ok) {
    await bytes.close();
    return begun;
  }
  const { sequence, ...head } = begun.value;
  return ok({ ...head, pieces: piecesOf(bytes, sequence) });
}

function begin(
  line: Buffer,
  keys: ReturnType<typeof privatePair>,
): Result<SealedHead & { sequence: Sequence }, ExportFailure> {
  const head = headOf(line);
  if (!head.ok) return head;
  const { enc, ...said } = head.value;
  const mine = idOf(keys.publicKey);
  if (said.recipient !== mine) return err({ kind: "wrong-key", recipient: said.recipient, key: mine });
  const sequence = receiver(keys, enc, line);
  return sequence ? ok({ ...said, sequence }) : err(damaged("its first line was changed"));
}

function headOf(line: Buffer): Result<SealedHead & { enc: Buffer }, ExportFailure> {
  const [, number, json] = /^sett-export-(\d{1,9}) (\{.*\})\n$/.exec(line.toString()) ?? [];
  if (json === undefined) return err(notAnExport);
  if (number !== version)
    return err({
      kind: "not-an-export",
      detail: `it is of version ${number}; version ${version} is known here`,
    });
  try {
    const { environment, recipient, enc, at } = JSON.parse(json) as Record<string, unknown>;
    const key = Buffer.from(String(enc), "base64url");
    if (
      (environment === "sandbox" || environment === "production") &&
      typeof recipient === "string" &&
      /^[0-9a-f]{16}$/.test(recipient) &&
      typeof at === "number" &&
      key.length === 32
    )
      return ok({ environment, recipient, at, enc: key });
  } catch {
    // Below.
  }
  return err(damaged("its first line was changed"));
}

async function* piecesOf(
  bytes: Taken,
  sequence: Sequence,
): AsyncGenerator<Result<string, ExportFailure>, void> {
  try {
    for (let place = 0; ; place++) {
      const head = await bytes.take(frameBytes);
      if (!head.ok) return yield head;
      const flag = head.value.subarray(0, 1);
      const length = head.value.readUInt32BE(1);
      if (length < tagBytes || length > maxPieceBytes || flag[0]! > 1)
        return yield err(damaged(`piece ${place} was changed`));
      const sealed = await bytes.take(length);
      if (!sealed.ok) return yield sealed;
      const plain = sequence.open(sealed.value, flag);
      if (!plain) return yield err(damaged(`piece ${place} was changed, or is not in its place`));
      const last = flag[0] === 1;
      if (last) {
        const more = await bytes.take(1);
        if (more.ok) return yield err(damaged("something was added after its end"));
        if (more.error !== cutShort) return yield more;
      }
      const text = plain.toString();
      plain.fill(0);
      if (text !== "") yield ok(text);
      if (last) return;
    }
  } finally {
    await bytes.close();
  }
}

const damaged = (detail: string): ExportFailure => ({ kind: "damaged", detail });
const cutShort: ExportFailure = { kind: "cut-short", detail: "it ends before its last piece" };
const notAnExport: ExportFailure = {
  kind: "not-an-export",
  detail: `it does not begin with "${prefix}${version}"`,
};

/** Bytes as they are asked for, from chunks as they come. */
class Taken {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #parts: Buffer[] = [];
  #length = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#chunks = source[Symbol.asyncIterator]();
  }

  async take(length: number): Promise<Result<Buffer, ExportFailure>> {
    while (this.#length < length) {
      const more = await this.#read();
      if (!more.ok) return more;
      if (!more.value) return err(cutShort);
    }
    const all = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts, this.#length);
    this.#parts = length === all.length ? [] : [all.subarray(length)];
    this.#length -= length;
    return ok(all.subarray(0, length));
  }

  async line(): Promise<Result<Buffer, ExportFailure>> {
    for (;;) {
      const all = Buffer.concat(this.#parts, this.#length);
      const end = all.indexOf(10);
      if (end >= 0 && end < maxHeadBytes) return this.take(end + 1);
      const begun = `${prefix}${version} `;
      const fits =
        begun.startsWith(all.toString("latin1", 0, begun.length)) || all.toString().startsWith(prefix);
      if (!fits || all.length >= maxHeadBytes) return err(notAnExport);
      const more = await this.#read();
      if (!more.ok) return more;
      if (!more.value) return err(all.length === 0 ? notAnExport : cutShort);
    }
  }

  /** Lets go of the source, whose end may not have been reached. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #read(): Promise<Result<boolean, ExportFailure>> {
    try {
      const { value, done } = await this.#chunks.next();
      if (done) return ok(false);
      this.#parts.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
      this.#length += value.byteLength;
      return ok(true);
    } catch (thrown) {
      return err({ kind: "source", detail: codeOf(thrown) });
    }
  }
}

/** The name or code of what a stream threw; its words may be of the file. */
export function codeOf(thrown: unknown): string {
  const { code, name } = Object(thrown) as { code?: unknown; name?: unknown };
  return (
    [code, name].find((said): said is string => typeof said === "string" && /^[\w.-]{1,60}$/.test(said)) ??
    "failed"
  );
}
