// Why a secret could not be sealed or opened. Plain data without a byte of the secret.

import type { DatabaseFailure } from "../database/failure.ts";

export type VaultFailure =
  /** The ring does not hold the key-encryption key that this was sealed under. Nothing is lost: give it the key. */
  | { readonly kind: "wrong-key"; readonly key_id: string | null; readonly detail: string }
  /** It was changed since it was sealed, in the row or (`what: "key"`) in its wrapped data key. A backup may have it. */
  | {
      readonly kind: "damaged";
      readonly key_id: string | null;
      readonly what: "envelope" | "key";
      readonly detail: string;
    }
  /** It is whole and belongs to another Item, row, purpose or environment: somebody moved it. */
  | { readonly kind: "swapped"; readonly key_id: string | null; readonly detail: string }
  /** The data key that it names is not in the database: a row from somewhere else, or keys lost. */
  | { readonly kind: "unknown-key"; readonly key_id: string; readonly detail: string }
  /** The key service or the database did not answer: try again. */
  | {
      readonly kind: "keys-unavailable";
      readonly key_id: string | null;
      readonly detail: string;
      readonly database: DatabaseFailure | null;
    };
