// Law: what was answered survives the death of the process; a folder that is damaged, or in use, says so by file and
// line and is left as it is.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test, type TestContext } from "node:test";
import { createSandbox } from "../src/index.ts";
import { aPlaid, DAY, SECOND, START } from "./plaid.ts";

const cli = join(import.meta.dirname, "../src/cli.ts");

function aFolder(t: TestContext) {
  const folder = mkdtempSync(join(tmpdir(), "sett-sandbox-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test("a sandbox that is opened again is the one that was closed", async (t) => {
  const data = aFolder(t);
  const first = await aPlaid({ data });
  first.receiver = () => new Response(null, { status: 500 });
  const { access_token, item_id } = await first.item(["auth"], {
    options: { webhook: "https://app.test/hook" },
  });
  await first.call("/sandbox/item/fire_webhook", { access_token, webhook_code: "LOGIN_REPAIRED" });
  await first.control.clock.advance(SECOND);
  const [key] = await first.control.keys.list();
  const kept = first.control.snapshot();
  await first.sandbox.close();

  const again = await aPlaid({ data, now: 0, seed: 99 });
  assert.deepEqual(again.control.snapshot(), kept);
  assert.equal(again.control.clock.now(), START + SECOND);
  assert.deepEqual(await again.control.keys.list(), [key]);
  await again.control.clock.advance(29 * SECOND);
  assert.deepEqual(
    again.received.map(({ at }) => at),
    [START + 30 * SECOND],
    "a retry that was due goes out",
  );
  await again.control.clock.advance(30 * DAY);
  assert.equal(
    (await again.call("/item/get", { access_token })).body.item.error.error_code,
    "ITEM_LOGIN_REQUIRED",
  );
  assert.notEqual((await again.item()).item_id, item_id);
  await again.sandbox.close();
});

test("a webhook that was on its way when the process ended is sent again", async (t) => {
  const data = aFolder(t);
  const first = await aPlaid({ data });
  first.receiver = () => new Promise(() => {});
  const { access_token } = await first.item(["auth"], { options: { webhook: "https://app.test/hook" } });
  await first.call("/sandbox/item/reset_login", { access_token });
  await first.control.clock.advance(SECOND, 5);
  assert.equal(first.received.length, 1);
  await first.sandbox.close();
  const again = await aPlaid({ data });
  await again.control.webhooks.idle();
  assert.deepEqual(
    again.received.map(({ text }) => text),
    first.received.map(({ text }) => text),
  );
  await again.sandbox.close();
});

/** A sandbox of its own process on a folder. */
async function aProcess(data: string, ...more: string[]) {
  const child = spawn(
    process.execPath,
    ["--conditions=@sett/source", cli, "--port", "0", "--data", data, ...more],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const [line] = await once(createInterface(child.stdout), "line");
  const url = /http:\S+/.exec(line)![0];
  return { child, url };
}

const headers = {
  "Content-Type": "application/json",
  "PLAID-CLIENT-ID": "sandbox-client-id",
  "PLAID-SECRET": "sandbox-secret",
};

test("faults of --faults are ordered once in a folder, and anew when the file says something else", async (t) => {
  const data = aFolder(t);
  const file = join(aFolder(t), "faults.json");
  const locked = { path: "/item/get", times: 3, then: "ITEM_LOCKED" };
  /** Starts, calls once where told, and ends; gives the faults that waited at first. */
  const start = async (more: readonly string[], calls = 0) => {
    const { child, url } = await aProcess(data, ...more);
    const { faults } = (await (await fetch(`${url}/_sandbox/faults`)).json()) as { faults: object[] };
    for (let call = 0; call < calls; call++)
      await fetch(`${url}/item/get`, {
        method: "POST",
        headers,
        body: '{"access_token":"access-sandbox-1"}',
      });
    child.kill("SIGKILL");
    await once(child, "exit");
    return faults.map(({ id: _, ...order }: { id?: string }) => order);
  };

  writeFileSync(file, JSON.stringify([locked]));
  assert.deepEqual(await start(["--faults", file], 1), [locked]);
  assert.deepEqual(await start(["--faults", file], 1), [{ ...locked, times: 2 }]);
  // Written otherwise, it says the same.
  writeFileSync(file, JSON.stringify([locked], null, 2));
  assert.deepEqual(await start(["--faults", file]), [{ ...locked, times: 1 }]);
  assert.deepEqual(await start([], 1), [{ ...locked, times: 1 }]);
  assert.deepEqual(await start(["--faults", file]), []);
  writeFileSync(file, JSON.stringify([locked, { ...locked, path: "*" }]));
  assert.deepEqual(await start(["--faults", file], 1), [locked, { ...locked, path: "*" }]);
  writeFileSync(file, JSON.stringify([locked]));
  assert.deepEqual(await start(["--faults", file]), [locked]);
});

for (const answers of [1, 2, 7, 40]) {
  test(`kill -9 after ${answers} answers, in the middle of more: everything answered is there`, async (t) => {
    const data = aFolder(t);
    const { child, url } = await aProcess(data);
    const call = async (path: string, body: object) =>
      (await (
        await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) })
      ).json()) as Record<string, string>;
    const live: string[] = [];
    const dead: string[] = [];
    let answered = 0;
    const life = async () => {
      for (;;) {
        const request = { institution_id: "ins_109508", initial_products: ["auth"] };
        const { public_token } = await call("/sandbox/public_token/create", request);
        const { access_token } = await call("/item/public_token/exchange", { public_token });
        if (++answered >= answers) child.kill("SIGKILL");
        live.push(access_token!);
        const { new_access_token } = await call("/item/access_token/invalidate", { access_token });
        live.splice(live.indexOf(access_token!), 1, new_access_token!);
        dead.push(access_token!);
      }
    };
    const gone = once(child, "exit");
    await Promise.allSettled([life(), life(), life(), life()]);
    await gone;

    const { sandbox, call: ask } = await aPlaid({ data });
    for (const access_token of dead)
      assert.equal((await ask("/item/get", { access_token })).body.error_code, "INVALID_ACCESS_TOKEN");
    // A rotation may have been done without its answer being seen; the exchange before it was answered all the same.
    const known = new Set(sandbox.control.snapshot().changes.map(([table, key]) => `${table} ${key}`));
    assert.ok(live.length > 0);
    for (const access_token of live) assert.ok(known.has(`access_tokens ${access_token}`));
    for (const item of sandbox.control.items.list()) {
      if (item.access_token !== null)
        assert.equal((await ask("/item/get", { access_token: item.access_token })).status, 200);
    }
    await sandbox.close();
  });
}

