// How the story is told: numbered steps, sentences below them, and what is left out where it cannot be shown.

import { styleText } from "node:util";
import { dim } from "./wire.ts";

export interface Story {
  step(title: string): void;
  say(text: string): void;
  /** Of what only a local Plaid can do. */
  notHere(what: string): void;
}

export function createStory(print: (line: string) => void): Story {
  let steps = 0;
  const say = (text: string) => print(`   ${text}`);
  return {
    step: (title) => print(`\n${styleText("bold", `${++steps}. ${title}`)}`),
    say,
    notHere: (what) => say(dim(`(${what} is shown with a local Plaid: run npm start without keys.)`)),
  };
}
