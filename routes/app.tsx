/** @jsxImportSource hono/jsx */
import { Hono, type MiddlewareHandler } from "hono";
import type { Applicant } from "../src/enrolment/enrolment.ts";
import type { KeySet } from "../src/identity/assertion-key.ts";
import type { Identity } from "../src/identity/identity.ts";
import type { AgentInfo } from "../src/tunnel/agents.ts";
import type { Endpoint } from "../src/types.ts";
import { type AuthorityParts, createAuthorityApi } from "./authority.ts";
import { type ConnectBindings, createConnect } from "./connect.ts";

/** What the router tells its app with every request. */
export interface AppBindings extends Applicant, ConnectBindings {
  readonly identity: Identity | null;
  /** What the caller may use. */
  usableRoutes(): Promise<readonly ListedRoute[]>;
}

/** A route as its users know it. */
export interface ListedRoute {
  readonly name: string;
  readonly scheme: string;
  /** Exact names, wildcards and captures as they are configured. */
  readonly sni: readonly string[];
  /** `null`: whatever no other route of its names serves. */
  readonly alpn: readonly string[] | null;
}

export interface AppParts {
  readonly version: string;
  readonly assertionKeys: () => Promise<KeySet>;
  /** Whether somebody may see what the router does for others. */
  readonly administers: (identity: Identity | null, source: Endpoint) => boolean;
  /** The agents that are connected. */
  readonly agents: () => Promise<readonly AgentInfo[]>;
  /** `null` where no authority is configured. */
  readonly authority: AuthorityParts | null;
}

const style = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 40rem; margin: 3rem auto; padding: 0 1rem }
dt { font-weight: 600 } dd { margin: 0 0 .5rem; overflow-wrap: anywhere }
`;

function Page({ version, identity }: { version: string; identity: Identity | null }) {
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>Sallyport</title>
        <style>{style}</style>
      </head>
      <body>
        <main>
          <h1>Sallyport</h1>
          <p>One port for all of this company's infrastructure. Version {version}.</p>
          {identity === null ? (
            <p>You came without a client certificate.</p>
          ) : (
            <dl>
              <dt>You are</dt>
              <dd>{identity.subject}</dd>
              <dt>Your certificate expires</dt>
              <dd>{identity.expires}</dd>
            </dl>
          )}
        </main>
      </body>
    </html>
  );
}

const needsCertificate: MiddlewareHandler<{ Bindings: AppBindings }> = async (c, next) => {
  if (c.env.identity !== null) return next();
  const detail = "this needs a client certificate";
  return c.json({ error: { reason: "client_cert_missing", detail } }, 401);
};

/** As `sallyport routes` reads it. */
const listedAgent = ({ bytesIn, bytesOut, ...agent }: AgentInfo) => ({
  ...agent,
  bytes_in: bytesIn,
  bytes_out: bytesOut,
});

/** The router's own app, at `SALLYPORT_HOST`. */
export function createApp(parts: AppParts): Hono<{ Bindings: AppBindings }> {
  const { version, assertionKeys, authority, administers, agents } = parts;
  const app = new Hono<{ Bindings: AppBindings }>();

  app.use(async (c, next) => {
    await next();
    c.header("Strict-Transport-Security", "max-age=31536000");
    c.header(
      "Content-Security-Policy",
      "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    );
    c.header("X-Content-Type-Options", "nosniff");
    c.header("Referrer-Policy", "no-referrer");
    c.header("Cache-Control", "no-store");
  });

  app.get("/", (c) =>
    c.html(`<!doctype html>${(<Page version={version} identity={c.env.identity} />).toString()}`),
  );
  app.get("/healthz", (c) => c.text("ok\n"));
  app.use("/v1/whoami", needsCertificate);
  app.get("/v1/whoami", (c) => c.json(c.env.identity));
  app.use("/v1/routes", needsCertificate);
  app.get("/v1/routes", async (c) => {
    const { identity, source } = c.env;
    const routes = await c.env.usableRoutes();
    if (!administers(identity, source)) return c.json({ routes });
    return c.json({ routes, agents: (await agents()).map(listedAgent) });
  });
  app.get("/.well-known/jwks.json", async (c) => c.json(await assertionKeys()));
  app.route("/", createConnect());
  if (authority !== null) app.route("/", createAuthorityApi(authority));
  app.onError((_, c) => c.json({ error: { reason: "internal", detail: "the log says why" } }, 500));
  app.notFound((c) => c.json({ error: { reason: "not_found", detail: `nothing at ${c.req.path}` } }, 404));
  return app;
}
