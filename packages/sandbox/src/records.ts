// What a record must hold for a world to take it from outside, out of a snapshot or a folder: enough that no later
// request stumbles over it. What it holds beyond that is left alone.

import {
  boolean,
  integer,
  invalidField,
  list,
  object,
  oneOf,
  orNull,
  text,
  words,
  type Fields,
  type Kind,
} from "sett/kinds";
import type { FieldsOf } from "sett/kinds";
import { LATEST_MS } from "./clock.ts";
import { faultInOrder } from "./faults.ts";
import { findInstitution } from "./institutions.ts";
import { isRefusalCode, type ItemTrouble } from "./refusals.ts";
import { faultInSwitches } from "./switches.ts";
import type { Change, Settings, TableName, Tables } from "./world.ts";

const kind = (expected: string, accepts: Kind["accepts"]): Kind => ({ expected, accepts });
/** As far as a Date reaches. */
const time = kind("a time", (value) => Number.isFinite(value) && Math.abs(value as number) <= 8.64e15);
const institution = kind(
  "an institution that the sandbox knows",
  (value) => typeof value === "string" && findInstitution(value) !== undefined,
);
const textOrNull = orNull(text);
const timeOrNull = orNull(time);
const objectOrNull = orNull(object);
const trouble = kind(
  "an error",
  (value) => value === null || isRefusalCode((value as ItemTrouble | undefined)?.error_code),
);
const status = oneOf("PENDING", "DELIVERED", "FAILED");

const fields: {
  readonly [Name in Exclude<TableName, "faults" | "settings">]: FieldsOf<Tables[Name]>;
} = {
  items: {
    item_id: text,
    client_id: text,
    institution_id: institution,
    access_token: textOrNull,
    webhook: words,
    products: list,
    auth_method: textOrNull,
    accounts: list,
    unchosen_accounts: list,
    error: trouble,
    created_at: time,
    removed_at: timeOrNull,
    consent_expires_at: timeOrNull,
    updated_at: object,
    last_webhook: objectOrNull,
  },
  access_tokens: { item_id: text, rotated: boolean },
  public_tokens: { item_id: text, expires_at: time, exchanged: boolean },
  link_tokens: {
    link_token: text,
    client_id: text,
    created_at: time,
    expires_at: time,
    request: object,
    item_id: textOrNull,
    sessions: list,
  },
  keys: { kid: text, x: text, y: text, "d?": text, created_at: time, expired_at: timeOrNull },
  deliveries: {
    webhook_message_id: text,
    client_id: text,
    item_id: textOrNull,
    webhook_type: words,
    webhook_code: words,
    destination_url: text,
    body: words,
    created_at: time,
    delivery_status: status,
    attempts: list,
    next_attempt_at: timeOrNull,
    held: boolean,
  },
  tasks: { kind: text, subject: text, at: time },
};

const clock = (state: object) => {
  const [[name, value] = [], ...more] = Object.entries(state);
  if (more.length > 0 || (name !== "offset" && name !== "stopped_at")) return false;
  const shown = name === "offset" ? Date.now() + value : value;
  return typeof value === "number" && shown >= 0 && shown <= LATEST_MS;
};
const settings: { readonly [Name in keyof Settings]: (value: object) => boolean } = {
  clock,
  chance: (value) => Array.isArray(value) && value.every(Number.isInteger),
  switches: (value) => faultInSwitches(value) === undefined,
  outbox: (value) => holds({ hold: boolean, duplicate: integer(0, Number.MAX_SAFE_INTEGER) }, value),
};

const holds = (expected: Fields, record: object) => invalidField(expected, record) === undefined;

function isRecord(table: string, key: string, record: object): boolean {
  if (Object.hasOwn(fields, table)) return holds(fields[table as keyof typeof fields], record);
  if (table === "settings") return Object.hasOwn(settings, key) && settings[key as keyof Settings](record);
  if (table !== "faults") return false;
  const { id, ...order } = record as { id?: unknown };
  return text.accepts(id) && faultInOrder(order) === undefined;
}

/** Whether data read from outside is a change that a world can take. */
export const isChange = (data: unknown): data is Change =>
  Array.isArray(data) &&
  data.length === 3 &&
  (Object.hasOwn(fields, data[0]) || data[0] === "faults" || data[0] === "settings") &&
  typeof data[1] === "string" &&
  (data[2] === null || (typeof data[2] === "object" && isRecord(data[0], data[1], data[2])));
