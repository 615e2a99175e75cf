import { Hono } from "hono";

/** A connection that is open, as the admin listener tells it. */
export interface OpenConnection {
  readonly id: string;
  /** ISO 8601. */
  readonly since: string;
  readonly route: string | null;
  readonly source: string;
  readonly sni: string | null;
  readonly subject: string | null;
  readonly bytes_in: number;
  readonly bytes_out: number;
}

/** The connections that are open: how many, and the newest of them. */
export interface OpenConnections {
  readonly open: number;
  readonly connections: readonly OpenConnection[];
}

export interface AdminParts {
  /** `null` when ready, otherwise why not. */
  readonly unready: () => string | null;
  /**
   * What stands below the first word: of what is not as it should be, though the router is ready, and with `verbose` of
   * what is well, too.
   */
  readonly details: (verbose: boolean) => readonly string[];
  /** What answers an authority that asks for this token (RFC 8555 §8.3); `null`: it is none of ours. */
  readonly challenge: (token: string) => Promise<string | null>;
  /** Prometheus text. */
  readonly metrics: () => string | Promise<string>;
  /** `null`: told to nobody. */
  readonly connections: (() => OpenConnections | Promise<OpenConnections>) | null;
}

/** Whether the peer is on this machine. */
interface Peer {
  readonly Bindings: { readonly isLocal: boolean };
}

/** Names that no page of elsewhere can have: a browser that was led here by one (DNS rebinding) says it in `Host`. */
const ownName = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;

/** Plain HTTP for load balancers and operators, on the admin listener. */
export function createAdmin(parts: AdminParts): Hono<Peer> {
  const app = new Hono<Peer>();
  app.get("/healthz", (c) => c.text("ok\n"));
  app.get("/readyz", (c) => {
    const why = parts.unready();
    const lines = [why ?? "ready", ...parts.details(c.req.query("verbose") !== undefined)];
    return c.text(`${lines.join("\n")}\n`, why === null ? 200 : 503);
  });
  app.get("/.well-known/acme-challenge/:token", async (c) => {
    const answer = await parts.challenge(c.req.param("token"));
    return answer === null
      ? c.notFound()
      : c.body(answer, 200, { "Content-Type": "application/octet-stream" });
  });
  app.get("/metrics", async (c) =>
    c.text(await parts.metrics(), 200, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" }),
  );
  // Who is connected from where is for those on the machine, not for whoever may see whether the router is well.
  app.get("/connections", async (c) => {
    if (parts.connections === null) return c.text("SALLYPORT_ADMIN_CONNECTIONS is off\n", 404);
    const byPage =
      c.req.header("Origin") !== undefined || (c.req.header("Sec-Fetch-Site") ?? "none") !== "none";
    if (!c.env.isLocal || byPage || !ownName.test(c.req.header("Host") ?? ""))
      return c.text("for programs on the router's own machine alone\n", 403);
    return c.json(await parts.connections(), 200, { "Cache-Control": "no-store" });
  });
  return app;
}
