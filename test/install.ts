// Hides how a folder with a manifest and a lock of its own (runtimes, checks) gets its packages: at the locked
// versions, and again only when the lock has changed.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { root, run } from "./program.ts";

/**
 * Installs what the folder's lock names, unless that has been done already. `finish` does what npm does not, and
 * says whether the installation is whole; if it is not, the next call tries again.
 */
export async function installLocked(
  folder: string,
  what: string,
  finish?: () => Promise<boolean>,
): Promise<void> {
  const lock = await readFile(join(folder, "package-lock.json"), "utf8");
  const stamp = join(folder, "node_modules", ".installed-lock.json");
  if ((await readFile(stamp, "utf8").catch(() => "")) === lock) return;
  console.log(`installing ${what} ...`);
  await run("npm", ["ci", "--prefix", folder, "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: folder,
  });
  if (finish && !(await finish())) return;
  await writeFile(stamp, lock);
}

/** The folder whose packages lint, bundle and inspect. */
export const checks = join(root, "test/checks");

export const installChecks = (): Promise<void> =>
  installLocked(checks, "what test/checks/package-lock.json names (about 10 s, 100 MB)");
