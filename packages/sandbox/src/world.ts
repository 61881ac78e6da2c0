// All state of a sandbox, as plain records in tables. Every change goes through `put` and `drop`, so that one place
// knows what a request changed: `commit` hands the changes to the journal as one line, before the answer goes out.
// Records are never changed in place; a snapshot is therefore cheap, and so is comparing two of them.

import type { AccountBase, LinkTokenCreateRequest, LinkTokenGetSessionsResponse } from "sett";
import type { ClockState } from "./clock.ts";
import type { Fault } from "./faults.ts";
import type { ItemTrouble } from "./refusals.ts";
import type { Switches } from "./switches.ts";

/** One Item. Times are milliseconds since 1970, by the sandbox's clock. */
export interface ItemRecord {
  readonly item_id: string;
  readonly client_id: string;
  readonly institution_id: string;
  /** The one token that opens it; null until a public token was exchanged, and after removal. */
  readonly access_token: string | null;
  /** "" where none is set, as on the wire. */
  readonly webhook: string;
  readonly products: readonly string[];
  readonly auth_method: string | null;
  readonly accounts: readonly AccountBase[];
  /** Seen at the bank, not yet chosen by the user. */
  readonly unchosen_accounts: readonly AccountBase[];
  readonly error: ItemTrouble | null;
  readonly created_at: number;
  readonly removed_at: number | null;
  readonly consent_expires_at: number | null;
  readonly updated_at: { readonly investments: number | null; readonly transactions: number | null };
  readonly last_webhook: { readonly sent_at: number; readonly code_sent: string } | null;
}

/** An access token that was given out at some time; `rotated` when another has taken its place. */
export interface AccessTokenRecord {
  readonly item_id: string;
  readonly rotated: boolean;
}

export interface PublicTokenRecord {
  readonly item_id: string;
  readonly expires_at: number;
  /** What it was exchanged for. */
  readonly exchanged: boolean;
}

export interface LinkTokenRecord {
  readonly link_token: string;
  readonly client_id: string;
  readonly created_at: number;
  readonly expires_at: number;
  readonly request: LinkTokenCreateRequest;
  readonly item_id: string | null;
  readonly sessions: readonly LinkSessionRecord[];
}

export interface LinkSessionRecord {
  readonly finished_at: number;
  readonly session: LinkTokenGetSessionsResponse;
}

/** A key for webhooks. `d`, its private half, is missing for the one whose secret only Plaid has. */
export interface KeyRecord {
  readonly kid: string;
  readonly x: string;
  readonly y: string;
  readonly d?: string;
  /** Unix seconds. */
  readonly created_at: number;
  readonly expired_at: number | null;
}

/** One try at delivering a webhook. */
export interface AttemptRecord {
  readonly at: number;
  readonly kid: string;
  readonly plaid_verification: string;
  /** The receiver's status; null when there was no answer. */
  readonly http_status_code: number | null;
  /** Why there was none: `timeout`, or the network's own words. */
  readonly problem: string | null;
}

/** A webhook and what became of it; the words are those of Plaid's /beta/webhook_events/list. */
export interface DeliveryRecord {
  readonly webhook_message_id: string;
  readonly client_id: string;
  readonly item_id: string | null;
  readonly webhook_type: string;
  readonly webhook_code: string;
  readonly destination_url: string;
  /** The exact text that is signed and sent. */
  readonly body: string;
  readonly created_at: number;
  readonly delivery_status: "PENDING" | "DELIVERED" | "FAILED";
  readonly attempts: readonly AttemptRecord[];
  readonly next_attempt_at: number | null;
  /** Waits for `release`. */
  readonly held: boolean;
}

/** Something that will happen at a time; at most one of a kind for one subject. */
export interface TaskRecord {
  readonly kind: string;
  readonly subject: string;
  readonly at: number;
}

/** What the sandbox was told about itself. Each is one record of the table `settings`. */
export interface Settings {
  readonly clock: ClockState;
  readonly chance: readonly number[];
  readonly switches: Switches;
  readonly outbox: { readonly hold: boolean; readonly duplicate: number };
}

