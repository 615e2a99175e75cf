import type { Work } from "./works.ts";

/** One measurement of one subject: in the work's unit, and the subject's peak memory in bytes by then. */
export interface Sample {
  readonly value: number;
  readonly peak: number;
}

/** Work, then subject, then round; `null` where the subject failed. */
export type Samples = ReadonlyMap<Work, ReadonlyMap<string, readonly (Sample | null)[]>>;

interface Summary {
  /** Medians over the rounds. */
  readonly value: number;
  readonly peak: number;
  /** The median of the ratios to the base in the same round; absent for the base's failures. */
  readonly ratio: number | null;
  readonly values: readonly (number | null)[];
}

export interface Report {
  readonly base: string;
  readonly subjects: Readonly<Record<string, string>>;
  readonly works: readonly {
    readonly name: string;
    readonly what: string;
    readonly unit: Work["unit"];
    readonly subjects: Readonly<Record<string, Summary>>;
  }[];
}

function median(numbers: readonly number[]): number | null {
  const sorted = [...numbers].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  return upper === undefined || lower === undefined ? null : (lower + upper) / 2;
}

function summary(of: readonly (Sample | null)[], base: readonly (Sample | null)[]): Summary {
  const good = of.filter((sample) => sample !== null);
  // Round by round, so that what slowed the machine down for a while slowed both.
  const ratios = of.flatMap((sample, round) => {
    const other = base[round];
    return sample === null || other === null || other === undefined ? [] : [sample.value / other.value];
  });
  return {
    value: median(good.map(({ value }) => value)) ?? Number.NaN,
    peak: median(good.map(({ peak }) => peak)) ?? Number.NaN,
    ratio: median(ratios),
    values: of.map((sample) => sample?.value ?? null),
  };
}

/** @param subjects names and versions; the base is HAProxy where it was measured, and else the first. */
export function report(samples: Samples, subjects: Readonly<Record<string, string>>): Report {
  const names = Object.keys(subjects);
  const base = names.includes("haproxy") ? "haproxy" : (names[0] ?? "");
  return {
    base,
    subjects,
    works: [...samples].map(([work, bySubject]) => ({
      name: work.name,
      what: work.what,
      unit: work.unit,
      subjects: Object.fromEntries(
        [...bySubject].map(([name, of]) => [name, summary(of, bySubject.get(base) ?? [])]),
      ),
    })),
  };
}

const mebibytes = (bytes: number): string => (bytes / 1024 / 1024).toFixed(0);

const inUnit: Readonly<Record<Work["unit"], (value: number) => string>> = {
  seconds: (value) => `${value.toFixed(2)} s`,
  bytes: (value) => `${(value / 1024).toFixed(1)} KiB`,
  growth: (value) => `${value.toFixed(2)} times`,
};

function table(rows: readonly (readonly string[])[]): string {
  const width = (column: number): number => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  const widths = (rows[0] ?? []).map((_, column) => width(column));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** The report for people. */
export function print({ base, subjects, works }: Report): string {
  const names = Object.keys(subjects);
  const head = ["", ...names.map((name) => `${name} ${subjects[name] ?? ""}`)];
  const rows = (cell: (one: Summary, unit: Work["unit"]) => string): string =>
    table([
      head,
      ...works.map(({ what, unit, subjects: of }) => [
        what,
        ...names.map((name) => {
          const one = of[name];
          if (one === undefined) return "";
          return Number.isNaN(one.value) ? "failed" : cell(one, unit);
        }),
      ]),
    ]);
  const compared = rows((one, unit) => {
    const plain = inUnit[unit](one.value);
    return one.ratio === null || unit === "growth" ? plain : `${one.ratio.toFixed(2)} (${plain})`;
  });
  return [
    `Server CPU for the same work, as a ratio to ${base} in the same round (and the plain value), medians:`,
    compared,
    "",
    "The server's peak memory, MiB:",
    rows((one) => mebibytes(one.peak)),
  ].join("\n");
}
