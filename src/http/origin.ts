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
