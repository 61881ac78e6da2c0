// What users get: the packages as npm packs them, looked through, installed into an empty project, and used there by
// programs and by a compiler that know nothing of this repository.

import assert from "node:assert/strict";
import { cpSync, globSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { after, before, describe, test } from "node:test";
import { buildPackages, packages, type Package } from "./build.ts";
import { checks, installChecks } from "./install.ts";
import { capture, captureBin, root, type Ended } from "./program.ts";
import { complete, installRuntimes, program } from "./runtimes/install.ts";

const maxBytes = 1_000_000;
const consumer = join(root, "test/consumer");
const work = await mkdtemp(join(tmpdir(), "sett-packed-"));
const project = join(work, "project");

await installRuntimes();
await installChecks();
await buildPackages();
await mkdir(project);
writeFileSync(join(project, "package.json"), JSON.stringify({ private: true, type: "module" }));
after(() => rm(work, { recursive: true }));

const well = async (ended: Promise<Ended>): Promise<string> => {
  const { code, output } = await ended;
  assert.equal(code, 0, output);
  return output;
};

const checked = (name: string, ...args: string[]): Promise<Ended> =>
  capture(process.execPath, [join(checks, "node_modules/.bin", name), ...args]);

const tarball = ({ name, manifest }: Package) =>
  join(work, `${name.replace(/^@/, "").replace("/", "-")}-${manifest.version}.tgz`);

const install = (...what: string[]) =>
  well(
    capture("npm", ["install", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error", ...what], {
      cwd: project,
    }),
  );

for (const one of packages()) {
  describe(`the tarball of ${one.name}`, () => {
    const unpacked = join(work, one.name);
    const inside = join(unpacked, "package");
    let files: string[] = [];

    before(async () => {
      await well(
        capture("npm", ["pack", "--loglevel=error", "--pack-destination", work], { cwd: one.folder }),
      );
      await mkdir(unpacked, { recursive: true });
      await well(capture("tar", ["-xzf", tarball(one), "-C", unpacked]));
      files = globSync("**/*", { cwd: inside }).filter((file) => statSync(join(inside, file)).isFile());
    });

    test("holds each source, what became of it, and nothing else", () => {
      const sources = globSync("**/*.ts", { cwd: join(one.folder, "src") });
      const built = sources.flatMap((source) =>
        [".js", ".js.map", ".d.ts", ".d.ts.map"].map((ending) => `dist/${source.replace(/\.ts$/, ending)}`),
      );
      const { exports, bin = {} } = one.manifest;
      const bundles = Object.values(exports).flatMap((entry) =>
        typeof entry === "object" && entry["module"] ? [entry["default"]!, `${entry["default"]!}.map`] : [],
      );
      const expected = [
        "LICENSE",
        "README.md",
        "package.json",
        ...[...bundles, ...Object.values(bin)].map((path) => join(path)),
        ...built,
        ...sources.map((source) => `src/${source}`),
      ];
      assert.deepEqual(files.sort(), expected.sort());
    });

    test("holds what its exports and programs name", () => {
      const { exports, bin = {} } = one.manifest;
      const named = Object.values(exports).flatMap((entry) =>
        typeof entry === "string" ? [entry] : Object.values(entry),
      );
      const missing = [...named, ...Object.values(bin)].filter((path) => !files.includes(join(path)));
      assert.deepEqual(missing, []);
      for (const path of Object.values(bin)) {
        assert.match(readFileSync(join(inside, path), "utf8"), /^#!\/usr\/bin\/env node\n/, path);
      }
    });

    test("holds no secret, no path of this machine, and no import of what was left behind", () => {
      const forbidden = [
        /-----BEGIN [A-Z ]*PRIVATE KEY/,
        /\b(access|public|link|processor)-(sandbox|production|development)-[0-9a-f]{8}-[0-9a-f]{4}-/,
        new RegExp(root.replace(/[.\\]/g, "\\$&")),
      ];
      for (const file of files) {
        const text = readFileSync(join(inside, file), "utf8");
        for (const pattern of forbidden) assert.doesNotMatch(text, pattern, file);
        // A program in bin/ may also be started in a checkout, where the sources are what there is.
        if (/^dist\/.*(\.js|\.d\.ts)$/.test(file)) {
          assert.doesNotMatch(text, /\b(from|import)\b\s*\(?\s*["']\.[^"']*\.ts["']/, file);
        }
      }
    });

    test("pleases publint", async () => {
      await well(checked("publint", "run", tarball(one), "--strict"));
    });

    test("has declarations that every resolution finds", async () => {
      await well(checked("attw", tarball(one), "--profile", "esm-only", "--no-emoji"));
    });
  });
}

// The tests of a file run in turn: each finds the project as the one before it left it.
describe("an empty project", () => {
  const runs = async (name: string): Promise<void> => {
    cpSync(join(consumer, name), join(project, name));
    for (const node of [process.execPath, ...(complete ? [program("node22")] : [])]) {
      await well(capture(node, [name], { cwd: project }));
    }
  };

  test("takes sett, with what it depends on, in less than a megabyte", async () => {
    await install(
      ...packages()
        .filter(({ name }) => name === "sett")
        .map(tarball),
    );
    const installed = globSync("node_modules/**/*", { cwd: project });
    const bytes = installed.map((file) => statSync(join(project, file))).filter((stat) => stat.isFile());
    const total = bytes.reduce((sum, { size }) => sum + size, 0);
    assert.ok(total <= maxBytes, `${total} bytes are installed`);
    assert.deepEqual(globSync("node_modules/{*,@*/*}/package.json", { cwd: project }).map(dirname).sort(), [
      "node_modules/jose",
      "node_modules/sett",
    ]);
  });

  test("runs a program on sett alone", () => runs("sett.mjs"));

  test("takes all packages", async () => {
    const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
      devDependencies: { undici: string };
    };
    await install(...packages().map(tarball), `undici@${devDependencies.undici}`);
    // Not somebody else's of the same name.
    const lock = readFileSync(join(project, "package-lock.json"), "utf8");
    const { packages: locked } = JSON.parse(lock) as { packages: Record<string, { resolved?: string }> };
    for (const one of packages()) {
      const resolved = locked[`node_modules/${one.name}`]?.resolved;
      assert.equal(resolved, `file:${relative(project, tarball(one))}`);
    }
  });

  test("runs an Item's life on all packages", () => runs("sandbox.mjs"));

  test("runs the programs of the packages", async () => {
    for (const name of packages().flatMap(({ manifest }) => Object.keys(manifest.bin ?? {}))) {
      const help = await well(capture("npx", ["--no-install", name, "--help"], { cwd: project }));
      assert.match(help, new RegExp(`Usage: ${name} `));
    }
  });

  for (const [surroundings, lib, types, files] of [
    ["the DOM and no Node", ["ES2022", "DOM"], [], ["everywhere.ts"]],
    ["Node and no DOM", ["ES2022"], ["node"], ["everywhere.ts", "on-node.ts"]],
  ] as const) {
    test(`compiles a strict program with the types of ${surroundings}`, async () => {
      for (const file of files) cpSync(join(consumer, file), join(project, file));
      const compilerOptions = {
        target: "ES2022",
        module: "NodeNext",
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        allowImportingTsExtensions: true,
        noEmit: true,
        lib,
        types,
        typeRoots: [join(root, "node_modules/@types")],
      };
      const file = join(project, "tsconfig.json");
      writeFileSync(file, JSON.stringify({ compilerOptions, files }));
      await well(captureBin("tsc", ["-p", file], { cwd: project }));
    });
  }
});
