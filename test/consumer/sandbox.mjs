// An Item's life with the installed packages `sett`, `@sett/sandbox` and `undici`: in the process, over a port, and
// again from the folder that the first sandbox left.

import { createSandbox, sandboxCredentials } from "@sett/sandbox";
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { Item, Sandbox, unwrap } from "sett";
import { pooledPost } from "sett/node";

const { client_id: clientId, secret } = sandboxCredentials;
const folder = await mkdtemp(join(import.meta.dirname, "data-"));
try {
  const first = await createSandbox({ data: folder });
  const plaid = { clientId, secret, post: first.post };
  const { public_token } = unwrap(await Sandbox.createPublicToken("ins_109508", ["transactions"], plaid));
  const { access_token, item_id } = unwrap(await Item.exchangePublicToken(public_token, plaid));
  assert.equal(unwrap(await Item.get(access_token, plaid)).item.item_id, item_id);
  const { new_access_token } = unwrap(await Item.invalidateAccessToken(access_token, plaid));
  const old = await Item.get(access_token, plaid);
  assert.equal(old.error.error.error_code, "INVALID_ACCESS_TOKEN");
  const { item } = unwrap(await Item.updateWebhook(new_access_token, "http://127.0.0.1:65535/plaid", plaid));
  assert.equal(item.webhook, "http://127.0.0.1:65535/plaid");
  await first.close();

  const second = await createSandbox({ data: folder });
  const { url } = await second.listen();
  const post = pooledPost();
  const server = { clientId, secret, baseUrl: url, post };
  assert.equal(unwrap(await Item.get(new_access_token, server)).item.item_id, item_id);
  unwrap(await Item.remove(new_access_token, server));
  assert.equal((await Item.get(new_access_token, server)).error.error.error_code, "ITEM_NOT_FOUND");
  const control = await fetch(`${url}/_sandbox/items`);
  assert.equal(control.status, 200);
  await post.close();
  await second.close();
} finally {
  await rm(folder, { recursive: true });
}
