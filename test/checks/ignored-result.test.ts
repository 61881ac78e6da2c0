// The rule against ignored Results, tested on snippets of code with their types.

import { RuleTester } from "@typescript-eslint/rule-tester";
import { after, describe, it } from "node:test";
import { ignoredResult } from "./ignored-result.ts";

Object.assign(RuleTester, { afterAll: after, describe, it });

const tester = new RuleTester({
  languageOptions: {
    parserOptions: {
      projectService: { allowDefaultProject: ["*.ts"], defaultProject: "tsconfig.json" },
      tsconfigRootDir: import.meta.dirname,
    },
  },
});

const given = `
import { err, ok, type Result } from "../../packages/sett/src/result.ts";
declare const get: () => Promise<Result<string, "refused">>;
declare const sync: () => Result<string, "refused">;
declare const maybe: boolean;
`;
const errors = [{ messageId: "ignored" as const }];

tester.run("an ignored Result", ignoredResult, {
  invalid: [
    { name: "awaited", code: `${given} await get();`, errors },
    { name: "not even awaited", code: `${given} get();`, errors },
    { name: "of a function that is not asynchronous", code: `${given} sync();`, errors },
    { name: "at the end of a condition", code: `${given} maybe && (await get());`, errors },
    { name: "made, and not returned", code: `${given} function f() { err("refused"); }`, errors },
    {
      name: "of the package itself",
      code: `import { Item, type Config } from "sett"; declare const config: Config; await Item.get("t", config);`,
      errors,
    },
  ],
  valid: [
    { name: "kept", code: `${given} const got = await get(); if (!got.ok) throw new Error(got.error);` },
    {
      name: "kept for later",
      code: `${given} let got: ReturnType<typeof get> | undefined; got ??= get(); void got;`,
    },
    { name: "returned", code: `${given} const f = async () => { return get(); };` },
    { name: "said to be ignored", code: `${given} void (await get());` },
    { name: "a Response has an ok, too", code: `await fetch("http://127.0.0.1/");` },
    {
      name: "an object with an ok that is not an outcome",
      code: `const f = () => ({ ok: true as const }); f();`,
    },
    { name: "any", code: `declare const f: () => any; f();` },
    { name: "ok of something else", code: `${given} const results = [ok(1)]; results.push(ok(2));` },
  ],
});
