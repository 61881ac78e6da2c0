// Hides the server of the contract suite: a sandbox in this process, on a port, that every runtime in turn calls.
//
//   node --conditions=@sett/source test/contract.ts <suite file>

import { createSandbox } from "@sett/sandbox";
import { runRuntimes } from "./runtimes/run.ts";

const [suiteFile = "test/contract/suite.ts"] = process.argv.slice(2);
const sandbox = await createSandbox();
try {
  const { url: baseUrl } = await sandbox.listen();
  const { passed, failed } = await runRuntimes(suiteFile, { baseUrl });
  console.log(`${passed} passed, ${failed} failed`);
  if (failed > 0) process.exitCode = 1;
} finally {
  await sandbox.close();
}