/** A folder with an Item in it, closed, and one more commit in its journal. */
async function aUsedFolder(t: TestContext) {
  const data = aFolder(t);
  const plaid = await aPlaid({ data });
  const { access_token } = await plaid.item();
  await plaid.sandbox.close();
  return { data, access_token, journal: join(data, "journal.jsonl"), snapshot: join(data, "snapshot.jsonl") };
}

test("a journal's torn last line is left out, wherever it was torn", async (t) => {
  const { data, journal, access_token } = await aUsedFolder(t);
  const written = readFileSync(journal, "utf8");
  const lastLine = written.trimEnd().split("\n").at(-1)!;
  for (const length of [1, 2, Math.floor(lastLine.length / 2), lastLine.length - 1, lastLine.length]) {
    writeFileSync(journal, written + lastLine.slice(0, length));
    const plaid = await aPlaid({ data });
    assert.equal((await plaid.call("/item/get", { access_token })).status, 200);
    await plaid.sandbox.close();
  }
});

const damages: readonly (readonly [string, "journal" | "snapshot", (text: string) => string, RegExp])[] = [
  [
    "a line that is not JSON",
    "journal",
    (text) => text.replace("\n[[", "\n[{"),
    /journal\.jsonl, line 2: expected JSON/,
  ],
  [
    "a line of something else",
    "journal",
    (text) => `${text}{"a":1}\n`,
    /journal\.jsonl, line \d+: expected a list of changes/,
  ],
  [
    "an unknown table",
    "journal",
    (text) => `${text}[["ghosts","k",{}]]\n`,
    /journal\.jsonl, line \d+: expected a list of changes/,
  ],
  [
    "another format",
    "journal",
    (text) => text.replace("folder", "file"),
    /journal\.jsonl, line 1: expected \{"sett_sandbox_folder":1\}/,
  ],
  [
    "an Item that is none",
    "journal",
    (text) => `${text}[["items","i",{"item_id":"i"}]]\n`,
    /journal\.jsonl, line \d+: expected a list of changes/,
  ],
  ["nothing at all", "snapshot", () => "", /snapshot\.jsonl, line 1: expected \{"sett_sandbox_folder":1\}/],
  [
    "a cut snapshot",
    "snapshot",
    (text) => text.slice(0, -3),
    /snapshot\.jsonl, line \d+: the file ends in the middle/,
  ],
];
for (const [what, name, damage, message] of damages) {
  test(`${what} in the ${name} is an error by file and line, and nothing is touched`, async (t) => {
    const folder = await aUsedFolder(t);
    if (name === "snapshot") await (await createSandbox({ data: folder.data })).close();
    const damaged = damage(readFileSync(folder[name], "utf8"));
    writeFileSync(folder[name], damaged);
    const other = name === "journal" ? folder.snapshot : folder.journal;
    const before = readFileSync(other, "utf8");
    await assert.rejects(createSandbox({ data: folder.data }), message);
    assert.equal(readFileSync(folder[name], "utf8"), damaged);
    assert.equal(readFileSync(other, "utf8"), before);
  });
}

