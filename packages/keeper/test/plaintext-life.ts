// A thousand Items through everything that can befall them, in a keeper on either database: what plaintext.test.ts then
// searches. Secrets are known to the sandbox that made them; what is shown of Items on the way is collected.

import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Readable } from "node:stream";
import { inspect } from "node:util";
import { createSandbox, type FaultEffect, type Sandbox } from "@sett/sandbox";
import { Item, Link, Sandbox as Make, unwrap, type Config, type Post } from "sett";
import { nodeListener } from "sett/node";
import type { Keeper } from "../src/keeper.ts";
import { openKeeper } from "../src/open.ts";
import type { LinkOptions } from "../src/lifecycle/link.ts";
import { newRecipient } from "../src/vault/recipient.ts";
import { reencrypt } from "../src/vault/reencrypt.ts";
import { localKeyRing, newKey } from "../src/vault/ring.ts";
import { failure, institution, publicToken, value } from "./lifecycle-world.ts";

/** Shapes of Plaid's tokens, in any text. */
const tokens = /(?:access|public|link)-sandbox-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

export const counts = {
  items: 1_000,
  imported: 100,
  rotated: 400,
  moved: 200,
  removed: 80,
  lost: 8,
} as const;
/** How many are worked on at once. */
const width = 50;

/** What is left when the life is over; the keeper is still open. */
export interface Life {
  readonly sandbox: Sandbox;
  readonly keeper: Keeper;
  readonly plaid: Config & { readonly baseUrl: string };
  readonly keyFile: string;
  readonly items: readonly string[];
  /** Every token, secret and key there ever was, by a name that may be told. */
  secrets(): Promise<ReadonlyMap<string, string | Uint8Array>>;
  /** What a careless application would print, by what it is. */
  readonly shown: Map<string, string>;
  /** An export of all Items, sealed to somebody. */
  readonly exported: Buffer;
  /** Closes the keeper: then all of its events have been shown. */
  close(): Promise<void>;
}

/** What is to be ended when all is over, or has failed; the last first. */
export type End = () => Promise<unknown>;

