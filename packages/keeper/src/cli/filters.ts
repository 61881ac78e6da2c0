// Which Items are meant: the same options for every command that works on a selection.

import { InvalidArgumentError, type Command } from "commander";
import type { ItemState } from "../database/schema.ts";
import type { Selection } from "../lifecycle/selection.ts";
import { isText, longestId } from "../lifecycle/texts.ts";
import type { Call } from "./command.ts";
import { spanOf, unitOf } from "./spans.ts";
import { stateNames } from "./states.ts";

export interface Filters {
  readonly state?: readonly ItemState[];
  readonly institution?: string;
  readonly user?: string;
  readonly olderThan?: string;
}

/** Adds the options. */
export const filtered = (command: Command): Command =>
  command
    .option(
      "--state <states>",
      `of these states: ${stateNames.join(", ")}; all but removed unless told`,
      states,
    )
    .option("--institution <institution_id>", "at this bank", id)
    .option("--user <user_id>", "of this user", id)
    .option("--older-than <span>", "whose token has been the same for so long (90d, 12h), the oldest first");

/** `wholeUnits`: days are counted from midnight (UTC), hours from the full hour, so that the same, asked for again, is the same. */
export function selectionOf(
  { options, context }: Pick<Call<Filters>, "options" | "context">,
  { wholeUnits = false }: { readonly wholeUnits?: boolean } = {},
): Selection {
  const { state, institution, user, olderThan } = options;
  const now = context.now();
  const before = (given: string) =>
    Math.max(0, (wholeUnits ? now - (now % unitOf(given)) : now) - spanOf("--older-than", given));
  return {
    ...(state !== undefined && { states: state }),
    ...(institution !== undefined && { institutionId: institution }),
    ...(user !== undefined && { userId: user }),
    ...(olderThan !== undefined && { tokenBefore: before(olderThan) }),
  };
}

function states(given: string, former: readonly ItemState[] = []): readonly ItemState[] {
  const named = given.split(",").map((name) => name.trim());
  const unknown = named.find((name) => !stateNames.includes(name as ItemState));
  if (unknown !== undefined) throw new InvalidArgumentError(`It ${oneOf(stateNames)}.`);
  return [...former, ...(named as ItemState[])];
}

/** What is expected where several may be named. */
export const oneOf = (names: readonly string[]) =>
  `must be one of ${names.join(", ")}, or several with commas between`;

/** Reads the id of a user or a bank. */
export function id(given: string): string {
  if (!isText(given)) throw new InvalidArgumentError(`It must be a text of 1 to ${longestId} characters.`);
  return given;
}

export const isWhole = (given: string): boolean => /^[1-9]\d{0,8}$/.test(given);

/** Reads a whole number above 0. */
export function whole(given: string): number {
  if (!isWhole(given)) throw new InvalidArgumentError("It must be a whole number above 0.");
  return Number(given);
}
