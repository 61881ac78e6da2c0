// `npm start`: an Item through its whole life, told to a newcomer, and then one in the keeper's hands. Without keys it
// happens on a local Plaid, with webhooks and lost answers; with PLAID_CLIENT_ID and PLAID_SECRET in the environment, at
// Plaid's own sandbox, as far as that goes.

import { styleText } from "node:util";
import { createSandbox, sandboxCredentials, type Sandbox as LocalPlaid } from "@sett/sandbox";
import { advice, describe, happened, Item, PlaidFailure, Sandbox, unwrap, type Config } from "sett";
import { plaidKeys } from "sett/webhook";
import { keep } from "./keeper.ts";
import { openInbox } from "./receiver.ts";
import { createStory } from "./story.ts";
import { printedWire } from "./wire.ts";

const { PLAID_CLIENT_ID: clientId, PLAID_SECRET: secret } = process.env;
const print = (line = "") => console.log(line);
const wire = printedWire(print);
// A reader that has seen enough, such as head, is no error.
process.stdout.on("error", () => process.exit());

if ((clientId === undefined) !== (secret === undefined)) {
  console.error(
    "Set both PLAID_CLIENT_ID and PLAID_SECRET to run against Plaid's sandbox, or neither for a local Plaid.",
  );
  process.exitCode = 2;
} else if (clientId !== undefined && secret !== undefined) {
  print("This runs against Plaid's own sandbox, over the network, with the keys in the environment.");
  await tell({ clientId, secret, post: wire.post });
} else {
  const plaid = await createSandbox();
  const { url } = await plaid.listen();
  print(`A local Plaid listens on ${url}. No keys, no network.`);
  await tell(
    {
      clientId: sandboxCredentials.client_id,
      secret: sandboxCredentials.secret,
      baseUrl: url,
      post: wire.post,
    },
    plaid,
  );
  await plaid.close();
}

/** The story, and in place of a stack trace what Plaid or the network said. */
async function tell(plaid: Config, local?: LocalPlaid): Promise<void> {
  try {
    await live(plaid, local);
  } catch (error) {
    if (!(error instanceof PlaidFailure)) throw error;
    print(`\n${styleText("red", error.message)}. Advice: ${advice(error.failure).action}.`);
    process.exitCode = 1;
  }
}

/** What only a local Plaid can do is told when there is one. */
async function live(plaid: Config, local?: LocalPlaid): Promise<void> {
  const started = performance.now();
  const inbox = local && (await openInbox(plaidKeys({ ...plaid, post: undefined })));
  const story = createStory(print);
  const { step, say, notHere } = story;

  step("A user logs in at their bank. Link would give your page a public token; a sandbox makes one.");
  const { public_token } = unwrap(await Sandbox.createPublicToken("ins_109508", ["transactions"], plaid));
  say(`${wire.nameOf(public_token)} lives 30 minutes and is good once.`);

  step("Item.exchangePublicToken: your server turns it into the access token.");
  const { access_token, item_id } = unwrap(await Item.exchangePublicToken(public_token, plaid));
  say(
    `${wire.nameOf(access_token)} never expires, opens item ${item_id}, and is billed until it is removed.`,
  );

  step("Item.get: what Plaid knows of the Item.");
  const { item } = unwrap(await Item.get(access_token, plaid));
  say(
    `At ${item.institution_name}; webhook ${item.webhook ?? "none"}; error ${item.error?.error_code ?? "none"}.`,
  );

  step("Item.updateWebhook: its news go to another URL.");
  const webhook = inbox?.url ?? "https://example.com/plaid";
  unwrap(await Item.updateWebhook(access_token, `${webhook}/items`, plaid));
  if (inbox) {
    const acknowledged = await inbox.next("WEBHOOK_UPDATE_ACKNOWLEDGED");
    say(
      `It answered there: ${acknowledged.webhook_type} ${acknowledged.webhook_code}, its ES256 signature verified over the raw bytes.`,
    );
  } else notHere("The signed acknowledgement, which needs an address that Plaid reaches,");

  step("The user changes their password: the Item needs them again.");
  unwrap(await Sandbox.resetLogin(access_token, plaid));
  const broken = unwrap(await Item.get(access_token, plaid)).item.error;
  say(`Item.get still answers; item.error is ${broken?.error_code}.`);
  if (inbox) {
    const told = await inbox.next("ERROR");
    say(`And a webhook said so: ${told.webhook_type} ${told.webhook_code}, verified.`);
  }
  say("What to do: open Link in update mode with the same access token. Token and item_id stay.");

  step("Item.invalidateAccessToken: a new token for the old one.");
  const { new_access_token } = unwrap(await Item.invalidateAccessToken(access_token, plaid));
  const dead = await Item.get(access_token, plaid);
  say(`${wire.nameOf(new_access_token)} works; the old one is dead at once:`);
  if (!dead.ok) say(`${describe(dead.error)}. Advice: ${advice(dead.error).action}.`);

  let token = new_access_token;
  step("The answer to a rotation is lost. What is known?");
  if (local) {
    local.control.faults.add({ path: "/item/access_token/invalidate", then: "reset" });
    const lost = await Item.invalidateAccessToken(token, plaid);
    if (!lost.ok) {
      say(`${describe(lost.error)}.`);
      say(
        `happened: "${happened(lost.error)}", so sett did not send it again. Advice: ${advice(lost.error).action}.`,
      );
    }
    say("So look: does the old token still work?");
    if ((await Item.get(token, plaid)).ok) {
      say("It does: the rotation did not happen, and may be made again.");
      token = unwrap(await Item.invalidateAccessToken(token, plaid)).new_access_token;
    } else say("It does not: the new token was lost with the answer.");
  } else notHere("A cut line");

  step("Item.remove: the end, and of billing too.");
  if (local) {
    local.control.faults.add({ path: "/item/remove", then: "drop-after-commit" });
    say("This time Plaid does the work, and the line is cut before its answer:");
  }
  unwrap(await Item.remove(token, plaid, { reason_code: "OTHER" }));
  if (local) say("An Item cannot be removed twice, so sett asked again, and ITEM_NOT_FOUND meant: done.");

  await inbox?.close();
  await keep(story, plaid, local);
  print(
    `\nDone in ${((performance.now() - started) / 1000).toFixed(1)} s. The code of this story is in start/: main.ts, keeper.ts.`,
  );
}
