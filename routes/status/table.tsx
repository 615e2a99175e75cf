/** @jsxImportSource hono/jsx */
import type { Child } from "hono/jsx";
import { count } from "./format.ts";

/** One column of a table whose rows are of type `T`. */
export interface Column<T> {
  readonly label: string;
  readonly cell: (row: T) => Child;
  /** `head`: it says what the row is about. `number`: digits under digits. `short`: never broken. `long`: a sentence. */
  readonly kind?: "head" | "number" | "short" | "long";
}

/** On a narrow screen rows are cards, and browsers forget that these are a table: so its roles are written out. */
const as = {
  table: { role: "table" },
  group: { role: "rowgroup" },
  row: { role: "row" },
  cell: { role: "cell" },
  rowHead: { role: "rowheader", scope: "row" },
  columnHead: { role: "columnheader", scope: "col" },
} as const;

function Row<T>({ row, columns }: { row: T; columns: readonly Column<T>[] }) {
  return (
    <tr {...as.row}>
      {columns.map(({ label, cell, kind }) =>
        kind === "head" ? (
          <th {...as.rowHead} data-label={label}>
            {cell(row)}
          </th>
        ) : (
          <td {...as.cell} data-label={label} class={kind}>
            {cell(row)}
          </td>
        ),
      )}
    </tr>
  );
}

/** More is not shown, and said. */
export const maxRows = 200;

interface RowsProps<T> {
  readonly columns: readonly Column<T>[];
  readonly rows: readonly T[];
  /** What it says where there are none. */
  readonly none: string;
}

/** One cell all across. */
function Note({ across, children }: { across: number; children: string }) {
  return (
    <tr {...as.row}>
      <td {...as.cell} colspan={across} class="none">
        {children}
      </td>
    </tr>
  );
}

/** The inside of a table's body. */
export function Rows<T>({ columns, rows, none }: RowsProps<T>) {
  if (rows.length === 0) return <Note across={columns.length}>{none}</Note>;
  return (
    <>
      {rows.slice(0, maxRows).map((row) => (
        <Row row={row} columns={columns} />
      ))}
      {rows.length > maxRows && (
        <Note across={columns.length}>{`And ${count(rows.length - maxRows)} more.`}</Note>
      )}
    </>
  );
}

interface TableProps<T> {
  readonly caption: string;
  readonly columns: readonly Column<T>[];
  /** Of its body, whose inside is replaced. */
  readonly id: string;
  readonly children: Child;
}

export function Table<T>({ caption, columns, id, children }: TableProps<T>) {
  return (
    <table {...as.table}>
      <caption>{caption}</caption>
      <thead {...as.group}>
        <tr {...as.row}>
          {columns.map(({ label, kind }) => (
            <th {...as.columnHead} class={kind}>
              {label}
            </th>
          ))}
        </tr>
      </thead>
      <tbody {...as.group} id={id}>
        {children}
      </tbody>
    </table>
  );
}
