// The key-encryption key, which is not in the database: a local ring of keys, or a service that wraps and unwraps. It
// never sees a token; it sees data keys, and each with the context in which alone it may be unwrapped.

import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  randomBytes,
  type KeyObject,
} from "node:crypto";
import { constants, type FileHandle, open, rename } from "node:fs/promises";
import { dirname } from "node:path";
import { inspect } from "node:util";
import { err, ok, type Result } from "sett";

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
const kekBytes = 32;
const idBytes = 8;
const nonceBytes = 12;
const tagBytes = 16;
const maxFileBytes = 65_536;

/** A new key-encryption key, as text: what `localKeyRing` reads, one to a line. */
export const newKey = (): string => prefix + randomBytes(kekBytes).toString("base64url");

function isKey(word: string): boolean {
  const key = Buffer.from(word.slice(prefix.length), "base64url");
  const is =
    word.startsWith(prefix) &&
    key.length === kekBytes &&
    key.toString("base64url") === word.slice(prefix.length);
  key.fill(0);
  return is;
}

/**
 * A ring of the keys in the text, one to a line (or with spaces between, as in an environment variable). The first
 * one wraps; all of them unwrap. Throws a TypeError, without a word of the text, for anything else.
 */
export function localKeyRing(text: string | Buffer): KeyRing {
  const keys = String(text)
    .split(/\s+/)
    .filter((word) => word !== "")
    .map((word, index) => {
      if (!isKey(word)) {
        throw new TypeError(`key ${index + 1} of the ring is not "${prefix}" and 43 characters of base64url`);
      }
      const key = Buffer.from(word.slice(prefix.length), "base64url");
      const made = createSecretKey(key);
      key.fill(0);
      return made;
    });
  if (keys.length === 0) throw new TypeError("the key ring is empty");
  return new LocalRing(keys);
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
    const cipher = createCipheriv("aes-256-gcm", this.#keys.get(this.kekId)!, nonce);
    const id = Buffer.from(this.kekId, "hex");
    cipher.setAAD(aad(id, context));
    const sealed = cipher.update(plain);
    cipher.final();
    return ok(Buffer.concat([id, nonce, sealed, cipher.getAuthTag()]));
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
    const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(idBytes, start));
    decipher.setAAD(aad(id, context));
    decipher.setAuthTag(bytes.subarray(-tagBytes));
    const plain = decipher.update(bytes.subarray(start, -tagBytes));
    try {
      decipher.final();
    } catch {
      plain.fill(0);
      return err({ kind: "damaged", detail: "the wrapped key was changed, or belongs elsewhere" });
    }
    return ok(plain);
  }

  [inspect.custom](): string {
    return `KeyRing(${[...this.#keys.keys()].join(", ")})`;
  }
}

/** A name that anybody may see: one-way from 256 random bits. */
const idOf = (key: KeyObject) =>
  Buffer.from(hkdfSync("sha256", key, "", "sett kek id", idBytes)).toString("hex");

const aad = (id: Buffer, context: WrapContext) => Buffer.concat([id, Buffer.from(canonical(context))]);

/** The context as text that is the same however it was put together. */
const canonical = ({ purpose, environment, key_id }: WrapContext): string =>
  JSON.stringify({ purpose, environment, key_id });

/** What a service must be able to do. Both throw, or reject, when it is not to be reached. */
export interface Kms {
  wrap(plain: Uint8Array, context: WrapContext): Promise<Uint8Array>;
  unwrap(wrapped: Uint8Array, context: WrapContext): Promise<Uint8Array>;
}

/** A ring that is somewhere else. `kekId` names the key there, so that one sees what still has to be wrapped anew. */
export function kms(kekId: string, service: Kms): KeyRing {
  const ask = async (
    what: (bytes: Uint8Array, context: WrapContext) => Promise<Uint8Array>,
    bytes: Uint8Array,
    context: WrapContext,
  ): Promise<Result<Uint8Array, RingFailure>> => {
    try {
      // Copies both ways: bytes are overwritten here when they have been used, and the service's own must stay.
      return ok(Uint8Array.from(await what(Uint8Array.from(bytes), context)));
    } catch (thrown) {
      // Its words are not ours to vouch for: a service may repeat what it was given.
      const { name, code } = Object(thrown) as { name?: unknown; code?: unknown };
      const said = [name, code].filter((part) => typeof part === "string" && /^[\w.-]{1,60}$/.test(part));
      return err({ kind: "unavailable", detail: `the key service failed: ${said.join(" ") || "no name"}` });
    }
  };
  return {
    kekId,
    wrap: (plain, context) => ask((bytes, about) => service.wrap(bytes, about), plain, context),
    unwrap: (wrapped, context) => ask((bytes, about) => service.unwrap(bytes, about), wrapped, context),
  };
}

/** Makes a file with a new key, for its owner alone and on disk when this resolves. It never overwrites one. */
export const createKeyFile = (path: string): Promise<void> => createSecretFile(path, `${newKey()}\n`);

/** Makes a file as {@link createKeyFile} does, with whatever secret. */
export async function createSecretFile(path: string, text: string): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  await writeDurably(file, text);
  await syncFolder(path);
}

/**
 * Puts a new key first into a key file, so that it wraps from now on, and keeps those that are there. The file is whole
 * at every moment. Gives the ring's text as it is now.
 */
export async function addKeyToFile(path: string): Promise<Buffer> {
  const former = await readKeyFile(path);
  const next = `${path}.new`;
  try {
    await createSecretFile(next, `${newKey()}\n${former}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    if (!(await takeUp(next, former))) {
      const message = `${next} is left of an attempt that was broken off: nothing uses its key, so delete it`;
      throw Object.assign(error as Error, { message });
    }
  }
  await rename(next, path);
  await syncFolder(path);
  return readKeyFile(path);
}

/**
 * Whoever was cut off before the last step left the next file. If it is whole, its key is as good as a new one. If not, it
 * is left to a person: to remove what somebody may be writing at this moment could cost the ring.
 */
async function takeUp(next: string, former: Buffer): Promise<boolean> {
  const text = String(await readKeyFile(next));
  const rest = text.indexOf("\n") + 1;
  if (text.slice(rest) !== String(former) || !isKey(text.slice(0, rest).trimEnd())) return false;
  const file = await open(next, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
  return true;
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

async function writeDurably(file: FileHandle, text: string): Promise<void> {
  try {
    await file.chmod(0o600);
    await file.writeFile(text);
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
