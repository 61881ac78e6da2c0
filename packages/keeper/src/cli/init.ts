// `init`: a folder for the database, a key file, a file of settings. It makes what is missing and touches nothing that is
// there; never a new key for a database that has another.

import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { createKeyFile } from "../vault/ring.ts";
import type { Call, Register } from "./command.ts";
import type { Context } from "./context.ts";
import { Stop, wrong } from "./exits.ts";
import { databaseSaid, readOrStop } from "./sentences.ts";
import { defaults, isPostgres, plaidOf, soundSettings, sqliteFile, type Settings } from "./settings.ts";

export const register: Register = (cli) => {
  cli.add(
    {
      name: "init",
      does: "makes ./sett-data, a key file and ./sett.json here, or what of them is missing",
      examples: ["sett init"],
    },
    (command) => command,
    async (call) => {
      const { context, out, globals } = call;
      const settings = soundSettings(context, globals.config);
      // On a server it may be there before anything is here.
      const isSealed = isPostgres(settings.database) && (await makeDatabase(settings, context));
      const made = await makePlace(call, settings, isSealed);
      if (!isPostgres(settings.database)) await makeDatabase(settings, context);
      if (globals.config === undefined && settings.file === null) {
        made.push(await writeSettings(context, settings));
      }
      await out.record({ made });
      for (const path of made) await out.line(`made ${path}`);
      if (made.length === 0) await out.line("everything is there already");
      if (settings.clientId === null || settings.secret === null)
        await out.line(
          "next: set PLAID_CLIENT_ID and PLAID_SECRET (or run a local Plaid: sett sandbox), then sett link",
        );
      else await out.line("next: sett link");
      return "done";
    },
  );
};

/** Whether there is nothing yet where the settings say that the keeper is. */
function isNew(settings: Settings): boolean {
  const file = sqliteFile(settings);
  return file !== null && !existsSync(file);
}

/**
 * Makes the folder and the key file, where they are missing; says which, relative to the working directory. `isSealed`:
 * there is a key to the database already.
 */
async function makePlace(
  { context, out }: Call<unknown>,
  settings: Settings,
  isSealed = false,
): Promise<string[]> {
  const made: string[] = [];
  const file = sqliteFile(settings);
  const { keys } = settings;
  const named = (path: string) => relative(context.cwd, path) || path;
  if ("file" in keys && !existsSync(keys.file)) {
    if (isSealed || (file !== null && existsSync(file)))
      throw wrong(
        `the key file ${keys.file} is not there, and there is a database already: only the key that it was made with ` +
          `opens its tokens. Bring that file back, or set SETT_KEY_FILE to where it is`,
      );
    await makeFolder(dirname(keys.file));
    await createKeyFile(keys.file);
    made.push(named(keys.file));
    out.note(`${named(keys.file)} is the key to every token: back it up, and apart from the database`);
  }
  if (file !== null && !existsSync(dirname(file))) {
    await makeFolder(dirname(file));
    made.push(named(dirname(file)));
  }
  return made;
}

/** With its schema, so that what is wrong with it shows now. Says whether it has data keys, which a key wraps. */
async function makeDatabase({ database, env }: Settings, { now }: Context): Promise<boolean> {
  const { openDatabase } = await import("../database/database.ts");
  const opened = await openDatabase(database, { now: now() });
  if (!opened.ok) throw new Stop("failed", databaseSaid(opened.error));
  const found = await opened.value.read((sql) =>
    sql.selectFrom("keys").select("key_id").where("environment", "=", env).limit(1).execute(),
  );
  await opened.value.close();
  return readOrStop(found).length > 0;
}

/** Makes a place where there is none, and says so: for commands that begin with an Item. */
export async function makeIfNew(call: Call<unknown>, settings: Settings): Promise<void> {
  plaidOf(settings); // nothing is made for what cannot be done anyway
  if (!isNew(settings)) return;
  const made = await makePlace(call, settings);
  call.out.note(`there was no keeper here; made ${[...made, "a database"].join(", ")}`);
}

/** For its owner alone, and left alone by git. */
async function makeFolder(path: string): Promise<void> {
  if (existsSync(path)) return;
  await mkdir(path, { recursive: true, mode: 0o700 });
  await writeFile(join(path, ".gitignore"), "*\n", { mode: 0o600 });
}

/** Only what is not a secret: the rest is for the environment, or for whoever makes the file 600. */
async function writeSettings(context: Context, settings: Settings): Promise<string> {
  const at = (path: string) => (path.startsWith(context.cwd) ? `./${relative(context.cwd, path)}` : path);
  const fields = {
    ...(settings.clientId !== null && { clientId: settings.clientId }),
    env: settings.env,
    ...(settings.plaidUrl !== null && { plaidUrl: settings.plaidUrl }),
    ...(settings.from.database === undefined && { database: at(settings.database) }),
    ...("file" in settings.keys && { keyFile: at(settings.keys.file) }),
  };
  const path = join(context.cwd, defaults.file);
  await writeFile(path, `${JSON.stringify(fields, null, 2)}\n`, { mode: 0o600, flag: "wx" });
  return defaults.file;
}
