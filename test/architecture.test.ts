// The architecture, held against the sources: who may import whom, what runs everywhere, what a file is called, how
// long it gets. The table is the one in ARCHITECTURE.md, and a test keeps the two the same. To add a room, add a row
// here and there.

import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { test } from "node:test";
import { packages } from "./build.ts";
import { root } from "./program.ts";

interface Room {
  /** A file, or a folder with a slash at its end. A file belongs to the room that names it most closely. */
  readonly files: string;
  /** Names of rooms, with " (types)" where only types may cross. A room may always import itself. */
  readonly imports?: readonly string[];
  /** npm packages; "node:" for all that Node brings. A room without "node:" runs everywhere. */
  readonly packages?: readonly string[];
}

const rooms: Record<string, Room> = {
  result: { files: "packages/sett/src/result.ts" },
  plaid: { files: "packages/sett/src/plaid/", imports: ["result"] },
  webhook: { files: "packages/sett/src/webhook/", imports: ["result", "plaid"], packages: ["jose"] },
  node: {
    files: "packages/sett/src/node.ts",
    imports: ["plaid (types)", "webhook (types)"],
    packages: ["undici", "node:"],
  },
  sett: { files: "packages/sett/src/index.ts", imports: ["result", "plaid"] },
  sandbox: {
    files: "packages/sandbox/src/",
    imports: ["plaid", "webhook", "sett (types)", "handlers", "listen", "folder"],
    packages: ["hono"],
  },
  handlers: {
    files: "packages/sandbox/src/handlers/",
    imports: ["sandbox", "plaid (types)", "sett (types)"],
  },
  folder: { files: "packages/sandbox/src/folder.ts", imports: ["sandbox"], packages: ["node:"] },
  listen: {
    files: "packages/sandbox/src/listen.ts",
    imports: ["sandbox"],
    packages: ["@hono/node-server", "node:"],
  },
  "sett-sandbox": {
    files: "packages/sandbox/src/cli.ts",
    imports: ["sandbox"],
    packages: ["commander", "node:"],
  },
  database: {
    files: "packages/keeper/src/database/",
    imports: ["sett"],
    packages: ["kysely", "better-sqlite3", "pg", "node:"],
  },
  vault: {
    files: "packages/keeper/src/vault/",
    imports: ["database", "sett"],
    packages: ["kysely", "node:"],
  },
  escrow: { files: "packages/keeper/src/escrow/", imports: ["sett"], packages: ["better-sqlite3", "node:"] },
  budget: {
    files: "packages/keeper/src/budget/",
    imports: ["database", "sett", "plaid"],
    packages: ["node:"],
  },
  lifecycle: {
    files: "packages/keeper/src/lifecycle/",
    imports: ["database", "vault", "escrow", "sett", "plaid"],
    packages: ["csv-parse", "kysely", "node:"],
  },
  inbox: {
    files: "packages/keeper/src/inbox/",
    imports: ["database", "vault", "sett", "webhook"],
    packages: ["kysely", "node:"],
  },
  sweep: {
    files: "packages/keeper/src/sweep/",
    imports: ["database", "vault", "lifecycle", "budget", "inbox", "sett", "plaid", "jobs"],
    packages: ["kysely", "csv-stringify", "node:"],
  },
  jobs: {
    files: "packages/keeper/src/sweep/jobs.ts",
    imports: ["database", "lifecycle", "sett"],
    packages: ["kysely", "pg-boss", "node:"],
  },
  keeper: {
    files: "packages/keeper/src/",
    imports: [
      "database",
      "vault",
      "escrow",
      "budget",
      "lifecycle",
      "inbox",
      "sweep",
      "sett",
      "plaid",
      "webhook",
    ],
    packages: ["node:"],
  },
  cli: {
    files: "packages/keeper/src/cli/",
    imports: [
      "keeper",
      "lifecycle",
      "sweep",
      "budget (types)",
      "vault",
      "escrow",
      "database",
      "sett",
      "plaid",
      "webhook (types)",
      "node",
    ],
    packages: ["commander", "hono", "@hono/node-server", "node:"],
  },
  "sett-program": { files: "packages/keeper/src/cli.ts", imports: ["cli"], packages: ["node:"] },
};

const forbiddenNames = /^(utils?|helpers?|lib|common|types?|interfaces?|core|managers?|services?)$/;
const readsEnvironment = /\bprocess\s*\??\.\s*env\b|\benv\b[^;]*\bfrom "(node:)?process"|\b(Bun|Deno)\.env\b/;
const mayReadEnvironment = /^packages\/[^/]+\/src\/cli(\.ts|\/)/;
const maxLines = 400;
/** Pages of Plaid's types: as long as Plaid makes them. */
const longFiles = ["packages/sett/src/plaid/wire.ts"];

