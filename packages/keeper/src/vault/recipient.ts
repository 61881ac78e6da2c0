// Whom an export is sealed to: an X25519 key pair, both halves as text. The private one belongs in a file that its owner
// alone can read; the public one may go anywhere, and its id names it in headers and in the history.

import {
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hash,
  type KeyObject,
} from "node:crypto";
import { createSecretFile, keyBytesOf } from "./ring.ts";

/** A pair of keys for exports. */
export interface Recipient {
  /** For `exportItems`: `sett-recipient-1:` and 43 characters of base64url. */
  readonly publicKey: string;
  /** For `openExport`: `sett-recipient-key-1:` and 43 characters of base64url. Whoever has it reads every export sealed to it. */
  readonly privateKey: string;
  /** 16 hex digits, derived from the public key. */
  readonly id: string;
}

const publicPrefix = "sett-recipient-1:";
const privatePrefix = "sett-recipient-key-1:";
const keyBytes = 32;
// RFC 8410: what stands before the 32 bytes of an X25519 key in DER.
const pkcs8 = Buffer.from("302e020100300506032b656e04220420", "hex");
const spki = Buffer.from("302a300506032b656e032100", "hex");

/** A new pair. */
export function newRecipient(): Recipient {
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  const der = privateKey.export({ type: "pkcs8", format: "der" });
  const text = privatePrefix + der.subarray(-keyBytes).toString("base64url");
  der.fill(0);
  return { publicKey: textOf(publicKey), privateKey: text, id: idOf(publicKey) };
}

/**
 * Makes a file with a new private key, for its owner alone and on disk when this resolves; it never overwrites one.
 * `readKeyFile` reads it. Gives the public half.
 */
export async function createRecipientFile(path: string): Promise<Omit<Recipient, "privateKey">> {
  const { privateKey, ...rest } = newRecipient();
  await createSecretFile(path, async () => `${privateKey}\n`);
  return rest;
}

/** The public half of a private key. Throws a TypeError, without a word of the text, for what is no private key. */
export function recipientOf(privateKey: string | Buffer): Omit<Recipient, "privateKey"> {
  const { publicKey } = privatePair(privateKey);
  return { publicKey: textOf(publicKey), id: idOf(publicKey) };
}

/** Both halves, for opening. Throws as {@link recipientOf} does. */
export function privatePair(text: string | Buffer): { publicKey: KeyObject; privateKey: KeyObject } {
  const bytes = read(String(text), privatePrefix, "the private key of a recipient");
  const der = Buffer.concat([pkcs8, bytes]);
  const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  bytes.fill(0);
  der.fill(0);
  return { privateKey, publicKey: createPublicKey(privateKey) };
}

/** The key that `exportItems` is given. Throws a TypeError for what is no public key of a recipient. */
export function publicFromText(text: string): KeyObject {
  const publicKey = publicFrom(read(text, publicPrefix, "the public key of a recipient"));
  try {
    diffieHellman({ privateKey: generateKeyPairSync("x25519").privateKey, publicKey });
  } catch {
    throw new TypeError("the public key of a recipient must be one that can be sealed to"); // a point of low order
  }
  return publicKey;
}

export const publicFrom = (bytes: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([spki, bytes]), format: "der", type: "spki" });

export const publicBytes = (key: KeyObject): Buffer =>
  key.export({ type: "spki", format: "der" }).subarray(-keyBytes);

export const idOf = (publicKey: KeyObject): string =>
  hash(
    "sha256",
    Buffer.concat([Buffer.from("sett recipient id "), publicBytes(publicKey)]),
    "buffer",
  ).toString("hex", 0, 8);

const textOf = (publicKey: KeyObject) => publicPrefix + publicBytes(publicKey).toString("base64url");

function read(text: string, prefix: string, what: string): Buffer {
  const bytes = keyBytesOf(text.trim(), prefix);
  if (!bytes) throw new TypeError(`${what} is "${prefix}" and 43 characters of base64url`);
  return bytes;
}
