// A file that is there when it is whole and on disk, or not at all; readable by its owner alone.

import { open, rename, rm } from "node:fs/promises";

export async function writeWhole(path: string, pieces: AsyncIterable<Uint8Array | string>): Promise<void> {
  const part = `${path}.part`;
  const file = await open(part, "w", 0o600);
  try {
    for await (const piece of pieces) await file.appendFile(piece);
    await file.sync();
    await file.close();
    await rename(part, path);
  } catch (thrown) {
    await file.close().catch(() => {});
    await rm(part, { force: true });
    throw thrown;
  }
}
