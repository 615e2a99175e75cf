import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { type AddressInfo, connect, createServer } from "node:net";
import { after, before, describe, it } from "node:test";
import { dial, firstBytes } from "../support/client.ts";
import { newestLibpq, type Postgres, startPostgres } from "../support/postgres.ts";
import { missing, program } from "../support/programs.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { run } from "../support/run.ts";
import { StateServer, settled } from "../support/state.ts";
import { TokenIssuer } from "../support/token-issuer.ts";
import { WebBrowser } from "../support/web-browser.ts";

const needed = missing("redis-server", "psql");
const newest = newestLibpq === undefined ? "no Postgres from npm on this platform" : false;

/** A balancer that hands the first connection to the first router, the next to the next, and so on. */
async function inTurn(routers: readonly TestRouter[]): Promise<{ readonly port: number; close(): void }> {
  let next = 0;
  const server = createServer((client) => {
    const router = connect(routers[next++ % routers.length]?.port ?? 0, "127.0.0.1");
    for (const [from, to] of [
      [client, router],
      [router, client],
    ] as const)
      from
        .on("error", () => {})
        .on("close", () => to.destroy())
        .pipe(to);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { port: (server.address() as AddressInfo).port, close: () => void server.close() };
}

describe("a session at one router, and another router that hears of its end", {
  skip: needed || newest,
}, () => {
  let site: Site;
  let redis: StateServer;
  let server: Postgres;
  let issuer: TokenIssuer;
  let routers: readonly [TestRouter, TestRouter];
  let balancer: { readonly port: number; close(): void };

  const file = (name: string): string => `${site.folder}/${name}`;

  before(async () => {
    site = await createSite(["localhost", "orders.example.com"]);
    [redis, server, issuer] = await Promise.all([
      StateServer.start(site),
      startPostgres("newest"),
      TokenIssuer.start(),
    ]);
    Object.assign(issuer.documents["/.well-known/openid-configuration"] as object, {
      authorization_endpoint: `${issuer.issuer}/authorize`,
      token_endpoint: `${issuer.issuer}/token`,
      id_token_signing_alg_values_supported: ["ES256"],
    });
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const start = (): Promise<TestRouter> =>
      startRouter(site, {
        SALLYPORT_ROUTE_ORDERS: `postgres://postgres@127.0.0.1:${server.port}?sni=orders.example.com`,
        SALLYPORT_HOST_LOGIN: "oidc",
        SALLYPORT_OIDC_STAFF: `${issuer.issuer}?client_id=sallyport&email={email}`,
        SALLYPORT_JWT_KEY: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
        SALLYPORT_STATE_URL: `redis://127.0.0.1:${redis.port}`,
        SALLYPORT_STATE_SECRET: Buffer.alloc(32, 7).toString("base64"),
      });
    routers = await Promise.all([start(), start()]);
    balancer = await inTurn(routers);
  });
  after(async () => {
    await Promise.all(routers?.map((router) => router.stop()) ?? []);
    balancer?.close();
    redis?.stop();
    server?.stop();
    issuer?.close();
    site?.remove();
  });

  /** How many sessions sleep. */
  async function asleep(): Promise<string> {
    const asked =
      "select count(*) from pg_stat_activity where state = 'active' and query like 'select ''asleep''%'";
    const to = `host=127.0.0.1 port=${server.port} user=postgres dbname=postgres`;
    return (await run(program("psql"), ["-XtAc", asked, to], { env: { PATH: process.env.PATH } })).out.trim();
  }

  it("Ctrl-C in psql, whose request to cancel comes to the other router", async () => {
    const to = [
      `host=orders.example.com hostaddr=127.0.0.1 port=${balancer.port} user=postgres dbname=postgres`,
      `sslmode=verify-full sslrootcert=${file("ca.crt")} sslcert=${file("alice.crt")} sslkey=${file("alice.key")}`,
    ].join(" ");
    const args = ["--no-psqlrc", to, "--command=select 'asleep', pg_sleep(60)"];
    const child = spawn(program("psql"), args, { env: { PATH: process.env.PATH, HOME: site.folder } });
    const late = setTimeout(() => child.kill("SIGKILL"), 50_000);
    let said = "";
    child.stderr.on("data", (chunk) => {
      said += chunk;
    });
    const ended = new Promise<string>((resolve) => child.once("close", () => resolve(said)));
    await settled(async () => said !== "" || (await asleep()) === "1");
    child.kill("SIGINT");
    assert.match(await ended, /canceling statement due to user request/);
    clearTimeout(late);
    assert.equal(await asleep(), "0");
    const [first, second] = routers;
    const session = await first.record(({ route }) => route === "orders");
    const request = await second.record(({ sni }) => sni === null);
    assert.deepEqual(
      [session.adapter, session.outcome, request.route, request.outcome],
      ["postgres", "served", null, "served"],
    );
  });

  const own = "https://localhost/.well-known/sallyport";

  /** Somebody who goes to the provider from the first router, and comes back to the second. */
  async function signedIn(): Promise<WebBrowser> {
    const [first, second] = routers;
    const visitor = new WebBrowser(site, () => first.port, "HTTP/1.1");
    const query = new URL((await visitor.open(`${own}/sign-in`)).field("location")).searchParams;
    issuer.documents["/token"] = {
      access_token: "any",
      token_type: "bearer",
      id_token: await issuer.token({ nonce: query.get("nonce") }),
    };
    const same = new WebBrowser(site, () => second.port, "HTTP/1.1");
    same.jar.set("localhost", visitor.jar.get("localhost") ?? new Map());
    const back = new URLSearchParams({ code: "c", state: query.get("state") ?? "" });
    const done = await same.open(`${own}/callback?${back}`);
    assert.equal(done.field("location"), "https://localhost/", done.body);
    return same;
  }

  /** A connection to each router; says what those are answered who show the cookie. */
  async function everywhere(cookie: string): Promise<() => Promise<string[]>> {
    const held = await Promise.all(
      routers.map(({ port }) => dial(site, port, "localhost", { as: null, ALPNProtocols: ["http/1.1"] })),
    );
    return () =>
      Promise.all(
        held.map(async (socket) => {
          socket.write(`HEAD /v1/whoami HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\n\r\n`);
          return (await firstBytes(socket))?.toString().slice(9, 12) ?? "";
        }),
      );
  }
  const leave = { method: "POST", headers: { Origin: "https://localhost" } };

  it("a browser that signs out at one router is signed out at the other", async () => {
    const browser = await signedIn();
    const statuses = await everywhere(browser.cookiesFor("https://localhost/"));
    assert.deepEqual(await statuses(), ["200", "200"]);
    assert.equal((await browser.open(`${own}/sign-out`, leave)).status, 200);
    await settled(async () => (await statuses()).join() === "401,401");
  });

  it("one that signed out while Redis was away is signed out at the other once it is back", async () => {
    const browser = await signedIn();
    const statuses = await everywhere(browser.cookiesFor("https://localhost/"));
    redis.kill();
    await settled(async () => {
      const answers = routers.map(({ adminPort }) => fetch(`http://127.0.0.1:${adminPort}/readyz`));
      const texts = await Promise.all(answers.map(async (answer) => (await answer).text()));
      return texts.every((text) => text.includes("state: away"));
    });
    assert.equal((await browser.open(`${own}/sign-out`, leave)).status, 200);
    assert.deepEqual(await statuses(), ["200", "401"]);
    await redis.revive();
    await settled(async () => (await statuses()).join() === "401,401");
  });
});
