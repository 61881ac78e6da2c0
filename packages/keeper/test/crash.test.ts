// SIGKILL at every step of link, rotate, remove and updateWebhook, with the answer lost on the way or not, over both
// databases; then the keeper is opened again, and nothing may be wrong or left open. Where a first death leaves most to
// do, it is killed again at every step of the recovery.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createSandbox, type Sandbox } from "@sett/sandbox";
import type { Order } from "./crash-keeper.ts";
import { configFor, open, publicToken, value, violations } from "./lifecycle-world.ts";
import { testPlaces } from "./places.ts";

const program = join(import.meta.dirname, "crash-keeper.ts");
const paths = {
  link: "/item/public_token/exchange",
  rotate: "/item/access_token/invalidate",
  remove: "/item/remove",
  webhook: "/item/webhook/update",
} as const;
type What = keyof typeof paths;

const { places, escrowFolder } = testPlaces("crash");

/** Runs the program. Gives its steps if it came to its end, undefined if it was killed. */
async function run(order: Order): Promise<string[] | undefined> {
  const child = spawn(process.execPath, ["--conditions=@sett/source", program, JSON.stringify(order)]);
  const said = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (text: string) => (said[name] += text));
  const [code, signal] = (await once(child, "close")) as [number | null, string | null];
  if (signal !== "SIGKILL") assert.equal(code, 0, said.stderr);
  return signal === "SIGKILL" ? undefined : (JSON.parse(said.stdout) as string[]);
}

/** An Item, a public token, and the keeper closed: where a crash begins. */
async function prepare(
  url: string,
): Promise<{ sandbox: Sandbox; order: Omit<Order, "what" | "killAt" | "drop"> }> {
  const sandbox = await createSandbox();
  const plaid = configFor(sandbox);
  const escrow = escrowFolder();
  const keeper = await open(url, escrow, plaid);
  const { item_id } = value(await keeper.link(await publicToken(plaid)));
  await keeper.close();
  const { url: baseUrl } = await sandbox.listen();
  return {
    sandbox,
    order: { url, folder: escrow, baseUrl, item_id, public_token: await publicToken(plaid) },
  };
}

interface Case {
  readonly what: What;
  readonly drop: boolean;
  /** Of the first process, and of one that recovers after it; 0 for never. */
  readonly killAt: number;
  readonly killRecoveryAt: number;
}

/** Dies, recovers, and looks at what is left. Gives the steps of whatever came to its end. */
async function crash(place: keyof typeof places, { what, drop, killAt, killRecoveryAt }: Case) {
  const { sandbox, order } = await prepare(await places[place]());
  try {
    const dropped = drop ? paths[what] : null;
    const steps = await run({ ...order, what, killAt, drop: dropped });
    assert.equal(steps === undefined, killAt > 0);
    const recovering = { ...order, what: "recover", killAt: killRecoveryAt, drop: null } as const;
    const recoverySteps = killRecoveryAt > 0 ? await run(recovering) : undefined;

    const keeper = await open(order.url, order.folder, configFor(sandbox));
    try {
      const recovery = value(keeper.recovered);
      const removals = new Set(what === "remove" ? [order.item_id] : []);
      const said = await violations(sandbox, keeper, { removals });
      if (recovery.open.length + recovery.underWay > 0) said.push(`left open: ${JSON.stringify(recovery)}`);
      const intents = await keeper.database.sql.selectFrom("intents").selectAll().execute();
      if (intents.some(({ outcome }) => outcome === null)) said.push("an intent is open");
      const givenUp = intents.some(({ outcome }) => outcome === "lost" || outcome === "stranded");
      return { said, givenUp, steps, recoverySteps };
    } finally {
      await keeper.close();
    }
  } finally {
    await sandbox.close();
  }
}

/** Does all of it, as many at a time as the machine has room for. */
async function all<Task>(tasks: readonly Task[], work: (task: Task) => Promise<void>): Promise<void> {
  const left = [...tasks];
  const workers = Array.from({ length: Math.max(2, Math.min(8, availableParallelism())) }, async () => {
    for (let task = left.shift(); task !== undefined; task = left.shift()) await work(task);
  });
  await Promise.all(workers);
}

const upTo = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

for (const place of ["SQLite", "PostgreSQL"] as const) {
  describe(`SIGKILL at every step: ${place}`, () => {
    for (const what of ["link", "rotate", "remove", "webhook"] as const) {
      for (const drop of [false, true]) {
        test(`${what}${drop ? ", its answer lost" : ""}`, async (t) => {
          const whole = await crash(place, { what, drop, killAt: 0, killRecoveryAt: 0 });
          assert.deepEqual(whole.said, []);
          const steps = whole.steps!;
          const safe = steps.indexOf(`${what}: escrowed`) + 1 || Infinity;
          const complaints: string[] = [];
          await all(upTo(steps.length), async (killAt) => {
            const name = `${killAt} of ${steps.length}, ${steps[killAt - 1]}`;
            const { said, givenUp } = await crash(place, { what, drop, killAt, killRecoveryAt: 0 });
            complaints.push(...said.map((one) => `${name}: ${one}`));
            if (givenUp && !drop && killAt >= safe)
              complaints.push(`${name}: given up, though in the escrow`);
          });
          assert.deepEqual(complaints, []);
          t.diagnostic(`${steps.length} deaths`);
        });
      }
    }

    // Where most is left to do: a token in the escrow alone, and a call that nobody knows of. On one database: what
    // differs between the two is the commit, and each has been killed around that above.
    if (place !== "SQLite") return;
    for (const [what, at] of [
      ["link", "link: escrowed"],
      ["rotate", "rotate: intended"],
    ] as const) {
      test(`killed at "${at}", and again at every step of the recovery`, async (t) => {
        const whole = await crash(place, { what, drop: false, killAt: 0, killRecoveryAt: 0 });
        const killAt = whole.steps!.indexOf(at) + 1;
        assert.ok(killAt > 0);
        const first = await crash(place, { what, drop: false, killAt, killRecoveryAt: 1_000 });
        assert.deepEqual(first.said, []);
        const steps = first.recoverySteps!;
        const complaints: string[] = [];
        await all(upTo(steps.length), async (killRecoveryAt) => {
          const { said } = await crash(place, { what, drop: false, killAt, killRecoveryAt });
          complaints.push(...said.map((one) => `${killRecoveryAt}, ${steps[killRecoveryAt - 1]}: ${one}`));
        });
        assert.deepEqual(complaints, []);
        t.diagnostic(`${steps.length} second deaths`);
      });
    }
  });
}
