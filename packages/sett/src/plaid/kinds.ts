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
