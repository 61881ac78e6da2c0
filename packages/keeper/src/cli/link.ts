// `link`: from a public token to an Item, from nothing: where no keeper is yet it makes one. In Plaid's sandbox, real or
// local, it can get the public token itself.

import { Institution, Sandbox, type Config } from "sett";
import type { Keeper } from "../keeper.ts";
import type { LinkOptions } from "../lifecycle/link.ts";
import { isText, isWebUrl, longestToken } from "../lifecycle/texts.ts";
import { readSecret } from "./ask.ts";
import type { Call, Register } from "./command.ts";
import { Stop, wrong, type Ending } from "./exits.ts";
import { id } from "./filters.ts";
import { makeIfNew } from "./init.ts";
import { withKeeper } from "./open.ts";
import { plaidSaid, sentence } from "./sentences.ts";
import { plaidOf, readGiven, soundSettings } from "./settings.ts";

interface Options {
  readonly user?: string;
  readonly metadata?: string;
  readonly publicTokenFile?: string;
  readonly linkTokenFile?: string;
  readonly allowDuplicate?: true;
  readonly sandbox?: string | true;
  readonly webhook?: string;
}

/** First Platypus Bank. */
const usualBank = "ins_109508";

export const register: Register = (cli) => {
  cli.add<Options>(
    {
      name: "link",
      does: "takes a public token from standard input and keeps the Item that it leads to; makes a keeper if there is none",
      examples: [
        "sett link --user u_42",
        "sett link --public-token-file ./token --metadata ./onSuccess.json",
        "sett link --sandbox",
      ],
    },
    (command) =>
      command
        .option("--user <user_id>", "your name for the user; an opaque id, no e-mail address", id)
        .option("--public-token-file <file>", "the public token, instead of standard input")
        .option(
          "--link-token-file <file>",
          "the link token: a way back to the Item should Plaid's answer be lost",
        )
        .option(
          "--metadata <file>",
          "what Link's onSuccess gave, as JSON: finds a login that the user has already",
        )
        .option("--allow-duplicate", "link a login that the user has already, and say so")
        .option(
          "--sandbox [institution_id]",
          `without Link: a test login at this bank of Plaid's sandbox; ${usualBank} unless told`,
          id,
        )
        .option("--webhook <url>", "with --sandbox: where Plaid sends webhooks"),
    async (call) => {
      const { context, globals, options } = call;
      const settings = soundSettings(context, globals.config);
      const plaid = plaidOf(settings);
      refuseUnlessSandbox(options, settings.env);
      const known = await knownOf(call);
      // Nothing is made for a token that does not come.
      const given = options.sandbox === undefined ? await publicTokenOf(call) : undefined;
      await makeIfNew(call, settings);
      const work = async (keeper: Keeper) => {
        if (given !== undefined) return link(call, keeper, given, known);
        const { publicToken, institution } = await sandboxLogin(plaid, options);
        return link(call, keeper, publicToken, { institution, duplicates: "flag", ...known });
      };
      return withKeeper(call, work, { made: settings });
    },
  );
};

async function link(
  { out, context }: Call<Options>,
  keeper: Keeper,
  publicToken: string,
  known: LinkOptions,
): Promise<Ending> {
  const linked = await keeper.link(publicToken, known);
  if (!linked.ok) {
    const { text, ending } = sentence(linked.error);
    await out.record({ ok: false, ending, message: text, failure: linked.error });
    throw new Stop(ending, text);
  }
  const { duplicates, ...item } = linked.value;
  await out.record({ ok: true, item_id: item.item_id, item, duplicates });
  await out.line(item.item_id);
  const bank = item.institution_name ?? item.institution_id;
  out.note(
    out.paintNote("green", "linked") +
      (bank === null ? "" : ` at ${bank}`) +
      (item.user_id === null ? "" : ` for user ${item.user_id}`) +
      `; its token is sealed in the database${context.stdout.isTTY ? `: sett show ${item.item_id}` : ""}`,
  );
  if (duplicates.length > 0) out.note(`the user has this login already: ${duplicates.join(", ")}`);
  return "done";
}

