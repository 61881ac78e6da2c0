// What a client weighs before it has done anything: in a bundle, on disk, and at every start of a program.

import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { start } from "../programs.ts";
import type { Comparison } from "../report.ts";
import { interleaved, median, type Pace } from "../rounds.ts";
import { installed, openStage } from "../staging.ts";
import { imports, programs } from "./programs.ts";

const official = "plaid 47.0.0 (official)";
const whole = 'sett, import "sett"';
const onlyItem = 'sett, import * as Item from "sett/item"';
const named = 'sett, import { Item } from "sett"';

export async function compareWeights({ rounds }: Pace): Promise<Comparison[]> {
  using stage = await openStage();
  const project = {
    sett: await stage.install("with-sett", [await stage.pack("sett")]),
    plaid: await stage.install("with-plaid", ["plaid@47.0.0"]),
    bare: await stage.install("bare", []),
  };
  const projectOf = (name: string) =>
    name.startsWith("sett") ? project.sett : name === official ? project.plaid : project.bare;

  const bundles = new Map<string, { min: number; gzip: number; text: string }>();
  for (const [name, program] of Object.entries(programs)) {
    bundles.set(name, await bundled(program, projectOf(name)));
  }
  const others = ["/item/remove", "/item/access_token/invalidate", "/item/public_token", "/item/webhook"];
  const strays = [onlyItem, named].flatMap((name) =>
    others.filter((path) => bundles.get(name)!.text.includes(path)),
  );

  for (const [name, line] of Object.entries(imports)) {
    await writeFile(join(projectOf(name), `start-${fileName(name)}.mjs`), line);
  }
  // A start takes milliseconds: many more rounds than of anything else.
  const starts = await interleaved(Object.keys(imports), rounds * 5, (name) =>
    startMs(join(projectOf(name), `start-${fileName(name)}.mjs`)),
  );
  const startOf = (name: string) => median(starts.get(name)!);
  const over = (name: string) =>
    median(starts.get(name)!.map((ms, round) => ms - starts.get("bare node")![round]!));
  const disk = { sett: await installed(project.sett), plaid: await installed(project.plaid) };

  return [
    {
      title: "Weight in a bundle",
      how: "A program that only gets one Item, bundled and minified by esbuild 0.28.2 for Node, then gzip -9.",
      columns: ["program", "minified kB", "gzip kB"],
      rows: [...bundles].map(([name, { min, gzip }]) => [name, min / 1000, gzip / 1000]),
      promises: [
        { what: onlyItem, value: bundles.get(onlyItem)!.gzip / 1000, most: 1.5, unit: " kB" },
        { what: named, value: bundles.get(named)!.gzip / 1000, most: 1.5, unit: " kB" },
        { what: "other Item calls in the two bundles", value: strays.length, most: 0 },
      ],
    },
    {
      title: "Time to import",
      how: `Processes of Node that load the package and end, ${rounds * 5} interleaved starts each, medians.`,
      columns: ["program", "start to end ms", "over bare node ms"],
      rows: Object.keys(imports).map((name) => [name, startOf(name), over(name)]),
      promises: [{ what: "import of sett over bare node", value: over(whole), most: 5, unit: " ms" }],
    },
    {
      title: "Weight on disk",
      how: "`npm install` of the packed package into an empty folder, dependencies included.",
      columns: ["package", "packages", "MB"],
      rows: [
        ["sett", disk.sett.packages, disk.sett.bytes / 1e6],
        [official, disk.plaid.packages, disk.plaid.bytes / 1e6],
      ],
      promises: [{ what: "installed sett", value: disk.sett.bytes / 1e6, most: 1, unit: " MB" }],
    },
  ];
}

async function bundled(program: string, project: string) {
  const { outputFiles } = await build({
    stdin: { contents: program, resolveDir: project },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "node",
    target: "node22",
    legalComments: "none",
    logLevel: "error",
  });
  const { contents, text } = outputFiles[0]!;
  return { min: contents.length, gzip: gzipSync(contents, { level: 9 }).length, text };
}

async function startMs(file: string): Promise<number> {
  const begun = performance.now();
  const [code] = (await once(start([process.execPath, file]), "exit")) as [number | null];
  if (code !== 0) throw new Error(`${file} ended with ${code}`);
  return performance.now() - begun;
}

const fileName = (name: string) => name.replace(/[^a-z0-9]+/gi, "-");
