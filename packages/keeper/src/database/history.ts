// What stands in the history, by its kind, as those who write it and those who read it know it; never a secret. What comes
// of webhooks and answers is the inbox's own (inbox/events.ts).

import type { ItemState, SweepOperation } from "./schema.ts";

interface Change {
  readonly from: ItemState;
  readonly to: ItemState;
}

interface OfSweep {
  readonly sweep_id: number;
  readonly operation: SweepOperation;
  readonly total: number;
}

interface OfSweepsEnd extends OfSweep {
  readonly done: number;
  readonly skipped: number;
  readonly failed: number;
}

export interface History {
  /** An Item is here; `again` where it was before. */
  readonly "item.linked": { readonly again?: boolean };
  readonly "item.imported": { readonly again?: boolean };
  /** It has a new token; `from` and `to` where it had none that worked. */
  readonly "item.rotated": { readonly token_version: number } & Partial<Change>;
  readonly "item.webhook_moved": object;
  readonly "item.removing": Change;
  readonly "item.removed": Change;
  /** Its token is lost; `support` is for Plaid's. */
  readonly "item.stranded": Change & { readonly intent_id: string; readonly support: string };
  /** Its token works after all. */
  readonly "item.restored": Change & { readonly why: string };
  /** It was given up by hand, and Plaid has never confirmed that it is gone. */
  readonly "item.abandoned": Change & { readonly confirmed: false; readonly note: string };
  /** A public token may have become an Item that nobody has. */
  readonly "link.lost": { readonly intent_id: string; readonly support: string };
  readonly "user.forgotten": { readonly items: number };
  readonly "items.exported": { readonly items: number; readonly recipient: string };
  readonly "key.retired": { readonly key_id: string };
  readonly "sweep.submitted": OfSweep & { readonly rolls_back: number | null };
  readonly "sweep.done": OfSweepsEnd;
  readonly "sweep.cancelled": OfSweepsEnd;
  readonly "sweep.pruned": OfSweep;
}

/** A kind, with the detail that goes with it. */
export type Happening = {
  readonly [Kind in keyof History]: { readonly kind: Kind; readonly detail: History[Kind] };
}[keyof History];
