import { Hono } from "hono";
import { type ConnectBindings, createConnect } from "./connect.ts";

/** What a Worker serves: the connection upgrade, and who it is. */
export function createEdge(version: string): Hono<{ Bindings: ConnectBindings }> {
  const app = new Hono<{ Bindings: ConnectBindings }>();
  app.use(async (c, next) => {
    await next();
    // The answer to an upgrade is the runtime's own.
    if (c.res.status === 101) return;
    c.header("Strict-Transport-Security", "max-age=31536000");
    c.header("Cache-Control", "no-store");
    c.header("X-Content-Type-Options", "nosniff");
  });
  app.get("/", (c) =>
    c.text(`Sallyport ${version}, at the edge: connections to the one port come in by WebSocket.\n`),
  );
  app.get("/healthz", (c) => c.text("ok\n"));
  app.route("/", createConnect());
  app.notFound((c) => {
    const detail = c.req.path.startsWith("/v1/")
      ? "the API is the router's: ask it through a tunnel, as sallyport does"
      : `nothing at ${c.req.path}`;
    return c.json({ error: { reason: "not_found", detail } }, 404);
  });
  return app;
}
