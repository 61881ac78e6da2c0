// @sett/keeper: Items in production. `openKeeper` is the door; the rooms below it are its foundation: where things
// are kept, how they are sealed, and what survives when the keeping fails.

export type { Keeper, KeeperOptions } from "./keeper.ts";
export { openKeeper } from "./open.ts";
export {
  openExport,
  type ExportedItem,
  type ExportOptions,
  type ExportReport,
  type OpenedExport,
  type SealedExport,
} from "./lifecycle/export.ts";
export type {
  ImportFailure,
  ImportOptions,
  ImportOutcome,
  ImportReason,
  ImportReport,
} from "./lifecycle/import-many.ts";
export type { FormatFailure, ImportFormat } from "./lifecycle/import-rows.ts";
export type { Budget, BudgetChange, BudgetOptions, BudgetState } from "./budget/budget.ts";
export type { About } from "./budget/companions.ts";
export type { EndpointLimits, GivenLimits } from "./budget/limits.ts";
export type { ForSupport, KeeperFailure } from "./lifecycle/failure.ts";
export type { ItemView } from "./lifecycle/ledger.ts";
export type { Linked, LinkOptions } from "./lifecycle/link.ts";
export type { Step } from "./lifecycle/means.ts";
export type { ItemPage, Selection } from "./lifecycle/selection.ts";
export type { Recovery } from "./lifecycle/recover.ts";

export { openDatabase, type Database, type DatabaseOptions } from "./database/database.ts";
export { DatabaseError, type DatabaseFailure } from "./database/failure.ts";
export type {
  Environment,
  IntentKind,
  IntentOutcome,
  ItemState,
  SweepOperation,
  SweepOutcome,
  SweepState,
} from "./database/schema.ts";
export { reencrypt, type ReencryptOptions, type ReencryptReport } from "./vault/reencrypt.ts";
export {
  addKeyToFile,
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
export { createRecipientFile, newRecipient, recipientOf, type Recipient } from "./vault/recipient.ts";
export type { ExportFailure, SealedHead } from "./vault/sealed-stream.ts";
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
export {
  createUpdateToken,
  type UpdateModeChoices,
  type UpdateModeFailure,
  type UpdateModeOptions,
  type UpdateModeRequest,
} from "./inbox/update-mode.ts";
export type { LinkFromWebhooks, LinkSession } from "./hosted.ts";
export type { Pruned, PrunedRows, PruneOptions } from "./prune.ts";
export type { SweepAdvice } from "./sweep/fate.ts";
export { reportCsv, reportJsonLines, type ReportRow } from "./sweep/report.ts";
export type {
  DryRun,
  Finding,
  Submitted,
  Sweep,
  SweepFailure,
  SweepOptions,
  SweepOrder,
  SweepStatus,
} from "./sweep/sweep.ts";
export type { SubmitSweep, Sweeps } from "./sweep/sweeps.ts";
export type { Worker, WorkerOptions } from "./sweep/worker.ts";
