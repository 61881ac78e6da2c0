// Tells somebody's URL that a sweep is over: what `sett sweep status --json` says, posted once, with nothing secret in
// it. The sweep is over whether it arrives or not.

import type { SweepStatus } from "../sweep/sweep.ts";
import type { Call } from "./command.ts";

const patienceMs = 10_000;

export async function postEnd(
  { out }: Pick<Call<unknown>, "out">,
  url: string,
  sweep: SweepStatus,
): Promise<void> {
  // The URL itself may be a secret.
  const { host } = new URL(url);
  try {
    const answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ event: "ended", sweep }),
      redirect: "error",
      signal: AbortSignal.timeout(patienceMs),
    });
    await answer.body?.cancel();
    if (!answer.ok) out.note(`${host} was told that it is over, and answered ${answer.status}`);
  } catch (thrown) {
    const { name, cause } = thrown as Error;
    const why = (Object(cause) as { code?: unknown }).code;
    out.note(`${host} could not be told that it is over: ${typeof why === "string" ? why : name}`);
  }
}
