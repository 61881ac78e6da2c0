// Hides how a comparison is shown: as one Markdown table that can be quoted as it is, with the machine's Node, the
// date, the command and what was promised below it; or as JSON.

/** A bound that was set before anything was measured. */
export interface Promised {
  readonly what: string;
  readonly value: number;
  readonly least?: number;
  readonly most?: number;
  readonly unit?: string;
}

/** One comparison, measured. */
export interface Comparison {
  readonly title: string;
  /** What was done, in a sentence or two. */
  readonly how: string;
  /** Heads of the columns; the first is the contender's. */
  readonly columns: readonly string[];
  readonly rows: readonly (readonly [string, ...(number | null)[]])[];
  readonly promises: readonly Promised[];
  readonly remarks?: readonly string[];
}

/** Where and how it was measured. */
export interface Setting {
  readonly node: string;
  readonly date: string;
  readonly command: string;
}

export const kept = ({ value, least = -Infinity, most = Infinity }: Promised): boolean =>
  value >= least && value <= most;

export function markdown(comparison: Comparison, { node, date, command }: Setting): string {
  const { title, how, columns, rows, promises, remarks = [] } = comparison;
  const cells = [columns, ...rows.map(([name, ...values]) => [name, ...values.map(shown)])];
  const widths = columns.map((_, column) => Math.max(...cells.map((row) => row[column]!.length), 3));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join(" | ")} |`;
  const rule = `| ${widths.map((width, i) => (i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  const [head, ...body] = cells.map(line);
  return [
    `### ${title}`,
    "",
    how,
    "",
    head,
    rule,
    ...body,
    "",
    `Node ${node}, ${date}, \`${command}\`.`,
    ...remarks.map((remark) => `${remark}`),
    "",
    ...promises.map((promised) => `- ${kept(promised) ? "kept" : "MISSED"}: ${sentence(promised)}`),
    "",
  ].join("\n");
}

const sentence = ({ what, value, least, most, unit = "" }: Promised) =>
  `${what}: ${shown(value)}${unit} (${least === undefined ? `at most ${most}` : `at least ${least}`}${unit})`;

/** Three digits that mean something, thousands apart. */
function shown(value: number | null): string {
  if (value === null) return "";
  if (Math.abs(value) >= 100) {
    return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, " ");
  }
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2);
}
