import { acceptText } from "../wire/websocket.ts";

/** Where a client asks for a tunnel to the one port. */
export const connectPath = "/.well-known/sallyport/connect";

const base64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

/** A fresh `Sec-WebSocket-Key`: 16 random bytes (RFC 6455 §4.1). */
export const newKey = (): string => base64(crypto.getRandomValues(new Uint8Array(16)));

/** The `Sec-WebSocket-Accept` that answers a key. SHA-1 only says here that the other side speaks WebSocket. */
export async function acceptOf(key: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-1", new TextEncoder().encode(acceptText(key)));
  return base64(new Uint8Array(digest));
}

/** What is wrong with a request to speak WebSocket (RFC 6455 §4.2.1), or its key. */
export function readHandshake(headers: Headers): { readonly key: string } | { readonly problem: string } {
  const upgrade = headers.get("upgrade") ?? "";
  if (!upgrade.split(",").some((token) => token.trim().toLowerCase() === "websocket"))
    return { problem: "expected a WebSocket upgrade" };
  if (headers.get("sec-websocket-version") !== "13") return { problem: "expected WebSocket version 13" };
  const key = headers.get("sec-websocket-key") ?? "";
  if (!/^[A-Za-z0-9+/]{21}[AQgw]==$/.test(key))
    return { problem: "expected a Sec-WebSocket-Key of 16 bytes" };
  return { key };
}
