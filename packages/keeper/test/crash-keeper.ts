// A process that does one thing with a keeper and ends itself with SIGKILL at its n-th step: see crash.test.ts. A step is
// a place before or after an outside effect: a call to Plaid, each operation on the escrow's files, each commit.

import { configFor, open } from "./lifecycle-world.ts";
import { fetchPost, type Post } from "sett";
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
}

const order = JSON.parse(process.argv[2]!) as Order;
const steps: string[] = [];
let counting = order.what === "recover";

function step(name: string): void {
  if (!counting) return;
  steps.push(name);
  if (steps.length === order.killAt) process.kill(process.pid, "SIGKILL");
}

async function around<Value>(name: string, effect: () => Promise<Value>): Promise<Value> {
  step(`before ${name}`);
  const value = await effect();
  step(`after ${name}`);
  return value;
}

const post: Post = async (url, body, headers, signal) => {
  const { pathname } = new URL(url);
  const answer = await around(pathname, () => fetchPost(url, body, headers, signal));
  if (pathname !== order.drop) return answer;
  throw new TypeError("fetch failed", { cause: Object.assign(new Error("reset"), { code: "ECONNRESET" }) });
};

const watched = (file: OpenFile): OpenFile => ({
  write: (bytes, position) => around("write", () => file.write(bytes, position)),
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
counting = false;
await keeper.close();
process.stdout.write(JSON.stringify(steps));
