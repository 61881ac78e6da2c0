// Opens a keeper for one command by its settings, says what was found left open, and closes it whatever happens; or only
// its books, for a command that needs neither Plaid nor the escrow.

import { existsSync } from "node:fs";
import type { Config } from "sett";
import type { PooledPost } from "sett/node";
import type { Books } from "../books.ts";
import type { Keeper, KeeperOptions } from "../keeper.ts";
import type { Recovery } from "../lifecycle/recover.ts";
import { localKeyRing, readKeyFile, type KeyRing } from "../vault/ring.ts";
import type { Call } from "./command.ts";
import { wrong, type Ending } from "./exits.ts";
import type { Out } from "./out.ts";
import { orStop, sentence } from "./sentences.ts";
import { escrowFolder, plaidOf, soundSettings, sqliteFile, type Settings } from "./settings.ts";

/** What a command has its keeper do beyond what the settings say. */
export interface More extends Partial<Omit<KeeperOptions, "plaid">> {
  readonly onAttempt?: Config["onAttempt"];
  /** Calls to Plaid at a time; {@link usualConnections} at least. */
  readonly inFlight?: number | undefined;
}

const usualConnections = 64;

/**
 * Opens the keeper for work that needs Plaid, without timers unless told. Stops where it cannot be opened. `made`: the
 * settings of one that is to be made where there is none.
 */
export async function withKeeper(
  call: Call<unknown>,
  work: (keeper: Keeper) => Promise<Ending>,
  { made, ...more }: More & { readonly made?: Settings } = {},
): Promise<Ending> {
  const settings = made ?? soundSettings(call.context, call.globals.config);
  if (!made) refuseUnlessThere(settings);
  const keeper = await open(call, settings, { actor: actorOf(call.context), ...more });
  try {
    return await work(keeper);
  } finally {
    await keeper.close();
  }
}

/**
 * Opens only the database, for a command that looks or that changes nothing beside it: without Plaid's credentials,
 * without the escrow, and without the keys until they are asked for. What was left open stays so.
 */
export async function withBooks(
  { context, globals }: Pick<Call<unknown>, "context" | "globals">,
  work: (books: Books, settings: Settings) => Promise<Ending>,
): Promise<Ending> {
  const settings = soundSettings(context, globals.config);
  refuseUnlessThere(settings);
  const { database, env: environment, clientId } = settings;
  const { openBooks } = await import("../books.ts");
  const keys = () => ringOf(settings);
  const actor = actorOf(context);
  const books = orStop(await openBooks({ database, environment, keys, clientId, actor, now: context.now }));
  try {
    return await work(books, settings);
  } finally {
    await books.close();
  }
}

/** Who stands in the history for what is asked for here: the user of the machine. */
export function actorOf({ env }: Call<unknown>["context"]): string {
  const user = (env["USER"] ?? env["LOGNAME"] ?? "").replace(/[^\w.@-]/g, "").slice(0, 64);
  return user === "" ? "cli" : `cli:${user}`;
}

/** Opens it with more than the settings say; whoever asks closes it. */
export async function open(
  { context, out }: Pick<Call<unknown>, "context" | "out">,
  settings: Settings,
  { onAttempt, inFlight = 0, ...more }: More,
): Promise<Keeper> {
  const plaid = plaidOf(settings);
  const folder = escrowFolder(settings);
  const keys = await ringOf(settings);
  const { database } = settings;
  // Loaded when it is needed: help and a wrong word do not wait for databases.
  const { openKeeper } = await import("../open.ts");
  const pool = await poolIfThere(Math.max(inFlight, usualConnections));
  const opened = await openKeeper({
    plaid: { ...plaid, ...(pool && { post: pool }), ...(onAttempt && { onAttempt }) },
    database,
    keys,
    folder,
    now: context.now,
    recoverEveryMs: 0,
    ...more,
  });
  if (!opened.ok) void pool?.close();
  const keeper = orStop(opened);
  if (keeper.recovered.ok) tellOfRecovery(out, keeper.recovered.value);
  else out.note(`what was left open is not finished: ${sentence(keeper.recovered.error).text}`);
  return {
    ...keeper,
    async close() {
      await keeper.close();
      // A call that hangs is not waited for: nobody wants its answer any more.
      void pool?.close();
    },
  };
}

/** Pooled connections, at a fraction of fetch's cost, where the package `undici` is installed. */
async function poolIfThere(connections: number): Promise<PooledPost | undefined> {
  const { pooledPost } = await import("sett/node");
  try {
    return pooledPost({ connections });
  } catch {
    return undefined;
  }
}

/** The key ring, or what is wrong with it, without a word of the keys. */
export async function ringOf({ keys, from }: Settings): Promise<KeyRing> {
  const name = from.keys ?? from.keyFile ?? "SETT_KEY_FILE";
  try {
    return localKeyRing("text" in keys ? keys.text : await readKeyFile(keys.file));
  } catch (thrown) {
    const { code, message } = thrown as NodeJS.ErrnoException;
    if (code === "ENOENT" && "file" in keys)
      throw wrong(
        `${name}: the key file ${keys.file} is not there. If there are Items already, only that key opens their ` +
          `tokens: bring it back from where it was backed up. If there are none yet, \`sett init\` makes one`,
      );
    throw wrong(`${name}: ${message}`);
  }
}

/** A keeper is made by `init` and `link` alone, not by looking for one in the wrong place. */
export function refuseUnlessThere(settings: Settings): void {
  const file = sqliteFile(settings);
  if (file === null || existsSync(file)) return;
  throw wrong(
    `there is no keeper at ${settings.database}: \`sett init\` makes one there, and so does the first \`sett link\`; ` +
      `for another place set SETT_DATABASE, or name a file of settings with --config`,
  );
}

function tellOfRecovery(out: Out, recovery: Recovery): void {
  const { adopted, restored, finished, open: left, bad, damage } = recovery;
  if (restored.length > 0)
    out.note(`stranded no more, for the token works after all: ${restored.join(", ")}`);
  if (adopted.length > 0)
    out.note(
      `brought in from the escrow: the token${adopted.length > 1 ? "s" : ""} of ${adopted.join(", ")}`,
    );
  if (finished > 0) out.note(`finished what was left open: ${finished} of what was begun before`);
  for (const failure of [...left, ...bad]) out.note(sentence(failure).text);
  for (const { detail } of damage) out.note(`the escrow is damaged: ${detail}`);
}
