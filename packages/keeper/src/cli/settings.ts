// The settings: one table, read from the environment first, then from a file. A secret comes from the environment, from
// a file that a variable names, or from a file of settings that nobody else can read.

import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Config } from "sett";
import type { Context } from "./context.ts";
import { wrong } from "./exits.ts";
import { hasPassword } from "./secret-words.ts";

interface Setting {
  /** The variable; with `_FILE` after it, one that names a file with the value. */
  readonly env: string;
  readonly what: string;
  /** A path: relative to the folder of the file it stands in, or to the working directory. */
  readonly path?: true;
  readonly secret?: true;
  readonly expected: string;
  readonly accepts: (value: string) => boolean;
}

const visible = (value: string) => /^[!-~]+$/.test(value);
const notEmpty = () => true;

/** By the field of the file of settings. */
export const settingsTable = {
  clientId: {
    env: "PLAID_CLIENT_ID",
    what: "Plaid's client_id, from its Dashboard",
    expected: "visible ASCII characters",
    accepts: visible,
  },
  secret: {
    env: "PLAID_SECRET",
    what: "Plaid's secret for the environment",
    secret: true,
    expected: "visible ASCII characters",
    accepts: visible,
  },
  env: {
    env: "PLAID_ENV",
    what: "`sandbox` or `production`; sandbox unless told",
    expected: "sandbox or production",
    accepts: (value) => value === "sandbox" || value === "production",
  },
  plaidUrl: {
    env: "SETT_PLAID_URL",
    what: "in place of Plaid's host: a local Plaid (`sett sandbox`), a proxy",
    expected: "an http(s) URL without credentials or query",
    accepts: (value) => /^https?:\/\/[^\s@?#]+$/.test(value),
  },
  database: {
    env: "SETT_DATABASE",
    what: "a folder, `sqlite:` and a file, or a `postgres://` URL; `./sett-data` unless told",
    path: true,
    secret: true,
    expected: 'a folder, "sqlite:" and a file, or a postgres:// URL',
    accepts: (value) => /^(sqlite:.|postgres(ql)?:\/\/.)/.test(value) || !/^[a-z][a-z+.-]+:/i.test(value),
  },
  folder: {
    env: "SETT_FOLDER",
    what: "the escrow's folder, on a local disk that survives a restart; beside the database unless told, and needed with PostgreSQL",
    path: true,
    expected: "a path",
    accepts: notEmpty,
  },
  keys: {
    env: "SETT_KEYS",
    what: "the key-encryption keys themselves, with spaces or new lines between; the first one wraps",
    secret: true,
    expected: "keys as `sett keys new` makes them",
    accepts: notEmpty,
  },
  keyFile: {
    env: "SETT_KEY_FILE",
    what: "or a file of them, readable by its owner alone; `./sett-keys/sett.key` unless told",
    path: true,
    expected: "a path",
    accepts: notEmpty,
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof settingsTable;

export interface Settings {
  /** The file they come from, besides the environment. */
  readonly file: string | null;
  readonly env: "sandbox" | "production";
  readonly clientId: string | null;
  readonly secret: string | null;
  readonly plaidUrl: string | null;
  readonly database: string;
  readonly folder: string | null;
  /** The keys, or where they are. */
  readonly keys: { readonly text: string } | { readonly file: string };
  /** Where each one comes from: a variable, a file, or nothing. */
  readonly from: Readonly<Partial<Record<SettingName, string>>>;
  /** What is wrong with them. */
  readonly problems: readonly string[];
}

export const defaults = { database: "sett-data", keyFile: "sett-keys/sett.key", file: "sett.json" } as const;

interface Found {
  readonly value: string;
  readonly from: string;
  readonly base: string;
}

/** Reads them all and says what is wrong, without a value in it. */
export function readSettings(context: Context, config: string | undefined): Settings {
  const { env, cwd } = context;
  const problems: string[] = [];
  const named = config ?? given(env["SETT_CONFIG"]);
  const path = resolve(cwd, named ?? defaults.file);
  const file = named !== undefined || existsSync(path) ? readFile(path, problems) : undefined;
  const from: Partial<Record<SettingName, string>> = {};

  const inEnvironment = (name: SettingName) => fromEnvironment(settingsTable[name], env, cwd, problems);
  const inFile = (name: SettingName) => fromFile(name, file, path, problems);
  const taken = (name: SettingName, found: Found | undefined): string | null => {
    const setting: Setting = settingsTable[name];
    if (!found) return null;
    from[name] = found.from;
    if (found.value !== "" && setting.accepts(found.value))
      return setting.path ? resolved(found.value, found.base) : found.value;
    problems.push(`${found.from} must be ${setting.expected}`);
    return null;
  };
  const read = (name: SettingName) => taken(name, inEnvironment(name) ?? inFile(name));
  const clientId = read("clientId");
  const secret = read("secret");
  // Two names for one thing: a variable of either wins over both in the file.
  const both = (find: typeof inFile) => ({ keys: find("keys"), keyFile: find("keyFile") });
  const variable = both(inEnvironment);
  const source = variable.keys || variable.keyFile ? variable : both(inFile);
  const keys = taken("keys", source.keys);
  const keyFile = taken("keyFile", source.keyFile);
  if (keys !== null && keyFile !== null)
    problems.push(`${from.keys} and ${from.keyFile} both give keys: leave one of them out`);
  return {
    file: file === undefined ? null : path,
    env: (read("env") as Settings["env"] | null) ?? "sandbox",
    clientId,
    secret,
    plaidUrl: read("plaidUrl"),
    database: read("database") ?? join(cwd, defaults.database),
    folder: read("folder"),
    keys: keys === null ? { file: keyFile ?? join(cwd, defaults.keyFile) } : { text: keys },
    from,
    problems,
  };
}

/** The same, for whoever cannot go on with settings that are wrong. */
export function soundSettings(context: Context, config: string | undefined): Settings {
  const settings = readSettings(context, config);
  const [first, ...others] = settings.problems;
  if (first === undefined) return settings;
  throw wrong([first, ...others].join("\n"));
}

/** What sett is to be told of Plaid, or how to give it. */
export function plaidOf({ clientId, secret, env, plaidUrl }: Settings): Config {
  const missing = [
    ...(clientId === null ? [settingsTable.clientId.env] : []),
    ...(secret === null ? [settingsTable.secret.env] : []),
  ];
  if (missing.length > 0)
    throw wrong(
      `${missing.join(" and ")} must be set: ${missing.length > 1 ? "both are" : "it is"} in Plaid's Dashboard ` +
        `(https://dashboard.plaid.com/developers/keys), for the environment ${env}. Without an account of Plaid's, ` +
        `\`sett sandbox\` runs a local Plaid and says what to set.`,
    );
  return { clientId: clientId!, secret: secret!, env, ...(plaidUrl !== null && { baseUrl: plaidUrl }) };
}

export const isPostgres = (database: string): boolean => /^postgres(ql)?:/.test(database);

/** SQLite's file; null with PostgreSQL. */
export const sqliteFile = ({ database }: Pick<Settings, "database">): string | null =>
  isPostgres(database)
    ? null
    : database.startsWith("sqlite:")
      ? database.slice("sqlite:".length)
      : join(database, "sett.db");

/** Where the escrow is. */
export function escrowFolder({ folder, database }: Settings): string {
  if (folder !== null) return folder;
  const file = sqliteFile({ database });
  if (file !== null) return join(dirname(file), "escrow");
  throw wrong(
    `${settingsTable.folder.env} must be set: with PostgreSQL the escrow needs a folder of its own, on a local disk ` +
      `that survives a restart`,
  );
}

/** An empty variable is one that is not set. */
const given = (value: string | undefined) => (value === undefined || value === "" ? undefined : value);

function fromEnvironment(
  { env: name, path }: Setting,
  env: Context["env"],
  cwd: string,
  problems: string[],
): Found | undefined {
  const value = given(env[name]);
  const file = path && !name.endsWith("DATABASE") ? undefined : given(env[`${name}_FILE`]);
  if (value !== undefined && file !== undefined)
    problems.push(`${name} and ${name}_FILE are both set: leave one of them out`);
  if (value !== undefined) return { value, from: name, base: cwd };
  if (file === undefined) return undefined;
  try {
    return { value: readFileSync(resolve(cwd, file), "utf8").trim(), from: `${name}_FILE`, base: cwd };
  } catch (thrown) {
    problems.push(`${name}_FILE must name a file that can be read: ${codeOf(thrown)}`);
    return undefined;
  }
}

interface File {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly mode: number;
}

function readFile(path: string, problems: string[]): File | undefined {
  try {
    const { mode, uid } = statSync(path);
    const text = readFileSync(path, "utf8");
    if (process.platform !== "win32" && ((mode & 0o002) !== 0 || ![0, process.getuid?.()].includes(uid)))
      problems.push(`${path} can be changed by others: make it yours, and mode 600`);
    const fields: unknown = JSON.parse(text);
    if (typeof fields !== "object" || fields === null || Array.isArray(fields)) throw new SyntaxError();
    for (const name of Object.keys(fields))
      if (!Object.hasOwn(settingsTable, name))
        problems.push(
          `${path}: there is no setting ${name}; there are ${Object.keys(settingsTable).join(", ")}`,
        );
    return { fields: fields as File["fields"], mode };
  } catch (thrown) {
    const what =
      thrown instanceof SyntaxError ? "an object of JSON" : `a file that can be read: ${codeOf(thrown)}`;
    problems.push(`the file of settings, ${path}, must be ${what}`);
    return undefined;
  }
}

function fromFile(
  name: SettingName,
  file: File | undefined,
  path: string,
  problems: string[],
): Found | undefined {
  const value = file?.fields[name];
  if (value === undefined || value === null) return undefined;
  const setting: Setting = settingsTable[name];
  const from = `${path}: ${name}`;
  if (typeof value !== "string") {
    problems.push(`${from} must be a text: ${setting.expected}`);
    return undefined;
  }
  const isSecret = setting.secret && (!setting.path || hasPassword(value));
  if (isSecret && process.platform !== "win32" && (file!.mode & 0o077) !== 0)
    problems.push(
      `${from} is a secret in a file that others can read (mode ${(file!.mode & 0o777).toString(8)}): make it 600, and consider it known`,
    );
  return { value, from, base: dirname(path) };
}

function resolved(value: string, base: string): string {
  if (isPostgres(value)) return value;
  return value.startsWith("sqlite:")
    ? `sqlite:${resolve(base, value.slice("sqlite:".length))}`
    : resolve(base, value);
}

const codeOf = (thrown: unknown) => (thrown as NodeJS.ErrnoException).code ?? "it cannot be read";

/** Reads a file that an option names. */
export function readGiven({ cwd }: Context, option: string, path: string): string {
  try {
    return readFileSync(resolve(cwd, path), "utf8");
  } catch (thrown) {
    throw wrong(`${option} must name a file that can be read: ${codeOf(thrown)}`);
  }
}
