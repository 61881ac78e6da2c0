// From a failure to what becomes of its Item in a sweep, and to the sentence that says what a person must do. Every kind
// of failure is here; a new one does not compile until it is.

import { advice as adviceOf, type Advice, type Failure } from "sett";
import type { KeeperFailure } from "../lifecycle/failure.ts";

/** Who must act: as sett's advice; `support`: Plaid's; `operator`: whoever runs the keeper. */
export type SweepAdvice = Advice["action"] | "support" | "operator";

export interface Fate {
  /** `again`: it is tried once more later. `person`: somebody must act first. `leave`: there is nothing to do here. */
  readonly then: "again" | "person" | "leave";
  readonly advice: SweepAdvice;
  /** What a person must do, in one sentence. */
  readonly todo: string;
  /** The least pause before it is tried again, in milliseconds. */
  readonly delayMs: number;
}

const sentences: Record<SweepAdvice, string> = {
  retry: "Nothing but to try again: submit the sweep once more.",
  wait: "Plaid or the institution is not at hand: submit the sweep once more in some hours.",
  "update-mode": "Send the user through Link in update mode.",
  relink: "Ask the user to link the bank anew, and remove this Item once the new one is there.",
  "fix-request": "Plaid refuses the call as it is: see the error code, and look at the Item with `get`.",
  "fix-credentials": "Check the client id, the secret and what Plaid has enabled for them, in its Dashboard.",
  gone: "Plaid no longer has the Item: `remove` it here too.",
  investigate: "No program can know: show Plaid's support the request_id.",
  support: "Send Plaid's support the text of the failure; the user can link the bank again meanwhile.",
  operator: "See to the keeper's own database, disk or keys.",
};

const fate = (then: Fate["then"], advice: SweepAdvice, todo = sentences[advice], delayMs = 0): Fate => ({
  then,
  advice,
  todo,
  delayMs,
});

const begun = "It was begun, and the keeper finishes it by itself: look again in some minutes.";

/** What a failure of the keeper's means for its Item. */
export function fateOf(failure: KeeperFailure): Fate {
  switch (failure.kind) {
    case "plaid":
      return ofPlaid(failure.failure);
    case "unfinished":
    case "pending":
      return fate("again", "retry", begun);
    case "busy":
    case "escrow":
    case "database":
      return fate("again", failure.kind === "busy" ? "retry" : "operator");
    case "vault":
      return fate(failure.vault.kind === "keys-unavailable" ? "again" : "person", "operator");
    case "stranded":
    case "lost":
      return fate("person", "support", failure.support);
    case "duplicate":
    case "live-items":
    case "not-stranded":
      return fate("person", "investigate");
    case "unknown-item":
    case "removing":
    case "removed":
    case "rotated":
      return fate("leave", "gone", "Nothing.");
    default:
      return failure satisfies never;
  }
}

const tokenRefused =
  "Plaid refuses the access token that is kept here: it was rotated elsewhere, the database is older than its last rotation, or " +
  "the credentials are another client's. Import the token that works; `rotate` finds out whether there is none.";

/** Of a call of which the lifecycle knows that nothing came: so what was lost may be asked for again. */
function ofPlaid(failure: Failure): Fate {
  if (failure.kind !== "refused") return fate("again", "retry");
  if (failure.error.error_code === "INVALID_ACCESS_TOKEN") return fate("person", "operator", tokenRefused);
  const said = adviceOf({ ...failure, lost: 0 });
  return said.action === "retry" || said.action === "wait"
    ? fate("again", said.action, sentences[said.action], said.delayMs)
    : fate("person", said.action);
}
