// `keys`: data keys, and the key-encryption key above them. In order: new (a new key that wraps), rotate (it wraps the
// data keys, and a new data key seals), reencrypt (everything moves to that), retire (the old data keys go).

import type { Result } from "sett";
import type { Books } from "../books.ts";
import { createRecipientFile } from "../vault/recipient.ts";
import { reencrypt } from "../vault/reencrypt.ts";
import { addKeyToFile, createKeyFile, localKeyRing } from "../vault/ring.ts";
import type { VaultFailure } from "../vault/failure.ts";
import type { KeyRow, Vault } from "../vault/vault.ts";
import { confirm } from "./ask.ts";
import type { Call, Register } from "./command.ts";
import { Stop, wrong, type Ending } from "./exits.ts";
import { actorOf, ringOf, withBooks } from "./open.ts";
import { newFile } from "./output.ts";
import { createProgress } from "./progress.ts";
import { databaseSaid, orStop, retireSaid, vaultSaid } from "./sentences.ts";
import { soundSettings, type Settings } from "./settings.ts";
import { moments } from "./spans.ts";
import { writeTable } from "./table.ts";

export const register: Register = (cli) => {
  const keys = cli.group({
    name: "keys",
    does: "the keys that the tokens are sealed with",
    examples: ["sett keys list"],
  });

  keys.add(
    {
      name: "list",
      does: "the data keys, and which key of the ring wraps each",
      examples: ["sett keys list"],
      looks: true,
    },
    (command) => command,
    (call) => withBooks(call, (books, settings) => list(call, books, settings)),
  );

  keys.add<{ readonly out?: string }>(
    {
      name: "new",
      does: "puts a new key first into the key file; then: sett keys rotate",
      examples: ["sett keys new", "sett keys new --out ./another.key"],
      offline: true,
    },
    (command) =>
      command.option("--out <file>", "a key in a file of its own instead, which must not be there yet"),
    async ({ context, out, globals, options }) => {
      if (options.out !== undefined) {
        const file = newFile(context, options.out);
        await createKeyFile(file);
        await out.record({ file });
        await out.line(`made ${file}, readable by you alone`);
        return "done";
      }
      const settings = soundSettings(context, globals.config);
      const { keys } = settings;
      if (!("file" in keys))
        throw wrong(
          "the keys come from SETT_KEYS, which sett cannot change: `sett keys new --out <file>` makes a key to put first there",
        );
      await ringOf(settings); // says what is wrong with the file, if anything is
      const { kekId } = localKeyRing(await addKeyToFile(keys.file));
      await out.record({ kek_id: kekId, file: keys.file });
      await out.line(`${kekId} is first in ${keys.file}. Back that file up; then: sett keys rotate`);
      out.note("every process that uses this file must be started anew before sett keys rotate");
      return "done";
    },
  );

  keys.add<{ readonly out: string }>(
    {
      name: "recipient",
      does: "a pair of keys for exports: the private one into a file, the public one on stdout",
      examples: ["sett keys recipient --out ./recipient.key > ./recipient.pub"],
      offline: true,
    },
    (command) => command.requiredOption("--out <file>", "for the private key; it must not be there yet"),
    async ({ context, out, options }) => {
      const file = newFile(context, options.out);
      const { publicKey, id } = await createRecipientFile(file);
      await out.record({ public_key: publicKey, id, file });
      await out.line(publicKey);
      out.note(`recipient ${id}: whoever has ${file} reads every export that is sealed to it`);
      return "done";
    },
  );

  keys.add(
    {
      name: "rotate",
      does: "wraps the data keys with the first key of the ring, and begins a new data key",
      examples: ["sett keys rotate && sett keys reencrypt"],
      offline: true,
    },
    (command) => command,
    (call) =>
      withBooks(call, async (books) => {
        const vault = await fittingVault(books);
        const wrapped = sealedOrStop(await vault.rewrap());
        const key_id = sealedOrStop(await vault.newEpoch());
        await call.out.record({ wrapped, key_id });
        await call.out.line(`wrapped anew: ${wrapped}; sealing with ${key_id}. Next: sett keys reencrypt`);
        return "done";
      }),
  );

  keys.add(
    {
      name: "reencrypt",
      does: "seals everything anew with the data key in use, while the keeper works on; it may be stopped and asked for again",
      examples: ["sett keys reencrypt"],
      offline: true,
    },
    (command) => command,
    (call) => withBooks(call, (books) => move(call, books)),
  );

  keys.add<{ readonly yes?: true; readonly all?: true }>(
    {
      name: "retire",
      does: "deletes closed data keys for good: what backups hold under them can be read by nobody then",
      examples: ["sett keys retire --all --yes", "sett keys retire 0123456789abcdef"],
      offline: true,
    },
    (command) =>
      command
        .argument("[key_id...]")
        .option("--all", "every closed data key that nothing uses")
        .option("-y, --yes", "without being asked"),
    async (call) => {
      const { all = false } = call.options;
      if (all === call.args.length > 0) throw wrong("which keys? Give their ids, or --all");
      await confirm(call, `retire ${all ? "all closed data keys" : call.args.join(", ")} for good`);
      return withBooks(call, async (books) => retire(call, await fittingVault(books)));
    },
  );
};

