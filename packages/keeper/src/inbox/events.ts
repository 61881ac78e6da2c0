// The history's events as subscribers get them: what the inbox writes, and what the keeper's other rooms do.

import type { Webhook } from "sett/webhook";
import type { Happening } from "../database/history.ts";
import type { Environment } from "../database/schema.ts";
import type { Facts, StateChange } from "./state.ts";

/** Where in the history an event stands, and whose it is. */
export interface Entry {
  /** Grows from event to event, with gaps. */
  readonly seq: number;
  readonly environment: Environment;
  /** When it was written, in milliseconds since 1970. */
  readonly at: number;
  readonly item_id: string | null;
  /** Who or what caused it: `webhook`, `answer`, `refused`, `updated`, or whatever another room names. */
  readonly actor: string | null;
  readonly request_id: string | null;
}

/** A webhook was taken: one of any type, without the tokens in it. */
export interface WebhookTaken {
  readonly kind: "webhook";
  readonly detail: {
    readonly webhook: Webhook;
    readonly iatSeconds: number;
    /** It is not certain that it is the latest word on its Item, and Plaid could not be asked. */
    readonly unconfirmed?: true;
    readonly facts?: Facts;
  };
}

/** An Item's state changed, or its particulars did. */
export interface ItemStateChanged {
  readonly kind: "item.state";
  readonly detail: Omit<StateChange, "kind"> & {
    /** The webhook's type and code, `/item/get`, the code of a refusal, or `update mode`. */
    readonly why: string;
    readonly facts: Facts;
  };
}

/** Plaid has another webhook for the Item than the keeper gave it: somebody else has moved it. The row has it now. */
export interface WebhookDrifted {
  readonly kind: "item.webhook_drifted";
  readonly detail: { readonly why: string };
}

/** A webhook came for an Item that is not here, once for each such Item. It is kept until the Item is, or is given up. */
export interface UnknownItem {
  readonly kind: "webhook.unknown_item";
  readonly detail: WebhookName;
}

/** A webhook that could not be applied for days is thrown away. */
export interface WebhookGivenUp {
  readonly kind: "webhook.given_up";
  readonly detail: WebhookName;
}

interface WebhookName {
  readonly webhook_type: string;
  readonly webhook_code: string;
  readonly iatSeconds: number;
  readonly bodySha256: string;
}

/** Stands for every kind that a later version may write, as a string that equals none of the listed ones. */
declare enum Unlisted {
  Value = "any kind that is not listed",
}

export interface OtherEvent {
  readonly kind: Unlisted;
  readonly detail: unknown;
}

/** An event: compare its `kind`, and `detail` follows. */
export type KeeperEvent = Entry &
  (Happening | WebhookTaken | ItemStateChanged | WebhookDrifted | UnknownItem | WebhookGivenUp | OtherEvent);
