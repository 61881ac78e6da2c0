// AES-GCM as everything here is sealed with it: what comes out is the ciphertext and, at its end, the whole tag.

import { createCipheriv, createDecipheriv, type CipherGCMTypes, type CipherKey } from "node:crypto";

export const nonceBytes = 12;
export const tagBytes = 16;

/** No nonce may come twice under one key. */
export function encrypt(
  key: CipherKey,
  nonce: Uint8Array,
  aad: Uint8Array,
  plain: Uint8Array,
  algorithm: CipherGCMTypes = "aes-256-gcm",
): Buffer {
  const cipher = createCipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(aad);
  const sealed = cipher.update(plain);
  cipher.final();
  return Buffer.concat([sealed, cipher.getAuthTag()]);
}

/** Undefined for what was not encrypted with this key, nonce and additional data. */
export function decrypt(
  key: CipherKey,
  nonce: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
  algorithm: CipherGCMTypes = "aes-256-gcm",
): Buffer | undefined {
  if (sealed.length < tagBytes) return undefined;
  const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength: tagBytes });
  decipher.setAAD(aad);
  decipher.setAuthTag(sealed.subarray(-tagBytes));
  const plain = decipher.update(sealed.subarray(0, -tagBytes));
  try {
    decipher.final();
  } catch {
    plain.fill(0);
    return undefined;
  }
  return plain;
}