interface Import {
  readonly specifier: string;
  readonly types: boolean;
}

interface Source {
  readonly text: string;
  readonly imports: readonly Import[];
}

/** The packages that have an entry; a package that is only begun is not held to the table yet. */
const manifests = new Map(packages().map(({ folder, manifest }) => [relative(root, folder), manifest]));
const folders = [...manifests.keys()];
const sources = new Map<string, Source>(
  globSync(
    folders.map((folder) => `${folder}/src/**/*.ts`),
    { cwd: root },
  )
    .sort()
    .map((path) => {
      const text = readFileSync(join(root, path), "utf8");
      return [path, { text, imports: importsOf(text) }];
    }),
);

/** What prettier leaves of the many ways to write an import. What stands in a comment is none. */
function importsOf(text: string): Import[] {
  const code = text.replace(/^\s*(\/\/|\/?\*).*$/gm, "");
  const named = /^(?:import|export)\b( type\b)?(?:[^"';]*?\bfrom\s*)?"([^"]+)"/gm;
  const called = /\b(typeof )?import\("([^"]+)"\)(\.[A-Z])?/g;
  // A name to import by, kept from bundlers.
  const kept = /:\s*"(\.{1,2}\/[^"]+\.ts)"/g;
  return [
    ...[...code.matchAll(named)].map(([, type, specifier = ""]) => ({
      specifier,
      types: type !== undefined,
    })),
    ...[...code.matchAll(called)].map(([, type, specifier = "", member]) => ({
      specifier,
      types: (type ?? member) !== undefined,
    })),
    ...[...code.matchAll(kept)].map(([, specifier = ""]) => ({ specifier, types: false })),
  ];
}

function roomOf(path: string): string | undefined {
  const holds = ({ files }: Room) => (files.endsWith("/") ? path.startsWith(files) : path === files);
  const [closest] = Object.entries(rooms)
    .filter(([, room]) => holds(room))
    .sort(([, a], [, b]) => b.files.length - a.files.length);
  return closest?.[0];
}

const readJson = (path: string): unknown => JSON.parse(readFileSync(join(root, path), "utf8"));

/** The file that a public name of one of our own packages stands for. */
function publicFile(specifier: string): string | undefined {
  for (const [folder, { name, exports }] of manifests) {
    if (specifier !== name && !specifier.startsWith(`${name}/`)) continue;
    const entry = exports[`.${specifier.slice(name.length)}`];
    return typeof entry === "object" ? join(folder, entry["@sett/source"] ?? "") : undefined;
  }
  return undefined;
}

/** The file of ours that is imported, if it is one of ours. */
const target = (path: string, specifier: string): string | undefined =>
  specifier.startsWith(".") ? join(dirname(path), specifier) : publicFile(specifier);

const packageOf = (specifier: string): string =>
  specifier.startsWith("node:") ? "node:" : specifier.split("/", specifier.startsWith("@") ? 2 : 1).join("/");

function objection(path: string, { specifier, types }: Import): string | undefined {
  const from = roomOf(path);
  if (from === undefined) return "is in no room";
  const { imports = [], packages = [] } = rooms[from]!;
  const file = target(path, specifier);
  if (file === undefined) {
    return packages.includes(packageOf(specifier)) ? undefined : `room ${from} may not import ${specifier}`;
  }
  if (!sources.has(file)) return `${specifier} is no source file`;
  const packageFolder = (of: string) => of.split("/", 2).join("/");
  if (specifier.startsWith(".") && packageFolder(file) !== packageFolder(path)) {
    return `${specifier} reaches into another package; import it by its public name`;
  }
  const to = roomOf(file);
  if (to === undefined || to === from || imports.includes(to)) return undefined;
  if (imports.includes(`${to} (types)`))
    return types ? undefined : `room ${from} may import types of ${to} only`;
  return `room ${from} may not import room ${to} (${specifier})`;
}

/** The lines of a list of complaints are the message of the failure. */
const none = (complaints: readonly string[]) => assert.ok(complaints.length === 0, complaints.join("\n"));

test("sources were found", () => {
  assert.ok(sources.size > 20);
  for (const { files } of Object.values(rooms))
    assert.ok(existsSync(join(root, files)), `${files} is not there`);
});

test("imports follow the table", () => {
  none(
    [...sources].flatMap(([path, { imports }]) => {
      if (roomOf(path) === undefined) return [`${path} is in no room`];
      const objections = imports.map((imported) => objection(path, imported));
      return objections.filter((said) => said !== undefined).map((said) => `${path}: ${said}`);
    }),
  );
});

test("no file imports itself by a detour, not even for a type", () => {
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) cycles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
    if (trail.includes(path) || done.has(path)) return;
    for (const { specifier } of sources.get(path)?.imports ?? []) {
      const file = target(path, specifier);
      if (file !== undefined) visit(file, [...trail, path]);
    }
    done.add(path);
  };
  for (const path of sources.keys()) visit(path, []);
  none(cycles);
});

