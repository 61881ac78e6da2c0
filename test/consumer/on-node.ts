// What the declarations of `sett/node` and `@sett/sandbox` promise to a strict program with Node's types and without
// the DOM's.

import { createSandbox, type Sandbox, type SandboxOptions } from "@sett/sandbox";
import { createServer } from "node:http";
import { Item, type Config } from "sett";
import { nodeListener, pooledPost, type PooledPost } from "sett/node";
import { config, receiver } from "./everywhere.ts";

const post: PooledPost = pooledPost({ connections: 2 });
export const pooled: Config = { ...config, post };
export const server = createServer((request, response) => void nodeListener(receiver)(request, response));

const options: SandboxOptions = { seed: 1, now: "2026-01-01T00:00:00Z" };
export async function tried(): Promise<boolean> {
  const sandbox: Sandbox = await createSandbox(options);
  const { url } = await sandbox.listen();
  const got = await Item.get("access-sandbox-1", { ...config, baseUrl: url });
  await sandbox.close();
  return got.ok;
}
