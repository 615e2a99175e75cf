import { Hono } from "hono";

export interface AdminParts {
  /** `null` when ready, otherwise why not. */
  readonly unready: () => string | null;
  /**
   * What stands below the first word: of what is not as it should be, though the router is ready, and with `verbose` of
   * what is well, too.
   */
  readonly details: (verbose: boolean) => readonly string[];
  /** Prometheus text. */
  readonly metrics: () => string | Promise<string>;
}

/** Plain HTTP for load balancers and operators, on the admin listener. */
export function createAdmin(parts: AdminParts): Hono {
  const app = new Hono();
  app.get("/healthz", (c) => c.text("ok\n"));
  app.get("/readyz", (c) => {
    const why = parts.unready();
    const lines = [why ?? "ready", ...parts.details(c.req.query("verbose") !== undefined)];
    return c.text(`${lines.join("\n")}\n`, why === null ? 200 : 503);
  });
  app.get("/metrics", async (c) =>
    c.text(await parts.metrics(), 200, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" }),
  );
  return app;
}