/** Lives it. `folder` is there, for a key file; `escrow` is made. */
export async function live(database: string, folder: string, escrow: string, ends: End[]): Promise<Life> {
  const secret = randomBytes(15).toString("hex");
  const credentials = { client_id: "client-of-a-full-life", secret };
  const sandbox = await createSandbox({ credentials: [credentials] });
  ends.push(() => sandbox.close());
  const { clock, faults, items: befall, webhooks } = sandbox.control;
  const { url: baseUrl } = await sandbox.listen();
  const known = new Set<string>();
  const post: Post = async (url, body, headers, signal) => {
    for (const [token] of body.matchAll(tokens)) known.add(token);
    const answer = await sandbox.post(url, body, headers, signal);
    for (const [token] of answer.body.matchAll(tokens)) known.add(token);
    return answer;
  };
  const plaid = { clientId: credentials.client_id, secret, baseUrl, post, random: () => 0 };

  const keys = [newKey(), newKey()] as const;
  const keyFile = join(folder, "ring");
  const shown = new Map<string, string>();
  const show = (name: string, what: unknown) =>
    void shown.set(
      name,
      `${shown.get(name) ?? ""}${inspect(what, { depth: null, maxArrayLength: null, showHidden: true })}\n${JSON.stringify(what)}\n`,
    );

  const events: unknown[] = [];
  const openWith = async (ring: string): Promise<Keeper> => {
    await writeFile(keyFile, ring, { mode: 0o600 });
    const options = { plaid, database, folder: escrow, now: clock.now, recoverEveryMs: 0 };
    const opened = await openKeeper({ ...options, keys: localKeyRing(ring) });
    const keeper = value(opened);
    keeper.subscribe("everything", (event) => void events.push(event));
    return keeper;
  };
  let keeper = await openWith(keys[0]);
  ends.push(() => keeper.close());
  const server = createServer(nodeListener((request) => keeper.receive(request)));
  await once(server.listen(0, "127.0.0.1"), "listening");
  ends.push(() => new Promise((resolve) => server.close(resolve)));
  const webhook = `http://127.0.0.1:${(server.address() as AddressInfo).port}/plaid`;

  // Linked: as most are; with Link's metadata; from a session of Link, whose webhooks carry the public token; imported.
  const items: string[] = [];
  const linked = counts.items - counts.imported;
  await each(linked, async (index) => {
    const userId = `u_${Math.floor(index / 4)}`;
    let token: string;
    let options: LinkOptions = { userId };
    if (index % 20 === 0) {
      const { link_token } = unwrap(
        await Link.createToken({ ...linkRequest(userId), products: ["auth"], webhook }, plaid),
      );
      token = sandbox.control.link.complete(link_token).public_token!;
      options = { userId, linkToken: link_token };
    } else {
      const products = index % 5 === 0 ? ["transactions" as const] : ["auth" as const];
      const heard = index % 2 === 0 ? { webhook } : undefined;
      token = unwrap(
        await Make.createPublicToken(institution.institution_id, products, plaid, heard),
      ).public_token;
      const accounts = [{ mask: String(index), name: "Plaid Checking" }];
      if (index % 10 === 1) options = { userId, institution, accounts, duplicates: "flag" };
    }
    const done = value(await keeper.link(token, options));
    items.push(done.item_id);
    show("what link gives", done);
  });
  const held: string[] = [];
  await each(counts.imported, async () => {
    held.push(unwrap(await Item.exchangePublicToken(await publicToken(plaid), plaid)).access_token);
  });
  const half = counts.imported / 2;
  await each(half, async (index) => {
    const done = value(await keeper.importItem(held[index]!, { userId: `u_${1_000 + index}` }));
    items.push(done.item_id);
    show("what importItem gives", done);
  });
  const rows = held.slice(half).map((token, index) => `u_${1_000 + half + index},${token}\n`);
  const imported = await keeper.importItems(Readable.from(["user_id,access_token\n", ...rows]), {
    onRow: (outcome) => {
      if (outcome.kind === "imported") items.push(outcome.item_id);
      show("what importItems gives", outcome);
    },
  });
  show("what importItems gives", value(imported));

  // Lost on the way: answers cut, halved, and come to nothing.
  const bad: FaultEffect[] = ["drop-after-commit", "garbage", { status: 502 }, "reset"];
  for (let index = 0; index < counts.lost; index++) {
    const token = await publicToken(plaid);
    faults.add({ path: "/item/public_token/exchange", then: bad[index % 2]! });
    show("failures", failure(await keeper.link(token, { userId: `u_${2_000 + index}` })));
    faults.clear();
  }
  for (const [index, then] of [...bad, ...bad].entries()) {
    faults.add({ path: "/item/access_token/invalidate", then });
    show("failures", await keeper.rotate(items[index]!));
    faults.clear();
    show("failures", await keeper.get(items[index]!));
  }

  await each(items.length, async (index) => {
    const got = await keeper.get(items[index]!);
    show(got.ok ? "what get gives" : "failures", got);
  });
  const sound = items.slice(bad.length * 2);
  await each(counts.rotated, async (index) => {
    show("what rotate gives", value(await keeper.rotate(sound[index]!)));
  });
  await each(counts.moved, async (index) => {
    const to = index % 10 === 9 ? null : `${webhook}?moved`;
    show("what updateWebhook gives", value(await keeper.updateWebhook(sound[index]!, to)));
  });

  // States, in both directions; webhooks late, twice and again.
  webhooks.duplicate(20);
  const some = sound.slice(0, 120);
  for (const [index, item_id] of some.entries()) {
    if (index % 6 === 0) befall.newAccounts(item_id);
    else if (index % 6 === 1) befall.pendingDisconnect(item_id);
    else if (index % 6 === 2) befall.pendingExpiration(item_id);
    else if (index % 6 === 3) befall.revokePermission(item_id);
    else befall.loginRequired(item_id);
    if (index % 6 === 5) befall.repairLogin(item_id);
  }
  await webhooks.idle();
  for (const { webhook_message_id } of webhooks.list().slice(0, 20)) webhooks.replay(webhook_message_id);
  await webhooks.idle();
  await each(20, async (index) => {
    const item_id = some[index * 6 + 4]!;
    const made = value(await keeper.updateMode(item_id, linkRequest("u_0"), { evenIfHealthy: true }));
    sandbox.control.link.complete(made.link_token);
    const at = clock.now();
    value(await keeper.observe(item_id, { kind: "updated", accountsSelected: false, at }));
  });

  // The end: of some, and of all of a user's.
  const last = sound.slice(-counts.removed);
  await each(last.length, async (index) => {
    show("what remove gives", value(await keeper.remove(last[index]!, { reason_code: "OTHER" })));
  });
  show("what forgetUser gives", value(await keeper.forgetUser("u_1099")));

  // New keys for old: first the one that wraps, then those that seal; what was sealed with these goes over.
  await keeper.close();
  keeper = await openWith(`${keys[1]}\n${keys[0]}\n`);
  show("what rewrap gives", value(await keeper.vault.rewrap()));
  const [before] = value(await keeper.vault.keys()).filter(({ purpose }) => purpose === "seal");
  value(await keeper.vault.newEpoch());
  const moved = value(await reencrypt(keeper.vault, keeper.database));
  show("what reencrypt gives", moved);
  await clock.advance(10 * 60_000);
  await webhooks.idle();
  show("what retire gives", value(await keeper.vault.retire(before!.key_id)));
  await keeper.close();
  keeper = await openWith(keys[1]);

  const sealed: Uint8Array[] = [];
  for await (const part of value(await keeper.exportItems({ recipient: newRecipient().publicKey })))
    sealed.push(value(part));
  const wrapped = await keeper.database.sql.selectFrom("keys").selectAll().execute();
  const dataKeys = async () => {
    const ring = localKeyRing(keys[1]);
    const unwrapped = wrapped.map(async ({ key_id, wrapped, purpose }) => {
      const context = { purpose: `sett ${purpose}`, environment: "sandbox", key_id };
      return [`data key ${key_id}`, value(await ring.unwrap(wrapped, context))] as const;
    });
    return Promise.all(unwrapped);
  };
  return {
    sandbox,
    keeper,
    plaid,
    keyFile,
    items,
    shown,
    exported: Buffer.concat(sealed),
    secrets: async () => {
      const state = JSON.stringify(sandbox.control.snapshot());
      for (const [token] of state.matchAll(tokens)) known.add(token);
      const named = [...known].map(
        (token, index) => [`${token.split("-")[0]} token ${index}`, token] as const,
      );
      const kept = keys.flatMap((text, index) => [
        [`key-encryption key ${index}, text`, text.slice("sett-kek-1:".length)] as const,
        [
          `key-encryption key ${index}, bytes`,
          Buffer.from(text.slice("sett-kek-1:".length), "base64url"),
        ] as const,
      ]);
      return new Map<string, string | Uint8Array>([
        ...named,
        ["PLAID-SECRET", secret],
        ...kept,
        ...(await dataKeys()),
      ]);
    },
    close: async () => {
      await keeper.close();
      show("events", events);
    },
  };
}

const linkRequest = (client_user_id: string) => ({
  client_name: "A full life",
  language: "en",
  country_codes: ["US" as const],
  user: { client_user_id },
});

/** As many at once as `width`. */
async function each(count: number, work: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
