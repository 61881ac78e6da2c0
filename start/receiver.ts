// An endpoint for webhooks on this machine: it verifies what arrives and lets the story wait for it.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { nodeListener } from "sett/node";
import { receive, type VerificationKeys, type Webhook } from "sett/webhook";

export interface WebhookInbox {
  readonly url: string;
  /** The next webhook with this code, if it has come or comes within five seconds. */
  next(code: string): Promise<Webhook>;
  close(): Promise<void>;
}

export async function openInbox(keys: VerificationKeys): Promise<WebhookInbox> {
  const arrived: Webhook[] = [];
  let wake = () => {};
  const webhooks = receive(
    (webhook) => {
      arrived.push(webhook);
      wake();
    },
    { keys },
  );
  const server = createServer(nodeListener(webhooks));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}`,
    async next(code) {
      const late = AbortSignal.timeout(5_000);
      for (;;) {
        const at = arrived.findIndex((webhook) => webhook.webhook_code === code);
        if (at >= 0) return arrived.splice(at, 1)[0]!;
        late.throwIfAborted();
        await new Promise<void>((resolve) => {
          wake = resolve;
          late.addEventListener("abort", () => resolve(), { once: true });
        });
      }
    },
    close: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
