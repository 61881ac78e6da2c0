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

export type Agenda = ReturnType<typeof createAgenda>;

export function createAgenda(world: World, clock: Clock) {
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
    /** Says what a kind of task does to its subject, an Item or a delivery. */
    on: (kind: TaskKind, perform: (subject: string) => void) => performers.set(kind, perform),
    plan(kind: TaskKind, subject: string, at: number) {
      world.put("tasks", `${kind} ${subject}`, { kind, subject, at });
      schedule(kind, subject, at);
    },
    cancel: (kind: TaskKind, subject: string) => world.drop("tasks", `${kind} ${subject}`),
    /** Takes up the tasks of a world that was opened or restored. */
    resume() {
      for (const { kind, subject, at } of [...world.all("tasks")]) schedule(kind, subject, at);
    },
  };
}
