// How much memory the process takes that it does not need.

import { setFlagsFromString } from "node:v8";

/**
 * V8 reads this whenever its space for young objects is to grow, which it else lets grow to 128 MiB in a process that is
 * busy for long: a worker would take twice the memory, and be no faster.
 */
export const keepYoungSpaceSmall = (): void => setFlagsFromString("--semi-space-growth-factor=1");
