// What a process counts of itself while it serves: calls to Plaid, webhooks refused, requests answered, and what the last
// recovery came to.

import { errorCodes, type Attempt, type Result } from "sett";
import type { Refusal } from "sett/webhook";
import type { KeeperFailure } from "../lifecycle/failure.ts";
import type { Recovery } from "../lifecycle/recover.ts";
import { Counter, gauge, type Family } from "./exposition.ts";

export interface Tally {
  readonly attempt: (attempt: Attempt) => void;
  readonly refusal: (refusal: Refusal) => void;
  readonly recovered: (recovered: Result<Recovery, KeeperFailure>) => void;
  readonly request: (route: string, status: number) => void;
  families(): readonly Family[];
}

export function createTally(now: () => number): Tally {
  const attempts = new Counter();
  const seconds = new Counter();
  const refusals = new Counter();
  const requests = new Counter();
  const finished = new Counter();
  const begun = now();
  let last: { readonly at: number; readonly recovered: Result<Recovery, KeeperFailure> } | undefined;

  return {
    attempt({ path, durationMs, failure }) {
      attempts.add({ path, outcome: failure?.kind ?? "answered", error_code: codeOf(failure) });
      seconds.add({ path }, durationMs / 1_000);
    },
    refusal: ({ reason }) => refusals.add({ reason }),
    recovered(recovered) {
      last = { at: now(), recovered };
      if (!recovered.ok) return;
      finished.add({ ending: "adopted" }, recovered.value.adopted.length);
      finished.add({ ending: "finished" }, recovered.value.finished - recovered.value.bad.length);
      finished.add({ ending: "bad" }, recovered.value.bad.length);
    },
    request: (route, status) => requests.add({ route, status: String(status) }),
    families() {
      const recovery = last?.recovered.ok ? last.recovered.value : undefined;
      const one = (name: string, help: string, value: number | undefined) =>
        gauge(name, help, value === undefined ? [] : [{ value }]);
      return [
        attempts.family("sett_plaid_attempts_total", "Attempts of calls to Plaid, by endpoint and outcome."),
        seconds.family("sett_plaid_seconds_total", "Time that these took, by endpoint."),
        refusals.family("sett_webhooks_refused_total", "Webhooks that were not believed, by reason."),
        requests.family("sett_http_requests_total", "Requests answered, by route and status."),
        finished.family(
          "sett_recovered_total",
          "What recovery came to: tokens adopted, intents finished, bad endings.",
        ),
        one(
          "sett_recover_last_seconds",
          "When recovery last ended, in seconds since 1970.",
          last && last.at / 1_000,
        ),
        one("sett_recover_ok", "Whether it came to its end.", last && Number(last.recovered.ok)),
        one(
          "sett_escrow_waiting",
          "Tokens that wait in the escrow, as of the last recovery.",
          recovery?.open.filter(({ kind }) => kind === "pending").length,
        ),
        one(
          "sett_escrow_damaged",
          "Places in the escrow that cannot be read, as of then.",
          recovery?.damage.length,
        ),
        one(
          "sett_process_start_seconds",
          "When this process began to serve, in seconds since 1970.",
          begun / 1_000,
        ),
      ];
    },
  };
}

/** Plaid adds codes as it likes; a label's values must be few. */
function codeOf(failure: Attempt["failure"]): string {
  if (failure?.kind !== "refused") return "";
  const { error_code } = failure.error;
  return Object.hasOwn(errorCodes, error_code) ? error_code : "other";
}
