// One handler for each row of sett's table of endpoints; a row without one does not compile.

import type * as endpoints from "sett/endpoints";
import { accountsGet } from "./accounts.ts";
import type { Handler } from "./handler.ts";
import { institutionsGetById } from "./institutions.ts";
import * as item from "./item.ts";
import { linkTokenCreate, linkTokenGet } from "./link.ts";
import * as sandbox from "./sandbox.ts";
import { webhookVerificationKeyGet } from "./webhook.ts";

export type Handlers = { readonly [Name in keyof typeof endpoints]: Handler<(typeof endpoints)[Name]> };

export const handlers: Handlers = {
  ...item,
  ...sandbox,
  accountsGet,
  institutionsGetById,
  linkTokenCreate,
  linkTokenGet,
  webhookVerificationKeyGet,
};
