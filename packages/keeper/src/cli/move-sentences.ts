// What became of an import or an export, in sentences; as exhaustive as those of sentences.ts.

import type { ImportFailure, ImportOutcome } from "../lifecycle/import-many.ts";
import type { ExportFailure } from "../vault/sealed-stream.ts";
import type { Ending } from "./exits.ts";
import { plaidSaid, sentence, type Sentence } from "./sentences.ts";

/** Why a row came to nothing. */
export function rowSaid({ reason, failure }: Extract<ImportOutcome, { kind: "failed" }>): string {
  switch (reason) {
    case "plaid":
      return failure === null ? "Plaid did not accept the token" : plaidSaid(failure);
    case "other-item":
      return "the token is not of the Item that the row names";
    case "other-environment":
      return "the token is of Plaid's other environment: look at PLAID_ENV";
    case "removed":
      return "the Item was removed here, and is not brought back";
    case "removing":
      return "the Item was being removed where it was exported";
    case "malformed":
      return (
        "the line is no record: it has more fields than the first line names or a quote that is not closed, is not " +
        "one object of JSON, or has a token where an id should be"
      );
    case "too-long":
      return "the line is too long, or a field of it: an id has 255 characters at most";
    case "no-token":
      return "there is no access_token in it";
    case "not-text":
      return "a field is no text, or has NUL in it";
  }
}

export function importSaid(failure: ImportFailure): Sentence {
  switch (failure.kind) {
    case "format":
      return { text: `nothing in the file can be imported: ${failure.detail}`, ending: "usage" };
    case "other-environment":
      return {
        text: `the export is of Plaid's ${failure.environment}: set PLAID_ENV to that`,
        ending: "usage",
      };
    case "stopped": {
      const { cause } = failure;
      const why =
        cause.kind === "source"
          ? `the file could not be read on: ${cause.detail}`
          : cause.kind === "export"
            ? `the export could not be read on: ${cause.detail}`
            : sentence(cause).text;
      const ending: Ending = failure.report.imported > 0 ? "some" : "failed";
      return {
        text: `stopped, for every other row would fail alike: ${why}. Import it again once that is right`,
        ending,
      };
    }
  }
}

export function exportSaid(failure: ExportFailure): string {
  switch (failure.kind) {
    case "not-an-export":
      return `this is no export of sett's: ${failure.detail}`;
    case "wrong-key":
      return `it is sealed to the recipient ${failure.recipient}, and this is the key of ${failure.key}`;
    case "damaged":
      return `the export was changed on its way: ${failure.detail}`;
    case "cut-short":
      return `the export ends too early: ${failure.detail}`;
    case "source":
      return `the export could not be read: ${failure.detail}`;
  }
}
