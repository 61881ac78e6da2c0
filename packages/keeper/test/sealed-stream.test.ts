// The sealed stream: what was sealed opens for its recipient, and for nobody after a bit, a piece or an end was changed.
// HPKE itself is held against the vectors of RFC 9180.

import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey } from "node:crypto";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import { ok, type Result } from "sett";
import { aes128, receiver, sender } from "../src/vault/hpke.ts";
import { createRecipientFile, newRecipient, publicFromText, recipientOf } from "../src/vault/recipient.ts";
import { readKeyFile } from "../src/vault/ring.ts";
import { openStream, sealStream, type ExportFailure } from "../src/vault/sealed-stream.ts";
import { failure, value } from "./lifecycle-world.ts";
import { all, chunks } from "./moving-world.ts";

const recipient = newRecipient();
const head = { environment: "sandbox", at: 1_700_000_000_000 } as const;

/** The first line, then each piece. */
async function seal(pieces: readonly string[], to = recipient.publicKey): Promise<Buffer[]> {
  const wanted = (async function* () {
    for (const piece of pieces) yield ok(piece);
  })();
  const sealed: Buffer[] = [];
  for await (const bytes of sealStream(to, head, wanted)) sealed.push(value(bytes));
  return sealed;
}

/** All pieces that came out, and why it ended, if not with its end. */
async function open(
  bytes: Uint8Array,
  key = recipient.privateKey,
  chunkLength = 64,
): Promise<{ pieces: string[]; problem: ExportFailure | null }> {
  const opened = await openStream(chunks(bytes, chunkLength), key);
  if (!opened.ok) return { pieces: [], problem: opened.error };
  const pieces: string[] = [];
  let problem: ExportFailure | null = null;
  for await (const piece of opened.value.pieces as AsyncIterable<Result<string, ExportFailure>>)
    if (piece.ok) pieces.push(piece.value);
    else problem = piece.error;
  return { pieces, problem };
}

const somePieces = fc.array(fc.string({ minLength: 1, maxLength: 200, unit: "binary" }), { maxLength: 6 });

describe("a sealed stream", () => {
  test("opens to what was sealed, in whatever chunks it comes", () =>
    fc.assert(
      fc.asyncProperty(somePieces, fc.integer({ min: 1, max: 300 }), async (pieces, length) => {
        const opened = await open(Buffer.concat(await seal(pieces)), recipient.privateKey, length);
        assert.equal(opened.problem, null);
        assert.deepEqual(opened.pieces, pieces);
      }),
    ));

  test("is refused when any one bit is changed, and gives nothing but what was sealed before", () =>
    fc.assert(
      fc.asyncProperty(somePieces, fc.nat(), fc.integer({ min: 0, max: 7 }), async (pieces, at, bit) => {
        const bytes = Buffer.concat(await seal(pieces));
        bytes[at % bytes.length]! ^= 1 << bit;
        const opened = await open(bytes);
        assert.notEqual(opened.problem, null);
        assert.deepEqual(opened.pieces, pieces.slice(0, opened.pieces.length));
      }),
      { numRuns: 300 },
    ));

  test("is refused when it ends anywhere before its end, or goes on after it", () =>
    fc.assert(
      fc.asyncProperty(somePieces, fc.nat(), fc.uint8Array({ minLength: 1 }), async (pieces, at, more) => {
        const bytes = Buffer.concat(await seal(pieces));
        const cut = await open(bytes.subarray(0, at % bytes.length));
        assert.ok(
          cut.problem?.kind === "cut-short" || (at % bytes.length === 0 && cut.problem),
          cut.problem?.kind,
        );
        assert.deepEqual(cut.pieces, pieces.slice(0, cut.pieces.length));
        assert.equal((await open(Buffer.concat([bytes, more]))).problem?.kind, "damaged");
      }),
    ));

  test("is refused when a piece is left out, doubled, swapped with another, or is of another stream", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ minLength: 1 }), { minLength: 2, maxLength: 5 }),
        fc.nat(),
        async (pieces, at) => {
          const [line, ...sealed] = await seal(pieces);
          const others = await seal(pieces);
          const place = at % (sealed.length - 1);
          const variants = {
            "left out": sealed.toSpliced(place, 1),
            doubled: sealed.toSpliced(place, 0, sealed[place]!),
            swapped: sealed.toSpliced(place, 2, sealed[place + 1]!, sealed[place]!),
            "of another stream": sealed.with(place, others[place + 1]!),
            "the last one left out": sealed.slice(0, -1),
          };
          for (const [name, variant] of Object.entries(variants)) {
            const { problem, pieces: opened } = await open(Buffer.concat([line!, ...variant]));
            assert.ok(problem, name);
            assert.equal(problem.kind, name === "the last one left out" ? "cut-short" : "damaged", name);
            assert.deepEqual(opened, pieces.slice(0, opened.length));
          }
        },
      ),
    ));

  test("names the key it wants when it is given another, and says what is no export", async () => {
    const other = newRecipient();
    const bytes = Buffer.concat(await seal(["one"]));
    assert.deepEqual((await open(bytes, other.privateKey)).problem, {
      kind: "wrong-key",
      recipient: recipient.id,
      key: other.id,
    });
    for (const text of ["", "access_token\naccess-sandbox-…", "sett-export-2 {}\n", "x".repeat(100_000)])
      assert.equal((await open(Buffer.from(text))).problem?.kind, "not-an-export");
    const later = (await open(Buffer.from("sett-export-2 {}\n"))).problem;
    assert.match(JSON.stringify(later), /version 2/);
    await assert.rejects(openStream(chunks(bytes), recipient.publicKey), TypeError);
    await assert.rejects(seal(["one"], recipient.privateKey), (error: Error) => {
      assert.ok(error instanceof TypeError && !inspect(error).includes(recipient.privateKey.slice(-20)));
      return true;
    });
  });

  test("a source that fails is told of by its code alone, and let go of when nobody reads on", async () => {
    const bytes = Buffer.concat(await seal(["one", "two"]));
    const failing = async function* () {
      yield bytes.subarray(0, -5);
      throw Object.assign(new Error("access-sandbox-secret"), { code: "EIO" });
    };
    const opened = value(await openStream(failing(), recipient.privateKey));
    const seen = await all(opened.pieces);
    assert.deepEqual(failure(seen.at(-1)!), { kind: "source", detail: "EIO" });

    let released = false;
    const held = async function* () {
      try {
        yield* chunks(bytes);
      } finally {
        released = true;
      }
    };
    for await (const piece of value(await openStream(held(), recipient.privateKey)).pieces) {
      assert.equal(value(piece), "one");
      break;
    }
    assert.ok(released);
  });
});

