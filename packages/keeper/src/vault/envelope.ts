// The bytes of a sealed secret, and nothing else: no key is looked up here, no time is told.
//
//   version 1   01 | key id (8) | context (32) | nonce (12) | ciphertext | tag (16)
//   version 2   02 | wrapped length (2) | wrapped key | context (32) | nonce (12) | ciphertext | tag (16)
//
// AES-256-GCM, whose additional data is everything before the nonce. The context is the SHA-256 of what the secret
// belongs to (purpose, environment, subject), so the tag binds it; and because it stands in the envelope, a whole
// envelope in the wrong place can be told from a damaged one. Version 1 names a data key of the database; version 2
// carries its own, wrapped, and can be opened without the database.

import { hash, randomFillSync, type KeyObject } from "node:crypto";
import { err, ok, type Result } from "sett";
import { decrypt, encrypt, nonceBytes, tagBytes } from "./gcm.ts";

/** What a secret belongs to. An envelope opens for the very same context only. */
export interface Context {
  readonly purpose: "token" | "intent" | "webhook" | "escrow" | "sweep";
  readonly environment: "sandbox" | "production";
  /** The `item_id`, or the id of the row or record that holds the envelope. */
  readonly subject: string;
}

/** `damaged`: not a byte of it may be trusted. `swapped`: whole, but put where it does not belong. */
export type EnvelopeFault = "damaged" | "swapped";

const keyIdBytes = 8;
const contextBytes = 32;

/** How many bytes an envelope of version 1 adds. */
const overhead = 1 + keyIdBytes + contextBytes + nonceBytes + tagBytes;

/** An envelope's own statement of the key it wants; null for what is no envelope. */
export type KeyWanted =
  { readonly version: 1; readonly keyId: string } | { readonly version: 2; readonly wrapped: Buffer };

export function keyWanted(envelope: Uint8Array): KeyWanted | null {
  const bytes = view(envelope);
  if (bytes[0] === 1 && bytes.length >= overhead) {
    return { version: 1, keyId: bytes.toString("hex", 1, 1 + keyIdBytes) };
  }
  if (bytes[0] === 2 && bytes.length >= 3) {
    const start = headLength(bytes) - contextBytes;
    if (bytes.length >= start + contextBytes + nonceBytes + tagBytes) {
      return { version: 2, wrapped: bytes.subarray(3, start) };
    }
  }
  return null;
}

/** Seals under a data key of the database, `keyId` being its 16 hex digits. */
export function sealWithKey(plain: Uint8Array, context: Context, keyId: string, key: KeyObject): Buffer {
  const out = Buffer.allocUnsafe(overhead + plain.length);
  out[0] = 1;
  out.write(keyId, 1, keyIdBytes, "hex");
  return seal(out, 1 + keyIdBytes, plain, context, key);
}

/** Seals so that the envelope carries its key. */
export function sealPortable(
  plain: Uint8Array,
  context: Context,
  wrapped: Uint8Array,
  key: KeyObject,
): Buffer {
  const at = 3 + wrapped.length;
  const out = Buffer.allocUnsafe(at + contextBytes + nonceBytes + plain.length + tagBytes);
  out[0] = 2;
  out.writeUInt16BE(wrapped.length, 1);
  out.set(wrapped, 3);
  return seal(out, at, plain, context, key);
}

function seal(out: Buffer, at: number, plain: Uint8Array, context: Context, key: KeyObject): Buffer {
  contextHash(context).copy(out, at);
  const head = at + contextBytes;
  const nonce = out.subarray(head, head + nonceBytes);
  nextNonce(nonce);
  encrypt(key, nonce, out.subarray(0, head), plain).copy(out, head + nonceBytes);
  return out;
}

/** Drawn by the hundred: to ask for twelve bytes takes as long as to ask for thousands. Each is used once. */
const nonces = Buffer.alloc(256 * nonceBytes);
let nextAt = nonces.length;

function nextNonce(into: Buffer): void {
  if (nextAt === nonces.length) {
    randomFillSync(nonces);
    nextAt = 0;
  }
  nonces.copy(into, 0, nextAt, nextAt + nonceBytes);
  nextAt += nonceBytes;
}

/** Opens an envelope with the key that `keyWanted` named. */
export function openWithKey(
  envelope: Uint8Array,
  context: Context,
  key: KeyObject,
): Result<Buffer, EnvelopeFault> {
  const bytes = view(envelope);
  if (keyWanted(bytes) === null) return err("damaged");
  const head = headLength(bytes);
  const start = head + nonceBytes;
  const plain = decrypt(key, bytes.subarray(head, start), bytes.subarray(0, head), bytes.subarray(start));
  if (!plain) return err("damaged");
  if (!contextHash(context).equals(bytes.subarray(head - contextBytes, head))) {
    plain.fill(0);
    return err("swapped");
  }
  return ok(plain);
}

const headLength = (bytes: Buffer) =>
  (bytes[0] === 1 ? 1 + keyIdBytes : 3 + bytes.readUInt16BE(1)) + contextBytes;

/** Each part with its length before it, so that no two contexts are the same bytes. */
function contextHash({ purpose, environment, subject }: Context): Buffer {
  const length = Buffer.byteLength(subject);
  return hash("sha256", `sett ${purpose} ${environment} ${length} ${subject}`, "buffer");
}

const view = (bytes: Uint8Array) =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
