// Hides how the packages become what users install: each compiled by tsc into its dist, those that others need first. An
// entry with a condition "module" is for bundlers as tsc leaves it, file by file; for everybody else it is made into one
// file, because loading a dozen takes longer than all that is in them.

import { existsSync, globSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { checks, installChecks } from "./install.ts";
import { captureBin, root } from "./program.ts";

const relativeImport = /(\b(?:from|import) *\(? *"\.[^"]*)\.ts(")/g;

/** A package of this repository, as far as tests look at it. */
export interface Package {
  readonly name: string;
  readonly folder: string;
  readonly manifest: {
    readonly name: string;
    readonly version: string;
    readonly dependencies?: Record<string, string>;
    readonly peerDependencies?: Record<string, string>;
    readonly exports: Record<string, string | Record<string, string>>;
    readonly bin?: Record<string, string>;
  };
}

/** The packages that have an entry, each after those it depends on. */
export function packages(): Package[] {
  const found = readdirSync(join(root, "packages"))
    .map((name) => join(root, "packages", name))
    .filter((folder) => existsSync(join(folder, "src/index.ts")))
    .map((folder): Package => {
      const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Package["manifest"];
      return { name: manifest.name, folder, manifest };
    });
  const needs = (one: Package, other: Package) => one.manifest.dependencies?.[other.name] !== undefined;
  const depth = (one: Package): number =>
    Math.max(0, ...found.filter((other) => needs(one, other)).map((other) => depth(other) + 1));
  return found.sort((one, other) => depth(one) - depth(other));
}

// Said here so that the repository type-checks without esbuild's being installed.
interface Esbuild {
  build(options: Record<string, unknown>): Promise<{ outputFiles: { text: string }[] }>;
}

/** Bundles with esbuild, as ES modules. */
export async function bundle(options: Record<string, unknown>): Promise<string> {
  await installChecks();
  const { build } = createRequire(join(checks, "package.json"))("esbuild") as Esbuild;
  // What is wrong is in the error that it throws.
  const { outputFiles = [] } = await build({ bundle: true, format: "esm", logLevel: "silent", ...options });
  return outputFiles.map(({ text }) => text).join("");
}

/** Compiles every package anew and throws with what tsc said if one does not compile. */
export async function buildPackages(): Promise<void> {
  for (const { name, folder, manifest } of packages()) {
    await rm(join(folder, "dist"), { recursive: true, force: true });
    const { code, output } = await captureBin("tsc", ["-p", folder]);
    if (code !== 0) throw new Error(`${name} does not compile:\n${output}`);
    // tsc leaves the ".ts" of imports in declarations as it is, which not every reader of them understands.
    for (const file of globSync("dist/**/*.d.ts", { cwd: folder })) {
      const text = readFileSync(join(folder, file), "utf8");
      writeFileSync(join(folder, file), text.replace(relativeImport, "$1.js$2"));
    }
    for (const entry of Object.values(manifest.exports)) {
      if (typeof entry === "string" || entry["module"] === undefined) continue;
      await bundle({
        entryPoints: [join(folder, entry["module"])],
        outfile: join(folder, entry["default"]!),
        packages: "external",
        platform: "neutral",
        target: "es2024",
        sourcemap: true,
      });
    }
  }
}
