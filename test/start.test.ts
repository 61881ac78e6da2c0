// `npm start`, read as a newcomer reads it: the story comes to its end, the Item is found after each death, and no
// token, secret or key is in it. What is told at Plaid itself is told here of a Plaid that does not know it is local.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { promisify, stripVTControlCharacters } from "node:util";
import { createSandbox, sandboxCredentials } from "@sett/sandbox";
import { keep } from "../start/keeper.ts";
import { createStory } from "../start/story.ts";
import { printedWire } from "../start/wire.ts";
import { root } from "./program.ts";

const run = promisify(execFile);
const program = ["--conditions=@sett/source", join(root, "start/main.ts")];
const limitMs = 60_000;
/** Whatever opens something: tokens of Plaid's, the secret, key-encryption keys. */
const secrets = /(access|public|link)-(sandbox|production)-|sandbox-secret|sett-kek-/;

const without = (...names: string[]) =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !names.includes(name)));

test("the story finds its Item after SIGKILL, tells of the one that is lost, and shows no secret", async () => {
  const env = without("PLAID_CLIENT_ID", "PLAID_SECRET");
  const { stdout, stderr } = await run(process.execPath, program, { env, timeout: limitMs });
  assert.equal(stderr, "");
  const [, item] = /keeper\.link: (\w+) is healthy/.exec(stdout) ?? [];
  assert.ok(item, stdout);
  const inTurn = [
    "An Item cannot be removed twice",
    "keeper.link: ",
    "begin → intended → answered → escrowed → SIGKILL",
    "brought in what the dead process had left: 1 token.",
    `Found: Item ${item} answers with token version 2.`,
    "item.rotated",
    "begin → intended → answer lost → SIGKILL",
    "stranded: ",
    `"Item ${item}: the answer of /item/access_token/invalidate at about `,
    "Done in ",
  ];
  let at = 0;
  for (const text of inTurn) {
    const found = stdout.indexOf(text, at);
    assert.notEqual(found, -1, `"${text}" is not told where it should be:\n${stdout}`);
    at = found + text.length;
  }
  assert.doesNotMatch(stdout, secrets);
});

test("at a Plaid that is not ours the Item survives its death too, is removed, and what is left out is said", async () => {
  const plaid = await createSandbox();
  const { url } = await plaid.listen();
  const lines: string[] = [];
  const print = (line: string) => void lines.push(stripVTControlCharacters(line));
  const { client_id: clientId, secret } = sandboxCredentials;
  await keep(createStory(print), { clientId, secret, baseUrl: url, post: printedWire(print).post });
  const told = lines.join("\n");
  assert.match(told, /Found: Item \w+ answers with token version 2\./);
  assert.match(told, /is shown with a local Plaid/);
  assert.doesNotMatch(told, secrets);
  const items = plaid.control.items.list();
  assert.equal(items.length, 1);
  assert.notEqual(items[0]!.removed_at, null);
  await plaid.close();
});

test("one of the two keys alone is a mistake, and nothing is called", async () => {
  const env = { ...without("PLAID_SECRET"), PLAID_CLIENT_ID: "an-id" };
  const ended = run(process.execPath, program, { env, timeout: limitMs });
  await assert.rejects(ended, (error: { code: number; stdout: string; stderr: string }) => {
    assert.equal(error.code, 2);
    assert.equal(error.stdout, "");
    assert.match(error.stderr, /^Set both PLAID_CLIENT_ID and PLAID_SECRET/);
    return true;
  });
});
