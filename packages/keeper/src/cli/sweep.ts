// `sweep` and `worker`: what their commands are called and what they are told. What they do is in sweep-submit.ts,
// sweep-shown.ts, sweep-report.ts and working.ts.

import { InvalidArgumentError, Option, type Command } from "commander";
import { noteField, reasoned, reasonOf, type Reason } from "./changes.ts";
import { isWebUrl } from "../lifecycle/texts.ts";
import type { Call, Cli, Register } from "./command.ts";
import { wrong } from "./exits.ts";
import { filtered, isWhole, whole } from "./filters.ts";
import { port } from "./serve.ts";
import { spanOf } from "./spans.ts";
import type { ReportOptions } from "./sweep-report.ts";
import type { BudgetOptions } from "./sweep-shown.ts";
import type { Submitting } from "./sweep-submit.ts";
import type { WorkerCommand } from "./working.ts";

// Loaded when they are needed.
const submitting = () => import("./sweep-submit.ts");
const shown = () => import("./sweep-shown.ts");

export const register: Register = (cli) => {
  const sweep = cli.group({
    name: "sweep",
    does: "one operation over many Items, within what Plaid allows, and never twice",
    examples: ["sett sweep audit", "sett sweep rotate --older-than 180d --dry-run"],
  });
  registerOperations(sweep);
  registerOthers(sweep);
  registerWorker(cli);
};

function registerOperations(sweep: Cli): void {
  sweep.add<
    Submitting & { readonly webhook?: string; readonly silentAfter?: string; readonly unusedAfter?: string }
  >(
    {
      name: "audit",
      does: "asks Plaid about each Item; the report says which need the user, end soon, are silent, unused, double or stranded",
      examples: [
        "sett sweep audit",
        "sett sweep audit --webhook https://app.example/plaid --silent-after 14d",
      ],
      looks: "with --dry-run",
    },
    (command) =>
      submitted(command)
        .option("--webhook <url>", "what the webhook should be; others are found", webUrl)
        .option("--silent-after <span>", "without a webhook for so long an Item is silent; 7d unless told")
        .option(
          "--unused-after <span>",
          "billed, and lent to nobody for so long, it is unused; 60d unless told",
        ),
    async (call) => {
      const { webhook, silentAfter, unusedAfter } = call.options;
      const given = (option: string, span: string | undefined) =>
        span === undefined ? undefined : spanOf(option, span);
      return (await submitting()).submitSweep(call, "audit", {
        webhook,
        silentAfterMs: given("--silent-after", silentAfter),
        unusedAfterMs: given("--unused-after", unusedAfter),
      });
    },
  );

  sweep.add<Submitting & { readonly none?: true; readonly acknowledgeWithin?: string }>(
    {
      name: "webhook",
      does: "moves the webhook of each Item to a URL, or takes it away, and waits until Plaid acknowledges it there",
      examples: [
        "sett sweep webhook https://app.example/plaid --dry-run",
        "sett sweep webhook https://app.example/plaid --yes",
        "sett sweep webhook --none --user u_42 --yes",
      ],
      looks: "with --dry-run",
    },
    (command) =>
      submitted(command)
        .argument("[url]", "where to")
        .option("--none", "no webhook: Plaid tells of these Items no more")
        .option("--acknowledge-within <span>", "so long Plaid may take to acknowledge; 1h unless told"),
    async (call) => {
      const { none = false, acknowledgeWithin } = call.options;
      const [url] = call.args;
      if (none === (url !== undefined)) throw wrong("where to? Give a URL, or --none");
      if (url !== undefined && !isWebUrl(url)) throw wrong("the URL for webhooks must be http(s)");
      return (await submitting()).submitSweep(call, "webhook", {
        webhook: url ?? null,
        acknowledgeWithinMs:
          acknowledgeWithin === undefined ? undefined : spanOf("--acknowledge-within", acknowledgeWithin),
      });
    },
  );

  sweep.add<Submitting>(
    {
      name: "rotate",
      does: "a new access token for each Item; whoever uses them notices nothing",
      examples: ["sett sweep rotate --older-than 180d --yes", "sett sweep rotate --order riskiest --dry-run"],
      looks: "with --dry-run",
    },
    submitted,
    async (call) => (await submitting()).submitSweep(call, "rotate"),
  );

  sweep.add<Submitting & Reason>(
    {
      name: "remove",
      does: "removes each Item at Plaid and throws its token away: billing ends, and it cannot be undone",
      examples: ["sett sweep remove --user u_42 --dry-run", "sett sweep remove --state revoked --yes"],
      looks: "with --dry-run",
    },
    (command) => reasoned(submitted(command)),
    async (call) => {
      const reason = reasonOf(call.options);
      return (await submitting()).submitSweep(
        call,
        "remove",
        Object.keys(reason).length === 0 ? {} : { reason },
      );
    },
  );

  sweep.add<Submitting>(
    {
      name: "reencrypt",
      does: "seals each token, and all else that is sealed, with the data key in use",
      examples: ["sett sweep reencrypt"],
      looks: "with --dry-run",
    },
    submitted,
    async (call) => (await submitting()).submitSweep(call, "reencrypt"),
  );
}

