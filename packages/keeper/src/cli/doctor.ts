// `doctor`: one line for each thing that must be right, from the settings to what is left open, with what to do where it
// is not. It changes nothing, but that it brings the schema up to date as every command does.

import type { Call, Register } from "./command.ts";
import type { Finding, Ground } from "./checks.ts";
import type { Style } from "./out.ts";
import { readSettings } from "./settings.ts";

const styles: Readonly<Record<Finding["is"], Style>> = { ok: "green", warn: "yellow", fail: "red" };

export const register: Register = (cli) => {
  cli.add<{ readonly offline?: true }>(
    {
      name: "doctor",
      does: "looks at everything that must be right, and says what to do where it is not; fails if anything does",
      examples: ["sett doctor", "sett doctor --json"],
    },
    (command) => command.option("--offline", "without a call to Plaid"),
    async (call) => {
      const { context, globals, out, options } = call;
      const ground: Ground = {
        context,
        settings: readSettings(context, globals.config),
        offline: options.offline === true,
        database: undefined,
        ring: undefined,
      };
      const { checks } = await import("./checks.ts");
      const all: Finding[] = [];
      try {
        for (const check of checks) {
          for (const finding of await check(ground)) {
            all.push(finding);
            await say(call, finding);
          }
          if (context.signal.aborted) return "interrupted";
        }
      } finally {
        await ground.database?.close();
      }
      const count = (is: Finding["is"]) => all.filter((finding) => finding.is === is).length;
      if (!out.json) out.note(`${count("ok")} ok, ${count("warn")} to look at, ${count("fail")} failed`);
      return count("fail") > 0 ? "failed" : "done";
    },
  );
};

async function say({ out }: Call<unknown>, finding: Finding): Promise<void> {
  await out.record(finding);
  const { is, about, said, todo } = finding;
  await out.line(`${out.paint(styles[is], is.padEnd(4))}  ${about.padEnd(12)} ${said}`);
  if (todo !== undefined) await out.line(`${" ".repeat(19)}${out.paint("bold", "→")} ${todo}`);
}