function refuseUnlessSandbox({ sandbox, webhook, publicTokenFile }: Options, env: string): void {
  if (sandbox === undefined && webhook !== undefined)
    throw wrong("--webhook goes with --sandbox; otherwise the link token says where webhooks go");
  if (webhook !== undefined && !isWebUrl(webhook)) throw wrong("--webhook must be an http(s) URL");
  if (sandbox === undefined) return;
  if (env !== "sandbox") throw wrong(`--sandbox is for Plaid's sandbox, and PLAID_ENV is ${env}`);
  if (publicTokenFile !== undefined)
    throw wrong("--sandbox makes its own public token: leave --public-token-file out");
}

async function publicTokenOf({ context, options }: Call<Options>): Promise<string> {
  const { publicTokenFile: file } = options;
  const token =
    file === undefined
      ? await readSecret(context, "public token")
      : readGiven(context, "--public-token-file", file).trim();
  if (token === "")
    throw wrong(
      `${file === undefined ? "standard input" : "--public-token-file"} must hold the public token that Link's onSuccess gave, such as public-sandbox-…`,
    );
  if (/\s/.test(token)) throw wrong("the public token must be one word: something else came with it");
  if (!isText(token, longestToken))
    throw wrong("what came is no public token, but something longer or binary");
  if (/^(access|link|processor)-/.test(token))
    throw wrong(
      `a public token is expected, and this begins like ${token.startsWith("access-") ? "an access token: sett import takes those" : "another token of Plaid's"}`,
    );
  return token;
}

/** A login as a user would make one in Link: its public token, and what Link would say of the bank. */
async function sandboxLogin(plaid: Config, { sandbox, webhook }: Options) {
  const institution_id = typeof sandbox === "string" ? sandbox : usualBank;
  const made = await Sandbox.createPublicToken(institution_id, ["transactions"], plaid, {
    ...(webhook !== undefined && { webhook }),
  });
  if (!made.ok) throw new Stop("failed", plaidSaid(made.error));
  const bank = await Institution.getById(institution_id, ["US"], plaid);
  const name = bank.ok ? bank.value.institution.name : null;
  return { publicToken: made.value.public_token, institution: { institution_id, name } };
}

async function knownOf({ context, options }: Call<Options>): Promise<LinkOptions> {
  const { user, linkTokenFile, metadata, allowDuplicate } = options;
  const known = {
    ...(user !== undefined && { userId: user }),
    ...(linkTokenFile !== undefined && {
      linkToken: readGiven(context, "--link-token-file", linkTokenFile).trim(),
    }),
    ...(metadata !== undefined && metadataIn(readGiven(context, "--metadata", metadata))),
    ...(allowDuplicate && { duplicates: "flag" as const }),
  };
  const { cleanOptions } = await import("../lifecycle/link.ts");
  try {
    cleanOptions(known);
  } catch (thrown) {
    throw wrong(`--link-token-file or --metadata: ${(thrown as Error).message}`);
  }
  return known;
}

/** Of what `onSuccess(public_token, metadata)` gave, the bank and the accounts. */
function metadataIn(text: string): Pick<LinkOptions, "institution" | "accounts"> {
  let metadata: Record<string, unknown>;
  try {
    metadata = Object(JSON.parse(text)) as Record<string, unknown>;
  } catch {
    throw wrong("--metadata must name a file of JSON: the metadata that Link's onSuccess gave");
  }
  const { institution, accounts } = metadata;
  const textOrNull = (value: unknown) => (typeof value === "string" ? value : null);
  const bank = Object(institution) as Record<string, unknown>;
  return {
    institution: { institution_id: textOrNull(bank["institution_id"]), name: textOrNull(bank["name"]) },
    accounts: (Array.isArray(accounts) ? accounts : []).map((account: unknown) => {
      const { mask, name } = Object(account) as Record<string, unknown>;
      return { mask: textOrNull(mask), name: textOrNull(name) };
    }),
  };
}
