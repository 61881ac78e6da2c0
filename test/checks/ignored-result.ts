// A rule for eslint, since TypeScript has none: whoever throws a Result away has not asked whether it went well.
// It hides how a Result is known by its type. `void call()` says that it is meant.

import { AST_NODE_TYPES, ESLintUtils } from "@typescript-eslint/utils";
import type { Type } from "typescript";

export const ignoredResult = ESLintUtils.RuleCreator.withoutDocs({
  meta: {
    type: "problem",
    messages: {
      ignored: "This Result is ignored: test its `ok`, unwrap it, or say `void` if neither outcome matters.",
    },
    schema: [],
    defaultOptions: [],
  },
  create(context) {
    const services = ESLintUtils.getParserServices(context);
    const checker = services.program.getTypeChecker();

    /** Whether the type is one of the two halves of a Result. */
    function isOutcome(type: Type): boolean {
      const ok = checker.getPropertyOfType(type, "ok");
      if (!ok) return false;
      const told = checker.typeToString(checker.getTypeOfSymbol(ok));
      const [held] = told === "true" ? ["value"] : told === "false" ? ["error"] : [];
      return held !== undefined && checker.getPropertyOfType(type, held) !== undefined;
    }

    return {
      ExpressionStatement({ expression }) {
        if (expression.type === AST_NODE_TYPES.AssignmentExpression) return; // kept
        const type = services.getTypeAtLocation(expression);
        const awaited = checker.getAwaitedType(type) ?? type;
        const parts = awaited.isUnion() ? awaited.types : [awaited];
        if (parts.some(isOutcome)) context.report({ node: expression, messageId: "ignored" });
      },
    };
  },
});
