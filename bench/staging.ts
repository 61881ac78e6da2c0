// Hides how a user's installation comes about: our packages are built as for a release, packed, and installed from the
// tarballs into an empty project, each contender into its own.

import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { buildPackages } from "../test/build.ts";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..");
/** npm fetches what is not in its cache yet. */
const limitMs = 5 * 60_000;

/** A temporary folder with projects in it; deleted when disposed of, or at the latest with the process. */
export interface Stage extends Disposable {
  readonly folder: string;
  /** Installs packages, tarballs or `name@version`, into an empty project of this name, and gives its folder. */
  install(name: string, packages: readonly string[]): Promise<string>;
  /** Builds and packs `packages/<name>`, once, and gives the tarball. */
  pack(name: "sett" | "sandbox"): Promise<string>;
}

export async function openStage(): Promise<Stage> {
  const folder = await mkdtemp(join(tmpdir(), "sett-bench-"));
  const tarballs = new Map<string, Promise<string>>();
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  process.once("exit", remove);

  async function install(name: string, packages: readonly string[]): Promise<string> {
    const project = join(folder, name);
    await mkdir(project);
    await writeFile(join(project, "package.json"), JSON.stringify({ name, private: true, type: "module" }));
    if (packages.length === 0) return project;
    const flags = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--loglevel=error"];
    await run("npm", ["install", ...flags, ...packages], { cwd: project, timeout: limitMs });
    return project;
  }

  let built: Promise<void> | undefined;
  async function build(name: string): Promise<string> {
    await (built ??= buildPackages());
    const target = join(root, "packages", name);
    const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", folder], {
      cwd: target,
      timeout: limitMs,
    });
    return join(folder, packedName(JSON.parse(stdout)));
  }

  return {
    folder,
    install,
    pack: tarball,
    [Symbol.dispose]: () => {
      process.off("exit", remove);
      remove();
    },
  };

  function tarball(name: string): Promise<string> {
    const packed = tarballs.get(name) ?? build(name);
    tarballs.set(name, packed);
    return packed;
  }
}

/** npm tells of a list of packages, or since npm 11 of an object by name. */
function packedName(told: unknown): string {
  const [{ filename }] = Object.values(told as Record<string, { filename: string }>) as [
    { filename: string },
  ];
  return filename;
}

/** What an installation holds: bytes of its files, and packages. */
export async function installed(project: string): Promise<{ bytes: number; packages: number }> {
  const modules = join(project, "node_modules");
  const entries = await readdir(modules, { recursive: true, withFileTypes: true });
  let bytes = 0;
  for (const entry of entries) {
    if (entry.isFile() && entry.name !== ".package-lock.json") {
      bytes += (await readFile(join(entry.parentPath, entry.name))).length;
    }
  }
  const lock = JSON.parse(await readFile(join(modules, ".package-lock.json"), "utf8")) as {
    packages: object;
  };
  return { bytes, packages: Object.keys(lock.packages).length };
}
