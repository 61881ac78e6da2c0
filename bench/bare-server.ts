// A server that does nothing but HTTP: node:http reads the request to its end and answers with the recorded body.
// Nothing can answer faster on Node without leaving something out.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { itemGetAnswer } from "./recorded.ts";

const body = Buffer.from(JSON.stringify(itemGetAnswer, null, 2));
const headers = { "content-type": "application/json; charset=utf-8", "content-length": body.length };

const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
  request.resume().on("end", () => response.writeHead(200, headers).end(body));
});
server.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => {
  process.send?.((server.address() as AddressInfo).port);
});
process.on("disconnect", () => process.exit());
