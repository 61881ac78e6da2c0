// Laws of what the command line writes: secrets are masked wherever they got in, Prometheus' format is kept whatever a
// label says, a terminal is never given what it would obey, and every failure is a sentence.

import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { exits } from "../src/cli/exits.ts";
import { Counter, exposition } from "../src/cli/exposition.ts";
import { createOut, type Out } from "../src/cli/out.ts";
import { createProgress } from "../src/cli/progress.ts";
import { masked, secretIn } from "../src/cli/secret-words.ts";
import { nextFor, sentence } from "../src/cli/sentences.ts";
import { span, spanOf } from "../src/cli/spans.ts";
import { stateNames } from "../src/cli/states.ts";
import { writeTable } from "../src/cli/table.ts";
import type { Context } from "../src/cli/context.ts";
import type { KeeperFailure } from "../src/lifecycle/failure.ts";

function told(shown: { readonly isTTY?: boolean; readonly columns?: number } = {}) {
  let time = 0;
  let text = "";
  const stream = () => {
    const made = Object.assign(new PassThrough(), shown);
    made.on("data", (chunk: Buffer) => (text += chunk.toString()));
    return made;
  };
  const context: Context = {
    env: { PLAID_SECRET: "a-secret-of-plaid", NO_COLOR: "1" },
    cwd: "/",
    stdin: new PassThrough(),
    stdout: stream(),
    stderr: stream(),
    now: () => time,
    signal: new AbortController().signal,
  };
  const out: Out = createOut(context, false);
  return { context, out, said: () => text, pass: (ms: number) => (time += ms) };
}

test("whatever got into a text, no secret comes out", async () => {
  const { out, said } = told();
  const secrets = [
    "access-production-1234-5678",
    "public-sandbox-abc",
    "a-secret-of-plaid",
    `sett-kek-1:${"k".repeat(43)}`,
  ];
  for (const secret of secrets) {
    await out.line(`before ${secret} after`);
    out.note(`before ${secret} after`);
  }
  for (const secret of secrets) assert.ok(!said().includes(secret), said());
  assert.equal(masked("postgres://u:pw@h/db"), "postgres://u:***@h/db");
  assert.equal(masked("postgres://u@h:p@w:x@h/db"), "postgres://u@h:***@h/db");
  assert.match(
    secretIn(["--to", `postgres://u:p"w'@h/db`]) ?? "",
    /argument 2 looks like a URL with a password/,
  );
  const view = JSON.stringify({ webhook: "http://127.0.0.1:8080", user_id: "jo@example.com" });
  assert.equal(masked(view), view);
  const harmless = 'key 1 of the ring is not "sett-kek-1:" and 43 characters';
  assert.equal(masked(harmless), harmless);
  assert.equal(
    masked('"postgres://h/db?user=u&password=pw&ssl=1"'),
    '"postgres://h/db?user=u&password=***&ssl=1"',
  );
});

