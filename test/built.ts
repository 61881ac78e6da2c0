// Hides how a program of the tests starts at once: it, our sources and the packages are made into one file of JavaScript.
// Where a process dies at each of its steps, loading five hundred modules would be most of the work.

import { mkdir, rename, writeFile } from "node:fs/promises";
import { SourceMap, type SourceMapPayload } from "node:module";
import { basename, join, resolve } from "node:path";
import { bundle } from "./build.ts";
import { root } from "./program.ts";

/** Below node_modules, from where the packages that are not in the file are found: they cannot be, or it is larger than all the rest. */
const folder = join(root, "node_modules/.cache/programs");
const external = ["better-sqlite3", "pg-boss", "pg-native"];
const mapMark = "//# sourceMappingURL=data:application/json;base64,";

export interface Built {
  readonly file: string;
  /** What the program said, every place in its file as the place in the sources. */
  sourced(said: string): string;
}

/** Builds a program, which stands somewhere in the sources. */
export async function built(program: string): Promise<Built> {
  const file = join(folder, `${basename(program, ".ts")}.mjs`);
  const text = await bundle({
    entryPoints: [program],
    outfile: file,
    write: false,
    platform: "node",
    conditions: ["@sett/source"],
    external,
    // For packages in the older format.
    banner: {
      js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
    },
    sourcemap: "inline",
    sourcesContent: false,
    minifySyntax: true,
    minifyWhitespace: true,
  });
  const [code, map] = text.split(mapMark) as [string, string];
  await mkdir(folder, { recursive: true });
  // Who runs the one that was there before has it whole.
  const made = `${file}.${process.pid}`;
  await writeFile(made, code);
  await rename(made, file);
  return {
    file,
    sourced: (said) => {
      const origins = new SourceMap(JSON.parse(Buffer.from(map, "base64").toString()) as SourceMapPayload);
      return said.replaceAll(
        /(?:file:\/\/)?(\/[^\s()]+\.mjs):(\d+)(?::(\d+))?/g,
        (place, path, line, column) => {
          const origin = path === file && origins.findOrigin(Number(line), Number(column ?? 1));
          return origin && "fileName" in origin
            ? `${resolve(folder, origin.fileName)}:${origin.lineNumber}:${origin.columnNumber}`
            : place;
        },
      );
    },
  };
}
