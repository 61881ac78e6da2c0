// What a reader would otherwise have to look for, and tsc does not see: promises and Results that nobody waits for
// or asks, cases left out, holes in the types. Each rule is for a mistake that compiles; style is prettier's business.
// It prints what it found: node test/checks/lint.ts

import { ESLint, type Linter } from "eslint";
import { join } from "node:path";
import ts from "typescript-eslint";
import { ignoredResult } from "./ignored-result.ts";

const root = join(import.meta.dirname, "../..");
const tests = ["packages/*/test/**/*.ts", "test/**/*.ts"];
const programs = ["packages/*/src/cli.ts", "packages/*/src/cli/**/*.ts", "start/**/*.ts"];

const config = [
  { ignores: ["**/node_modules/**", "**/dist/**", "bench/**"] },
  {
    files: ["**/*.ts"],
    plugins: { "@typescript-eslint": ts.plugin, sett: { rules: { "ignored-result": ignoredResult } } },
    languageOptions: {
      parser: ts.parser,
      parserOptions: { project: ["test/checks/tsconfig.json"], tsconfigRootDir: root },
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      // Promises and outcomes.
      "sett/ignored-result": "error",
      "@typescript-eslint/no-floating-promises": [
        "error",
        {
          allowForKnownSafeCalls: [
            { from: "package", package: "node:test", name: ["test", "it", "describe", "suite"] },
          ],
        },
      ],
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/return-await": ["error", "error-handling-correctness-only"],
      "no-throw-literal": "error",
      "require-yield": "error",
      "no-async-promise-executor": "error",
      // Cases left out.
      "@typescript-eslint/switch-exhaustiveness-check": [
        "error",
        { considerDefaultExhaustiveForUnions: true },
      ],
      "array-callback-return": "error",
      "no-fallthrough": "error",
      // Holes in the types.
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-unsafe-call": "error",
      "@typescript-eslint/no-unsafe-member-access": "error",
      "@typescript-eslint/no-unsafe-function-type": "error",
      "@typescript-eslint/ban-ts-comment": [
        "error",
        { "ts-expect-error": "allow-with-description", minimumDescriptionLength: 10 },
      ],
      "@typescript-eslint/no-redundant-type-constituents": "error",
      // Values that are not what they seem.
      "@typescript-eslint/no-base-to-string": "error",
      "@typescript-eslint/no-for-in-array": "error",
      "@typescript-eslint/no-array-delete": "error",
      "@typescript-eslint/no-implied-eval": "error",
      "no-eval": "error",
      eqeqeq: "error",
      "no-self-compare": "error",
      "no-template-curly-in-string": "error",
      "no-unsafe-finally": "error",
      "no-unused-expressions": "error",
      // What a reader expects.
      "@typescript-eslint/consistent-type-imports": ["error", { disallowTypeAnnotations: false }],
      "@typescript-eslint/consistent-type-exports": "error",
      "@typescript-eslint/no-import-type-side-effects": "error",
      "@typescript-eslint/prefer-readonly": "error",
      "no-var": "error",
      "prefer-const": "error",
      "no-else-return": "error",
      "no-useless-catch": "error",
      "no-useless-rename": "error",
      "no-console": "error",
      "no-warning-comments": "error",
    },
  },
  { files: programs, rules: { "no-console": "off" } },
  {
    // A test looks into answers whose form is what it is about, and at what was sent rather than at what came of it;
    // a rejection that escapes one of its servers ends it, as it should.
    files: tests,
    rules: {
      "no-console": "off",
      "sett/ignored-result": "off",
      "@typescript-eslint/no-unsafe-member-access": "off",
      "@typescript-eslint/no-unsafe-call": "off",
      "@typescript-eslint/await-thenable": "off",
      "@typescript-eslint/no-base-to-string": "off",
    },
  },
  {
    files: [...tests, ...programs],
    rules: {
      "@typescript-eslint/no-misused-promises": ["error", { checksVoidReturn: { arguments: false } }],
    },
  },
  // Run by tsc alone: its statements are types.
  { files: ["test/types/**"], rules: { "no-unused-expressions": "off" } },
  {
    // Their business is to make something certain of what JSON.parse gave.
    files: ["packages/sett/src/plaid/answer.ts", "packages/sandbox/src/control-routes.ts"],
    rules: { "@typescript-eslint/no-unsafe-member-access": "off" },
  },
] as Linter.Config[];

const eslint = new ESLint({ cwd: root, overrideConfigFile: true, overrideConfig: config });
const results = await eslint.lintFiles(["packages/*/{src,test}/**/*.ts", "{test,start}/**/*.ts"]);
console.log(await (await eslint.loadFormatter("stylish")).format(results));
const problems = results.reduce((sum, { errorCount, warningCount }) => sum + errorCount + warningCount, 0);
if (problems > 0) process.exitCode = 1;
