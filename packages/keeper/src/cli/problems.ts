// What goes wrong in the background of a command that works for long: said once, and again only after a while.

import type { KeeperFailure } from "../lifecycle/failure.ts";
import type { Call } from "./command.ts";
import { sentence } from "./sentences.ts";

const againMs = 60_000;
/** More kinds than this are a flood. */
const most = 100;

/** What is to be called with each. */
export function sayProblems({ context, out }: Pick<Call<unknown>, "context" | "out">) {
  const said = new Map<string, number>();
  return (problem: unknown): void => {
    const text = problemSaid(problem);
    const time = context.now();
    if (time - (said.get(text) ?? -Infinity) < againMs) return;
    if (said.size >= most) said.clear();
    said.set(text, time);
    out.note(`went wrong, and is taken up again: ${text}`);
  };
}

/** The keeper's failures are sentences; others are plain data, or a mistake. */
function problemSaid(problem: unknown): string {
  if (problem instanceof Error) return problem.message || problem.name;
  const known = sentence(Object(problem) as KeeperFailure) as ReturnType<typeof sentence> | undefined;
  return known?.text ?? JSON.stringify(problem);
}
