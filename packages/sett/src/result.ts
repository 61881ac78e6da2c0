// An outcome as a value: either what was asked for, or why there is none. Three lines on purpose: there is no
// `map` and no `andThen`; `if (!r.ok) return r;` is the whole vocabulary.

/** What a call gives back. Test `ok` before you touch `value` or `error`; the compiler insists on it. */
export type Result<Value, Problem> =
  { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly error: Problem };

/** A success. */
export const ok = <Value>(value: Value): { readonly ok: true; readonly value: Value } => ({
  ok: true,
  value,
});

/** A failure, as plain data. */
export const err = <Problem>(error: Problem): { readonly ok: false; readonly error: Problem } => ({
  ok: false,
  error,
});
