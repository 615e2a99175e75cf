import { z } from "zod";

const whole = z.number().nonnegative();

/** What the router's admin listener answers at `/connections`. */
export const answer = z.object({
  open: whole,
  connections: z.array(
    z.object({
      id: z.string(),
      since: z.iso.datetime(),
      route: z.string().nullable(),
      source: z.string(),
      sni: z.string().nullable(),
      subject: z.string().nullable(),
      bytes_in: whole,
      bytes_out: whole,
    }),
  ),
});
export type Answer = z.output<typeof answer>;

export type Row = Answer["connections"][number] & {
  readonly age_seconds: number;
  /** Bytes a second since the sample before; 0 where there is none. */
  readonly rate_in: number;
  readonly rate_out: number;
};

export const sorts = ["rate", "bytes", "age", "route", "subject", "source"] as const;
export type Sort = (typeof sorts)[number];

/** Which comes first. */
const orders: Readonly<Record<Sort, (a: Row, b: Row) => number>> = {
  rate: (a, b) => b.rate_in + b.rate_out - a.rate_in - a.rate_out,
  bytes: (a, b) => b.bytes_in + b.bytes_out - a.bytes_in - a.bytes_out,
  age: (a, b) => b.age_seconds - a.age_seconds,
  route: (a, b) => (a.route ?? "").localeCompare(b.route ?? ""),
  subject: (a, b) => (a.subject ?? "").localeCompare(b.subject ?? ""),
  source: (a, b) => a.source.localeCompare(b.source),
};

/** The oldest first among equals. */
export const sorted = (rows: readonly Row[], by: Sort): Row[] =>
  rows.toSorted((a, b) => orders[by](a, b) || b.age_seconds - a.age_seconds || a.id.localeCompare(b.id));

/** What connections carry a second, from one sample to the next. */
export class Rates {
  #before = new Map<string, { readonly bytes_in: number; readonly bytes_out: number }>();
  #at = 0;

  /** @param at monotonic milliseconds; @param now milliseconds since 1970 */
  rows({ connections }: Answer, at: number, now: number): Row[] {
    const seconds = (at - this.#at) / 1000;
    const rate = (bytes: number, before: number | undefined): number =>
      before === undefined || seconds <= 0 ? 0 : Math.max(0, Math.round((bytes - before) / seconds));
    const rows = connections.map((one) => {
      const before = this.#before.get(one.id);
      return {
        ...one,
        age_seconds: Math.max(0, Math.round((now - Date.parse(one.since)) / 1000)),
        rate_in: rate(one.bytes_in, before?.bytes_in),
        rate_out: rate(one.bytes_out, before?.bytes_out),
      };
    });
    this.#before = new Map(connections.map(({ id, bytes_in, bytes_out }) => [id, { bytes_in, bytes_out }]));
    this.#at = at;
    return rows;
  }
}
