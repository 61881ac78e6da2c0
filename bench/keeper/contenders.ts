// Who keeps Items, and what they are asked for. Each contender is told of a database of its own that is not there yet or
// is empty; Plaid is a function in the process that answers at once, the same for all.

import { randomBytes, randomUUID } from "node:crypto";
import { Item, unwrap, type Config, type Post } from "sett";
import type { MakeContender } from "../contender.ts";
import { credentials } from "../recorded.ts";
import { makeKey, open, openBare, seal } from "./bare.ts";

export interface Place {
  readonly url: string;
  /** For the keeper's escrow. */
  readonly folder: string;
}

type Make = (place: Place) => ReturnType<MakeContender>;

/** How many Items take turns where they are read. */
const kept = 1_000;

/** A new Item each time, of the same length, in Plaid's style. */
const post: Post = async () => {
  const id = randomBytes(16).toString("hex");
  const body =
    `{\n  "access_token": "access-sandbox-${id.slice(0, 8)}-${id.slice(8, 12)}-${id.slice(12, 16)}-${id.slice(16, 20)}-${id.slice(20)}",\n` +
    `  "item_id": "gVM8b${id}",\n  "request_id": "m8MDnv9okwxFNBV"\n}`;
  return { status: 200, headers: new Map(), body };
};
const plaid: Config = { ...credentials, post };

let turn = 0;
const publicToken = () => {
  const n = String(++turn).padStart(12, "0");
  return `public-sandbox-5c224a01-8314-4491-a06f-${n}`;
};

const keeperAt = async ({ url, folder }: Place) => {
  const { localKeyRing, newKey, openKeeper } = await import("@sett/keeper");
  const database = url.startsWith("postgres") ? url : `sqlite:${url}`;
  const opened = await openKeeper({ plaid, database, keys: localKeyRing(newKey()), folder });
  return unwrap(opened as never) as Extract<typeof opened, { ok: true }>["value"];
};

/** Calls Plaid, seals, stores, and forgets nothing in between only if nothing goes wrong. */
async function bareLink(place: Place) {
  const store = await openBare(place.url);
  const key = makeKey();
  return async () => {
    const answer = await Item.exchangePublicToken(publicToken(), plaid);
    if (!answer.ok) throw new Error("no answer");
    const { item_id, access_token } = answer.value;
    await store.insert(item_id, `u_${turn}`, seal(access_token, item_id, key));
    return item_id;
  };
}

/** The same, so that a crash leaves no Item that nobody can find: an intent on disk before the call. */
async function intentLink(place: Place) {
  const store = await openBare(place.url);
  const key = makeKey();
  return async () => {
    const token = publicToken();
    const intentId = randomUUID();
    await store.intend(intentId, seal(token, intentId, key));
    const answer = await Item.exchangePublicToken(token, plaid);
    if (!answer.ok) throw new Error("no answer");
    const { item_id, access_token } = answer.value;
    await store.arrive(intentId, item_id, `u_${turn}`, seal(access_token, item_id, key));
    return item_id;
  };
}

async function keeperLink(place: Place) {
  const keeper = await keeperAt(place);
  const once = async () => {
    const linked = await keeper.link(publicToken(), { userId: `u_${turn}` });
    if (!linked.ok) throw new Error(`not linked: ${linked.error.kind}`);
    return linked.value.item_id;
  };
  return { keeper, once };
}

const items = async (link: () => Promise<string>) => {
  const made = await Promise.all(Array.from({ length: kept }, link));
  return () => made[turn++ % kept]!;
};

function look(token: string): void {
  if (!token.startsWith("access-")) throw new Error("not a token");
}

export const contenders = {
  "link, bare": async (place) => ({ once: await bareLink(place) }),
  "link, intent": async (place) => ({ once: await intentLink(place) }),
  "link, sett": async (place) => ({ once: (await keeperLink(place)).once }),
  "use, bare": async (place) => {
    const store = await openBare(place.url);
    const key = makeKey();
    const next = await items(async () => {
      const { item_id, access_token } = unwrap(await Item.exchangePublicToken(publicToken(), plaid));
      await store.insert(item_id, "u_1", seal(access_token, item_id, key));
      return item_id;
    });
    return {
      once: async () => {
        const id = next();
        look(open(await store.find(id), id, key));
      },
    };
  },
  "use, sett": async (place) => {
    const { keeper, once } = await keeperLink(place);
    const next = await items(once);
    return {
      once: async () => {
        const used = await keeper.use(next(), async (token) => look(token));
        if (!used.ok) throw new Error(`not used: ${used.error.kind}`);
      },
    };
  },
} satisfies Record<string, Make>;
