// Opens a keeper for one command by its settings, says what was found left open, and closes it whatever happens; or only
// its books, for a command that needs neither Plaid nor the escrow.

import { existsSync } from "node:fs";
import type { PooledPost } from "sett/node";
import type { Books } from "../books.ts";
import type { Keeper, KeeperOptions } from "../keeper.ts";
import type { Recovery } from "../lifecycle/recover.ts";
import { localKeyRing, readKeyFile, type KeyRing } from "../vault/ring.ts";
import type { Call } from "./command.ts";
import { wrong, type Ending } from "./exits.ts";
import type { Out } from "./out.ts";
import { sentence, stopOf } from "./sentences.ts";
import { escrowFolder, isPostgres, plaidOf, soundSettings, sqliteFile, type Settings } from "./settings.ts";

/** Opens the keeper of the call's settings for work that needs Plaid, without timers. Stops where it cannot be opened. */
export async function withKeeper(
  call: Call<unknown>,
  work: (keeper: Keeper, settings: Settings) => Promise<Ending>,
  settings = soundSettings(call.context, call.globals.config),
  { make = false, more = {} }: { readonly make?: boolean; readonly more?: Partial<KeeperOptions> } = {},
): Promise<Ending> {
  if (!make) refuseUnlessThere(settings);
  const keeper = await open(call, settings, { actor: actorOf(call.context), ...more });
  try {
    return await work(keeper, settings);
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
  const opened = await openBooks({ database, environment, keys, clientId, actor, now: context.now });
  if (!opened.ok) throw stopOf(opened.error);
  try {
    return await work(opened.value, settings);
  } finally {
    await opened.value.close();
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
  more: Partial<KeeperOptions>,
): Promise<Keeper> {
  const plaid = plaidOf(settings);
  const folder = escrowFolder(settings);
  const keys = await ringOf(settings);
  const { database } = settings;
  // Loaded when it is needed: help and a wrong word do not wait for databases.
  const { openKeeper } = await import("../open.ts");
  const pool = await poolIfThere();
  const opened = await openKeeper({
    plaid: { ...plaid, ...(pool && { post: pool }) },
    database,
    keys,
    folder,
    now: context.now,
    recoverEveryMs: 0,
    ...more,
  });
  if (!opened.ok) {
    void pool?.close();
    throw stopOf(opened.error);
  }
  if (opened.value.recovered.ok) tellOfRecovery(out, opened.value.recovered.value);
  else out.note(`what was left open is not finished: ${sentence(opened.value.recovered.error).text}`);
  const { close } = opened.value;
  return {
    ...opened.value,
    async close() {
      await close();
      // A call that hangs is not waited for: nobody wants its answer any more.
      void pool?.close();
    },
  };
}

/** Pooled connections, at a fraction of fetch's cost, where the package `undici` is installed. */
async function poolIfThere(): Promise<PooledPost | undefined> {
  const { pooledPost } = await import("sett/node");
  try {
    return pooledPost();
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
  if (file === null || isPostgres(settings.database) || existsSync(file)) return;
  throw wrong(
    `there is no keeper at ${settings.database}: \`sett init\` makes one there, and so does the first \`sett link\`; ` +
      `for another place set SETT_DATABASE, ` +
      `or name a file of settings with --config`,
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
