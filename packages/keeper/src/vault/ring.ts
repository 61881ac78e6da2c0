// The key-encryption key, which is not in the database: a local ring of keys, or a service that wraps and unwraps. It
// never sees a token; it sees data keys, and each with the context in which alone it may be unwrapped.

import { createSecretKey, hkdfSync, randomBytes, type KeyObject } from "node:crypto";
import { open, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { inspect, types } from "node:util";
import { err, ok, type Result } from "sett";
import { decrypt, encrypt, nonceBytes, tagBytes } from "./gcm.ts";

/** Said to the service with each key, where it has a place for such: AWS calls it the encryption context. */
export type WrapContext = Readonly<Record<"purpose" | "environment" | "key_id", string>>;

/** Why a data key could not be wrapped or unwrapped. */
export interface RingFailure {
  /** `wrong-key`: not one of the ring's keys wrapped it. `damaged`: one of them did, and it was changed since. `unavailable`: ask again. */
  readonly kind: "wrong-key" | "damaged" | "unavailable";
  readonly detail: string;
}

export interface KeyRing {
  /** Names the key that wraps now. It is kept beside what it wrapped, and says nothing of the key. */
  readonly kekId: string;
  wrap(plain: Uint8Array, context: WrapContext): Promise<Result<Uint8Array, RingFailure>>;
  unwrap(wrapped: Uint8Array, context: WrapContext): Promise<Result<Uint8Array, RingFailure>>;
}

const prefix = "sett-kek-1:";
const keyBytes = 32;
const idBytes = 8;
const maxFileBytes = 65_536;
/** A file that has not been written to for so long is nobody's any more. */
const leftMs = 10_000;

/** A new key-encryption key, as text: what `localKeyRing` reads, one to a line. */
export const newKey = (): string => prefix + randomBytes(keyBytes).toString("base64url");

/** The 32 bytes of a key that is written as this prefix and base64url; undefined for any other text. */
export function keyBytesOf(word: string, prefix: string): Buffer | undefined {
  const text = word.slice(prefix.length);
  const bytes = Buffer.from(text, "base64url");
  const isKey = word.startsWith(prefix) && bytes.length === keyBytes && bytes.toString("base64url") === text;
  return isKey ? bytes : undefined;
}

/**
 * A ring of the keys in the text, one to a line (or with spaces between, as in an environment variable). The first
 * one wraps; all of them unwrap. Throws a TypeError, without a word of the text, for anything else.
 */
export function localKeyRing(text: string | Buffer): KeyRing {
  const words = String(text)
    .split(/\s+/)
    .filter((word) => word !== "");
  const keys = words.map((word, index) => {
    const bytes = keyBytesOf(word, prefix);
    if (bytes) return keyOf(bytes);
    throw new TypeError(`key ${index + 1} of the ring is not "${prefix}" and 43 characters of base64url`);
  });
  if (keys.length === 0) throw new TypeError("the key ring is empty");
  return new LocalRing(keys);
}

/** Takes the bytes over, and overwrites them where they came from. */
export function keyOf(bytes: Uint8Array): KeyObject {
  const key = createSecretKey(bytes);
  bytes.fill(0);
  return key;
}

// Wrapped: id of the key-encryption key (8) | nonce (12) | ciphertext | tag (16).
class LocalRing implements KeyRing {
  readonly kekId: string;
  readonly #keys = new Map<string, KeyObject>();

  constructor(keys: readonly KeyObject[]) {
    for (const key of keys) this.#keys.set(idOf(key), key);
    this.kekId = this.#keys.keys().next().value!;
  }

  async wrap(plain: Uint8Array, context: WrapContext): Promise<Result<Buffer, RingFailure>> {
    const nonce = randomBytes(nonceBytes);
    const id = Buffer.from(this.kekId, "hex");
    const sealed = encrypt(this.#keys.get(this.kekId)!, nonce, aad(id, context), plain);
    return ok(Buffer.concat([id, nonce, sealed]));
  }

  async unwrap(wrapped: Uint8Array, context: WrapContext): Promise<Result<Buffer, RingFailure>> {
    const bytes = Buffer.from(wrapped);
    if (bytes.length < idBytes + nonceBytes + tagBytes)
      return err({ kind: "damaged", detail: "the wrapped key is cut" });
    const id = bytes.subarray(0, idBytes);
    const key = this.#keys.get(id.toString("hex"));
    if (!key) {
      const detail = `the data key was wrapped by key ${id.toString("hex")}, the ring has ${[...this.#keys.keys()].join(", ")}`;
      return err({ kind: "wrong-key", detail });
    }
    const start = idBytes + nonceBytes;
    const plain = decrypt(key, bytes.subarray(idBytes, start), aad(id, context), bytes.subarray(start));
    return plain
      ? ok(plain)
      : err({ kind: "damaged", detail: "the wrapped key was changed, or belongs elsewhere" });
  }

  [inspect.custom](): string {
    return `KeyRing(${[...this.#keys.keys()].join(", ")})`;
  }
}

/** A name that anybody may see: one-way from 256 random bits. */
const idOf = (key: KeyObject) =>
  Buffer.from(hkdfSync("sha256", key, "", "sett kek id", idBytes)).toString("hex");

/** The context as text is the same however it was put together. */
const aad = (id: Buffer, { purpose, environment, key_id }: WrapContext) =>
  Buffer.concat([id, Buffer.from(JSON.stringify({ purpose, environment, key_id }))]);

/** What a service must be able to do. Both throw, or reject, when it is not to be reached. */
export interface Kms {
  wrap(plain: Uint8Array, context: WrapContext): Promise<Uint8Array>;
  unwrap(wrapped: Uint8Array, context: WrapContext): Promise<Uint8Array>;
}

/** A ring that is somewhere else. `kekId` names the key there, so that one sees what still has to be wrapped anew. */
export function kms(kekId: string, service: Kms): KeyRing {
  const ask =
    (what: "wrap" | "unwrap"): KeyRing["wrap"] =>
    async (bytes, context) => {
      try {
        // Copies both ways: bytes are overwritten here when they have been used, and the service's own must stay.
        const given: unknown = await service[what](Uint8Array.from(bytes), context);
        if (types.isUint8Array(given)) return ok(Uint8Array.from(given));
        // Of a text, for instance, that would make zeros.
        return err({ kind: "unavailable", detail: "the key service gave no bytes" });
      } catch (thrown) {
        // Its words are not ours to vouch for: a service may repeat what it was given.
        const { name, code } = Object(thrown) as { name?: unknown; code?: unknown };
        const said = [name, code].filter((part) => typeof part === "string" && /^[\w.-]{1,60}$/.test(part));
        return err({ kind: "unavailable", detail: `the key service failed: ${said.join(" ") || "no name"}` });
      }
    };
  return { kekId, wrap: ask("wrap"), unwrap: ask("unwrap") };
}

/** Makes a file with a new key, for its owner alone and on disk when this resolves. It never overwrites one. */
export const createKeyFile = (path: string): Promise<void> =>
  createSecretFile(path, async () => `${newKey()}\n`);

/** Makes a file as {@link createKeyFile} does, with whatever secret: it is asked for when the file is there. */
export async function createSecretFile(path: string, text: () => Promise<string>): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.chmod(0o600);
    await file.writeFile(await text());
    await file.sync();
  } finally {
    await file.close();
  }
  await sync(dirname(path));
}