test("a journal without its snapshot is an error, and nothing is touched", async (t) => {
  const { data, journal, snapshot } = await aUsedFolder(t);
  rmSync(snapshot);
  const before = readFileSync(journal, "utf8");
  await assert.rejects(createSandbox({ data }), /snapshot\.jsonl is missing/);
  assert.equal(readFileSync(journal, "utf8"), before);
});

test("a folder that is reached by another way is the same folder", async (t) => {
  const data = aFolder(t);
  const link = join(aFolder(t), "link");
  symlinkSync(data, link);
  const mine = await createSandbox({ data });
  await assert.rejects(createSandbox({ data: link }), /in use by process \d+/);
  await mine.close();
});

test("what a restore brought back is in its order after the next opening too", async (t) => {
  const data = aFolder(t);
  const first = await aPlaid({ data });
  first.control.faults.add({ path: "*", then: "ITEM_LOCKED" }, { path: "*", then: "RATE_LIMIT" });
  const kept = first.control.snapshot();
  await first.call("/item/get", {});
  first.control.restore(kept);
  await first.sandbox.close();
  const again = await aPlaid({ data });
  assert.deepEqual(
    again.control.faults.list().map(({ then }) => then),
    ["ITEM_LOCKED", "RATE_LIMIT"],
  );
  await again.sandbox.close();
});

test("a folder is one sandbox's at a time, in this process and in others, and a dead owner's is free", async (t) => {
  const data = aFolder(t);
  const mine = await createSandbox({ data });
  await assert.rejects(createSandbox({ data }), /in use by process \d+/);
  await mine.close();
  const { child } = await aProcess(data);
  await assert.rejects(createSandbox({ data }), new RegExp(`in use by process ${child.pid}`));
  child.kill("SIGKILL");
  await once(child, "exit");
  await (await createSandbox({ data })).close();
});

test("a sandbox that is being closed twice is closed when either says so", async (t) => {
  const data = aFolder(t);
  const { sandbox } = await aPlaid({ data });
  const { url } = await sandbox.listen();
  await fetch(url);
  void sandbox.close();
  await sandbox.close();
  await (await createSandbox({ data })).close();
});

test("opening makes the journal short again", async (t) => {
  const { data, journal, access_token } = await aUsedFolder(t);
  assert.ok(readFileSync(journal, "utf8").split("\n").length > 3);
  const plaid = await aPlaid({ data });
  await plaid.sandbox.close();
  assert.ok(readFileSync(journal, "utf8").split("\n").length <= 3);
  appendFileSync(journal, "");
  const again = await aPlaid({ data });
  assert.equal((await again.call("/item/get", { access_token })).status, 200);
  await again.sandbox.close();
});
