import { Hono } from "hono";

export interface AdminParts {
  /** `null` when ready, otherwise why not. */
  readonly unready: () => string | null;
  /** Prometheus text. */
  readonly metrics: () => string | Promise<string>;
}

/** Plain HTTP for load balancers and operators, on the admin listener. */
export function createAdmin(parts: AdminParts): Hono {
  const app = new Hono();
  app.get("/healthz", (c) => c.text("ok\n"));
  app.get("/readyz", (c) => {
    const why = parts.unready();
    return why === null ? c.text("ready\n") : c.text(`${why}\n`, 503);
  });
  app.get("/metrics", async (c) =>
    c.text(await parts.metrics(), 200, { "Content-Type": "text/plain; version=0.0.4; charset=utf-8" }),
  );
  return app;
}
