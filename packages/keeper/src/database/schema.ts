// The tables as Kysely sees them; migrations.ts makes them, docs/storage.md says what each is for and what it gives
// away. Times are milliseconds since 1970. Of secrets there are only envelopes (see ../vault/envelope.ts).

import type { ColumnType, Generated } from "kysely";

/** Where an Item stands. `stranded`: its token died in a rotation whose answer was lost, and only a person can help. */
export type ItemState =
  | "healthy"
  | "login_required"
  | "pending_expiration"
  | "pending_disconnect"
  | "revoked"
  | "new_accounts"
  | "error"
  | "stranded"
  | "removing"
  | "removed";

export type Environment = "sandbox" | "production";

/** What a call that cannot be repeated is about to do, or did; of `update-mode`, for which Item a link token was made. */
export type IntentKind = "exchange" | "rotate" | "remove" | "webhook" | "import" | "update-mode";
/** For queries by Item: their index leaves exchanges out, and SQLite takes it only where they say so word for word. */
export const notExchange = ["intents.kind", "<>", "exchange"] as const;

/** How it ended. `lost` (an exchange) and `stranded` (a rotation): Plaid may have done it and nobody has the token. */
export type IntentOutcome = "done" | "not-done" | "lost" | "stranded";

/** What a sweep does to each of its Items. */
export type SweepOperation = "audit" | "webhook" | "rotate" | "remove" | "reencrypt";

/** `waiting`: no worker has begun. The last two are for good. */
export type SweepState = "waiting" | "running" | "paused" | "cancelled" | "done";

/** How far a sweep is with an Item. `unfinished`: it was tried, and is tried again. The last three are for good. */
export type SweepOutcome = "waiting" | "unfinished" | "done" | "skipped" | "failed";

type Bytes = ColumnType<Buffer, Uint8Array, Uint8Array>;
type BytesOrNull = ColumnType<Buffer | null, Uint8Array | null, Uint8Array | null>;
type TextOrNull = ColumnType<string | null, string | null | undefined, string | null>;
type TimeOrNull = ColumnType<number | null, number | null | undefined, number | null>;

/** Data keys, wrapped by a key-encryption key that is not in the database. */
export interface KeysTable {
  key_id: string;
  environment: Environment;
  /** `seal` keys come and go with the epochs; there is one `fingerprint` key for good. */
  purpose: "seal" | "fingerprint";
  wrapped: Bytes;
  /** Which key-encryption key wrapped it. */
  kek_id: string;
  /** How many seals processes have taken for themselves, in blocks; never more than one key may make. */
  reserved: Generated<number>;
  created_at: number;
  /** Since when nothing more is sealed with it. A retired key has no row. */
  closed_at: TimeOrNull;
}

/** One row an Item, for ever: a removed Item keeps its row and loses its token. */
export interface ItemsTable {
  item_id: string;
  environment: Environment;
  user_id: TextOrNull;
  institution_id: TextOrNull;
  institution_name: TextOrNull;
  state: ItemState;
  error_code: TextOrNull;
  webhook: TextOrNull;
  /** The envelope; null exactly when the state is `removed`. */
  token: BytesOrNull;
  /** Names the data key of the envelope, so that a key in use cannot be deleted. */
  key_id: TextOrNull;
  /** Grows with each new token, by 1. */
  token_version: Generated<number>;
  /** Since when the token has been this one: linked, imported or rotated. */
  token_at: number;
  /** Grows with each change of state, by 1: compare and set. */
  revision: Generated<number>;
  created_at: TimeOrNull;
  linked_at: number;
  checked_at: TimeOrNull;
  last_webhook_at: TimeOrNull;
  /** When the token was last lent, written down once a day; null where it never was, or not since the schema counts it. */
  used_at: TimeOrNull;
  consent_expires_at: TimeOrNull;
  disconnect_at: TimeOrNull;
  removed_at: TimeOrNull;
}

/** Keyed hashes of what makes two Items the same login; never the thing itself. */
export interface FingerprintsTable {
  fingerprint: Bytes;
  item_id: string;
}

export interface IntentsTable {
  intent_id: string;
  environment: Environment;
  kind: IntentKind;
  item_id: TextOrNull;
  user_id: TextOrNull;
  /** What it takes to go on (a public token, a link token, a reason), sealed; null once settled, but for a removal that is `stranded`. */
  detail: BytesOrNull;
  key_id: TextOrNull;
  holder: TextOrNull;
  /** Of the lease under which it was opened; of an exchange, which is its own lease, of that. */
  fence: TimeOrNull;
  /** Of an exchange: until when its holder is at it. */
  until_ms: TimeOrNull;
  opened_at: number;
  settled_at: TimeOrNull;
  outcome: ColumnType<IntentOutcome | null, IntentOutcome | null | undefined, IntentOutcome | null>;
  /** Of Plaid's answer: what its support asks for first. */
  request_id: TextOrNull;
  /** The failure, as JSON without secrets. */
  note: TextOrNull;
}

