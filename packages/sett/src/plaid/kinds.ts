// What a field may hold, said once: the client refuses a caller's mistake with it before anything is sent, the
// sandbox refuses a request with it in Plaid's own words. A kind is a predicate and the end of a sentence.

/** One kind of value. `expected` completes "<field> must be …", in Plaid's words where they are recorded. */
export interface Kind {
  readonly expected: string;
  readonly accepts: (value: unknown) => boolean;
  /** The members of an object, and the first that is wrong in it, named by its dotted path. */
  readonly fields?: Fields;
  readonly faultIn?: (value: unknown, prefix: string) => string | undefined;
  /** Whether it may have members beyond its fields. */
  readonly open?: true;
}

/** Fields by name; a name that ends in `?` may be left out. */
export interface Fields {
  readonly [name: string]: Kind;
}

/** The fields of a request type: one kind for each, `?` where the type has it, so that none is forgotten or misspelt. */
export type FieldsOf<Request> = {
  readonly [Name in keyof Request & string as {} extends Pick<Request, Name> ? `${Name}?` : Name]-?: Kind;
};

/** The fields that an answer type always has. */
export type RequiredFieldsOf<Answer> = {
  readonly [Name in keyof Answer & string as {} extends Pick<Answer, Name> ? never : Name]: Kind;
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A token, an id, a name. Its shape is Plaid's affair and may change without notice, so it is never looked at. */
export const text: Kind = {
  expected: "a non-empty string",
  accepts: (value) => typeof value === "string" && value !== "",
};

/** Words of the user's own, which may be empty. */
export const words: Kind = { expected: "a string", accepts: (value) => typeof value === "string" };

export const boolean: Kind = { expected: "a boolean", accepts: (value) => typeof value === "boolean" };

export const url: Kind = {
  expected: "a non-empty string URL",
  accepts: (value) => typeof value === "string" && /^https?:/i.test(value) && URL.canParse(value),
};

/** A calendar day, `YYYY-MM-DD`, that exists. */
export const date: Kind = {
  expected: "a string of the format 'YYYY-MM-DD'",
  accepts: (value) =>
    typeof value === "string" &&
    /^\d{4}-\d\d-\d\d$/.test(value) &&
    new Date(`${value}T00:00:00Z`).toJSON()?.slice(0, 10) === value,
};

/** E.164: a plus sign, the code of the country and the number, without blanks. */
export const phoneNumber: Kind = {
  expected: "a string in E.164 format",
  accepts: (value) => typeof value === "string" && /^\+[1-9]\d{1,14}$/.test(value),
};

export const object: Kind = { expected: "an object", accepts: isObject };

/** The path of an endpoint of Plaid's. */
export const endpointPath: Kind = {
  expected: "an endpoint's, such as /item/get",
  accepts: (value) => typeof value === "string" && /^(\/[\w-]+)+$/.test(value),
};

/** What is called back, or asked. */
export const callback: Kind = { expected: "a function", accepts: (value) => typeof value === "function" };

/** An Item as an answer carries it: whatever else is in it, it says which Item it is. */
export const item: Kind = {
  expected: "an Item with an item_id",
  accepts: (value) => isObject(value) && text.accepts(value["item_id"]),
};

export const list: Kind = { expected: "a list", accepts: Array.isArray };

/** A list of strings, perhaps none. */
export const textList: Kind = {
  expected: "a list of strings",
  accepts: (value) => Array.isArray(value) && value.every(text.accepts),
};

/** A list of at least one string. */
export const texts = (expected: string): Kind => ({
  expected,
  accepts: (value) => Array.isArray(value) && value.length > 0 && value.every(text.accepts),
});

export const listOf = (...values: readonly string[]): Kind => ({
  expected: `a list of ${values.join(", ")}`,
  accepts: (value) => Array.isArray(value) && value.every((member) => values.includes(member)),
});

export const textOfAtMost = (length: number): Kind => ({
  expected: `a string of at most ${length} characters`,
  accepts: (value) => typeof value === "string" && value.length <= length,
});

export const integer = (least: number, most: number): Kind => ({
  expected: `an integer between ${least} and ${most}`,
  accepts: (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
});

export const oneOf = (...values: readonly string[]): Kind => ({
  expected: `one of ${values.join(", ")}`,
  accepts: (value) => values.includes(value as string),
});

export const shape = (fields: Fields): Kind => ({
  ...object,
  fields,
  faultIn: (value, prefix) => (isObject(value) ? invalidField(fields, value, prefix) : undefined),
});

export const openShape = (fields: Fields): Kind => ({ ...shape(fields), open: true });

export const orNull = (kind: Kind): Kind => ({
  ...kind,
  expected: `${kind.expected}, or null`,
  accepts: (value) => value === null || kind.accepts(value),
});

/** What the headers can carry. */
const credential: Kind = {
  expected: "visible ASCII characters",
  accepts: (value) => typeof value === "string" && /^[!-~]+$/.test(value),
};

/** What must hold of a configuration before it is used. */
export const configFields = {
  clientId: credential,
  secret: credential,
  "env?": {
    expected: "sandbox or production",
    accepts: (value) => /^(sandbox|production)$/.test(value as string),
  },
  "baseUrl?": {
    expected: "an http(s) URL without credentials or query",
    // Without the host, the first name of the path would be the host.
    accepts: (value) =>
      /^https?:\/\/(?![/\\])[^\s@?#]+$/.test(value as string) && URL.canParse(value as string),
  },
  "timeoutMs?": {
    expected: "a number of milliseconds, above 0 and below 2^31",
    accepts: (value) => typeof value === "number" && value > 0 && value < 2 ** 31,
  },
} satisfies Fields;

/** The first field that breaks its kind, as the sentence "<path> must be …"; undefined where all are good. */
export function invalidField(fields: Fields, value: object, prefix = ""): string | undefined {
  for (const name in fields) {
    const kind = fields[name]!;
    const key = name.replace("?", "");
    const member = (value as Record<string, unknown>)[key];
    if (member === undefined && key !== name) continue;
    if (!kind.accepts(member)) return `${prefix}${key} must be ${kind.expected}`;
    const fault = kind.faultIn?.(member, `${prefix}${key}.`);
    if (fault) return fault;
  }
  return undefined;
}

/** The dotted names of fields that must be there and are not. */
export function missingFields(fields: Fields, value: object, prefix = ""): string[] {
  return Object.entries(fields).flatMap(([name, kind]) => {
    const key = name.replace("?", "");
    const member = (value as Record<string, unknown>)[key];
    if (member === undefined) return key === name ? [prefix + key] : [];
    return kind.fields && isObject(member) ? missingFields(kind.fields, member, `${prefix}${key}.`) : [];
  });
}

/** The dotted names of fields that the endpoint does not know. */
export function unknownFields(fields: Fields, value: object, prefix = "", open = false): string[] {
  return Object.entries(value).flatMap(([key, member]) => {
    const name = Object.hasOwn(fields, key) ? key : `${key}?`;
    if (key.endsWith("?") || !Object.hasOwn(fields, name)) return open ? [] : [prefix + key];
    const kind = fields[name]!;
    return kind.fields && isObject(member)
      ? unknownFields(kind.fields, member, `${prefix}${key}.`, kind.open)
      : [];
  });
}

/** What is wrong with what a caller may say, as a sentence: it is no object, has a name that nobody knows, or breaks a kind. */
export function faultInOptions(
  what: string,
  given: unknown,
  fields: Fields,
  prefix = "",
): string | undefined {
  if (!isObject(given)) return `${what} must be an object`;
  const [unknown] = unknownFields(fields, given);
  if (unknown !== undefined) {
    const known = Object.keys(fields).map((name) => name.replace("?", ""));
    return `${what} cannot have \`${unknown.slice(0, 64)}\`; what is known is ${known.join(", ")}`;
  }
  return invalidField(fields, given, prefix);
}
