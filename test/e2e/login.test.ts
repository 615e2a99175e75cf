import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { Authority } from "../../src/authority/authority.ts";
import { agentLink } from "../../src/cli/agent.ts";
import { openClient } from "../../src/cli/client.ts";
import type { CertificateRecord } from "../../src/enrolment/record.ts";
import type { ClientPair } from "../../src/local/link.ts";
import { agentBy } from "../support/agents.ts";
import { logInWithChromium } from "../support/chromium.ts";
import { dialTcp, firstBytes } from "../support/client.ts";
import { startProxy, type TestProxy } from "../support/local-proxy.ts";
import { type OpenIdProvider, startOpenIdProvider, Visitor } from "../support/openid-provider.ts";
import { findProgram } from "../support/programs.ts";
import { environment, type Site, sallyport, startRouter, type TestRouter } from "../support/router.ts";
import { type Finished, run } from "../support/run.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

let folder: string;
let provider: OpenIdProvider;
let echoing: Upstream;
let router: TestRouter;
const at = (name: string): string => join(folder, name);

const variables = (more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv =>
  environment({
    XDG_CONFIG_HOME: at("config"),
    SALLYPORT_ROUTER: `localhost:${router?.port}`,
    SALLYPORT_CA: at("ca/ca.crt"),
    ...more,
  });

const program = (args: readonly string[], more?: Readonly<Record<string, string>>): Promise<Finished> => {
  const [command, ...first] = sallyport;
  return run(command, [...first, ...args], { env: variables(more), ms: 60_000 });
};

async function good(...args: readonly string[]): Promise<string> {
  const { status, out, err } = await program(args);
  assert.equal(status, 0, err);
  return out;
}

/** A login that waits for somebody; what it says on the way is in `said`. */
class Login {
  readonly #child: ChildProcess;
  said = "";
  out = "";
  readonly status: Promise<number | null>;

  constructor(args: readonly string[], more?: Readonly<Record<string, string>>) {
    const [command, ...first] = sallyport;
    this.#child = spawn(command, [...first, "login", ...args], {
      env: variables(more),
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child.stderr?.on("data", (chunk) => {
      this.said += chunk;
    });
    this.#child.stdout?.on("data", (chunk) => {
      this.out += chunk;
    });
    this.status = new Promise((resolve) => this.#child.once("close", resolve));
  }

  async until(words: RegExp): Promise<string> {
    for (let i = 0; i < 2400; i++) {
      const [, found] = words.exec(this.said) ?? [];
      if (found !== undefined) return found;
      await new Promise((next) => setTimeout(next, 25));
    }
    throw new Error(`it never said ${words}: ${this.said}`);
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

/** The first record of a request for a certificate that fits; it is written a moment after the answer. */
const recorded = async (fits: (record: CertificateRecord) => boolean): Promise<CertificateRecord> =>
  (await router.record((record) => {
    const one = record as unknown as CertificateRecord;
    return one.event === "certificate" && fits(one);
  })) as unknown as CertificateRecord;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "sallyport-login-"));
  provider = await startOpenIdProvider();
  await good("ca", "init", "--dir", at("ca"), "--name", "Test");
  await good(
    "ca",
    "server",
    "--dir",
    at("ca"),
    "--name",
    "localhost",
    "--name",
    "echo.localhost",
    "--name",
    "edge.localhost",
    "--out",
    at("server"),
  );
  const site = { folder } as Site;
  const rules = "client_id=sallyport&scope=openid email groups&group={groups}&email={email}";
  echoing = await tcpUpstream(echo);
  router = await startRouter(site, {
    SALLYPORT_ROUTE_ECHO: `tcp://127.0.0.1:${echoing.port}?sni=echo.localhost`,
    SALLYPORT_ROUTE_EDGE: "tcp://echo?sni=edge.localhost&via=edge",
    SALLYPORT_TUNNEL_ALLOW: "edge=cn:laptop",
    SALLYPORT_CLIENT_CA: at("ca/ca.crt"),
    SALLYPORT_AUTHORITY: at("ca"),
    SALLYPORT_OIDC_STAFF: `${provider.issuer}?${rules}&uri=spiffe://example.com/user/{sub}`,
  });
});
after(async () => {
  await router?.stop();
  echoing?.close();
  provider?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Through the provider's pages, up to its last redirect. */
async function logInAs(name: string, url: string, visitor = new Visitor()): Promise<Visitor> {
  await visitor.open(url);
  await visitor.submit({ login: name, password: "any" });
  await visitor.submit({});
  return visitor;
}

const address = /Log in with your browser: (\S+)/;

describe("login with a browser", () => {
  it("gets a certificate for whom the provider knows, and keeps its key to itself", async () => {
    const login = new Login(["--no-browser", "--json"]);
    const visitor = await logInAs("alice", await login.until(address));
    assert.match(visitor.html, /window can be closed/);
    assert.equal(await login.status, 0, login.said);
    const status = JSON.parse(login.out) as Record<string, unknown>;
    assert.equal(status.valid, true);
    assert.equal(status.subject, "CN=alice@example.com,OU=payments");
    assert.equal(status.spiffe, "spiffe://example.com/user/alice");
    const mode = (path: string): number => statSync(at(path)).mode & 0o777;
    assert.equal(mode("config/sallyport"), 0o700);
    assert.equal(mode("config/sallyport/client.key"), 0o600);
    const record = await recorded(({ serial }) => serial === status.serial);
    assert.equal(record.outcome, "served");
    assert.equal(record.credential, "id_token");
    assert.equal(record.voucher, "staff:alice");
  });

  it("takes no redirect that another page made", async () => {
    const login = new Login(["--no-browser"]);
    const url = new URL(await login.until(address));
    const back = url.searchParams.get("redirect_uri") ?? "";
    for (const query of ["", "?code=stolen", "?code=stolen&state=guessed"])
      assert.equal((await fetch(back + query)).status, 400, query);
    assert.equal((await fetch(back.replace("/callback", "/"))).status, 404);
    // The one that was begun here still goes on.
    await logInAs("bob", url.href);
    assert.equal(await login.status, 0, login.said);
    assert.match(login.out, /CN=bob@example\.com/);
  });

  it("asks with PKCE, a state, and a nonce that is the hash of its key", async () => {
    const login = new Login(["--no-browser"]);
    const { searchParams } = new URL(await login.until(address));
    login.kill();
    assert.equal(searchParams.get("code_challenge_method"), "S256");
    assert.equal(searchParams.get("code_challenge")?.length, 43);
    assert.equal(searchParams.get("nonce")?.length, 43);
    assert.ok((searchParams.get("state")?.length ?? 0) >= 43);
  });

  it("says so when the provider refuses", async () => {
    const login = new Login(["--no-browser"]);
    const url = new URL(await login.until(address));
    const back = new URL(url.searchParams.get("redirect_uri") ?? "");
    back.searchParams.set("state", url.searchParams.get("state") ?? "");
    back.searchParams.set("error", "access_denied");
    back.searchParams.set("iss", provider.issuer);
    await fetch(back);
    assert.equal(await login.status, 1);
    assert.match(login.said, /the provider refuses: access_denied/);
  });

  it("gives up when nobody comes", async () => {
    const login = new Login(["--no-browser", "--timeout", "1s"]);
    assert.equal(await login.status, 1);
    assert.match(login.said, /nobody logged in within 1 s/);
  });
});

describe("login in a real browser", () => {
  const chromium = findProgram("chromium") ?? findProgram("chromium-browser");
  it("is opened by us with the address that is printed", async () => {
    writeFileSync(
      at("browser"),
      `#!/bin/sh\nprintf %s "$1" > '${at("opened")}.new' && mv '${at("opened")}.new' '${at("opened")}'\n`,
      {
        mode: 0o755,
      },
    );
    const login = new Login([], { BROWSER: at("browser") });
    const url = await login.until(address);
    for (let i = 0; i < 2400 && !existsSync(at("opened")); i++)
      await new Promise((next) => setTimeout(next, 25));
    login.kill();
    assert.equal(readFileSync(at("opened"), "utf8"), url);
  });

  it("comes back with a login", {
    skip: chromium === undefined ? "not installed: chromium" : false,
  }, async () => {
    const login = new Login(["--no-browser"]);
    const shown = await logInWithChromium(chromium ?? "", await login.until(address), "carol");
    assert.match(shown, /window can be closed/);
    assert.equal(await login.status, 0, login.said);
    assert.match(login.out, /CN=carol@example\.com/);
  });
});

describe("login on another device", () => {
  it("gets a certificate once somebody has confirmed the code", async () => {
    const login = new Login(["--device"]);
    const where = await login.until(/Open (\S+) on any device/);
    const code = await login.until(/the code (\S+)/);
    const visitor = new Visitor();
    await visitor.open(where);
    assert.ok(visitor.html.includes(code));
    await visitor.submit({ confirm: "yes" });
    await visitor.submit({ login: "dave", password: "any" });
    await visitor.submit({});
    assert.equal(await login.status, 0, login.said);
    assert.match(login.out, /CN=dave@example\.com/);
  });
});

describe("login with a join token", () => {
  const make = async (...more: readonly string[]): Promise<string> =>
    (await good("ca", "token", "--dir", at("ca"), "--cn", "builder-7", "--group", "ci", ...more)).trim();

  it("gets one certificate; the token is then used up", async () => {
    const token = await make();
    assert.match(await good("login", "--token", token), /^you +CN=builder-7,OU=ci$/m);
    const again = await program(["login", "--token", token]);
    assert.equal(again.status, 1);
    assert.match(again.err, /refused: token_used/);
    const { outcome, identity, credential } = await recorded(({ reason }) => reason === "token_used");
    assert.deepEqual([outcome, identity?.name, credential], ["refused", "builder-7", "join_token"]);
    assert.ok(!router.errors().includes(token) && !JSON.stringify(router.records()).includes(token));
  });

  it("reads it from standard input", async () => {
    const token = await make();
    const [command, ...first] = sallyport;
    const { status, out, err } = await run(command, [...first, "login", "--token", "-"], {
      env: variables(),
      input: [`${token}\n`],
      ms: 60_000,
    });
    assert.equal(status, 0, err);
    assert.match(out, /builder-7/);
  });

  it("renews the certificate there is, with a new key", async () => {
    await good("login", "--token", await make());
    const key = readFileSync(at("config/sallyport/client.key"), "utf8");
    assert.match(await good("login", "--renew"), /^you +CN=builder-7,OU=ci$/m);
    assert.notEqual(readFileSync(at("config/sallyport/client.key"), "utf8"), key);
    const { identity } = await recorded(({ credential }) => credential === "certificate");
    assert.equal(identity?.name, "builder-7");
  });
});

describe("status and logout", () => {
  it("shows who, and exits with 1 when there is nobody", async () => {
    const shown = JSON.parse(await good("status", "--json")) as Record<string, unknown>;
    assert.equal(shown.subject, "CN=builder-7,OU=ci");
    assert.equal(shown.valid, true);
    assert.match(await good("logout"), /removed/);
    const none = await program(["status"]);
    assert.equal(none.status, 1);
    assert.match(none.err, /sallyport login/);
    const renewal = await program(["login", "--renew"]);
    assert.equal(renewal.status, 1);
    assert.match(renewal.err, /no certificate to renew/);
  });

  it("shows an expired certificate, and exits with 1", async () => {
    const files = { cert: readFileSync(at("ca/ca.crt"), "utf8"), key: readFileSync(at("ca/ca.key"), "utf8") };
    const authority = await Authority.open(files);
    const old = await authority.client({ commonName: "alice" }, 60_000, Date.now() - 3_600_000);
    const pair = { SALLYPORT_CLIENT_CERT: old.cert, SALLYPORT_CLIENT_KEY: old.key };
    const { status, out } = await program(["status"], pair);
    assert.equal(status, 1);
    assert.match(out, /^problem +expired at /m);
  });
});

describe("a router that can't be trusted", () => {
  it("is told nothing", async () => {
    const token = "sallyport-join-0000000000000000000000000000000000000000000";
    const { status, err } = await program(["login", "--token", token], { SALLYPORT_CA: "" });
    assert.equal(status, 1);
    assert.match(err, /the router at localhost:\d+ can't be asked/);
  });
});

describe("a certificate that runs out while a local proxy is open", () => {
  let proxy: TestProxy;
  /** What the profile holds, in its files. */
  const held = (): ClientPair => ({
    certificate: readFileSync(at("config/sallyport/client.crt"), "utf8"),
    key: readFileSync(at("config/sallyport/client.key"), "utf8"),
  });
  const hold = ({ certificate, key }: ClientPair): void => {
    writeFileSync(at("config/sallyport/client.crt"), certificate);
    writeFileSync(at("config/sallyport/client.key"), key);
  };
  /** Another, as the authority dates them: five minutes back. */
  const made = async (lifetimeMs: number, from?: number): Promise<ClientPair> => {
    const files = {
      cert: readFileSync(at("ca/issuing.crt"), "utf8"),
      key: readFileSync(at("ca/issuing.key"), "utf8"),
    };
    const authority = await Authority.open(files);
    const { cert, key } = await authority.client({ commonName: "laptop" }, lifetimeMs, from);
    return { certificate: cert.includes(files.cert.trim()) ? cert : `${cert}${files.cert}`, key };
  };
  /** Through the route to what the agent publishes. */
  const dialAs = (pair: ClientPair): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const socket = connect({
        host: "127.0.0.1",
        port: router.port,
        servername: "edge.localhost",
        ALPNProtocols: ["sallyport-tcp"],
        ca: readFileSync(at("ca/ca.crt")),
        cert: pair.certificate,
        key: pair.key,
      });
      socket.once("error", reject);
      socket.once("secureConnect", () => resolve(socket));
    });
  const answer = async (word: string): Promise<string | undefined> => {
    const socket = await dialTcp(proxy.port);
    socket.write(word);
    const bytes = await firstBytes(socket);
    socket.destroy();
    return bytes?.toString();
  };
  before(async () => {
    await good("login", "--token", (await good("ca", "token", "--dir", at("ca"), "--cn", "laptop")).trim());
    proxy = await startProxy(
      { folder } as Site,
      { router: `localhost:${router.port}`, as: null, env: { SALLYPORT_CA: at("ca/ca.crt") } },
      ["tcp", "echo"],
    );
  });
  after(() => proxy?.stop());

  it("is renewed on the way, and the proxy stays where it is", async () => {
    const first = held();
    assert.equal(await answer("one"), "one");
    assert.deepEqual(held(), first, "a good one is left alone");
    const nearItsEnd = await made(120_000);
    hold(nearItsEnd);
    assert.equal(await answer("two"), "two");
    assert.notEqual(held().key, nearItsEnd.key);
    const serial = new X509Certificate(held().certificate).serialNumber.toLowerCase();
    await router.record(({ route, identity }) => route === "echo" && identity?.serial === serial);
    assert.equal(proxy.said(), "");
  });

  it("is renewed by an agent, which dials anew with it while a stream goes on", async () => {
    // Due in six seconds: in the last third of a life that began five minutes back.
    const brief = await made(157_500);
    hold(brief);
    const serialOf = ({ certificate }: ClientPair): string =>
      new X509Certificate(certificate).serialNumber.toLowerCase();
    const client = await openClient({}, { ...variables(), SALLYPORT_TUNNEL: "never" });
    const told: string[] = [];
    const link = agentLink(client, (line) => told.push(line));
    const service = { host: "127.0.0.1", port: echoing.port };
    const edge = agentBy(link, client.runtime, "edge", { echo: service }, { lookEveryMs: 50 });
    await edge.until(/^connected/);
    const stream = await dialAs(brief);
    stream.write("before");
    assert.equal(String(await firstBytes(stream)), "before");
    await edge.until(/^moving: there is a new certificate$/);
    await edge.until(/^connected anew$/);
    const renewed = held();
    assert.notEqual(renewed.key, brief.key);
    await recorded((one) => one.credential === "certificate" && one.serial === serialOf(renewed));
    // By the new connection, whose certificate is the new one.
    const next = await dialAs(renewed);
    next.write("beside");
    assert.equal(String(await firstBytes(next)), "beside");
    stream.write("after");
    assert.equal(String(await firstBytes(stream)), "after");
    const ended = (serial: string) =>
      router.record(({ adapter, identity }) => adapter === "tunnel" && identity?.serial === serial);
    stream.end();
    assert.equal((await ended(serialOf(brief))).reason, "ok");
    next.end();
    edge.agent.stop();
    assert.equal((await ended(serialOf(renewed))).reason, "ok");
    assert.deepEqual(told, []);
  });

  it("is told of with what to do, and a new login is enough", async () => {
    const first = held();
    hold(await made(60_000, Date.now() - 3_600_000));
    assert.equal(await answer("three"), undefined);
    await proxy.until(/your certificate expired 59 min ago: run sallyport login/);
    hold(first);
    assert.equal(await answer("four"), "four");
  });
});
