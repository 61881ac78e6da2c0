// A process of this bench as others speak with it: it is told what to do when it starts, and both sides send messages.

import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { end, start } from "../programs.ts";

export interface Program<Told> {
  readonly child: ChildProcess;
  send(message: object): void;
  /** What it says next. */
  next(): Promise<Told>;
  end(): Promise<void>;
}

const flags = ["--conditions=@sett/source", "--disable-warning=ExperimentalWarning"];

/** Starts a file of this folder, or any other by its whole path; it reads its order with `ordered`. */
export function startProgram<Order extends object, Told>(file: string, order: Order): Program<Told> {
  const child = start([process.execPath, ...flags, resolve(import.meta.dirname, file)], true);
  const said: Told[] = [];
  let wake = () => {};
  child.on("message", (message) => {
    said.push(message as Told);
    wake();
  });
  let ended = false;
  child.once("exit", () => {
    ended = true;
    wake();
  });
  child.send(order);
  return {
    child,
    send: (message) => void child.send(message),
    async next() {
      while (said.length === 0) {
        if (ended) throw new Error(`${file}: its process ended`);
        await new Promise<void>((woken) => (wake = woken));
      }
      return said.shift()!;
    },
    end: () => end(child),
  };
}

/** In the process: its order. It ends with the bench. */
export async function ordered<Order>(): Promise<Order> {
  process.on("disconnect", () => process.exit());
  const [order] = (await once(process, "message")) as [Order];
  return order;
}

/** In the process: resolves when the bench sends the next message. */
export async function told<Message>(): Promise<Message> {
  const [message] = (await once(process, "message")) as [Message];
  return message;
}