/** Who may work on what until when. A row is never deleted, for its fence must not start again. */
export interface LeasesTable {
  name: string;
  holder: string;
  fence: number;
  until_ms: number;
}

/** The history: rows are added, never changed. */
export interface EventsTable {
  seq: Generated<number>;
  environment: Environment;
  at: number;
  item_id: TextOrNull;
  kind: string;
  /** Who or what did it: a webhook, a check, a user of the CLI. */
  actor: TextOrNull;
  /** JSON without secrets. */
  detail: string;
  request_id: TextOrNull;
}

/** Webhooks as they came. Plaid gives them no id, so the hash of the body and the time of signing are one. */
export interface DeliveriesTable {
  body_sha256: string;
  iat: number;
  environment: Environment;
  webhook_type: string;
  webhook_code: string;
  item_id: TextOrNull;
  /** Sealed, because Link's webhooks carry public tokens; null once applied. */
  body: BytesOrNull;
  key_id: TextOrNull;
  received_at: number;
  applied_at: TimeOrNull;
}

/** How far each subscriber has read the events. */
export interface CursorsTable {
  environment: Environment;
  subscriber: string;
  seq: number;
  updated_at: number;
}

/** One operation over many Items. */
export interface SweepsTable {
  /** Counted up by 1. */
  sweep_id: number;
  environment: Environment;
  operation: SweepOperation;
  /** Keyed hash of operation, parameters and selection: the same twice is the same sweep while it is not over. */
  digest: string;
  /** The parameters, sealed: a URL, a reason. */
  detail: Bytes;
  key_id: string;
  /** JSON. */
  selection: string;
  ordering: string;
  note: TextOrNull;
  /** The sweep whose webhooks this one puts back. */
  rolls_back: TimeOrNull;
  state: SweepState;
  total: number;
  shard_size: number;
  /** The last event before it: what it causes comes after. */
  events_from: number;
  submitted_at: number;
  begun_at: TimeOrNull;
  ended_at: TimeOrNull;
}

/** A run of a sweep's Items by position: what one worker does at a time, under a lease. */
export interface ShardsTable {
  sweep_id: number;
  number: number;
  state: ColumnType<"waiting" | "done", "waiting" | "done" | undefined, "waiting" | "done">;
  total: number;
  done: Generated<number>;
  skipped: Generated<number>;
  failed: Generated<number>;
  /** JSON: how many failed by advice, and how often an audit found what. */
  tally: ColumnType<string, string | undefined, string>;
  /** When there is something to do. */
  due_at: Generated<number>;
  /** When the last of its webhooks was moved. */
  moved_at: TimeOrNull;
  /** How many of them Plaid had not acknowledged when it was looked last; null before. */
  unacknowledged: TimeOrNull;
}

/** An Item of a sweep, as it was when the sweep was submitted, and what came of it. */
export interface SweepItemsTable {
  sweep_id: number;
  /** From 0, in the order in which they are worked on. */
  position: number;
  item_id: string;
  token_version: number;
  state: ItemState;
  webhook: TextOrNull;
  /** For a rollback: the webhook to be put back. */
  target: TextOrNull;
  outcome: ColumnType<SweepOutcome, SweepOutcome | undefined, SweepOutcome>;
  attempt: Generated<number>;
  due_at: Generated<number>;
  /** JSON without secrets: the failure, why it was skipped, what an audit found. */
  result: TextOrNull;
  request_id: TextOrNull;
  settled_at: TimeOrNull;
  /** When Plaid's first webhook came to the new address. */
  acknowledged_at: TimeOrNull;
}

/** What Plaid allows of one endpoint, and what of it is sold: see ../budget/. */
export interface BudgetsTable {
  /** One-way from the client_id, the environment and the path. */
  name: string;
  environment: Environment;
  path: string;
  /** JSON. */
  allowance: string;
  /** Of the clock that the processes share. */
  updated_at: number;
}

export interface Schema {
  budgets: BudgetsTable;
  sweeps: SweepsTable;
  shards: ShardsTable;
  sweep_items: SweepItemsTable;
  keys: KeysTable;
  items: ItemsTable;
  fingerprints: FingerprintsTable;
  intents: IntentsTable;
  leases: LeasesTable;
  events: EventsTable;
  deliveries: DeliveriesTable;
  cursors: CursorsTable;
  migrations: MigrationsTable;
}

export interface MigrationsTable {
  number: number;
  name: string;
  checksum: string;
  applied_at: number;
}
