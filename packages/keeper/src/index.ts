// @sett/keeper: Items in production. `openKeeper` is the door; the rooms below it are its foundation: where things
// are kept, how they are sealed, and what survives when the keeping fails.

export { openKeeper, type Keeper, type KeeperOptions } from "./keeper.ts";
export type { ForSupport, KeeperFailure } from "./lifecycle/failure.ts";
export type { ItemView } from "./lifecycle/ledger.ts";
export type { Linked, LinkOptions } from "./lifecycle/link.ts";
export type { Step } from "./lifecycle/means.ts";
export type { ItemPage, Selection } from "./lifecycle/selection.ts";
export type { Recovery } from "./lifecycle/recover.ts";

export { openDatabase, type Database, type DatabaseOptions } from "./database/database.ts";
export { DatabaseError, type DatabaseFailure } from "./database/failure.ts";
export type { Environment, IntentKind, IntentOutcome, ItemState } from "./database/schema.ts";
export { reencrypt, type ReencryptOptions, type ReencryptReport } from "./vault/reencrypt.ts";
export {
  createKeyFile,
  kms,
  localKeyRing,
  newKey,
  readKeyFile,
  type KeyRing,
  type Kms,
  type RingFailure,
  type WrapContext,
} from "./vault/ring.ts";
export type { VaultFailure } from "./vault/failure.ts";
export {
  openVault,
  type KeyRow,
  type RetireFailure,
  type Sealed,
  type Vault,
  type VaultOptions,
} from "./vault/vault.ts";
export {
  openEscrow,
  type Escrow,
  type EscrowDamage,
  type EscrowFailure,
  type EscrowOptions,
  type Replay,
} from "./escrow/escrow.ts";
export type { EscrowMeta, EscrowRecord } from "./escrow/journal.ts";
export { createInbox, type Applied, type Inbox, type InboxOptions } from "./inbox/inbox.ts";
export type { GivenToken, Heal } from "./inbox/applier.ts";
export type { InboxFailure } from "./inbox/deliveries.ts";
export type { KeeperEvent } from "./inbox/events.ts";
export type { Observation } from "./inbox/state.ts";
export {
  createSubscriptions,
  type Drained,
  type EventHandler,
  type Subscriptions,
  type SubscriptionsOptions,
} from "./inbox/subscriptions.ts";
export { createUpdateToken, type UpdateModeFailure, type UpdateModeOptions } from "./inbox/update-mode.ts";
