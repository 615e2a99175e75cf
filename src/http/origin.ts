import type { HttpFields } from "./exchange.ts";

/**
 * Whether a page of another origin asks: browsers say so, even of a WebSocket, which any page may open (Fetch
 * standard, `Origin`; Fetch Metadata, `Sec-Fetch-Site`). For APIs whose callers show a token that no page has, and
 * rely on that: where we stand in front, a certificate speaks for whoever calls.
 *
 * @param here the origin that is asked, such as `https://kube.example.com`
 */
export const isFromElsewhere = (fields: HttpFields, here: string): boolean =>
  fields.some(
    ([name, value]) =>
      (name === "origin" && value !== here) ||
      (name === "sec-fetch-site" && value !== "same-origin" && value !== "none"),
  );

/**
 * Whether a page asks, of whatever origin, and not a program or whoever typed the address. Some browsers say nothing
 * but `Origin` of a WebSocket, as some programs do: by the browsers' names they are told apart, which no page can
 * change there.
 */
export function isFromPage(fields: HttpFields): boolean {
  const field = (wanted: string): string | undefined => fields.find(([name]) => name === wanted)?.[1];
  const site = field("sec-fetch-site");
  if (site !== undefined) return site !== "none";
  return field("origin") !== undefined && /^mozilla\//i.test(field("user-agent") ?? "");
}
