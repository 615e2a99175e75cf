/** @jsxImportSource hono/jsx */
import { Hono, type MiddlewareHandler } from "hono";
import { raw } from "hono/html";
import type { Applicant } from "../src/enrolment/enrolment.ts";
import type { KeySet } from "../src/identity/assertion-key.ts";
import type { Identity } from "../src/identity/identity.ts";
import type { AgentInfo } from "../src/tunnel/agents.ts";
import type { Endpoint } from "../src/types.ts";
import { type AuthorityParts, createAuthorityApi } from "./authority.ts";
import { type ConnectBindings, createConnect } from "./connect.ts";
import { pageHeaders } from "./page-headers.ts";
import { StatusPage } from "./status/page.tsx";
import { style } from "./status/style.ts";
import { createStatusEvents, type StatusParts } from "./status.ts";

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
  readonly status: StatusParts;
  /** `null` where no authority is configured. */
  readonly authority: AuthorityParts | null;
  /** Where browsers sign in to these pages, and out; `null` where they don't. */
  readonly signIn: SignInPaths | null;
}

export interface SignInPaths {
  readonly signInPath: string;
  readonly signOutPath: string;
}

interface PageProps {
  readonly version: string;
  readonly identity: Identity | null;
  readonly signIn: SignInPaths | null;
}

function Page({ version, identity, signIn }: PageProps) {
  const visits = identity !== null && identity.fingerprint === null;
  return (
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>Sallyport</title>
        <style>{raw(style)}</style>
      </head>
      <body>
        <main>
          <h1>Sallyport</h1>
          <p>One port for all of this company's infrastructure. Version {version}.</p>
          {identity === null ? (
            <p>
              You came without a client certificate.{" "}
              {signIn === null ? null : <a href={signIn.signInPath}>Sign in</a>}
            </p>
          ) : (
            <dl>
              <dt>You are</dt>
              <dd>{identity.subject}</dd>
              <dt>{visits ? "You are signed in until" : "Your certificate expires"}</dt>
              <dd>{identity.expires}</dd>
            </dl>
          )}
          {visits && signIn !== null ? (
            <p>
              <a href={signIn.signOutPath}>Sign out</a>
            </p>
          ) : null}
        </main>
      </body>
    </html>
  );
}

const needsCertificate: MiddlewareHandler<{ Bindings: AppBindings }> = async (c, next) => {
  if (c.env.identity !== null) return next();
  const detail = "this needs a client certificate, or a browser that signed in";
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
  const { version, assertionKeys, authority, administers, agents, status, signIn } = parts;
  const app = new Hono<{ Bindings: AppBindings }>();

  app.use(async (c, next) => {
    await next();
    for (const [name, value] of Object.entries(await pageHeaders())) c.header(name, value);
  });

  app.get("/", async (c) => {
    const { identity, source } = c.env;
    const page =
      identity !== null && administers(identity, source) ? (
        <StatusPage snapshot={await status.snapshot()} identity={identity} />
      ) : (
        <Page version={version} identity={identity} signIn={signIn} />
      );
    return c.html(`<!doctype html>${page.toString()}`);
  });
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
  app.route(
    "/",
    createStatusEvents(status.watch, ({ identity, source }) => administers(identity, source)),
  );
  app.route("/", createConnect());
  if (authority !== null) app.route("/", createAuthorityApi(authority));
  app.onError((_, c) => c.json({ error: { reason: "internal", detail: "the log says why" } }, 500));
  app.notFound((c) => c.json({ error: { reason: "not_found", detail: `nothing at ${c.req.path}` } }, 404));
  return app;
}
