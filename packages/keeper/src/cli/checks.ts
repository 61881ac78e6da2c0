// What the doctor looks at, in an order in which each check stands on those before it: settings, keys, database, clocks,
// Plaid, what is open, the escrow, webhooks, disk. A check whose ground is missing says nothing.

import { access, constants, stat, statfs } from "node:fs/promises";
import { dirname, sep } from "node:path";
import { advice, fetchPost, Institution, type Failure, type Post, type Result } from "sett";
import { openDatabase, type Database } from "../database/database.ts";
import { lookInto } from "../escrow/look.ts";
import { lostFor } from "../lifecycle/failure.ts";
import { openVault } from "../vault/vault.ts";
import type { KeyRing } from "../vault/ring.ts";
import type { Context } from "./context.ts";
import { Stop } from "./exits.ts";
import { refuseUnlessThere, ringOf } from "./open.ts";
import { databaseSaid, escrowSaid, plaidSaid, vaultSaid } from "./sentences.ts";
import { escrowFolder, plaidOf, sqliteFile, type Settings } from "./settings.ts";
import { moment, span } from "./spans.ts";

export interface Finding {
  readonly is: "ok" | "warn" | "fail";
  /** What it is about, in a word. */
  readonly about: string;
  readonly said: string;
  readonly todo?: string | undefined;
}

/** What the checks stand on; each adds what it has found to work. */
export interface Ground {
  readonly context: Context;
  readonly settings: Settings;
  readonly offline: boolean;
  database: Database | undefined;
  ring: KeyRing | undefined;
}

type Check = (ground: Ground) => Promise<readonly Finding[]>;

const DAY = 86_400_000;
/** An intent that is older has been tried again many times. */
const oldIntentMs = 15 * 60_000;
/** A record that is younger may well be one that a process is just bringing to the database. */
const onItsWayMs = 10_000;
/** Plaid's webhooks are refused when they seem to be from more than a minute ahead. */
const skewWarnMs = 5_000;
const skewFailMs = 55_000;
const roomWarnBytes = 1e9;
const roomFailBytes = 50e6;

const finding =
  (is: Finding["is"]) =>
  (about: string, said: string, todo?: string): Finding => ({ is, about, said, todo });
const ok = finding("ok");
const warn = finding("warn");
const fail = finding("fail");

const settings: Check = async ({ settings }) => {
  const found = settings.problems.map((problem) => fail("settings", problem));
  for (const need of [plaidOf, escrowFolder]) {
    const had = await tried(() => need(settings));
    if (!had.ok) found.push(fail("settings", had.error));
  }
  const where = settings.file === null ? "the environment" : `the environment and ${settings.file}`;
  return found.length > 0 ? found : [ok("settings", `from ${where}; Plaid's ${settings.env}`)];
};

const keys: Check = async (ground) => {
  const { settings } = ground;
  const ring = await tried(() => ringOf(settings));
  if (!ring.ok) return [fail("keys", ring.error)];
  ground.ring = ring.value;
  const { kekId } = ground.ring;
  if ("text" in settings.keys) return [ok("keys", `from ${settings.from.keys}; ${kekId} wraps`)];
  const { file } = settings.keys;
  const database = sqliteFile(settings);
  const beside = database !== null && file.startsWith(dirname(database) + sep);
  const said = `${file}, readable by its owner alone; ${kekId} wraps`;
  return beside
    ? [
        warn(
          "keys",
          said,
          "it is beside the database: one backup of that folder gives away every token; move it",
        ),
      ]
    : [ok("keys", said)];
};

const database: Check = async (ground) => {
  const { settings, context, ring } = ground;
  const there = await tried(() => refuseUnlessThere(settings));
  if (!there.ok) return [fail("database", there.error)];
  const opened = await openDatabase(settings.database, { now: context.now() });
  if (!opened.ok) return [fail("database", databaseSaid(opened.error))];
  ground.database = opened.value;
  const schema = await opened.value.read((sql) =>
    sql
      .selectFrom("migrations")
      .select(["number", "name"])
      .orderBy("number", "desc")
      .limit(1)
      .executeTakeFirst(),
  );
  if (!schema.ok) return [fail("database", databaseSaid(schema.error))];
  const engine = opened.value.name === "sqlite" ? `SQLite in ${sqliteFile(settings)}` : "PostgreSQL";
  const found = [ok("database", `${engine}, schema ${schema.value?.number}`)];
  if (!ring) return found;
  const vault = await openVault({
    database: opened.value,
    ring,
    environment: settings.env,
    now: context.now,
  });
  if (!vault.ok) return [...found, fail("data keys", vaultSaid(vault.error))];
  const rows = await vault.value.keys();
  vault.value.close();
  if (!rows.ok) return [...found, fail("data keys", vaultSaid(rows.error))];
  const others = rows.value.filter(({ kek_id }) => kek_id !== ring.kekId).length;
  return [
    ...found,
    others > 0
      ? warn(
          "data keys",
          `${others} of ${rows.value.length} are wrapped by a key that is not the ring's first`,
          "sett keys rotate",
        )
      : ok("data keys", `${rows.value.length}, and the ring opens them`),
  ];
};

