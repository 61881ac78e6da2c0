// Looks for thousands of secrets in any number of bytes, in one pass: as text, in hex, base64 (at any alignment) and
// UTF-16, and of tokens the bare id in all of these, with its dashes and without, and as its sixteen bytes. What it
// finds it tells by name and place, never by its text.

/** Where a secret stands that should stand nowhere. */
export interface Found {
  /** Such as `access token 17`. */
  readonly secret: string;
  /** Such as `base64`. */
  readonly as: string;
  readonly place: string;
  readonly offset: number;
}

export interface Search {
  /** How many secrets are looked for, and in how many forms altogether. */
  readonly secrets: number;
  readonly forms: number;
  in(place: string, bytes: Uint8Array): readonly Found[];
}

interface Form {
  readonly secret: string;
  readonly as: string;
  readonly bytes: Buffer;
}

/** A form is first recognised by its last bytes: what tokens share stands at their beginning. */
const windowBytes = 8;
/** Bits of the table that says at once, of nearly everything, that it is the end of no form. */
const tableBits = 24;

/** Looks for these: by name, a text, or bytes such as a key's. */
export function searchFor(secrets: ReadonlyMap<string, string | Uint8Array>): Search {
  const table = new Int32Array(2 ** (tableBits - 5));
  const byHash = new Map<number, Form[]>();
  let count = 0;
  for (const [secret, text] of secrets) {
    for (const [as, bytes] of formsOf(text)) {
      if (bytes.length < windowBytes) throw new TypeError(`${secret} is too short to be looked for`);
      const hash = hashOf(bytes.readInt32BE(bytes.length - 8), bytes.readInt32BE(bytes.length - 4));
      table[hash >>> (37 - tableBits)]! |= 1 << ((hash >>> (32 - tableBits)) & 31);
      const same = byHash.get(hash);
      if (same) same.push({ secret, as, bytes });
      else byHash.set(hash, [{ secret, as, bytes }]);
      count++;
    }
  }

  return {
    secrets: secrets.size,
    forms: count,
    in(place, bytes) {
      const found: Found[] = [];
      // The last eight bytes, as two words that are shifted on.
      let before = 0;
      let last = 0;
      for (let at = 0; at < bytes.length; at++) {
        before = (before << 8) | (last >>> 24);
        last = (last << 8) | bytes[at]!;
        const hash = hashOf(before, last);
        if ((table[hash >>> (37 - tableBits)]! & (1 << ((hash >>> (32 - tableBits)) & 31))) === 0) continue;
        for (const { secret, as, bytes: form } of byHash.get(hash) ?? []) {
          const offset = at + 1 - form.length;
          if (offset >= 0 && form.compare(bytes, offset, at + 1) === 0)
            found.push({ secret, as, place, offset });
        }
      }
      return found;
    },
  };
}

function hashOf(before: number, last: number): number {
  const mixed = Math.imul(Math.imul(before, 0x9e3779b1) + last, 0x85ebca6b);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}

const token = /^[a-z]+-[a-z]+-([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})$/;

/** The forms in which a secret might be written down. The id of a token stands for all of it: it is found within. */
export function formsOf(secret: string | Uint8Array): readonly (readonly [as: string, bytes: Buffer])[] {
  if (typeof secret !== "string") return encodings("bytes", Buffer.from(secret));
  const [, id] = token.exec(secret) ?? [];
  if (id === undefined) return encodings("text", Buffer.from(secret));
  const bare = id.replaceAll("-", "");
  return [
    ...encodings("text", Buffer.from(id)),
    ...encodings("capitals", Buffer.from(id.toUpperCase())),
    ...encodings("no dashes", Buffer.from(bare)),
    ["sixteen bytes", Buffer.from(bare, "hex")],
  ];
}

function encodings(what: string, bytes: Buffer): (readonly [string, Buffer])[] {
  const hex = bytes.toString("hex");
  const forms: [string, Buffer][] = [
    [what, bytes],
    [`${what}, hex`, Buffer.from(hex)],
    [`${what}, hex in capitals`, Buffer.from(hex.toUpperCase())],
    // Without its last byte it is the same in both byte orders, one byte on.
    [`${what}, UTF-16`, Buffer.from(bytes.toString("latin1"), "utf16le").subarray(0, -1)],
  ];
  for (const shift of [0, 1, 2]) {
    const shifted = Buffer.concat([Buffer.alloc(shift), bytes]);
    // The characters at either end hold bits of what stands before and after.
    const from = shift === 0 ? 0 : shift + 1;
    const to = Math.floor((shifted.length * 8) / 6);
    const base64 = shifted.toString("base64").slice(from, to);
    const base64url = shifted.toString("base64url").slice(from, to);
    forms.push([`${what}, base64`, Buffer.from(base64)]);
    if (base64url !== base64) forms.push([`${what}, base64url`, Buffer.from(base64url)]);
  }
  return forms;
}
