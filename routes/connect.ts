import { Hono } from "hono";
import { connectPath, readHandshake } from "../src/websocket/handshake.ts";

/** What whoever serves the app does with a request for a tunnel. */
export interface ConnectBindings {
  /**
   * Switches the connection to WebSocket and hands it on; the answer to return.
   *
   * @param key the client's `Sec-WebSocket-Key`
   */
  readonly openTunnel: (key: string) => Response | Promise<Response>;
}

/**
 * The connection upgrade: what is inside the WebSocket's binary messages is a connection to the one port, as if it
 * had come to it directly. For clients behind balancers that end TLS, and with it SNI, ALPN and client certificates.
 */
export function createConnect(): Hono<{ Bindings: ConnectBindings }> {
  const app = new Hono<{ Bindings: ConnectBindings }>();
  app.get(connectPath, (c) => {
    const asked = readHandshake(c.req.raw.headers);
    if ("key" in asked) return c.env.openTunnel(asked.key);
    c.header("Upgrade", "websocket");
    c.header("Sec-WebSocket-Version", "13");
    return c.json({ error: { reason: "protocol_error", detail: asked.problem } }, 426);
  });
  return app;
}
