// A process that does a thousand things at once with a few Items, and says what came of them: see
// lifecycle-traffic.test.ts.

import { configFor, open } from "./lifecycle-world.ts";
import { lightPost } from "./light-post.ts";

/** What the process is to do. */
export interface Traffic {
  readonly url: string;
  readonly folder: string;
  readonly baseUrl: string;
  readonly items: readonly string[];
  /** How many of the first of them are removed in the end. */
  readonly removed: number;
  readonly calls: number;
  /** Sets the two processes apart. */
  readonly offset: number;
}

/** What came of it. */
export interface Told {
  /** How often each Item was rotated. */
  readonly rotations: Readonly<Record<string, number>>;
  /** Failures that nobody who uses an Item should see. */
  readonly bad: readonly unknown[];
  readonly used: number;
}

const { items, removed, calls, offset, ...where } = JSON.parse(process.argv[2]!) as Traffic;
const plaid = configFor({ post: lightPost }, { baseUrl: where.baseUrl, timeoutMs: 120_000 });
const keeper = await open(where.url, where.folder, plaid, { patienceMs: 300_000 });
const rotations: Record<string, number> = {};
const bad: unknown[] = [];
let used = 0;

async function call(index: number): Promise<void> {
  const at = (index * 7 + offset) % items.length;
  const item_id = items[at]!;
  const mayBeGone = at < removed;
  if (mayBeGone && index > calls - 2 * items.length) {
    const gone = await keeper.remove(item_id);
    if (!gone.ok) bad.push(gone.error);
    return;
  }
  if (index % 10 < 3) {
    const done = await keeper.rotate(item_id);
    if (done.ok) rotations[item_id] = (rotations[item_id] ?? 0) + 1;
    else if (!mayBeGone || !["removed", "removing"].includes(done.error.kind)) bad.push(done.error);
    return;
  }
  const got = await keeper.get(item_id);
  if (got.ok) used++;
  else {
    const { error } = got;
    const code =
      error.kind === "plaid" && error.failure.kind === "refused"
        ? error.failure.error.error_code
        : error.kind;
    // Removal may come between the loan and the call; nothing else may.
    if (!mayBeGone || !["removed", "removing", "ITEM_NOT_FOUND"].includes(code)) bad.push(error);
  }
}

await Promise.all(Array.from({ length: calls }, (_, index) => call(index)));
await keeper.close();
process.stdout.write(JSON.stringify({ rotations, bad, used } satisfies Told));
