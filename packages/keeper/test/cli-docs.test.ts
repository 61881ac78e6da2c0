// Law: docs/cli.md says what the program does. Its lines parse, its tables are the program's, and every metric is there.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { PassThrough, Readable } from "node:stream";
import type { Command } from "commander";
import { exits } from "../src/cli/exits.ts";
import { createProgram } from "../src/cli/run.ts";
import { settingsTable } from "../src/cli/settings.ts";
import { cliWorld } from "./cli-world.ts";

const docs = readFileSync(join(import.meta.dirname, "../../../docs/cli.md"), "utf8");

/** The program, with commands that do nothing. */
function idle(): Command {
  const stdout = new PassThrough();
  const program = createProgram(
    {
      env: {},
      cwd: "/",
      stdin: Readable.from([]),
      stdout,
      stderr: stdout,
      now: Date.now,
      signal: new AbortController().signal,
    },
    () => {},
  );
  const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];
  for (const command of all(program)) if (command.commands.length === 0) command.action(() => {});
  return program;
}

/** The calls of sett in a line of shell, as words. */
function calls(line: string): string[][] {
  return line
    .replace(/ #.*$/, "")
    .split(/\s*(?:\||&&|;|&$)\s*/)
    .map((call) => [...call.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word!))
    .filter(([name]) => name === "sett")
    .map((words) => words.slice(1, words.findIndex((word) => /^[<>]$/.test(word)) >>> 0));
}

const rows = (header: string) =>
  docs
    .slice(docs.indexOf(header))
    .split("\n\n", 1)[0]!
    .trimEnd()
    .split("\n")
    .slice(2)
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );

test("every line of shell is a command with options that there are", () => {
  const lines = [...docs.matchAll(/^```sh\n(.*?)^```$/gms)]
    .flatMap(([, block]) => block!.split("\n"))
    .flatMap(calls);
  assert.ok(lines.length > 25, `${lines.length} were found`);
  const named = new Set(lines.map(([name]) => name));
  for (const words of lines.filter(([name]) => name !== "sandbox"))
    assert.doesNotThrow(() => idle().parse(words, { from: "user" }), words.join(" "));
  for (const { commands } of [idle()])
    for (const command of commands)
      assert.ok(
        named.has(command.name()) || command.name() === "init" || docs.includes(`sett ${command.name()}`),
        command.name(),
      );
});

test("every example in the help is one, too", async (t) => {
  const world = await cliWorld(t);
  let found = 0;
  const help = async (command: Command, path: readonly string[]): Promise<void> => {
    for (const below of command.commands) await help(below, [...path, below.name()]);
    if (path.length === 0 || command.commands.length > 0 || path[0] === "sandbox") return;
    const text = await world.done([...path, "--help"]);
    for (const words of [...text.matchAll(/^ {2}\$ (.*)$/gm)].flatMap(([, line]) => calls(line!))) {
      found++;
      assert.doesNotThrow(() => idle().parse(words, { from: "user" }), words.join(" "));
    }
  };
  await help(idle(), []);
  assert.ok(found > 20, `${found} were found`);
});

test("the exit codes are those of the program", () => {
  const expected = Object.values(exits).map(({ code, means }) => [String(code), means]);
  assert.deepEqual(rows("| code | means"), expected);
});

test("the settings are those of the program", () => {
  const expected = Object.entries(settingsTable).map(([field, { env, what }]) => [
    `\`${env}\``,
    `\`${field}\``,
    what,
  ]);
  assert.deepEqual(rows("| variable "), expected);
});

test("every metric is described, and no other", () => {
  const sources = ["gauges", "allowances", "tally", "server"].map((name) =>
    readFileSync(join(import.meta.dirname, `../src/cli/${name}.ts`), "utf8"),
  );
  const served = new Set([...sources.join("\n").matchAll(/"(sett_\w+)"/g)].map(([, name]) => name!));
  const described = new Set(
    rows("| metric ").flatMap(([cell]) => [...cell!.matchAll(/`(sett_\w+)/g)].map(([, name]) => name!)),
  );
  assert.deepEqual([...described].sort(), [...served].sort());
});
