// A keeper over a sandbox that sends it webhooks, with time standing still: what a test about an Item's state needs.

import { createSandbox } from "@sett/sandbox";
import { Sandbox as Make, unwrap } from "sett";
import type { Keeper, KeeperOptions } from "../src/keeper.ts";
import { configFor, institution, open, value } from "./lifecycle-world.ts";

export type Stage = Awaited<ReturnType<typeof keeperStage>>;

export const linkRequest = {
  client_name: "Test",
  language: "en",
  country_codes: ["US" as const],
  user: { client_user_id: "u" },
};

/** Where the stage's webhooks are sent. */
export const webhook = "https://keeper.example/plaid";

/** `url` and `folder` are a place that nobody has used. */
export async function keeperStage(url: string, folder: string, options: Partial<KeeperOptions> = {}) {
  let keeper: Keeper | undefined;
  const sandbox = await createSandbox({
    now: Date.UTC(2026, 0, 1),
    deliver: async (request) => (keeper ? keeper.receive(request) : new Response(null, { status: 503 })),
  });
  const { clock } = sandbox.control;
  const asked: string[] = [];
  const plaid = configFor(sandbox, {
    post: (at, body, headers, signal) => {
      asked.push(new URL(at).pathname);
      return sandbox.post(at, body, headers, signal);
    },
  });
  /** What was begun in the background is done when the keeper is closed: so a look at a new one sees it all. */
  const reopen = async (more: Partial<KeeperOptions> = {}) => {
    await sandbox.control.webhooks.idle();
    await keeper?.close();
    keeper = undefined;
    return (keeper = await open(url, folder, plaid, { now: clock.now, ...options, ...more }));
  };
  const publicToken = async () =>
    unwrap(await Make.createPublicToken(institution.institution_id, ["transactions"], plaid, { webhook }))
      .public_token;
  return {
    sandbox,
    clock,
    plaid,
    /** The paths of all calls that were made to Plaid. */
    asked,
    reopen,
    publicToken,
    link: async (of: Keeper) => value(await of.link(await publicToken())).item_id,
    events: async (of: Keeper, itemId: string) =>
      (
        await of.database.sql
          .selectFrom("events")
          .select(["kind", "detail", "actor"])
          .where("item_id", "=", itemId)
          .orderBy("seq")
          .execute()
      ).map(({ kind, detail, actor }) => ({
        kind,
        actor,
        detail: JSON.parse(detail) as Record<string, unknown>,
      })),
    close: async () => {
      await sandbox.control.webhooks.idle();
      await keeper?.close();
      keeper = undefined;
      await sandbox.close();
    },
  };
}