test("what the rooms import is what the packages depend on", () => {
  for (const [folder, { name, dependencies, peerDependencies }] of manifests) {
    const inPackage = Object.values(rooms).filter(({ files }) => files.startsWith(`${folder}/`));
    const ours = [...sources]
      .filter(([path]) => path.startsWith(`${folder}/`))
      .flatMap(([, { imports }]) => imports.map(({ specifier }) => packageOf(specifier)))
      .filter((imported) => [...manifests.values()].some((manifest) => manifest.name === imported));
    const foreign = inPackage.flatMap(({ packages = [] }) => packages).filter((used) => used !== "node:");
    const declared = Object.keys({ ...dependencies, ...peerDependencies });
    assert.deepEqual([...new Set([...ours, ...foreign])].sort(), declared.sort(), name);
  }
});

test("what a room without node: holds is compiled without Node's types, and nothing else is left out", () => {
  for (const folder of folders) {
    const path = `${folder}/tsconfig.isomorphic.json`;
    const inPackage = Object.values(rooms).filter(({ files }) => files.startsWith(`${folder}/`));
    const onNode = inPackage.filter(({ packages }) => packages?.includes("node:")).map(({ files }) => files);
    if (onNode.length === inPackage.length && !existsSync(join(root, path))) continue;
    const { exclude } = readJson(path) as { exclude: string[] };
    const excluded = exclude.map((excluded) => `${folder}/${excluded}`);
    assert.deepEqual(excluded.map(unslashed).sort(), onNode.map(unslashed).sort(), path);
  }
});

const unslashed = (path: string): string => path.replace(/\/$/, "");

test("the environment is read by command lines alone", () => {
  const reads = [...sources].filter(([, { text }]) => readsEnvironment.test(text)).map(([path]) => path);
  none(reads.filter((path) => !mayReadEnvironment.test(path)));
});

test("no name that says nothing", () => {
  const parts = (path: string) => path.split("/").map((part) => basename(part, ".ts"));
  none([...sources.keys()].filter((path) => parts(path).some((part) => forbiddenNames.test(part))));
});

test("every file opens with what it is about", () => {
  const opens = /^(#!.*\n)?(\/\/ |\/\*)/;
  none([...sources].filter(([, { text }]) => !opens.test(text)).map(([path]) => path));
});

test(`no file is longer than ${maxLines} lines`, () => {
  const long = [...sources].filter(([, { text }]) => text.trimEnd().split("\n").length > maxLines);
  assert.deepEqual(
    long.map(([path]) => path),
    longFiles,
  );
});

test("ARCHITECTURE.md holds the same table", () => {
  const list = (names: readonly string[] = []) => names.join(", ");
  const header = ["room", "files", "may import", "packages"];
  const expected = Object.entries(rooms).map(([room, { files, imports, packages }]) => [
    room,
    `\`${files}\``,
    list(imports),
    list(packages),
  ]);
  const cells = (line: string) =>
    line
      .replace(/^\||\|\s*$/g, "")
      .split("|")
      .map((cell) => cell.trim());
  const lines = readFileSync(join(root, "ARCHITECTURE.md"), "utf8").split("\n");
  const start = lines.findIndex((line) => cells(line).join() === header.join());
  const wanted = [header, header.map(() => "---"), ...expected]
    .map((row) => `| ${row.join(" | ")} |`)
    .join("\n");
  assert.notEqual(start, -1, `ARCHITECTURE.md has no table with this header; it should be:\n\n${wanted}\n`);
  const length = lines.slice(start).findIndex((line) => !line.startsWith("|"));
  const rows = lines.slice(start + 2, length === -1 ? undefined : start + length).map(cells);
  assert.deepEqual(rows, expected, `the table in ARCHITECTURE.md should be:\n\n${wanted}\n`);
});
