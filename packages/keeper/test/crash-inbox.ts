// A process that receives webhooks and ends itself with SIGKILL at its n-th step: see crash-inbox.test.ts. A step is a
// place between two outside effects: each statement and commit of the database, each answer to Plaid, each call of
// the subscriber.

import { appendFileSync, writeSync } from "node:fs";
import { openDatabase, type Database } from "../src/database/database.ts";
import type { Means } from "../src/lifecycle/means.ts";
import { createNews } from "../src/news.ts";
import { localKeyRing } from "../src/vault/ring.ts";
import { openVault } from "../src/vault/vault.ts";
import { configFor, ringText, value } from "./lifecycle-world.ts";
import { lightPost } from "./light-post.ts";

export interface Sent {
  readonly text: string;
  readonly verification: string;
}

/** What the process is to do, and when to die. */
export interface InboxOrder {
  readonly url: string;
  readonly baseUrl: string;
  /** What the subscriber was told is appended here, a line for each event. */
  readonly log: string;
  readonly now: number;
  readonly access_token: string;
  readonly sent: readonly Sent[];
  /** 0: never. */
  readonly killAt: number;
}

const order = JSON.parse(process.argv[2]!) as InboxOrder;
let steps = 0;

function step(): void {
  if (++steps === order.killAt) process.kill(process.pid, "SIGKILL");
}

const now = () => order.now;
const database = value(await openDatabase(order.url, { now: order.now }));
const vault = value(await openVault({ database, ring: localKeyRing(ringText), environment: "sandbox", now }));

const watched: Database = {
  ...database,
  // Before it is after what came before it.
  async read(work) {
    const result = await database.read(work);
    step();
    return result;
  },
  together(tables, build) {
    const run = database.together(tables, build);
    return async (given) => {
      const result = await run(given);
      step();
      return result;
    };
  },
  async transaction(work) {
    const result = await database.transaction(async (sql) => {
      const done = await work(sql);
      step(); // all is written, and nothing committed
      return done;
    });
    step();
    return result;
  },
};

const plaid = configFor({ post: lightPost }, { baseUrl: order.baseUrl });
const means = { database: watched, vault, plaid, environment: "sandbox", now, holder: `p${process.pid}` };
const news = createNews(means as unknown as Means, async (_, work) => ({
  ok: true,
  value: await work(order.access_token),
}));
news.subscribe("log", ({ seq }) => {
  step();
  appendFileSync(order.log, `${seq}\n`);
  step();
});
async function send(index: number): Promise<void> {
  const { text, verification } = order.sent[index]!;
  const request = new Request("https://example.com/plaid", {
    method: "POST",
    headers: { "plaid-verification": verification },
    body: text,
  });
  const { status } = await news.receive(request);
  step();
  if (status === 200) writeSync(1, `${index}\n`);
  step();
}
// The first by itself, the others at once: these are stored and applied together.
const [first, ...others] = order.sent.keys();
await send(first!);
await Promise.all(others.map(send));
await news.work();
await news.close();
vault.close();
await database.close();
writeSync(1, `steps ${steps}\n`);
