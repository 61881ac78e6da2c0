// A process that does one thing with a keeper and ends itself with SIGKILL at its n-th step: see crash.test.ts. A step is
// a place before or after an outside effect: a call to Plaid, each operation on the escrow's files, each commit. It says
// each step before it takes it. Which is first, the escrow or the database, it can settle: the other one has to wait.

import { writeSync } from "node:fs";
import BetterSqlite from "better-sqlite3";
import pg from "pg";
import { configFor, open } from "./lifecycle-world.ts";
import { lightPost } from "./light-post.ts";
import type { Post } from "sett";
import { join } from "node:path";
import { nodeFiles, type Files, type OpenFile } from "../src/escrow/files.ts";

/** What the process is to do, and when to die. */
export interface Order {
  readonly url: string;
  readonly folder: string;
  readonly baseUrl: string;
  readonly what: "link" | "rotate" | "remove" | "webhook" | "recover";
  readonly item_id: string;
  readonly public_token: string;
  /** 0: never. */
  readonly killAt: number;
  /** Every answer of this call is lost on the way, after Plaid has done what was asked. */
  readonly drop: string | null;
  /** Who is to have Plaid's answer first. */
  readonly first: "database" | "escrow";
}

const order = JSON.parse(process.argv[2]!) as Order;
let steps = 0;
let counting = order.what === "recover";
const committed = Promise.withResolvers<void>();
const escrowed = Promise.withResolvers<void>();
/** The escrow's turn has come. */
const writing = Promise.withResolvers<void>();
const isPostgres = /^postgres/.test(order.url);

function step(name: string): void {
  if (!counting) return;
  writeSync(1, `${name}\n`);
  if (++steps === order.killAt) process.kill(process.pid, "SIGKILL");
  if (name.endsWith(": committed")) committed.resolve();
  if (name.endsWith(": escrowed")) escrowed.resolve();
}

/** Nobody else can write until then. */
async function holdDatabase(until: Promise<void>): Promise<void> {
  if (isPostgres) {
    const client = new pg.Client({ connectionString: order.url });
    await client.connect();
    await client.query("begin; lock table sett.items in exclusive mode");
    void until.then(() => client.end());
  } else {
    const database = new BetterSqlite(join(order.url, "sett.db"));
    database.exec("begin immediate");
    void until.then(() => database.close());
  }
}

async function around<Value>(name: string, effect: () => Promise<Value>): Promise<Value> {
  step(`before ${name}`);
  const value = await effect();
  step(`after ${name}`);
  return value;
}

const tokenPaths: Partial<Record<Order["what"], string>> = {
  link: "/item/public_token/exchange",
  rotate: "/item/access_token/invalidate",
};

const post: Post = async (url, body, headers, signal) => {
  const { pathname } = new URL(url);
  const answer = await around(pathname, () => lightPost(url, body, headers, signal));
  if (order.drop === null && pathname === tokenPaths[order.what]) {
    if (order.first === "escrow") await holdDatabase(escrowed.promise);
    // So quick a commit is left to SQLite: that the escrow's turn never comes.
    else if (isPostgres) await holdDatabase(writing.promise);
  }
  if (pathname !== order.drop) return answer;
  throw new TypeError("fetch failed", { cause: Object.assign(new Error("reset"), { code: "ECONNRESET" }) });
};

const watched = (file: OpenFile): OpenFile => ({
  write: async (bytes, position) => {
    const waits = counting && order.first === "database" && order.drop === null && order.what in tokenPaths;
    if (waits) {
      writing.resolve();
      await committed.promise;
    }
    return around("write", () => file.write(bytes, position));
  },
  sync: () => around("sync", () => file.sync()),
  close: () => file.close(),
});

const files: Files = {
  ...nodeFiles,
  create: async (path) => watched(await around("create", () => nodeFiles.create(path))),
  rename: (from, to) => around("rename", () => nodeFiles.rename(from, to)),
  remove: (path) => around("remove", () => nodeFiles.remove(path)),
  syncFolder: (path) => around("sync folder", () => nodeFiles.syncFolder(path)),
};

const plaid = configFor({ post }, { baseUrl: order.baseUrl });
const keeper = await open(order.url, order.folder, plaid, { at: step, files });
counting = true;
const { item_id } = order;
const work = {
  link: () => keeper.link(order.public_token, { userId: "u_crash" }),
  rotate: () => keeper.rotate(item_id),
  remove: () => keeper.remove(item_id),
  webhook: () => keeper.updateWebhook(item_id, "http://127.0.0.1:9/moved"),
  recover: () => keeper.recover(),
};
await work[order.what]();
await keeper.close();
