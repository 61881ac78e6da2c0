// Spans of time and moments, as people write and read them.

import { wrong } from "./exits.ts";

const units = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

/** Milliseconds of `90d`, `12h`, `30m`, `45s`, `2w`. */
export function spanOf(option: string, given: string): number {
  const [, number, unit] = /^(\d{1,9})([smhdw])$/.exec(given) ?? [];
  if (number === undefined) throw wrong(`${option} must be a span of time such as 90d, 12h, 30m or 45s`);
  return Number(number) * units[unit as keyof typeof units];
}

/** The unit that such a span is written in, a week as a day. */
export const unitOf = (given: string): number => {
  const unit = given.at(-1) as keyof typeof units;
  return unit === "w" ? units.d : units[unit];
};

/** The largest unit of which there is at least one: `93d`, `4h`, `12s`. */
export function span(ms: number): string {
  const whole = (["d", "h", "m", "s"] as const).find((unit) => ms >= units[unit]) ?? "s";
  return `${Math.max(0, Math.floor(ms / units[whole]))}${whole}`;
}

/** To the second, in UTC. */
export const moment = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");

export const moments = (ms: number | null): string => (ms === null ? "-" : moment(ms));
