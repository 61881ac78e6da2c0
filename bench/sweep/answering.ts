// A Plaid that does nothing but answer: every call at once, with what it answers to such a call and an Item that is as
// the keeper knows it. A rotation gives a token that nobody had.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { itemGetAnswer } from "../recorded.ts";
import { webhookBefore } from "./fleet.ts";
import { ordered } from "./program.ts";

await ordered<object>();
const { item, status } = itemGetAnswer;
const request_id = itemGetAnswer.request_id;
const asText = (body: object) => JSON.stringify(body, null, 2);
const answers: Record<string, () => string> = {
  "/item/get": fixed({ item: { ...item, webhook: webhookBefore }, request_id, status }),
  "/item/webhook/update": fixed({ item, request_id }),
  "/item/remove": fixed({ request_id }),
  "/item/access_token/invalidate": () =>
    asText({ new_access_token: `access-sandbox-${crypto.randomUUID()}`, request_id }),
};
function fixed(body: object): () => string {
  const text = asText(body);
  return () => text;
}

const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
  request.resume().on("end", () => {
    const body = answers[request.url!]!();
    response.writeHead(200, {
      "content-type": "application/json; charset=utf-8",
      "content-length": Buffer.byteLength(body),
    });
    response.end(body);
  });
});
server.listen(0, "127.0.0.1", () => {
  process.send!(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
