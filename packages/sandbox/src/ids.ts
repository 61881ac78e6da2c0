// Chance, from a seed: tokens, ids and request ids in the shapes that Plaid's have today. A sandbox with a seed
// gives the same ones in the same order. The stream that Items and tokens are drawn from is kept in the world, so
// that a sandbox that is opened again never gives an id twice; request ids are drawn beside it, because a request
// that changes nothing must leave nothing to write.

import type { World } from "./world.ts";

export type Ids = ReturnType<typeof createIds>;

/** Of the ids in Plaid's recorded traffic: digits without 0 and 2, capitals without O and Y. */
const idAlphabet = "13456789ABCDEFGHIJKLMNPQRSTUVWXZabcdefghijklmnopqrstuvwxyz";
const requestIdAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

export function createIds(seed: number | string, world: World) {
  const draw = () => {
    const { word, next } = sfc32(world.setting("chance") ?? warm(seed));
    world.set("chance", next);
    return word;
  };
  let unsaved: readonly number[] | undefined;
  const drawUnsaved = () => {
    const { word, next } = sfc32(unsaved ?? warm(`${seed}/${world.setting("chance") ?? ""}`));
    unsaved = next;
    return word;
  };
  const uuid = () => {
    const hex = Array.from({ length: 4 }, () => draw().toString(16).padStart(8, "0")).join("");
    const variant = "89ab"[draw() & 3]!;
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20)}`;
  };
  return {
    uuid,
    /** `access-sandbox-<uuid>` and its kin. */
    token: (kind: "access" | "public" | "link") => `${kind}-sandbox-${uuid()}`,
    /** The 37 characters of an `item_id` or an `account_id`. */
    id: () => pick(idAlphabet, 37, draw),
    /** The 15 characters of a `request_id`. */
    requestId: () => pick(requestIdAlphabet, 15, drawUnsaved),
  };
}

const pick = (alphabet: string, length: number, draw: () => number) => {
  let picked = "";
  for (let i = 0; i < length; i++) picked += alphabet[draw() % alphabet.length];
  return picked;
};

/** A first state from any seed: its text hashed three times, then twelve steps, as the author of sfc32 advises. */
function warm(seed: number | string): readonly number[] {
  let words: readonly number[] = [hash(`a${seed}`), hash(`b${seed}`), hash(`c${seed}`), 1];
  for (let step = 0; step < 12; step++) words = sfc32(words).next;
  return words;
}

/** FNV-1a. */
function hash(text: string): number {
  let hashed = 0x811c9dc5;
  for (const character of text) hashed = Math.imul(hashed ^ character.codePointAt(0)!, 0x01000193);
  return hashed >>> 0;
}

/** One step of sfc32, whose state is four words of 32 bits. */
function sfc32(words: readonly number[]): { word: number; next: readonly number[] } {
  const [a = 0, b = 0, c = 0, count = 0] = words;
  const word = (a + b + count) >>> 0;
  const rotated = ((c << 21) | (c >>> 11)) >>> 0;
  return {
    word,
    next: [(b ^ (b >>> 9)) >>> 0, (c + (c << 3)) >>> 0, (rotated + word) >>> 0, (count + 1) >>> 0],
  };
}
