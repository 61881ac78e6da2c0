// A process that imports a file and ends itself with SIGKILL on the way: see import.test.ts.

import { createReadStream } from "node:fs";
import { fetchPost, type Post } from "sett";
import { configFor, open } from "./lifecycle-world.ts";

/** What to import, and when to die: after so many questions to Plaid, answers, or rows that are told of. */
export interface ImportOrder {
  readonly url: string;
  readonly folder: string;
  readonly baseUrl: string;
  readonly file: string;
  readonly killAt: { readonly what: "asked" | "answered" | "told"; readonly count: number };
}

const order = JSON.parse(process.argv[2]!) as ImportOrder;
let left = order.killAt.count;
const step = (what: ImportOrder["killAt"]["what"]) => {
  if (what === order.killAt.what && --left === 0) process.kill(process.pid, "SIGKILL");
};

const post: Post = async (...call) => {
  step("asked");
  const answer = await fetchPost(...call);
  step("answered");
  return answer;
};

const keeper = await open(order.url, order.folder, configFor({ post }, { baseUrl: order.baseUrl }), {
  budget: false,
});
await keeper.importItems(createReadStream(order.file), { onRow: () => step("told") });
await keeper.close();
