// The two things that an Item is known by without naming them: its accounts, so that the same login is not linked twice,
// and the token it was imported with, so that an import that is run again asks Plaid only for the rest. Both stand in one
// table and go with the Item; they differ in length.

import { err, ok, type Result } from "sett";
import type { Vault } from "../vault/vault.ts";
import type { KeeperFailure } from "./failure.ts";

const tokenBytes = 16;

/** Of an account: who has it, where, and what its metadata says of it. */
export const accountFingerprint = (
  vault: Vault,
  [userId, institutionId, mask, name]: readonly [string, string, string, string],
): Promise<Result<Buffer, KeeperFailure>> => made(vault, ["account", userId, institutionId, mask, name]);

/** Of an access token: half of the hash, which is enough to tell 2^40 tokens apart. */
export async function tokenFingerprint(
  vault: Vault,
  accessToken: string,
): Promise<Result<Buffer, KeeperFailure>> {
  const fingerprint = await made(vault, ["token", accessToken]);
  return fingerprint.ok ? ok(fingerprint.value.subarray(0, tokenBytes)) : fingerprint;
}

/** Whether it is an account's. */
export const isOfAccount = (fingerprint: Uint8Array): boolean => fingerprint.length > tokenBytes;

async function made(vault: Vault, parts: readonly string[]): Promise<Result<Buffer, KeeperFailure>> {
  const fingerprint = await vault.fingerprint(parts);
  return fingerprint.ok ? fingerprint : err({ kind: "vault", vault: fingerprint.error });
}
