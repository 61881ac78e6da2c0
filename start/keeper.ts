// The second half of the story: an Item in a keeper, whose token nobody can lose. A process is killed in the middle of
// a rotation and the Item comes back with its new token; then the answer is lost as well, and nobody is lied to.

import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { styleText } from "node:util";
import type { Sandbox as LocalPlaid } from "@sett/sandbox";
import {
  createKeyFile,
  localKeyRing,
  openDatabase,
  openKeeper,
  readKeyFile,
  type Keeper,
  type KeeperFailure,
  type Step,
} from "@sett/keeper";
import { ok, PlaidFailure, Sandbox, unwrap, type Config, type Result } from "sett";
import type { Order } from "./rotating.ts";
import type { Story } from "./story.ts";
import { dim } from "./wire.ts";

/** Keeps an Item through two deaths. `plaid` is sett's configuration, whose calls the story shows. */
export async function keep(story: Story, plaid: Config, local?: LocalPlaid): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "sett-start-"));
  try {
    await twoDeaths(story, plaid, folder, local);
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function twoDeaths(
  { step, say, notHere }: Story,
  plaid: Config,
  folder: string,
  local: LocalPlaid | undefined,
): Promise<void> {
  const database = join(folder, "sett-data");
  const keyFile = join(folder, "kek");
  await createKeyFile(keyFile);
  const open = async () =>
    had(
      await openKeeper({
        plaid,
        database,
        keys: localKeyRing(await readKeyFile(keyFile)),
        recoverEveryMs: 0,
      }),
    );

  step(
    "openKeeper: the same in production, where no token may be lost. Your code names the Item by its item_id.",
  );
  let keeper = await open();
  const { public_token } = unwrap(await Sandbox.createPublicToken("ins_109508", ["transactions"], plaid));
  const { item_id, state } = had(await keeper.link(public_token, { userId: "u_42" }));
  say(`keeper.link: ${item_id} is ${state}, its token sealed in ${database}; the key is in a file apart.`);

  step(
    "keeper.rotate, in another process, which is killed between Plaid's answer and the database's commit.",
  );
  await keeper.close();
  const order = { ...only(plaid), database, keyFile, item_id };
  say(
    "Another writer has the database to itself just then, so that what Plaid answered cannot be committed.",
  );
  say(await dieAt("rotate: escrowed", order));
  say("The old token is dead, the new one not in the database: it is in the escrow, sealed and fsynced.");
  keeper = await open();
  const { adopted } = had(keeper.recovered);
  say(`Opened again, the keeper brought in what the dead process had left: ${adopted.length} token.`);
  had(await keeper.get(item_id));
  const found = had(await keeper.find(item_id));
  say(`${styleText("green", "Found")}: Item ${item_id} answers with token version ${found.token_version}.`);
  for (const line of await history(keeper, "item.rotated")) say(dim(line));

  step("Killed once more, and this time Plaid's answer was lost on the way.");
  if (local) {
    await keeper.close();
    local.control.faults.add({ path: "/item/access_token/invalidate", then: "drop-after-commit" });
    say((await dieAt("rotate: answered", order)).replace("answered", "answer lost"));
    say(
      "Plaid did it, and the answer with the new token reached nobody. (A power cut in the millisecond between an answer",
    );
    say("and the escrow's fsync would be the same.) Opened again, the keeper asks Plaid:");
    keeper = await open();
    for (const failure of had(keeper.recovered).bad) {
      say(
        `${styleText("yellow", failure.kind)}: the token is gone, and no program can bring it back. For Plaid's support:`,
      );
      if (failure.kind === "stranded") say(`"${failure.support}"`);
    }
    say(
      "It is shown until somebody acts, never hidden; if the user links the bank again, they have an Item that works.",
    );
  } else {
    notHere("An Item whose token is lost for good, which one does not do to Plaid,");
    had(await keeper.remove(item_id, { reason_code: "OTHER" }));
    say("keeper.remove: the Item is gone at Plaid, its token destroyed here.");
  }
  await keeper.close();
}

/** What another process needs of the configuration; a function cannot go there. */
const only = ({ clientId, secret, baseUrl }: Config): Pick<Order, "plaid"> => ({
  plaid: { clientId, secret, ...(baseUrl !== undefined && { baseUrl }) },
});

/** Runs the rotation in a process of its own up to the step, kills it there, and tells of its life. */
async function dieAt(last: Step, order: Order): Promise<string> {
  const child = fork(join(import.meta.dirname, "rotating.ts"), {
    execArgv: ["--conditions=@sett/source"],
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const steps: string[] = [];
  let release: (() => Promise<void>) | undefined;
  const next = async (step: Step) => {
    steps.push(step.replace("rotate: ", ""));
    if (step === "rotate: answered") release = await hold(order.database);
    if (step === last) child.kill("SIGKILL");
    else child.send("go on");
  };
  child.on("message", (step: Step) => void next(step));
  child.send(order);
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  await release?.();
  if (signal !== "SIGKILL")
    throw new Error(`the rotation was to be killed, and ended with ${code ?? signal}`);
  return `process ${child.pid}: ${steps.join(" → ")} → ${styleText("red", "SIGKILL")}`;
}

/** Has the database to itself until it is released: nobody else's commit gets through. */
async function hold(url: string): Promise<() => Promise<void>> {
  const opened = await openDatabase(url, { now: Date.now(), patienceMs: 60_000 });
  if (!opened.ok) throw new Error(JSON.stringify(opened.error));
  const database = opened.value;
  const taken = Promise.withResolvers<void>();
  const over = Promise.withResolvers<void>();
  const held = database.transaction(async () => {
    taken.resolve();
    await over.promise;
    return ok(undefined);
  });
  void (await Promise.race([taken.promise, held]));
  return async () => {
    over.resolve();
    void (await held);
    await database.close();
  };
}

/** The events up to one of this kind, as a subscriber gets them. */
function history(keeper: Keeper, last: string): Promise<readonly string[]> {
  const lines: string[] = [];
  return new Promise((resolve) => {
    keeper.subscribe("story", ({ at, kind, request_id }) => {
      lines.push(
        `${new Date(at).toISOString()}  ${String(kind).padEnd(14)}  request_id ${request_id ?? "none"}`,
      );
      if (String(kind) === last) resolve(lines);
    });
  });
}

function had<Value>(result: Result<Value, KeeperFailure>): Value {
  if (result.ok) return result.value;
  const { error } = result;
  throw error.kind === "plaid" ? new PlaidFailure(error.failure) : new Error(JSON.stringify(error));
}