test("what somebody else called a thing tells a terminal nothing but a colour", async () => {
  const { out, said } = told();
  const name = "Bank\u001b]0;owned\u0007\u001b[2J\u009b2J\r";
  await out.line(`${out.paint("green", "linked")} at ${name}\tand\nmore`);
  out.note(name);
  assert.ok(!/(?![\n\t])\p{Cc}/u.test(said().replaceAll(/\u001b\[\d+m/g, "")), JSON.stringify(said()));
  assert.match(said(), /\tand\nmore/);
});

test("what is no secret is let through", () => {
  const argv = [
    "rotate",
    "eVBnVMp7zdTJLkRNr33Rs6zr7KNJqBFL9DrE6",
    "--yes",
    "https://app.example/plaid?a=b",
    "0123456789abcdef",
    "./access-tokens.csv",
    "./public-sandbox-token",
  ];
  assert.equal(secretIn(argv, ["", "short"]), undefined);
});

test("a label's value cannot break out of its line", () => {
  const counter = new Counter();
  const nasty = 'a"b\\c\nd';
  counter.add({ reason: nasty });
  counter.add({ reason: nasty }, 2);
  const text = exposition([
    counter.family("sett_x_total", "One\nline."),
    { name: "sett_none", type: "gauge", help: "", samples: [] },
  ]);
  assert.equal(
    text,
    '# HELP sett_x_total One\\nline.\n# TYPE sett_x_total counter\nsett_x_total{reason="a\\"b\\\\c\\nd"} 3\n',
  );
});

test("a terminal is shown no escape of somebody else's, and no line longer than it is wide", async () => {
  const { out, said } = told({ isTTY: true, columns: 40 });
  const rows = [{ name: "\u001b[2J\u0007evil\nname".repeat(9) }, { name: "x" }];
  await writeTable(
    out,
    [
      { head: "ID", whole: true, of: () => "0123456789" },
      { head: "NAME", of: ({ name }) => name },
      { head: "NONE", of: () => "-" },
    ],
    rows,
  );
  const lines = said().trimEnd().split("\n");
  assert.equal(lines.length, 3);
  assert.ok(lines.every((line) => line.length <= 40 && !/\p{Cc}/u.test(line)));
});

test("progress is one line rewritten on a terminal, and a plain line every ten seconds elsewhere", () => {
  const terminal = told({ isTTY: true, columns: 80 });
  const shown = createProgress(terminal.context, terminal.out, "rotated", 100);
  for (let done = 1; done <= 100; done++) {
    terminal.pass(50);
    shown.at(done);
  }
  shown.end();
  assert.ok(!terminal.said().includes("\n"));
  assert.match(terminal.said(), /rotated 51 of 100 \(51 %\), 20\/s, 2s left/);

  const plain = told();
  const said = createProgress(plain.context, plain.out, "rotated", null);
  for (let done = 1; done <= 100; done++) {
    plain.pass(250);
    said.at(done);
  }
  assert.deepEqual(plain.said().match(/^rotated \d+/gm), ["rotated 40", "rotated 80"]);
});

test("every failure is a sentence with an ending that there is", () => {
  const database = {
    kind: "full",
    committed: "no",
    constraint: null,
    code: "SQLITE_FULL",
    detail: "disk full",
  } as const;
  const failure = {
    kind: "unanswered",
    why: "timeout",
    code: null,
    detail: null,
    path: "/item/get",
    attempts: 1,
    lost: 1,
  } as const;
  const item_id = "an-item";
  const support = { request_id: null, support: "Please look." };
  const cause: KeeperFailure = { kind: "database", database };
  const failures: readonly KeeperFailure[] = [
    { kind: "plaid", item_id, failure },
    { kind: "unfinished", item_id, intent_id: "i", cause: failure },
    { kind: "unfinished", item_id: null, intent_id: "i", cause: database },
    { kind: "unfinished", item_id, intent_id: "i", cause: null },
    { kind: "pending", item_id, intent_id: "i", kept: "memory", cause, escrow: null },
    { kind: "stranded", item_id, ...support },
    { kind: "lost", intent_id: "i", ...support },
    { kind: "duplicate", of: ["x", "y"] },
    { kind: "live-items", items: ["x", null] },
    { kind: "unknown-item", item_id },
    { kind: "busy", item_id },
    { kind: "database", database: { ...database, committed: "unknown" } },
    { kind: "vault", vault: { kind: "wrong-key", key_id: null, detail: "d" } },
    { kind: "escrow", escrow: { kind: "full", code: "ENOSPC", detail: "d" } },
  ];
  for (const one of failures) {
    const { text, ending } = sentence(one);
    assert.ok(text.length > 20 && !/undefined|null|\[object/.test(text), text);
    assert.ok(ending !== "done" && Object.hasOwn(exits, ending));
  }
  assert.deepEqual(
    failures.map((one) => exits[sentence(one).ending].code),
    [1, 5, 5, 5, 5, 7, 7, 1, 1, 6, 1, 5, 1, 1],
  );
  assert.deepEqual(
    stateNames.filter((state) => nextFor(state) === null),
    ["healthy", "removed"],
  );
});

test("spans of time are read as they are written", () => {
  for (const given of ["45s", "30m", "12h", "90d"]) assert.equal(span(spanOf("--older-than", given)), given);
  assert.equal(spanOf("--older-than", "2w"), spanOf("--older-than", "14d"));
  for (const wrong of ["", "90", "d", "1.5h", "-1d", "1y"])
    assert.throws(() => spanOf("--older-than", wrong));
});