test("a recipient's file is its owner's alone, is never overwritten, and gives back its public half", async () => {
  const folder = await mkdtemp(join(tmpdir(), "sett-recipient-"));
  try {
    const path = join(folder, "recipient.key");
    const made = await createRecipientFile(path);
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    await assert.rejects(createRecipientFile(path), { code: "EEXIST" });
    assert.deepEqual(recipientOf(await readKeyFile(path)), made);
    const bytes = Buffer.concat(await seal(["for the file's owner"], made.publicKey));
    const opened = value(await openStream(chunks(bytes), await readKeyFile(path)));
    assert.deepEqual((await all(opened.pieces)).map(value), ["for the file's owner"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("a public key to which nothing can be sealed is refused as none", async () => {
  const lowOrder = `sett-recipient-1:${Buffer.alloc(32).toString("base64url")}`;
  assert.throws(() => publicFromText(lowOrder), { name: "TypeError", message: /can be sealed to/ });
});

test("HPKE gives what RFC 9180, A.1.1, says", () => {
  const hex = (text: string) => Buffer.from(text, "hex");
  const pair = (secret: string) => {
    const der = Buffer.concat([hex("302e020100300506032b656e04220420"), hex(secret)]);
    const privateKey = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    return { privateKey, publicKey: createPublicKey(privateKey) };
  };
  const ephemeral = pair("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736");
  const keys = pair("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8");
  const info = hex("4f6465206f6e2061204772656369616e2055726e");
  const plain = hex("4265617574792069732074727574682c20747275746820626561757479");
  const { enc, sequence } = sender(keys.publicKey, () => info, aes128, ephemeral);
  assert.equal(enc.toString("hex"), "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431");
  const first = sequence.seal(plain, Buffer.from("Count-0"));
  assert.equal(
    first.toString("hex"),
    "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
  );
  const second = sequence.seal(plain, Buffer.from("Count-1"));
  assert.equal(
    second.toString("hex"),
    "af2d7e9ac9ae7e270f46ba1f975be53c09f8d875bdc8535458c2494e8a6eab251c03d0c22a56b8ca42c2063b84",
  );
  const other = receiver(keys, enc, info, aes128)!;
  assert.deepEqual(other.open(first, Buffer.from("Count-0")), plain);
  assert.deepEqual(other.open(second, Buffer.from("Count-1")), plain);
  assert.equal(receiver(keys, Buffer.alloc(32), info), undefined, "a point of low order gives no secret");
});