const plaid: Check = async ({ settings, context, offline }) => {
  const told = await tried(() => plaidOf(settings));
  if (offline || !told.ok) return [];
  const config = told.value;
  let date: string | null | undefined;
  let sent = 0;
  let seen = 0;
  const post: Post = async (...given) => {
    sent = context.now();
    const answer = await fetchPost(...given);
    seen = context.now();
    date = answer.headers.get("date");
    return answer;
  };
  // Knows no Item and changes nothing, and yet the credentials must be right.
  const answer = await Institution.getById("ins_109508", ["US"], { ...config, post });
  const found: Finding[] = [];
  // A bank that is not there in this environment, or a country that is not enabled: the credentials were right.
  const heard = answer.ok || happensAfterCredentials(answer.error);
  if (heard) found.push(ok("Plaid", `${config.baseUrl ?? config.env} answers, and takes the credentials`));
  else if (!answer.ok) found.push(fail("Plaid", plaidSaid(answer.error)));
  const theirs = Date.parse(date ?? "");
  if (!Number.isNaN(theirs)) found.push(skew("clock", "Plaid's", theirs + 500 - (sent + seen) / 2));
  return found;
};

const happensAfterCredentials = (failure: Failure) =>
  failure.kind === "refused" &&
  failure.status < 429 &&
  advice(failure).action === "fix-request" &&
  !/client_id|secret/.test(failure.error.error_message ?? "");

/** `ahead`: how much the other clock is ahead of this machine's. A header's is to the second. */
function skew(about: string, whose: string, ahead: number): Finding {
  const by = Math.abs(ahead);
  if (by < skewWarnMs) return ok(about, `agrees with ${whose}`);
  const said = `this machine's clock is ${(by / 1_000).toFixed(0)} s ${ahead > 0 ? "behind" : "ahead of"} ${whose}`;
  const todo = "set the clock (NTP): webhooks are held against it, and leases of several machines";
  return by < skewFailMs ? warn(about, said, todo) : fail(about, said, todo);
}

const databaseClock: Check = async ({ database, context }) => {
  if (database?.name !== "postgres") return [];
  const sent = context.now();
  const told = await database.read((sql) => database.differences.clock(sql));
  if (!told.ok || told.value === null) return [];
  return [skew("clock", "PostgreSQL's", told.value - (sent + context.now()) / 2)];
};

const open: Check = async ({ database, context, settings }) => {
  const now = context.now();
  const read = await database?.read(async (sql) => {
    const intents = await sql
      .selectFrom("intents")
      .select((row) => ["kind", row.fn.countAll().as("n"), row.fn.min("opened_at").as("oldest")])
      .where("settled_at", "is", null)
      .where("environment", "=", settings.env)
      .groupBy("kind")
      .execute();
    const stranded = await sql
      .selectFrom("items")
      .select("item_id")
      .where("state", "=", "stranded")
      .where("environment", "=", settings.env)
      .orderBy("item_id")
      .limit(100)
      .execute();
    const lost = await sql
      .selectFrom("intents")
      .select(["intent_id", "request_id", "opened_at"])
      .where("outcome", "=", "lost")
      .where("environment", "=", settings.env)
      .where("settled_at", ">", now - 30 * DAY)
      .orderBy("settled_at", "desc")
      .limit(100)
      .execute();
    return { intents, stranded, lost };
  });
  if (!read) return [];
  if (!read.ok) return [fail("open", databaseSaid(read.error))];
  const { intents, stranded, lost } = read.value;
  const oldest = Math.min(...intents.map(({ oldest }) => Number(oldest)));
  const kinds = intents.map(({ kind, n }) => `${Number(n)} ${kind}`).join(", ");
  const found: Finding[] = [
    intents.length === 0
      ? ok("open", "nothing is left open")
      : now - oldest > oldIntentMs
        ? warn(
            "open",
            `${kinds}; the oldest since ${span(now - oldest)}`,
            "sett serve, sett worker --until-idle and any command that needs Plaid's credentials try again; see the log for what stands in the way",
          )
        : ok("open", `${kinds}; the oldest since ${span(now - oldest)}`),
    stranded.length === 0
      ? ok("stranded", "no Item is stranded")
      : fail(
          "stranded",
          `${stranded.length === 100 ? "at least 100" : stranded.length}: ${stranded
            .slice(0, 5)
            .map(({ item_id }) => item_id)
            .join(", ")}${stranded.length > 5 ? ", …" : ""}`,
          "sett show <item_id> has the text for Plaid's support; sett items --state stranded lists them",
        ),
  ];
  if (lost.length === 0) found.push(ok("lost", "no exchange was lost in the last 30 days"));
  for (const { intent_id, request_id, opened_at } of lost)
    found.push(
      warn(
        "lost",
        `the exchange of ${moment(opened_at)} (intent ${intent_id})`,
        `to Plaid's support: "${lostFor(intent_id, request_id, opened_at).support}"`,
      ),
    );
  return found;
};

