// Where results of any length go: to the file of --out, which is there when it is whole and on disk, or not at all, and
// readable by its owner alone; or to standard output.

import { existsSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { resolve } from "node:path";
import type { Context } from "./context.ts";
import { wrong } from "./exits.ts";
import { written } from "./out.ts";

/** The file that --out names: stops where it is there already. */
export function newFile({ cwd }: Context, out: string): string {
  const path = resolve(cwd, out);
  if (existsSync(path)) throw wrong(`--out must name a file that is not there yet, and ${path} is`);
  return path;
}

/** To the file, or without one to standard output; false where nobody reads that any more. */
export async function writeOut(
  { stdout }: Context,
  path: string | undefined,
  pieces: AsyncIterable<Uint8Array | string>,
): Promise<boolean> {
  if (path === undefined) {
    for await (const piece of pieces) if (!(await written(stdout, piece))) return false;
    return true;
  }
  const part = `${path}.part`;
  const file = await open(part, "w", 0o600);
  try {
    for await (const piece of pieces) await file.appendFile(piece);
    await file.sync();
    await file.close();
    await rename(part, path);
    return true;
  } catch (thrown) {
    await file.close().catch(() => {});
    await rm(part, { force: true });
    throw thrown;
  }
}
