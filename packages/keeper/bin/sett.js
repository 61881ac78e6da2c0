#!/usr/bin/env node
// The command as a package has it, built; or, in a checkout of the repository, its sources as they are.

import { existsSync } from "node:fs";

if (existsSync(new URL("../tsconfig.json", import.meta.url))) {
  const { registerHooks } = await import("node:module");
  registerHooks({
    resolve: (specifier, context, next) =>
      next(specifier, { ...context, conditions: [...context.conditions, "@sett/source"] }),
  });
  await import("../src/cli.ts");
} else {
  await import("../dist/cli.js");
}
