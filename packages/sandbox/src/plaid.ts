// The parts of a sandbox, put together once and handed to whoever handles a request or a control call. What each
// part hides stands at the head of its file.

import { createAgenda, type Agenda } from "./agenda.ts";
import { createClock, type Clock } from "./clock.ts";
import { createDelivery, type Deliver, type Delivery } from "./delivery.ts";
import { createIds, type Ids } from "./ids.ts";
import { createKeys, type Keys } from "./keys.ts";
import { createLimits, type Limits } from "./limits.ts";
import { defaultSwitches, type Switches } from "./switches.ts";
import { createWorld, type Journal, type Snapshot, type World } from "./world.ts";

export interface Plaid {
  readonly world: World;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly agenda: Agenda;
  readonly keys: Keys;
  readonly delivery: Delivery;
  readonly limits: Limits;
  switches(): Switches;
  /** Begins to do what is due: of a new world, of one that was opened, of one that was restored. */
  resume(): void;
  /** Puts a snapshot in the place of everything, the clock included. */
  restore(snapshot: Snapshot): void;
}

/** What a world begins with; one that is opened from a journal goes on with what it has. */
export interface Beginning {
  readonly seed: number | string;
  /** Where the clock stands still at first; null for a clock that runs with the machine's. */
  readonly now: number | null;
  readonly switches: Partial<Switches>;
  readonly limits: boolean;
  readonly deliver: Deliver;
  readonly journal?: Journal | undefined;
}

export function createPlaid({ seed, now, switches, limits, deliver, journal }: Beginning): Plaid {
  const world = createWorld(journal);
  const clock = createClock(
    world.setting("clock") ?? (now === null ? { offset: 0 } : { stopped_at: now }),
    (state) => {
      world.set("clock", state);
      world.commit();
    },
  );
  const ids = createIds(seed, world);
  const agenda = createAgenda(world, clock);
  const keys = createKeys(world, clock);
  const delivery = createDelivery({ world, clock, ids, keys, agenda }, deliver);
  if (!world.setting("clock")) world.set("clock", clock.state());
  world.set("switches", { ...defaultSwitches, ...world.setting("switches"), ...switches });

  const plaid: Plaid = {
    world,
    clock,
    ids,
    agenda,
    keys,
    delivery,
    limits: createLimits(clock, () => plaid.switches(), limits),
    switches: () => world.setting("switches") ?? defaultSwitches,
    resume() {
      agenda.resume();
      delivery.resume();
      world.commit();
    },
    restore(snapshot) {
      delivery.abandon();
      world.restore(snapshot);
      // One that was kept by an earlier version may know fewer of them.
      world.set("switches", { ...defaultSwitches, ...world.setting("switches") });
      clock.reset(world.setting("clock") ?? { offset: 0 });
      plaid.limits.forget();
      plaid.resume();
    },
  };
  return plaid;
}
