// What the tests of import and export share: a sandbox full of Items, and files that name them.

import { createSandbox, type Sandbox } from "@sett/sandbox";
import { Item, unwrap, type Config, type Post } from "sett";
import { configFor, publicToken } from "./lifecycle-world.ts";

/** A sandbox, as many Items in it, and a count of what is asked of it. */
export async function manyItems(count: number): Promise<{
  sandbox: Sandbox;
  plaid: Config;
  items: { item_id: string; access_token: string }[];
  asked: { count: number };
}> {
  const sandbox = await createSandbox();
  const asked = { count: 0 };
  const post: Post = (url, ...rest) => {
    if (new URL(url).pathname === "/item/get") asked.count++;
    return sandbox.post(url, ...rest);
  };
  const plaid = configFor({ post });
  const items: { item_id: string; access_token: string }[] = [];
  for (let made = 0; made < count; made++) {
    const { item_id, access_token } = unwrap(await Item.exchangePublicToken(await publicToken(plaid), plaid));
    items.push({ item_id, access_token });
  }
  return { sandbox, plaid, items, asked };
}

/** The text in chunks of a few bytes, so that every seam falls somewhere else. */
export async function* chunks(text: string | Uint8Array, length = 7): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

/** All that comes, in order. */
export async function all<Value>(source: AsyncIterable<Value>): Promise<Value[]> {
  const values: Value[] = [];
  for await (const one of source) values.push(one);
  return values;
}
