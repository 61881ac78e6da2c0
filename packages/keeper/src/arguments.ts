// What the keeper's callers need not say.

import { dirname, join } from "node:path";

/** Where the escrow is when nothing is said about it. */
export function besideDatabase(database: string): string {
  if (/^postgres(ql)?:/.test(database))
    throw new TypeError("with PostgreSQL the escrow needs a `folder` of its own, on a local disk");
  return database.startsWith("sqlite:")
    ? join(dirname(database.slice("sqlite:".length)), "escrow")
    : join(database, "escrow");
}
