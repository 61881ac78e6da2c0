// A keeper to be closed, and the Plaid it talks to: both can be made to stand still, at a step of the keeper's or a call to
// Plaid, so that the keeper is closed just then.

import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { createSandbox } from "@sett/sandbox";
import { Sandbox as Make, unwrap, type Post } from "sett";
import type { Keeper, KeeperOptions } from "../src/keeper.ts";
import type { Step } from "../src/lifecycle/means.ts";
import { webhook } from "./keeper-stage.ts";
import { configFor, institution, open, value, violations } from "./lifecycle-world.ts";

/** Where something stands still until it is let go. */
function createGate() {
  const reached = Promise.withResolvers<void>();
  const opened = Promise.withResolvers<void>();
  return {
    reached: reached.promise,
    pass: () => {
      reached.resolve();
      return opened.promise;
    },
    open: () => opened.resolve(),
  };
}

/** Where it may stand still: at a step, or before or after a call to Plaid. */
export type Place = Step | { readonly path: string; readonly when: "before" | "after" };

/** A keeper over a sandbox that sends it webhooks, both of which can be made to stand still. */
export async function createWorld(url: string, folder: string) {
  const removals = new Set<string>();
  const world: { keeper?: Keeper } = {};
  const sandbox = await createSandbox({
    now: Date.UTC(2026, 0, 1),
    deliver: async (request) => world.keeper?.receive(request) ?? new Response(null, { status: 503 }),
  });
  const { clock } = sandbox.control;
  let gate = createGate();
  let heldAt: Step | undefined;
  let heldCall: Exclude<Place, Step> | undefined;
  const passOnce = () => {
    heldAt = heldCall = undefined;
    return gate.pass();
  };
  const post: Post = async (at, ...rest) => {
    const call = new URL(at).pathname === heldCall?.path ? heldCall : undefined;
    if (call) heldCall = undefined;
    if (call?.when === "before") await passOnce();
    const answer = await sandbox.post(at, ...rest);
    if (call?.when === "after") await passOnce();
    return answer;
  };
  const plaid = configFor({ post });
  const reopen = async (more: Partial<KeeperOptions> = {}): Promise<Keeper> => {
    await world.keeper?.close();
    const at = (step: Step) => (step === heldAt ? passOnce() : undefined);
    const options = { now: clock.now, at, budget: false as const, ...more };
    return (world.keeper = await open(url, folder, plaid, options));
  };
  const publicToken = async () => {
    const { institution_id } = institution;
    return unwrap(await Make.createPublicToken(institution_id, ["transactions"], plaid, { webhook }))
      .public_token;
  };

  return {
    sandbox,
    clock,
    plaid,
    removals,
    reopen,
    folder,
    /** Of the keeper that has failed to close. */
    forget: () => delete world.keeper,
    publicToken,
    link: async (of: Keeper) => value(await of.link(await publicToken())).item_id,
    /** A gate at the next such step, or before or after the next such call to Plaid; or one for the test's own use. */
    hold: (what?: Place) => {
      gate = createGate();
      heldAt = typeof what === "string" ? what : undefined;
      heldCall = typeof what === "object" ? what : undefined;
      return gate;
    },
    /** Opens the keeper anew, and holds the law that nothing is lost. */
    again: async (): Promise<Keeper> => {
      const keeper = await reopen();
      assert.deepEqual(await violations(sandbox, keeper, { removals }), []);
      return keeper;
    },
    end: async () => {
      gate.open(); // where the test has failed, it may still be shut
      await world.keeper?.close();
      await sandbox.close();
    },
  };
}
export type World = Awaited<ReturnType<typeof createWorld>>;

/** Gives others the turns of the event loop and of the disk in which a close that does not wait would be over. */
const turns = async () => {
  for (let turn = 0; turn < 200; turn++) await stat(tmpdir());
};

/** Closes the keeper while the work stands still there, and gives what the work gives once it may go on. */
export async function closeDuring<Value>(
  keeper: Keeper,
  gate: ReturnType<typeof createGate>,
  work: Promise<Value>,
): Promise<Value> {
  work.catch(() => {}); // it may be over before it is looked at
  await gate.reached;
  let isClosed = false;
  const closing = keeper.close().then(() => void (isClosed = true));
  await turns();
  const waited = !isClosed;
  gate.open();
  await closing;
  assert.ok(waited, "the close did not wait");
  return work;
}
