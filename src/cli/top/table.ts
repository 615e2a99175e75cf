import { bytes, said } from "../../../routes/status/format.ts";
import type { Row, Sort } from "./rates.ts";

interface Column {
  readonly head: string;
  /** Characters; `null`: what is left is shared among these. */
  readonly width: number | null;
  readonly right: boolean;
  /** Left out where there is little room. */
  readonly wideOnly?: boolean;
  readonly text: (row: Row) => string;
}

function age(seconds: number): string {
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${String(seconds % 60).padStart(2, "0")}s`;
  if (seconds < 86_400)
    return `${Math.floor(seconds / 3600)}h${String(Math.floor((seconds % 3600) / 60)).padStart(2, "0")}m`;
  return `${Math.floor(seconds / 86_400)}d${String(Math.floor((seconds % 86_400) / 3600)).padStart(2, "0")}h`;
}

/** Characters. */
const roomForAll = 100;

const allColumns: readonly Column[] = [
  { head: "ROUTE", width: null, right: false, text: ({ route }) => route ?? "-" },
  { head: "IDENTITY", width: null, right: false, text: ({ subject }) => said(subject ?? "-") },
  { head: "SOURCE", width: 22, right: false, text: ({ source }) => said(source) },
  { head: "AGE", width: 7, right: true, text: ({ age_seconds }) => age(age_seconds) },
  { head: "IN", width: 7, right: true, wideOnly: true, text: ({ bytes_in }) => bytes(bytes_in) },
  { head: "OUT", width: 7, right: true, wideOnly: true, text: ({ bytes_out }) => bytes(bytes_out) },
  { head: "IN/S", width: 7, right: true, text: ({ rate_in }) => bytes(rate_in) },
  { head: "OUT/S", width: 7, right: true, text: ({ rate_out }) => bytes(rate_out) },
];

function cell(text: string, width: number, right: boolean): string {
  const letters = [...text];
  const cut = letters.length > width ? [...letters.slice(0, width - 1), "…"] : letters;
  const space = " ".repeat(width - cut.length);
  return right ? space + cut.join("") : cut.join("") + space;
}

/** Lines of a table no wider than so many characters: its head, then the rows. */
export function table(rows: readonly Row[], width: number): string[] {
  const columns = allColumns.filter((one) => one.wideOnly !== true || width >= roomForAll);
  const fixed = columns.reduce((sum, column) => sum + (column.width ?? 0), columns.length - 1);
  const shared = Math.max(
    8,
    Math.floor((width - fixed) / columns.filter((one) => one.width === null).length),
  );
  const line = (text: (column: Column) => string): string =>
    columns
      .map((column) => cell(text(column), column.width ?? shared, column.right))
      .join(" ")
      .trimEnd()
      .slice(0, Math.max(width, 1));
  return [line(({ head }) => head), ...rows.map((row) => line(({ text }) => text(row)))];
}

/** Of all that is open, those shown or not. */
export function summary(open: number, rows: readonly Row[], by: Sort): string {
  const sum = (of: (row: Row) => number): number => rows.reduce((total, row) => total + of(row), 0);
  const more = open > rows.length ? `, the newest ${rows.length} of them here` : "";
  return `${open} connection${open === 1 ? "" : "s"}${more}, in ${bytes(sum((row) => row.rate_in))}/s, out ${bytes(sum((row) => row.rate_out))}/s, by ${by}`;
}