/** Before anything is changed: a ring that does not fit the database changes nothing. */
async function fittingVault(books: Pick<Books, "vault">): Promise<Vault> {
  const vault = await books.vault();
  sealedOrStop(await vault.check());
  return vault;
}

async function list(
  { out }: Call<unknown>,
  books: Pick<Books, "vault">,
  settings: Settings,
): Promise<Ending> {
  const vault = await books.vault();
  const rows = sealedOrStop(await vault.keys());
  const { kekId } = await ringOf(settings);
  for (const row of rows) await out.record({ ...row, wraps_now: row.kek_id === kekId });
  await writeTable(
    out,
    [
      { head: "DATA KEY", of: ({ key_id }: KeyRow) => key_id, whole: true },
      { head: "FOR", of: ({ purpose }) => purpose },
      {
        head: "WRAPPED BY",
        of: ({ kek_id }) => kek_id + (kek_id === kekId ? "" : " (not the first of the ring)"),
      },
      { head: "SINCE", of: ({ created_at }) => moments(created_at) },
      { head: "CLOSED", of: ({ closed_at }) => moments(closed_at) },
      { head: "SEALS", of: ({ reserved }) => String(reserved) },
    ],
    rows,
  );
  const fits = await vault.check();
  if (!fits.ok) out.note(vaultSaid(fits.error));
  return "done";
}

const sealedOrStop = <Value>(result: Result<Value, VaultFailure>): Value =>
  orStop(result.ok ? result : { ok: false, error: { kind: "vault", vault: result.error } });

async function move({ context, out }: Call<unknown>, books: Books): Promise<Ending> {
  const vault = await fittingVault(books);
  const progress = createProgress(context, out, "looked at", null);
  const report = await reencrypt(vault, books.database, {
    signal: context.signal,
    onBatch: ({ seen, moved }) => progress.at(seen, `${moved} sealed anew`),
  });
  if (!report.ok)
    throw new Stop(
      "failed",
      "committed" in report.error ? databaseSaid(report.error) : vaultSaid(report.error),
    );
  const { moved, seen, failed, failures, complete } = report.value;
  for (const { table, id, failure } of failures) out.note(`${table} ${id}: ${vaultSaid(failure)}`);
  await out.record(report.value);
  await out.line(`sealed anew: ${moved} of ${seen}${failed > 0 ? `, not to be opened: ${failed}` : ""}`);
  if (!complete) return "interrupted";
  return failed > 0 ? "some" : "done";
}

async function retire(
  { context, out, args, options }: Call<{ readonly all?: true }>,
  vault: Vault,
): Promise<Ending> {
  const closed = async () =>
    sealedOrStop(await vault.keys()).filter(
      ({ closed_at, purpose }) => closed_at !== null && purpose === "seal",
    );
  const ids = options.all ? (await closed()).map(({ key_id }) => key_id) : args;
  if (ids.length === 0) out.note("no data key is closed");
  const endings: Ending[] = [];
  for (const key_id of ids) {
    const retired = await vault.retire(key_id, actorOf(context));
    if (retired.ok) {
      endings.push("done");
      await out.record({ key_id, ok: true });
      await out.line(`${key_id}\tretired`);
    } else {
      const { text, ending } = retireSaid(retired.error);
      endings.push(ending);
      await out.record({ key_id, ok: false, ending, message: text, failure: retired.error });
      out.note(text);
    }
  }
  if (endings.every((ending) => ending === "done")) return "done";
  return endings.length === 1 ? endings[0]! : "some";
}
