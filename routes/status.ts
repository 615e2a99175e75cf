import { Hono } from "hono";
import { isFromElsewhere } from "../src/http/origin.ts";
import type { Identity } from "../src/identity/identity.ts";
import type { Snapshot } from "../src/status/snapshot.ts";
import type { Endpoint } from "../src/types.ts";

/** Where the status page has what it shows. */
export interface StatusParts {
  readonly snapshot: () => Promise<Snapshot>;
  /** An event stream of what changes, until `expires` at most; `null` where there is no room. */
  readonly watch: (who: string, expires: number) => ReadableStream<Uint8Array> | null;
}

/** Who asks. */
interface StatusBindings {
  readonly identity: Identity | null;
  readonly source: Endpoint;
}

const refused = (status: number, reason: string, detail: string, fields: Record<string, string> = {}) =>
  Response.json({ error: { reason, detail } }, { status, headers: fields });

/** What keeps status pages current that are open. */
export function createStatusEvents(
  watch: StatusParts["watch"],
  administers: (bindings: StatusBindings) => boolean,
): Hono<{ Bindings: StatusBindings }> {
  const app = new Hono<{ Bindings: StatusBindings }>();
  app.get("/status/events", (c) => {
    const { identity } = c.env;
    if (identity === null) return refused(401, "client_cert_missing", "this needs a client certificate");
    if (!administers(c.env))
      return refused(403, "identity_not_allowed", "SALLYPORT_ADMIN_ALLOW does not admit you");
    // A page elsewhere could read nothing of it, but take all the room there is for watchers.
    if (isFromElsewhere([...c.req.raw.headers], new URL(c.req.url).origin))
      return refused(403, "source_not_allowed", "pages of other origins have no business here");
    const fields = { "Content-Type": "text/event-stream; charset=utf-8" };
    // The stream behind a HEAD would have no reader.
    if (c.req.raw.method === "HEAD") return c.body(null, 200, fields);
    const events = watch(identity.subject, Date.parse(identity.expires));
    if (events === null)
      return refused(503, "limit_reached", "as many watch as may", { "Retry-After": "60" });
    return c.body(events, 200, fields);
  });
  return app;
}