/**
 * Puts a new key first into a key file, so that it wraps from now on, and keeps those that are there. The file is whole
 * at every moment. Gives the ring's text as it is now.
 */
export async function addKeyToFile(path: string): Promise<Buffer> {
  await readKeyFile(path); // one that cannot be read is told of before anything is made
  const next = `${path}.new`;
  try {
    // What it adds to is read when the next file is there: from then on nobody else puts anything in its place.
    await createSecretFile(next, async () => `${newKey()}\n${await readKeyFile(path)}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    if (!(await takeUp(next, path))) {
      const message = `${next} is there: another process adds a key, or was cut off in it; nothing uses its key, so delete it if it stays`;
      throw Object.assign(error as Error, { message });
    }
  }
  await rename(next, path);
  await sync(dirname(path));
  return readKeyFile(path);
}

/**
 * Whoever was cut off before the last step left the next file. If it is whole, its key is as good as a new one. If not, or if
 * somebody may be at it at this moment, it is left alone: to take it from him could cost the ring.
 */
async function takeUp(next: string, path: string): Promise<boolean> {
  if (Date.now() - (await stat(next)).mtimeMs < leftMs) return false;
  const text = String(await readKeyFile(next));
  const rest = text.indexOf("\n") + 1;
  const isWhole =
    text.slice(rest) === String(await readKeyFile(path)) && keyBytesOf(text.slice(0, rest).trimEnd(), prefix);
  if (!isWhole) return false;
  await sync(next);
  return true;
}

/** Of a file or a folder. */
async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The text of a key file. Refuses one that others than its owner can read: then they may have. */
export async function readKeyFile(path: string): Promise<Buffer> {
  const file = await open(path, "r");
  try {
    const { mode, size } = await file.stat();
    if (process.platform !== "win32" && (mode & 0o077) !== 0) {
      throw new Error(
        `${path} can be read by others (mode ${(mode & 0o777).toString(8)}): make it 600, and consider the key known`,
      );
    }
    if (size > maxFileBytes) throw new Error(`${path} is too large for a key file`);
    return await file.readFile();
  } finally {
    await file.close();
  }
}