function registerOthers(sweep: Cli): void {
  sweep.add<{ readonly limit: number }>(
    { name: "list", does: "the latest sweeps", examples: ["sett sweep list"], looks: true },
    (command) => command.option("--limit <number>", "so many at most", whole, 20),
    async (call) => (await shown()).list(call),
  );

  sweep.add<{ readonly watch?: true }>(
    {
      name: "status",
      does: "how a sweep stands; the latest one unless told",
      examples: ["sett sweep status", "sett sweep status 7 --watch"],
      looks: true,
    },
    (command) =>
      command.argument("[sweep]", "its number").option("--watch", "until it is over; ends as the sweep does"),
    async (call) => (await shown()).status(call, givenNumber(call)),
  );

  for (const [name, does] of [
    ["pause", "begins nothing more of a sweep; what is out is finished"],
    ["resume", "lets a paused sweep go on"],
    ["cancel", "ends a sweep for good; what was done stays done"],
  ] as const)
    sweep.add<object>(
      { name, does, examples: [`sett sweep ${name} 7`], offline: true },
      (command) => command.argument("<sweep>", "its number"),
      async (call) => (await shown()).changeSweep(call, givenNumber(call)!, name),
    );

  sweep.add<Submitting>(
    {
      name: "rollback",
      does: "puts back the webhooks that a sweep has moved, where nobody has moved them since",
      examples: ["sett sweep rollback 7 --yes"],
    },
    (command) => working(command.argument("<sweep>", "its number")),
    async (call) => (await submitting()).rollBack(call, givenNumber(call)!),
  );

  sweep.add<ReportOptions>(
    {
      name: "report",
      does: "every Item of a sweep: what happened, and what a person must do; of the latest one unless told",
      examples: [
        "sett sweep report 7 --format csv --out ./sweep-7.csv",
        "sett sweep report --only failed,todo --format jsonl",
      ],
      looks: true,
    },
    (command) =>
      command
        .argument("[sweep]", "its number")
        .addOption(
          new Option("--format <format>", "csv unless told, jsonl with --json").choices(["csv", "jsonl"]),
        )
        .option("--out <file>", "which must not be there yet; standard output unless told")
        .option(
          "--only <what>",
          "done, skipped, failed, unfinished, waiting, unacknowledged, or todo: where a person must act",
        ),
    async (call) => (await import("./sweep-report.ts")).writeReport(call, givenNumber(call)),
  );

  sweep.add<BudgetOptions>(
    {
      name: "budget",
      does: "what Plaid allows and what of it is used; sets it, also while sweeps run",
      examples: ["sett sweep budget", "sett sweep budget /item/webhook/update --set 2000 --share 0.1"],
      looks: "without --set and --share",
      offline: true,
    },
    (command) =>
      command
        .argument("[path]", "an endpoint, such as /item/get")
        .option("--set <number>", "calls a minute that are never exceeded; none, or default", perMinute)
        .option("--share <part>", "what is kept free for live calls, from 0 to below 1, or default", share),
    async (call) => (await shown()).budget(call),
  );
}

function registerWorker(cli: Cli): void {
  cli.add<WorkerCommand>(
    {
      name: "worker",
      does: "works on the sweeps there are, until it is told to end; on PostgreSQL start as many as you like",
      examples: [
        "sett worker",
        "sett worker --until-idle",
        "sett worker --in-flight 128 --metrics-port 9464",
      ],
    },
    (command) =>
      command
        .option("--in-flight <number>", "calls to Plaid at a time; 64 unless told", whole)
        .option("--lease <span>", "how long a killed worker's shard waits for another; 30s unless told")
        .option("--until-idle", "ends when no sweep has anything left to do")
        .option(
          "--metrics-port <number>",
          "/metrics, /healthz and /readyz on that port; 0 for any free one",
          port,
        )
        .option("--metrics-host <address>", "address for them", "127.0.0.1"),
    async (call) => (await import("./working.ts")).workUntilTold(call),
  );
}

/** What every submission may be told. */
const submitted = (command: Command): Command =>
  working(filtered(command))
    .option("--dry-run", "says what would be done, and does nothing")
    .addOption(
      new Option("--order <order>", "which Items come first").choices([
        "item_id",
        "oldest",
        "institution",
        "riskiest",
      ]),
    )
    .option("--note <text>", "for people; no secrets and no names in it", noteField);

const working = (command: Command): Command =>
  command
    .option("--detach", "only submits it: sett worker does it")
    .option("--in-flight <number>", "calls to Plaid at a time; 64 unless told", whole)
    .option("--on-done-url <url>", "is told (POST, JSON) when it is over, while this command waits", webUrl)
    .option("-y, --yes", "without being asked");

function givenNumber({ args: [given] }: Pick<Call<unknown>, "args">): number | undefined {
  if (given === undefined) return undefined;
  if (!/^[1-9]\d{0,8}$/.test(given))
    throw wrong("a sweep is named by its number; `sett sweep list` shows it");
  return Number(given);
}

function webUrl(given: string): string {
  if (!isWebUrl(given)) throw new InvalidArgumentError("It must be an http(s) URL.");
  return given;
}

function perMinute(given: string): number | "default" {
  if (given === "default") return given;
  if (given === "none") return Infinity;
  if (!isWhole(given)) throw new InvalidArgumentError("It must be a whole number above 0, none or default.");
  return Number(given);
}

function share(given: string): number | "default" {
  if (given === "default") return given;
  if (!/^0(\.\d{1,6})?$/.test(given))
    throw new InvalidArgumentError("It must be from 0 to below 1, or default.");
  return Number(given);
}
