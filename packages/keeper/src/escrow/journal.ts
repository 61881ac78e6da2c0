// The bytes of a journal. Records follow one another from the start of the file; what comes after the last is zeros,
// room that was taken in advance. Each record begins with a mark and checks its own head and its own body, so that
// damage in one does not hide the next, and a record that was never finished can be told from one that was changed.
//
//   "SET" 01 | type (1) | length of body (4) | CRC-32 of the nine bytes before (4) | body | CRC-32 of the body (4) | A5

import { crc32 } from "node:zlib";

/** What is kept beside the sealed bytes, in clear: ids, kinds, no secrets. */
export type EscrowMeta = Readonly<Record<string, string | number | null>>;

export interface EscrowRecord {
  /** Settling is by this id; the same id recorded twice is one record. */
  readonly id: string;
  readonly at: number;
  readonly meta: EscrowMeta;
  readonly sealed: Buffer;
}

/** Bytes of a journal that are no record. `torn`: a write that was cut short, and so was never acknowledged. */
export interface Damage {
  readonly kind: "damaged" | "torn";
  readonly offset: number;
  readonly bytes: number;
}

export interface Scanned {
  readonly records: readonly EscrowRecord[];
  readonly settled: readonly string[];
  readonly damage: readonly Damage[];
}

const mark = Buffer.from([0x53, 0x45, 0x54, 0x01]);
const headBytes = 13;
/** The CRC of the body, and a byte that is not zero: without it one could not see where a record that was cut ends. */
const tailBytes = 5;
const lastByte = 0xa5;
const kept = 1;
const settled = 2;
/** Of a body: far more than any token, and a bound on what a damaged length can ask for. */
const maxBody = 1 << 20;

export function encodeRecord({ id, at, meta, sealed }: EscrowRecord): Buffer {
  const about = Buffer.from(JSON.stringify({ id, at, meta }));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(about.length);
  return encode(kept, Buffer.concat([length, about, sealed]));
}

export const encodeSettled = (id: string): Buffer => encode(settled, Buffer.from(id));

function encode(type: number, body: Buffer): Buffer {
  if (body.length > maxBody) throw new TypeError("the record is too large for the escrow");
  const out = Buffer.alloc(headBytes + body.length + tailBytes);
  mark.copy(out);
  out[4] = type;
  out.writeUInt32BE(body.length, 5);
  out.writeUInt32BE(crc32(out.subarray(0, 9)), 9);
  body.copy(out, headBytes);
  out.writeUInt32BE(crc32(body), headBytes + body.length);
  out[out.length - 1] = lastByte;
  return out;
}

/** Reads whatever can be read, wherever in the file it stands. */
export function scan(bytes: Buffer): Scanned {
  const records: EscrowRecord[] = [];
  const settledIds: string[] = [];
  const damage: Damage[] = [];
  const end = endOfContent(bytes);
  let at = 0;
  while (at < end) {
    const found = recordAt(bytes, at);
    if (found) {
      if (found.record) records.push(found.record);
      else settledIds.push(found.id);
      at = found.end;
      continue;
    }
    const next = nextRecord(bytes, at + 1, end);
    const stop = next ?? end;
    const kind = next === undefined && isTorn(bytes, at, end) ? "torn" : "damaged";
    damage.push({ kind, offset: at, bytes: stop - at });
    at = stop;
  }
  return { records, settled: settledIds, damage };
}

type Found =
  | { readonly end: number; readonly id: string; readonly record: EscrowRecord }
  | { readonly end: number; readonly id: string; readonly record?: undefined };

function recordAt(bytes: Buffer, at: number): Found | undefined {
  const length = bodyLength(bytes, at);
  if (length === undefined) return undefined;
  const start = at + headBytes;
  const end = start + length + tailBytes;
  if (end > bytes.length) return undefined;
  const body = bytes.subarray(start, start + length);
  if (crc32(body) !== bytes.readUInt32BE(start + length) || bytes[end - 1] !== lastByte) return undefined;
  if (bytes[at + 4] === settled) return { end, id: body.toString() };
  if (bytes[at + 4] !== kept || length < 4) return undefined;
  const split = 4 + body.readUInt32BE(0);
  const { id, at: time, meta } = JSON.parse(body.toString("utf8", 4, split)) as Omit<EscrowRecord, "sealed">;
  return { end, id, record: { id, at: time, meta, sealed: Buffer.from(body.subarray(split)) } };
}

/** What a whole and intact head says; undefined without one. */
function bodyLength(bytes: Buffer, at: number): number | undefined {
  if (at + headBytes > bytes.length || bytes.compare(mark, 0, mark.length, at, at + mark.length) !== 0)
    return undefined;
  if (crc32(bytes.subarray(at, at + 9)) !== bytes.readUInt32BE(at + 9)) return undefined;
  const length = bytes.readUInt32BE(at + 5);
  return length <= maxBody ? length : undefined;
}

function nextRecord(bytes: Buffer, from: number, end: number): number | undefined {
  for (let at = bytes.indexOf(mark, from); at !== -1 && at < end; at = bytes.indexOf(mark, at + 1)) {
    if (recordAt(bytes, at)) return at;
  }
  return undefined;
}

/**
 * Whether what stands at `at`, with nothing but zeros behind it, is the beginning of a record. Only a head that is
 * itself cut short, or one that is intact with a body that is cut short, counts: a byte that was changed makes neither.
 */
function isTorn(bytes: Buffer, at: number, end: number): boolean {
  const length = bodyLength(bytes, at);
  if (length !== undefined) return end < at + headBytes + length + tailBytes;
  if (end - at >= headBytes) return false;
  const prefix = Math.min(mark.length, end - at);
  return bytes.compare(mark, 0, prefix, at, at + prefix) === 0;
}

/** Where the zeros at the end begin. */
function endOfContent(bytes: Buffer): number {
  let end = bytes.length;
  while (end > 0 && bytes[end - 1] === 0) end--;
  return end;
}
