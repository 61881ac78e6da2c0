// What will happen: the link between the clock, which forgets, and the world, which is kept. A task is a record, so
// that ageing and retries survive a restart; of each kind there is at most one for a subject, and planning it anew
// moves it.

import type { Clock } from "./clock.ts";
import type { World } from "./world.ts";

export type TaskKind =
  | "initial-update"
  | "historical-update"
  | "age"
  | "consent-warning"
  | "consent-end"
  | "disconnect"
  | "attempt";

export interface Agenda {
  /** Says what a kind of task does to its subject, an Item or a delivery. */
  on(kind: TaskKind, perform: (subject: string) => void): void;
  plan(kind: TaskKind, subject: string, at: number): void;
  cancel(kind: TaskKind, subject: string): void;
  /** Takes up the tasks of a world that was opened or restored. */
  resume(): void;
}

export function createAgenda(world: World, clock: Clock): Agenda {
  const performers = new Map<string, (subject: string) => void>();

  const schedule = (kind: string, subject: string, at: number) => {
    const key = `${kind} ${subject}`;
    const task = world.get("tasks", key);
    clock.at(at, () => {
      // Another record in its place means that it was planned anew or called off.
      if (world.get("tasks", key) !== task) return;
      world.drop("tasks", key);
      performers.get(kind)?.(subject);
      world.commit();
    });
  };
  return {
    on: (kind, perform) => performers.set(kind, perform),
    plan(kind, subject, at) {
      world.put("tasks", `${kind} ${subject}`, { kind, subject, at });
      schedule(kind, subject, at);
    },
    cancel: (kind, subject) => world.drop("tasks", `${kind} ${subject}`),
    resume() {
      for (const { kind, subject, at } of [...world.all("tasks")]) schedule(kind, subject, at);
    },
  };
}
