// The law of the documentation: every TypeScript example in README.md and docs/ compiles under the strict settings and
// runs to its end. A block is a program of its own; one that opens with "// …" goes on where the one before it ended.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..");
const folder = join(import.meta.dirname, ".docs");
/** The longest that an example may take. One that serves for ever is a mistake. */
const limitMs = 60_000;

interface Example {
  readonly name: string;
  readonly code: string;
}

async function examplesOf(page: string): Promise<Example[]> {
  const text = await readFile(join(root, page), "utf8");
  const examples: Example[] = [];
  for (const [, code = ""] of text.matchAll(/^```ts\n(.*?)^```$/gms)) {
    const before = code.startsWith("// …") ? examples.at(-1) : undefined;
    if (before) examples[examples.length - 1] = { name: before.name, code: before.code + code };
    else examples.push({ name: `${page.replace(/\W+/g, "-")}-${examples.length + 1}`, code });
  }
  return examples;
}

const pages = [
  "README.md",
  ...(await readdir(join(root, "docs"))).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`),
];
const examples = (await Promise.all(pages.map(examplesOf))).flat();

describe("the examples of the documentation", { concurrency: 2 }, () => {
  before(async () => {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
    await Promise.all(
      examples.map(({ name, code }) => writeFile(join(folder, `${name}.ts`), `${code}\nexport {};\n`)),
    );
    const settings = {
      extends: "../../tsconfig.base.json",
      compilerOptions: { noEmit: true, types: ["node"], noUnusedLocals: false },
      include: ["*.ts"],
    };
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify(settings));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  test("there are some", () => assert.ok(examples.length >= 8, `only ${examples.length} were found`));

  test("compile", async () => {
    await run(join(root, "node_modules/.bin/tsc"), ["-p", folder]).catch((error: { stdout?: string }) =>
      assert.fail(error.stdout),
    );
  });

  for (const { name } of examples) {
    test(`${name} runs`, async () => {
      const file = join(folder, `${name}.ts`);
      await run(process.execPath, ["--conditions=@sett/source", file], { timeout: limitMs }).catch(
        (error: { stderr?: string }) => assert.fail(error.stderr || `it did not end within ${limitMs} ms`),
      );
    });
  }
});
