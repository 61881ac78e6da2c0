// The schema, as the steps that make it. A step that has been released is never changed, only followed by another:
// the checksum of its text is held against the database at each open. Written once for both databases: the words in
// braces are the places where their languages differ, and differences.ts fills them in.
//
// Each index makes each new Item dearer, so there is none that only a rare sweep would use: looking for the rows that
// are sealed with some key goes through the table in the order of its primary key, and retiring a key reads it whole. None
// begins with the environment, which is the same in nearly every row of a database, and none mentions `token` or
// `key_id`, not even in its condition: sealing a row anew then touches no index.

export interface Migration {
  readonly number: number;
  readonly name: string;
  /** Statements, each ended by a semicolon at the end of its line. */
  readonly sql: string;
}

export const migrations: readonly Migration[] = [
  {
    number: 1,
    name: "items, keys, intents, leases, events, deliveries, cursors",
    sql: `
      create table keys (
        key_id text not null primary key,
        environment text not null,
        purpose text not null,
        wrapped {bytes} not null,
        kek_id text not null,
        reserved {integer} not null default 0,
        created_at {integer} not null,
        closed_at {integer}
      ){keyed};

      create table items (
        item_id text not null primary key,
        environment text not null,
        user_id text,
        institution_id text,
        institution_name text,
        state text not null,
        error_code text,
        webhook text,
        token {bytes},
        key_id text references keys (key_id),
        token_version {integer} not null default 1,
        token_at {integer} not null,
        revision {integer} not null default 1,
        created_at {integer},
        linked_at {integer} not null,
        checked_at {integer},
        last_webhook_at {integer},
        consent_expires_at {integer},
        disconnect_at {integer},
        removed_at {integer},
        constraint items_token_unless_removed check ((state = 'removed') = (token is null)),
        constraint items_key_of_token check ((token is null) = (key_id is null)),
        constraint items_removed_at check ((state = 'removed') = (removed_at is not null))
      ){keyed};
      create index items_by_state on items (state, item_id);
      create index items_by_user on items (user_id, item_id) where user_id is not null;
      create index items_by_institution on items (institution_id, item_id) where institution_id is not null;
      create index items_by_age on items (token_at, item_id) where removed_at is null;

      create table fingerprints (
        fingerprint {bytes} not null,
        item_id text not null references items (item_id),
        primary key (fingerprint, item_id)
      ){keyed};
      create index fingerprints_by_item on fingerprints (item_id);

      create table intents (
        intent_id text not null primary key,
        environment text not null,
        kind text not null,
        item_id text,
        user_id text,
        detail {bytes},
        key_id text references keys (key_id),
        holder text,
        fence {integer},
        opened_at {integer} not null,
        settled_at {integer},
        outcome text,
        request_id text,
        note text,
        constraint intents_key_of_detail check ((detail is null) = (key_id is null)),
        constraint intents_settled check ((settled_at is null) = (outcome is null)),
        constraint intents_nothing_kept check (settled_at is null or detail is null)
      ){keyed};
      create unique index intents_one_open on intents (item_id, kind) where settled_at is null and item_id is not null;
      create index intents_open on intents (opened_at, intent_id) where settled_at is null;
      create index intents_by_item on intents (item_id, opened_at) where item_id is not null;
      create index intents_unresolved on intents (outcome, settled_at) where outcome in ('lost', 'stranded');

      create table leases (
        name text not null primary key,
        holder text not null,
        fence {integer} not null,
        until_ms {integer} not null
      ){keyed};

      {sequence}
      create table events (
        seq {serial},
        environment text not null,
        at {integer} not null,
        item_id text,
        kind text not null,
        actor text,
        detail text not null,
        request_id text
      ){strict};
      create index events_by_item on events (item_id, seq) where item_id is not null;

      create table deliveries (
        body_sha256 text not null,
        iat {integer} not null,
        environment text not null,
        webhook_type text not null,
        webhook_code text not null,
        item_id text,
        body {bytes},
        key_id text references keys (key_id),
        received_at {integer} not null,
        applied_at {integer},
        primary key (body_sha256, iat),
        constraint deliveries_key_of_body check ((body is null) = (key_id is null)),
        constraint deliveries_nothing_kept check (applied_at is null or body is null)
      ){keyed};
      create index deliveries_waiting on deliveries (received_at, body_sha256, iat) where applied_at is null;
      create index deliveries_by_age on deliveries (received_at);

      create table cursors (
        subscriber text not null primary key,
        seq {integer} not null,
        updated_at {integer} not null
      ){keyed};
    `,
  },
  {
    number: 2,
    name: "sweeps, shards, sweep_items",
    sql: `
      create table sweeps (
        sweep_id {integer} not null primary key,
        environment text not null,
        operation text not null,
        digest text not null,
        detail {bytes} not null,
        key_id text not null references keys (key_id),
        selection text not null,
        ordering text not null,
        note text,
        rolls_back {integer} references sweeps (sweep_id),
        state text not null,
        total {integer} not null,
        shard_size {integer} not null,
        events_from {integer} not null,
        submitted_at {integer} not null,
        begun_at {integer},
        ended_at {integer},
        constraint sweeps_ended check ((ended_at is null) = (state in ('waiting', 'running', 'paused')))
      ){strict};
      create unique index sweeps_one_open on sweeps (digest) where ended_at is null;

      create table shards (
        sweep_id {integer} not null references sweeps (sweep_id),
        number {integer} not null,
        state text not null default 'waiting',
        total {integer} not null,
        done {integer} not null default 0,
        skipped {integer} not null default 0,
        failed {integer} not null default 0,
        tally text not null default '{}',
        due_at {integer} not null default 0,
        moved_at {integer},
        unacknowledged {integer},
        primary key (sweep_id, number)
      ){keyed};

      create table sweep_items (
        sweep_id {integer} not null,
        position {integer} not null,
        item_id text not null,
        token_version {integer} not null,
        state text not null,
        webhook text,
        target text,
        outcome text not null default 'waiting',
        attempt {integer} not null default 0,
        due_at {integer} not null default 0,
        result text,
        request_id text,
        settled_at {integer},
        acknowledged_at {integer},
        primary key (sweep_id, position)
      ){keyed};
    `,
  },
  {
    number: 3,
    name: "budgets",
    sql: `
      create table budgets (
        name text not null primary key,
        environment text not null,
        path text not null,
        allowance text not null,
        updated_at {integer} not null
      ){keyed};
    `,
  },
  {
    number: 4,
    name: "an exchange is its own lease",
    sql: `
      alter table intents add column until_ms {integer};
    `,
  },
  {
    number: 5,
    name: "a new Item touches one index less",
    // An exchange is looked for by its own name alone; those who ask for an Item's intents leave exchanges out.
    sql: `
      drop index intents_by_item;
      create index intents_by_item on intents (item_id, opened_at) where item_id is not null and kind <> 'exchange';
    `,
  },
  {
    number: 6,
    name: "when an Item was last used",
    sql: `
      alter table items add column used_at {integer};
    `,
  },
  {
    number: 7,
    name: "a subscriber of each environment has a place of its own",
    // Of which environment a place was nobody knows: both go on from there.
    sql: `
      alter table cursors rename to cursors_of_both;
      create table cursors (
        environment text not null,
        subscriber text not null,
        seq {integer} not null,
        updated_at {integer} not null,
        primary key (environment, subscriber)
      ){keyed};
      insert into cursors select 'sandbox', subscriber, seq, updated_at from cursors_of_both;
      insert into cursors select 'production', subscriber, seq, updated_at from cursors_of_both;
      drop table cursors_of_both;
    `,
  },
  {
    number: 8,
    name: "a removal that ended as stranded keeps its reason",
    // Should the Item's token work after all, it is gone on with. A rule of a table SQLite changes only with the table.
    sql: `
      alter table intents rename to intents_of_before;
      drop index intents_one_open;
      drop index intents_open;
      drop index intents_by_item;
      drop index intents_unresolved;
      create table intents (
        intent_id text not null primary key,
        environment text not null,
        kind text not null,
        item_id text,
        user_id text,
        detail {bytes},
        key_id text references keys (key_id),
        holder text,
        fence {integer},
        until_ms {integer},
        opened_at {integer} not null,
        settled_at {integer},
        outcome text,
        request_id text,
        note text,
        constraint intents_key_of_detail check ((detail is null) = (key_id is null)),
        constraint intents_settled check ((settled_at is null) = (outcome is null)),
        constraint intents_nothing_kept check (settled_at is null or detail is null or (kind = 'remove' and outcome = 'stranded'))
      ){keyed};
      insert into intents (
        intent_id, environment, kind, item_id, user_id, detail, key_id, holder, fence, until_ms, opened_at, settled_at, outcome, request_id, note
      ) select
        intent_id, environment, kind, item_id, user_id, detail, key_id, holder, fence, until_ms, opened_at, settled_at, outcome, request_id, note
      from intents_of_before;
      drop table intents_of_before;
      create unique index intents_one_open on intents (item_id, kind) where settled_at is null and item_id is not null;
      create index intents_open on intents (opened_at, intent_id) where settled_at is null;
      create index intents_by_item on intents (item_id, opened_at) where item_id is not null and kind <> 'exchange';
      create index intents_unresolved on intents (outcome, settled_at) where outcome in ('lost', 'stranded');
    `,
  },
];
