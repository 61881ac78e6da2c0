// Hides where the tests have their files: in memory, where a machine has room there. A process that is killed loses no
// more of what it wrote there than on a disk: a power cut alone would tell the two apart, and that is played elsewhere.

import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { freemem } from "node:os";
import { join } from "node:path";

const memory = "/dev/shm";
const ours = /^sett-tests-(\d+)$/;
/** Several times what the tests have there at any time. */
const roomBytes = 3 * 2 ** 30;

/** A folder that goes when this process ends, or undefined where there is no such place. */
export function folderInMemory(): string | undefined {
  try {
    const { bavail, bsize } = statfsSync(memory);
    if (Math.min(bavail * bsize, freemem()) < roomBytes) return undefined;
    for (const name of readdirSync(memory)) {
      const [, pid] = ours.exec(name) ?? [];
      if (pid !== undefined && !isAlive(Number(pid))) remove(join(memory, name));
    }
    const folder = join(memory, `sett-tests-${process.pid}`);
    mkdirSync(folder);
    process.on("exit", () => remove(folder));
    chmodSync(folder, 0o711); // PostgreSQL is another user
    const program = join(folder, "program");
    writeFileSync(program, "#!/bin/sh\n", { mode: 0o755 });
    return spawnSync(program).status === 0 ? folder : undefined;
  } catch {
    return undefined;
  }
}

const remove = (folder: string) => rmSync(folder, { recursive: true, force: true, maxRetries: 5 });

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
