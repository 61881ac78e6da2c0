// HPKE (RFC 9180), base mode, DHKEM(X25519, HKDF-SHA256) and HKDF-SHA256, over Node's primitives: what one key seals in
// order, only the holder of the recipient's private key opens, and only in that order.

import {
  createHmac,
  diffieHellman,
  generateKeyPairSync,
  type CipherGCMTypes,
  type KeyObject,
} from "node:crypto";
import { decrypt, encrypt, nonceBytes } from "./gcm.ts";
import { publicBytes, publicFrom } from "./recipient.ts";

interface Aead {
  readonly name: CipherGCMTypes;
  /** RFC 9180, table 5. */
  readonly id: number;
  readonly keyBytes: number;
}

/** What exports use. The other is there for the RFC's own test vectors. */
export const aes256: Aead = { name: "aes-256-gcm", id: 2, keyBytes: 32 };
export const aes128: Aead = { name: "aes-128-gcm", id: 1, keyBytes: 16 };

const hashBytes = 32;

const bytesOf = (value: number, length: number) => {
  const bytes = Buffer.alloc(length);
  bytes.writeUIntBE(value, 0, length);
  return bytes;
};

const kemId = 0x20;
const kdfId = 1;
const kemSuite = Buffer.concat([Buffer.from("KEM"), bytesOf(kemId, 2)]);

const hmac = (key: Uint8Array, ...parts: readonly Uint8Array[]) => {
  const mac = createHmac("sha256", key);
  for (const part of parts) mac.update(part);
  return mac.digest();
};

const none = Buffer.alloc(0);
const version = Buffer.from("HPKE-v1");

const extract = (suite: Buffer, salt: Uint8Array, label: string, ikm: Uint8Array) =>
  hmac(salt.length === 0 ? Buffer.alloc(hashBytes) : salt, version, suite, Buffer.from(label), ikm);

/** One block of HKDF-Expand: nothing here is longer than a hash. */
const expand = (suite: Buffer, prk: Buffer, label: string, info: Uint8Array, length: number) =>
  hmac(prk, bytesOf(length, 2), version, suite, Buffer.from(label), info, Buffer.from([1])).subarray(
    0,
    length,
  );

/** Seals or opens one piece after another; each has its own nonce, by its place. */
class Sequence {
  readonly #aead: Aead;
  readonly #key: Buffer;
  readonly #nonce: Buffer;
  #next = 0;

  constructor(aead: Aead, shared: Buffer, info: Uint8Array) {
    const suite = Buffer.concat([
      Buffer.from("HPKE"),
      bytesOf(kemId, 2),
      bytesOf(kdfId, 2),
      bytesOf(aead.id, 2),
    ]);
    const context = Buffer.concat([
      Buffer.from([0]),
      extract(suite, none, "psk_id_hash", none),
      extract(suite, none, "info_hash", info),
    ]);
    const secret = extract(suite, shared, "secret", none);
    this.#aead = aead;
    this.#key = expand(suite, secret, "key", context, aead.keyBytes);
    this.#nonce = expand(suite, secret, "base_nonce", context, nonceBytes);
    shared.fill(0);
    secret.fill(0);
  }

  seal(plain: Uint8Array, aad: Uint8Array): Buffer {
    return encrypt(this.#key, this.#nonceOfNext(), aad, plain, this.#aead.name);
  }

  /** Undefined for what was not sealed by the other side, as this piece. */
  open(sealed: Uint8Array, aad: Uint8Array): Buffer | undefined {
    return decrypt(this.#key, this.#nonceOfNext(), aad, sealed, this.#aead.name);
  }

  #nonceOfNext(): Buffer {
    if (this.#next === 2 ** 32) throw new TypeError("one key seals 2^32 pieces at most");
    const nonce = Buffer.from(this.#nonce);
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ this.#next++) >>> 0, 8);
    return nonce;
  }
}

export type { Sequence };

/** The sender's side. `info` is what both must agree on, and may depend on `enc`, the ephemeral public key. */
export function sender(
  recipient: KeyObject,
  info: (enc: Buffer) => Uint8Array,
  aead = aes256,
  ephemeral = generateKeyPairSync("x25519"),
): { readonly enc: Buffer; readonly sequence: Sequence } {
  const enc = publicBytes(ephemeral.publicKey);
  const shared = sharedSecret(ephemeral.privateKey, recipient, enc, publicBytes(recipient));
  return { enc, sequence: new Sequence(aead, shared, info(enc)) };
}

/** The recipient's side. Undefined when `enc` is no public key that can be used. */
export function receiver(
  keys: { readonly publicKey: KeyObject; readonly privateKey: KeyObject },
  enc: Uint8Array,
  info: Uint8Array,
  aead = aes256,
): Sequence | undefined {
  try {
    const shared = sharedSecret(keys.privateKey, publicFrom(enc), enc, publicBytes(keys.publicKey));
    return new Sequence(aead, shared, info);
  } catch {
    return undefined; // a point of low order
  }
}

function sharedSecret(privateKey: KeyObject, publicKey: KeyObject, enc: Uint8Array, pkR: Uint8Array): Buffer {
  const dh = diffieHellman({ privateKey, publicKey });
  const prk = extract(kemSuite, none, "eae_prk", dh);
  dh.fill(0);
  return expand(kemSuite, prk, "shared_secret", Buffer.concat([enc, pkR]), hashBytes);
}
