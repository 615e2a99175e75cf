import { connect } from "cloudflare:sockets";
import { createEdge } from "../routes/edge.ts";
import { type EdgeConfig, edgeConfig } from "./edge/config.ts";
import { serveTunnel } from "./edge/tunnel.ts";
import { WebSocketStream, type WorkerWebSocket } from "./edge/web-socket-stream.ts";
import { ConfigError } from "./errors.ts";
import { version } from "./version.ts";

declare const WebSocketPair: new () => { readonly 0: WorkerWebSocket; readonly 1: WorkerWebSocket };

type Variables = Readonly<Record<string, string>>;

interface Context {
  waitUntil(work: Promise<unknown>): void;
}

const app = createEdge(version);

/** One for all requests of an instance: its variables never change. */
let config: EdgeConfig | undefined;

const problem = (status: number, reason: string, detail: string): Response =>
  Response.json({ error: { reason, detail } }, { status });

function openTunnel(request: Request, { table, ...rest }: EdgeConfig, context: Context): Response {
  // Browsers always say where a page is from, and no page has business here.
  if (request.headers.has("origin")) return problem(403, "protocol_error", "tunnels are not for web pages");
  const { 0: client, 1: server } = new WebSocketPair();
  // Cloudflare's own word: whoever asks can't set it.
  const stream = new WebSocketStream(server, request.headers.get("cf-connecting-ip") ?? "");
  context.waitUntil(
    serveTunnel(stream, { table, ...rest }, (origin) =>
      connect(origin, { allowHalfOpen: true, secureTransport: "off" }),
    ),
  );
  return new Response(null, { status: 101, webSocket: client } as ResponseInit);
}

/** The edge entry, for Cloudflare Workers. */
export default {
  async fetch(request: Request, env: Variables, context: Context): Promise<Response> {
    try {
      config ??= edgeConfig(env);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      // Anybody may read this: which variables, and nothing of what is in them.
      const names = error.problems.map(({ name }) => name).join(", ");
      return problem(503, "not_configured", `this edge has variables that can't be used: ${names}`);
    }
    const ready = config;
    return app.fetch(request, { openTunnel: () => openTunnel(request, ready, context) });
  },
};
