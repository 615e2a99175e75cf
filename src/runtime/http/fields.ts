import type { HttpFields } from "../../http/exchange.ts";

/** Field names as the libraries' raw lists have them: name, value, name, value … */
export function fieldsOf(raw: readonly string[]): [string, string][] {
  const fields: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) fields.push([(raw[i] ?? "").toLowerCase(), raw[i + 1] ?? ""]);
  return fields;
}

/** No prototype: `constructor` is a field name like any other. */
const empty = <T>(): Record<string, T> => Object.create(null) as Record<string, T>;

/** By their names. */
function grouped(fields: HttpFields): Record<string, string[]> {
  const headers = empty<string[]>();
  for (const [name, value] of fields) {
    const values = headers[name];
    if (values === undefined) headers[name] = [value];
    else values.push(value);
  }
  return headers;
}

/** What a comma would tear apart (RFC 9110 §5.3, RFC 9113 §8.2.3) or readers don't expect in one field. */
const apart: ReadonlySet<string> = new Set([
  "set-cookie",
  "cookie",
  "www-authenticate",
  "proxy-authenticate",
]);

/**
 * As HTTP/2 libraries take them. They throw where a field that should be there once is repeated; joining it
 * (RFC 9110 §5.2) says the same and is nobody's fault here.
 */
export function joined(fields: HttpFields): Record<string, string | string[]> {
  const headers = empty<string | string[]>();
  for (const [name, values] of Object.entries(grouped(fields))) {
    headers[name] = apart.has(name) ? values : values.join(", ");
  }
  return headers;
}

/** The body's announced length; `null` without one. */
export function contentLength(fields: HttpFields): number | null {
  const value = fields.find(([name]) => name === "content-length")?.[1];
  return value === undefined ? null : Number(value);
}
