// Laws of the calculation, for any order in which processes do what they may: no minute holds more than is allowed,
// nobody is passed over for ever, nothing that was used is forgotten, a cut happens once.

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  debit,
  giveBack,
  newAllowance,
  refuse,
  resume,
  sell,
  usedBefore,
  type Block,
} from "../src/budget/allowance.ts";

const start = 1_750_000_000_000;

const act = fc.oneof(
  { weight: 1, arbitrary: fc.constant({ kind: "buy" as const, process: 0, wanted: 500 }) },
  fc.record({
    kind: fc.constant("buy" as const),
    process: fc.nat(4),
    wanted: fc.integer({ min: 1, max: 500 }),
  }),
  fc.record({
    kind: fc.constant("return" as const),
    process: fc.nat(4),
    part: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  fc.record({ kind: fc.constant("die" as const), process: fc.nat(4) }),
);
const step = fc.record({ act, afterMs: fc.nat(300) });

test("no minute, whenever it begins, holds more slots than are allowed", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 20_000 }),
      fc.constantFrom(0, 0.3, 0.9),
      fc.array(step, { minLength: 600, maxLength: 900, size: "max" }),
      (rate, share, steps) => {
        const allowance = newAllowance(rate, rate, share);
        const slots: number[] = [];
        const held = new Map<number, Block>();
        let now = start;
        for (const { act, afterMs } of steps) {
          now += afterMs;
          if (act.kind === "buy") {
            const before = held.get(act.process);
            if (before)
              for (let at = 0; at < before.count; at++) slots.push(before.from + at * before.intervalMs);
            held.delete(act.process);
            const block = sell(allowance, now, act.wanted);
            if (block.count > 0) held.set(act.process, block);
            else assert.ok(block.retryAt > now);
          } else {
            const block = held.get(act.process);
            if (!block) continue;
            held.delete(act.process);
            // Only slots to come can be given back; the others may have been used.
            const due = Math.max(
              0,
              Math.min(block.count, Math.ceil((now - block.from) / block.intervalMs) + 1),
            );
            const back = act.kind === "die" ? 0 : Math.floor((block.count - due) * act.part);
            if (back > 0) giveBack(allowance, block, back);
            for (let at = 0; at < block.count - back; at++) slots.push(block.from + at * block.intervalMs);
          }
        }
        slots.sort((a, b) => a - b);
        const most = Math.max(1, rate * (1 - share));
        let first = 0;
        for (const [index, slot] of slots.entries()) {
          while (slots[first]! <= slot - 60_000) first++;
          assert.ok(index - first + 1 <= Math.ceil(most), `${index - first + 1} in a minute of ${most}`);
        }
      },
    ),
    { numRuns: 40 },
  );
});

test("whoever asks again when told gets a slot in the end, whatever the others buy", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 10, max: 5_000 }),
      fc.array(fc.nat(300), { maxLength: 50 }),
      (rate, others) => {
        const allowance = newAllowance(rate, rate, 0.3);
        let now = start;
        for (let asked = 0; asked < 20; asked++) {
          for (const wanted of others) sell(allowance, now, wanted + 1);
          const block = sell(allowance, now, 1);
          if (block.count > 0) return;
          assert.ok(block.retryAt > now && block.retryAt - now <= 60_000 / (rate * 0.7) + 1_000);
          now = block.retryAt;
          // The others were a moment later this time.
          if (sell(allowance, now, 1).count > 0) return;
        }
        assert.fail("never");
      },
    ),
  );
});

test("nothing that was used is forgotten, and a minute later it is", () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ live: fc.nat(50), sweep: fc.nat(50), afterMs: fc.nat(1_500) }), { maxLength: 35 }),
      (steps) => {
        const allowance = newAllowance(1_000, 1_000, 0.3);
        let now = start;
        const total = { live: 0, sold: 0 };
        for (const { live, sweep, afterMs } of steps) {
          now += afterMs;
          debit(allowance, now, { live, sweep });
          total.live += live;
          total.sold += sweep;
        }
        assert.deepEqual(usedBefore(allowance, now), total);
        assert.deepEqual(usedBefore(allowance, now + 62_000), { live: 0, sold: 0 });
        const again = JSON.parse(JSON.stringify(allowance)) as typeof allowance;
        assert.deepEqual(usedBefore(again, now), total);
      },
    ),
  );
});

test("any number of 429s to calls of one generation cut once, never below a tenth and never above the ceiling", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 10, max: 20_000 }),
      fc.array(fc.record({ afterMs: fc.nat(20_000), late: fc.nat(3), passes: fc.boolean() }), {
        maxLength: 60,
      }),
      (rate, steps) => {
        const allowance = newAllowance(rate, rate, 0);
        let now = start;
        for (const { afterMs, late, passes } of steps) {
          now += afterMs;
          sell(allowance, now, 100);
          const before = { rate: allowance.rate, generation: allowance.generation };
          if (passes) resume(allowance, now, before.generation);
          else
            for (let call = 0; call < 5; call++)
              refuse(allowance, now, before.generation - (call % 2 ? late : 0), 0);
          assert.ok(allowance.generation <= before.generation + 1);
          assert.ok(allowance.rate <= rate && allowance.rate >= Math.max(1, before.rate * 0.1) - 1e-9);
          if (allowance.rate < before.rate) assert.equal(allowance.generation, before.generation + 1);
          if (allowance.generation > before.generation) assert.ok(allowance.pausedUntil > now);
        }
      },
    ),
  );
});
