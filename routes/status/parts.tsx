/** @jsxImportSource hono/jsx */
import { raw } from "hono/html";
import type { Child } from "hono/jsx";
import type { Snapshot } from "../../src/status/snapshot.ts";
import {
  agentColumns,
  certificateColumns,
  connectionColumns,
  refusalColumns,
  routeColumns,
} from "./columns.tsx";
import { count, time } from "./format.ts";
import { Sparkline } from "./sparkline.tsx";
import { type Column, Rows, Table } from "./table.tsx";

/** A part of the page that changes from moment to moment. */
export interface Part {
  /** Of the element that it is the inside of. */
  readonly id: string;
  readonly title: string;
  /** HTML. */
  readonly inside: string;
  /** The element with it. */
  readonly whole: Child;
}

function table<T>(
  title: string,
  caption: string,
  columns: readonly Column<T>[],
  rows: readonly T[],
  none: string,
): Part {
  const id = title.toLowerCase();
  const inside = String(<Rows columns={columns} rows={rows} none={none} />);
  const whole = (
    <Table id={id} caption={caption} columns={columns}>
      {raw(inside)}
    </Table>
  );
  return { id, title, inside, whole };
}

/** One that does not answer, or is being replaced, leaves the page without what it knows: it says so. */
const shown = ({ of, shown }: NonNullable<Snapshot["workers"]>): string =>
  of === shown ? count(of) : `${count(shown)} of ${count(of)} shown`;

function figures({ at, agents, open, routes, unready, workers }: Snapshot): Part {
  const down = routes.filter(({ health }) => health?.state === "down").length;
  const all = count(routes.length);
  const values: readonly (readonly [label: string, value: string])[] = [
    ["State", unready ?? "ready"],
    ["Connections", count(open)],
    ["Routes", down === 0 ? all : `${all}, ${count(down)} down`],
    ["Agents", count(agents.length)],
    ...(workers === null ? [] : [["Workers", shown(workers)] as const]),
    ["As of", `${time(at, at)} UTC`],
  ];
  const inside = values
    .map(([label, value]) =>
      String(
        <div>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>,
      ),
    )
    .join("");
  return { id: "figures", title: "Figures", inside, whole: <dl id="figures">{raw(inside)}</dl> };
}

function throughput({ throughput: samples }: Snapshot): Part {
  const inside = String(<Sparkline samples={samples} />);
  return { id: "throughput", title: "Throughput", inside, whole: <div id="throughput">{raw(inside)}</div> };
}

/** All of them, in their order on the page. */
export function partsOf(snapshot: Snapshot): readonly Part[] {
  const { at, agents, certificates, newest, refusals, routes } = snapshot;
  return [
    figures(snapshot),
    throughput(snapshot),
    table(
      "Routes",
      "Every route, how its upstream answered last, and its connections since the start",
      routeColumns,
      routes,
      "There is none.",
    ),
    table(
      "Connections",
      "The newest connections that are open",
      connectionColumns(at),
      newest,
      "None is open.",
    ),
    table(
      "Agents",
      "Agents that are connected, and what their connections carried",
      agentColumns(at),
      agents,
      "None is connected.",
    ),
    table(
      "Certificates",
      "Certificates, the first to expire first",
      certificateColumns(at),
      certificates,
      "There is none.",
    ),
    table(
      "Refusals",
      "The last connections that were refused or failed, the same ones together",
      refusalColumns(at),
      refusals,
      "None so far.",
    ),
  ];
}
