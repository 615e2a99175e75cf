import { printable } from "../../src/observe/printable.ts";

const units = ["B", "kB", "MB", "GB", "TB", "PB"] as const;

/** `1.2 MB`, in powers of a thousand. */
export function bytes(count: number): string {
  let value = count;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export const count = (value: number): string => value.toLocaleString("en-US");

/** UTC: the time on the day of `now`, the date as well on any other. */
export function time(at: number, now: number): string {
  const text = new Date(at).toISOString();
  const today = text.slice(0, 10) === new Date(now).toISOString().slice(0, 10);
  return today ? text.slice(11, 19) : `${text.slice(0, 10)} ${text.slice(11, 16)}`;
}

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

const some = (value: number, what: string): string => `${count(value)} ${what}${value === 1 ? "" : "s"}`;

/** How long it is until then. */
export function left(until: number, now: number): string {
  const ms = until - now;
  if (ms <= 0) return "expired";
  if (ms < hourMs) return "less than an hour";
  return ms < 2 * dayMs ? some(Math.floor(ms / hourMs), "hour") : some(Math.floor(ms / dayMs), "day");
}

/** Longer is nothing that anybody reads. */
const maxText = 300;

/** What somebody else said: nothing in it that does not show, or changes how the rest is read. */
export function said(text: string): string {
  const shown = printable(text);
  return shown.length > maxText ? `${shown.slice(0, maxText)}…` : shown;
}
