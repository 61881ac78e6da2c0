// Hides how a folder with a manifest and a lock of its own (runtimes, checks) gets its packages: at the locked
// versions, and again only when the lock has changed.

import { createHash } from "node:crypto";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { root, run } from "./program.ts";

const limitMs = 10 * 60_000;

/**
 * Installs what the folder's lock names, unless that has been done already. `finish` does what npm does not, and
 * says whether the installation is whole; if it is not, the next call tries again. Test files run side by side, so one of
 * them installs and the others wait for it.
 */
export async function installLocked(
  folder: string,
  what: string,
  finish?: () => Promise<boolean>,
): Promise<void> {
  const lock = await readFile(join(folder, "package-lock.json"), "utf8");
  const stamp = join(folder, "node_modules", ".installed-lock.json");
  const isInstalled = async () => (await readFile(stamp, "utf8").catch(() => "")) === lock;
  if (await isInstalled()) return;
  await inTurn(folder, async () => {
    if (await isInstalled()) return;
    console.log(`installing ${what} ...`);
    await run("npm", ["ci", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error"], {
      cwd: folder,
    });
    if (finish && !(await finish())) return;
    await writeFile(stamp, lock);
  });
}

/** One process at a time for each folder. */
async function inTurn(folder: string, work: () => Promise<void>): Promise<void> {
  const name = createHash("sha256").update(folder).digest("hex").slice(0, 8);
  const turn = join(root, "node_modules/.cache", `installing-${name}`);
  await mkdir(dirname(turn), { recursive: true });
  const end = Date.now() + limitMs;
  for (;;) {
    try {
      await mkdir(turn);
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    // Left behind by one that was killed.
    const begun = await stat(turn).catch(() => undefined);
    if (begun && Date.now() - begun.mtimeMs > limitMs) await rm(turn, { recursive: true, force: true });
    if (Date.now() > end) throw new Error(`${turn} is in the way: remove it`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  try {
    await work();
  } finally {
    await rm(turn, { recursive: true, force: true });
  }
}

/** The folder whose packages lint, bundle and inspect. */
export const checks = join(root, "test/checks");

export const installChecks = (): Promise<void> =>
  installLocked(checks, "what test/checks/package-lock.json names (about 10 s, 100 MB)");
