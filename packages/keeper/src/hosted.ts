// Public tokens that Link sends by webhook (Hosted and Multi-Item Link), linked where the application says whose they
// are. The page that brings the same token gets the same Item.

import type { GivenToken } from "./inbox/applier.ts";
import type { KeeperFailure } from "./lifecycle/failure.ts";
import type { LinkOptions } from "./lifecycle/link.ts";
import type { LinkOnce } from "./lifecycle/once.ts";
import { isText, longestToken } from "./lifecycle/texts.ts";

/** A session of Link's, as its webhooks name it. */
export type LinkSession = Pick<GivenToken, "link_token" | "link_session_id">;

/** Says what the application knows of the Items of a session (`{}` for nothing), or undefined: they are not to be linked. */
export type LinkFromWebhooks = (
  session: LinkSession,
) => LinkOptions | undefined | Promise<LinkOptions | undefined>;

/** Takes a public token for good (true), or asks for it to be brought again. */
export const publicTokenTaker =
  (optionsFor: LinkFromWebhooks, link: LinkOnce) =>
  async ({ public_token, link_token, link_session_id }: GivenToken): Promise<boolean> => {
    // Nobody can exchange it, today or tomorrow.
    if (!isText(public_token, longestToken)) return true;
    const options = await optionsFor({ link_token, link_session_id });
    if (!options) return true;
    const linkToken = isText(link_token, longestToken) ? link_token : undefined;
    const linked = await link(public_token, { linkToken, ...options });
    return linked.ok || isOver(linked.error);
  };

/** Whether there is nothing more to be done here: it was refused for good, or `recover` has it. */
function isOver(failure: KeeperFailure): boolean {
  switch (failure.kind) {
    case "plaid":
      return (
        failure.failure.kind === "refused" && failure.failure.error.error_code === "INVALID_PUBLIC_TOKEN"
      );
    case "database":
    case "vault":
    case "escrow":
      return false;
    default:
      return true;
  }
}