export interface Tables {
  readonly items: ItemRecord;
  readonly access_tokens: AccessTokenRecord;
  readonly public_tokens: PublicTokenRecord;
  readonly link_tokens: LinkTokenRecord;
  readonly keys: KeyRecord;
  readonly deliveries: DeliveryRecord;
  readonly tasks: TaskRecord;
  readonly faults: Fault;
  readonly settings: Settings[keyof Settings];
}

export type TableName = keyof Tables;

const noRecords = (): { [Name in TableName]: Map<string, Tables[Name]> } => ({
  items: new Map(),
  access_tokens: new Map(),
  public_tokens: new Map(),
  link_tokens: new Map(),
  keys: new Map(),
  deliveries: new Map(),
  tasks: new Map(),
  faults: new Map(),
  settings: new Map(),
});
const tableNames = Object.keys(noRecords()) as TableName[];

/** One change: the record that now stands under a key, or null where there is none any more. */
export type Change = readonly [table: TableName, key: string, record: object | null];

/** A whole world as JSON-safe data. */
export interface Snapshot {
  readonly format: 1;
  readonly changes: readonly Change[];
}

/** Where committed changes are kept. `append` returns when they are safe from the death of the process. */
export interface Journal {
  readonly changes: Iterable<Change>;
  append(changes: readonly Change[]): void;
  close(): void;
}

export interface World {
  get<Name extends TableName>(table: Name, key: string): Tables[Name] | undefined;
  put<Name extends TableName>(table: Name, key: string, record: Tables[Name]): void;
  drop(table: TableName, key: string): void;
  all<Name extends TableName>(table: Name): IterableIterator<Tables[Name]>;
  count(table: TableName): number;
  setting<Name extends keyof Settings>(name: Name): Settings[Name] | undefined;
  set<Name extends keyof Settings>(name: Name, value: Settings[Name]): void;
  /** Writes what has changed since the last commit. */
  commit(): void;
  snapshot(): Snapshot;
  /** Puts a snapshot in the place of everything; `epoch` then tells work in flight that its world is gone. */
  restore(snapshot: Snapshot): void;
  readonly epoch: number;
}

export function createWorld(journal?: Journal): World {
  let tables = noRecords();
  let pending = new Map<string, Change>();
  let epoch = 0;

  // The compiler cannot follow that a change's record belongs to its table; `put` and records.ts see to it.
  const apply = ([table, key, record]: Change) =>
    record === null ? tables[table].delete(key) : (tables[table] as Map<string, object>).set(key, record);
  const change = (next: Change) => {
    apply(next);
    if (journal) pending.set(`${next[0]} ${next[1]}`, next);
  };
  for (const committed of journal?.changes ?? []) apply(committed);

  const world: World = {
    get: (table, key) => tables[table].get(key),
    put: (table, key, record) => change([table, key, record]),
    drop: (table, key) => tables[table].has(key) && change([table, key, null]),
    all: (table) => tables[table].values(),
    count: (table) => tables[table].size,
    setting: (name) => tables.settings.get(name) as Settings[typeof name] | undefined,
    set: (name, value) => change(["settings", name, value]),
    commit() {
      if (pending.size === 0) return;
      const changes = [...pending.values()];
      pending = new Map();
      journal?.append(changes);
    },
    snapshot: () => ({
      format: 1,
      changes: tableNames.flatMap((name) =>
        [...tables[name]].map(([key, record]): Change => [name, key, record]),
      ),
    }),
    restore(snapshot) {
      const dropped = tableNames.flatMap((name) =>
        [...tables[name].keys()].map((key): Change => [name, key, null]),
      );
      // Not through `pending`, which would keep the place of a record that was there before, and with it its turn.
      pending = new Map();
      journal?.append([...dropped, ...snapshot.changes]);
      tables = noRecords();
      for (const each of snapshot.changes) apply(each);
      epoch++;
    },
    get epoch() {
      return epoch;
    },
  };
  return world;
}
