import type { HttpClientRequest, HttpClientResponse, HttpFields, HttpRequest } from "../../http/exchange.ts";
import { endToEnd, upgradeAsked } from "../../http/hop-by-hop.ts";
import { setsOwnCookie } from "../../http/own-cookies.ts";
import { acceptOf, newKey } from "../../websocket/handshake.ts";

/** A request to switch protocols, whichever way each side says it: `Upgrade` or an extended CONNECT (RFC 8441). */
export interface Switching {
  readonly protocol: string;
  /** What the upstream is asked with instead of the client's own. */
  readonly request: Pick<HttpClientRequest, "method" | "body" | "upgrade">;
  /** More fields for the upstream. */
  readonly fields: HttpFields;
}

const websocket = "websocket";
const keyField = "sec-websocket-key";

/** `null`: none; a string: why it is turned away. */
export function switchingAsked(request: HttpRequest): Switching | string | null {
  const { method, fields, protocol } = request;
  if (protocol !== undefined) {
    if (protocol !== websocket)
      return `an extended CONNECT for ${JSON.stringify(protocol)}: expected websocket`;
    // HTTP/1.1 wants a key, which HTTP/2 has no use for (RFC 8441 §5).
    return {
      protocol,
      request: { method: "GET", body: null, upgrade: protocol },
      fields: [[keyField, newKey()]],
    };
  }
  const upgrade = request.version === "1.1" ? upgradeAsked(fields) : null;
  if (upgrade === null) return null;
  return { protocol: upgrade, request: { method, body: null, upgrade }, fields: [] };
}

/**
 * What the client is answered with where the upstream switched.
 *
 * @param asked the fields that the upstream was asked with
 * @returns `null` where the upstream did not understand what it was asked
 */
export async function switched(
  request: HttpRequest,
  { protocol }: Switching,
  asked: HttpFields,
  response: HttpClientResponse,
): Promise<HttpFields | null> {
  const own = new Set(["upgrade", "sec-websocket-accept"]);
  const accept = response.fields.find(([name]) => name === "sec-websocket-accept")?.[1];
  const key = asked.find(([name]) => name === keyField)?.[1];
  const fields = endToEnd(response.fields, setsOwnCookie).filter(([name]) => !own.has(name));
  if (request.protocol !== undefined) {
    // The key was ours, and so it is for us to look at what came for it (RFC 6455 §4.1).
    const understood = response.status !== 101 || (key !== undefined && accept === (await acceptOf(key)));
    return understood ? fields : null;
  }
  const chosen = response.fields.find(([name]) => name === "upgrade")?.[1] ?? protocol;
  const answer: readonly [string, string][] =
    accept !== undefined
      ? [["sec-websocket-accept", accept]]
      : response.status !== 101 && key !== undefined
        ? [["sec-websocket-accept", await acceptOf(key)]]
        : [];
  return [...fields, ...answer, ["connection", "Upgrade"], ["upgrade", chosen]];
}