const escrow: Check = async ({ settings, context }) => {
  const place = await tried(() => escrowFolder(settings));
  if (!place.ok) return [];
  const folder = place.value;
  const looked = await lookInto(folder);
  if (!looked.ok)
    return looked.error.code === "ENOENT"
      ? [ok("escrow", `${folder} is not there yet: nothing waits`)]
      : [fail("escrow", escrowSaid(looked.error))];
  const { records, damage, aside } = looked.value;
  const waiting = records.filter(({ at }) => at <= context.now() - onItsWayMs);
  const coming = records.length - waiting.length;
  const found: Finding[] = [];
  if (records.length === 0) found.push(ok("escrow", `${folder}: nothing waits`));
  if (coming > 0)
    found.push(ok("escrow", `${folder}: tokens of the last seconds on their way to the database: ${coming}`));
  if (waiting.length > 0)
    found.push(
      warn(
        "escrow",
        `tokens that wait to be brought in: ${waiting.length}, the oldest since ${moment(waiting[0]!.at)}`,
        "once the database takes them, the process that has them brings them in; if that is gone, " +
          "sett worker --until-idle does, or any command that needs Plaid's credentials",
      ),
    );
  const unusable = await access(folder, constants.W_OK).catch((thrown: NodeJS.ErrnoException) => thrown);
  if (unusable) {
    const { code = null, message: detail } = unusable;
    found.push(fail("escrow", escrowSaid({ kind: "unavailable", code, detail })));
  }
  for (const { detail } of damage)
    found.push(
      fail("escrow", detail, "a token may be in it: keep the file, and look for Items that nobody knows"),
    );
  for (const name of aside)
    found.push(
      warn(
        "escrow",
        `${folder}/${name} was put aside, for parts of it could not be read`,
        "once nobody misses an Item, delete it",
      ),
    );
  return found;
};

const deliveries: Check = async ({ database, settings, context }) => {
  const read = await database?.read((sql) =>
    sql
      .selectFrom("deliveries")
      .select((row) => [row.fn.countAll().as("n"), row.fn.min("received_at").as("oldest")])
      .where("applied_at", "is", null)
      .where("environment", "=", settings.env)
      .executeTakeFirstOrThrow(),
  );
  if (!read) return [];
  if (!read.ok) return [fail("webhooks", databaseSaid(read.error))];
  const waiting = Number(read.value.n);
  if (waiting === 0) return [ok("webhooks", "all that came are applied")];
  const age = context.now() - Number(read.value.oldest);
  const said = `${waiting} wait to be applied, the oldest since ${span(age)}`;
  return [
    age > oldIntentMs
      ? warn(
          "webhooks",
          said,
          "they are of Items that the keeper does not know (linked elsewhere?), or nothing is running: sett serve",
        )
      : ok("webhooks", said),
  ];
};

const disk: Check = async ({ settings }) => {
  const file = sqliteFile(settings);
  const folders = new Set<string>();
  if (file !== null) folders.add(dirname(file));
  const escrow = await tried(() => escrowFolder(settings));
  if (escrow.ok) folders.add(escrow.value);
  const found: Finding[] = [];
  const disks = new Set<number>();
  for (const folder of folders) {
    const about = await Promise.all([stat(folder), statfs(folder)]).catch(() => null);
    if (about === null || disks.has(about[0].dev)) continue;
    disks.add(about[0].dev);
    const free = about[1].bavail * about[1].bsize;
    const said = `${(free / 1e9).toFixed(1)} GB free for ${folder}`;
    const todo = "make room: on a full disk nothing can be linked or rotated";
    found.push(
      free < roomFailBytes
        ? fail("disk", said, todo)
        : free < roomWarnBytes
          ? warn("disk", said, todo)
          : ok("disk", said),
    );
  }
  return found;
};

/** What comes of it, or what it stopped with. */
async function tried<Value>(work: () => Value): Promise<Result<Awaited<Value>, string>> {
  try {
    return { ok: true, value: await work() };
  } catch (thrown) {
    if (thrown instanceof Stop) return { ok: false, error: thrown.message };
    throw thrown;
  }
}

export const checks: readonly Check[] = [
  settings,
  keys,
  database,
  plaid,
  databaseClock,
  open,
  escrow,
  deliveries,
  disk,
];
