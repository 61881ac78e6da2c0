// The states of an Item, as a list and in colour.

import type { ItemState } from "../database/schema.ts";
import type { Out, Style } from "./out.ts";

const styles: Readonly<Record<ItemState, Style>> = {
  healthy: "green",
  login_required: "yellow",
  pending_expiration: "yellow",
  pending_disconnect: "yellow",
  new_accounts: "cyan",
  revoked: "red",
  error: "red",
  stranded: "red",
  removing: "dim",
  removed: "dim",
};

export const stateNames = Object.keys(styles) as readonly ItemState[];

export const paintState = (paint: Out["paint"], state: ItemState, text: string): string =>
  paint(styles[state], text);
