import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { connect } from "node:http2";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import type { TLSSocket } from "node:tls";
import { dial, firstBytes, readAll } from "../support/client.ts";
import {
  extension,
  type Holder,
  hourMs,
  leaf,
  leafExtensions,
  name,
  pem,
  root,
} from "../support/crafted-certificates.ts";
import { type CrlPlan, crl, crlPem } from "../support/crafted-crl.ts";
import { oid, seq, tlv } from "../support/der.ts";
import { OpensslResponder } from "../support/ocsp-responder.ts";
import { skipWithoutOpenssl } from "../support/openssl.ts";
import { newestLibpq, startPostgres } from "../support/postgres.ts";
import { missing, program } from "../support/programs.ts";
import {
  createSite,
  environment,
  type Site,
  sallyport,
  startRouter,
  type TestRouter,
} from "../support/router.ts";
import { run } from "../support/run.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

let site: Site;
let upstream: Upstream;
const anchor = root({ notAfter: Date.now() + 365 * 24 * hourMs });
let serials = 0x20;

/** A client whose serial number is known, saved under its name. */
function client(who: string, lifeMs = hourMs): { readonly serial: string } {
  const serial = (++serials).toString(16);
  const holder: Holder = leaf(anchor, {
    serial,
    subject: name(["CN", who]),
    notAfter: Date.now() + lifeMs,
  });
  const key = holder.keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
  site.save(who, { cert: pem(holder.der), key });
  return { serial };
}

const infoAccess = (url: string): Uint8Array =>
  extension("1.3.6.1.5.5.7.1.1", seq(seq(oid("1.3.6.1.5.5.7.48.1"), tlv(0x86, Buffer.from(url)))));

const path = (file: string): string => `${site.folder}/${file}`;
/** Put in place whole, as careful people do. */
function write(file: string, contents: string | Uint8Array): void {
  writeFileSync(path(`${file}.new`), contents);
  renameSync(path(`${file}.new`), path(file));
}
let numbers = 0;
const list = (plan: CrlPlan = {}): string =>
  crlPem(crl(anchor, { thisUpdate: Date.now() - hourMs + ++numbers * 1000, number: numbers, ...plan }));

before(async () => {
  site = await createSite(["localhost", "a.test", "b.test", "half.test", "pg.test"]);
  upstream = await tcpUpstream(echo);
  writeFileSync(path("anchor.crt"), pem(anchor.der));
});
after(() => {
  upstream?.close();
  site?.remove();
});

const settings = (more: Readonly<Record<string, string>>) => ({
  SALLYPORT_CLIENT_CA: path("anchor.crt"),
  SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
  ...more,
});

async function answers(socket: TLSSocket): Promise<string | null> {
  socket.write("hello");
  return (await firstBytes(socket))?.toString() ?? null;
}

/** Whether a new connection is served. */
async function servedAt(name: string, router: TestRouter, as: string, more = {}): Promise<boolean> {
  try {
    const socket = await dial(site, router.port, name, { as, ...more });
    const answer = await answers(socket);
    socket.destroy();
    return answer === "hello";
  } catch {
    return false;
  }
}

const served = (router: TestRouter, as: string, more = {}): Promise<boolean> =>
  servedAt("a.test", router, as, more);

describe("a router whose list and deny list grow", () => {
  let router: TestRouter;
  let patient: Upstream;
  /** Of connections to `half.test`. */
  const gone: Promise<unknown>[] = [];
  const revoked: string[] = [];
  const revoke = (serial: string): void => {
    revoked.push(serial);
    write("live.crl", list({ revoked }));
  };
  /** Each case looks for its own client. */
  const recorded = (who: string, alpn: string | null = null) =>
    router.record(
      (one) =>
        one.reason === "client_cert_revoked" &&
        one.identity?.subject === `CN=${who}` &&
        (alpn === null || one.alpn === alpn),
    );
  before(async () => {
    patient = await tcpUpstream((socket) => {
      gone.push(new Promise((resolve) => socket.once("close", resolve)));
      socket.write("hello");
      socket.resume();
      // Both ends are closed for it by then: it finds out when it speaks.
      const speaking = setInterval(() => socket.write("."), 200);
      socket.once("close", () => clearInterval(speaking));
    });
    write("live.crl", list());
    write("own.crl", list({ revoked: [client("half").serial] }));
    write("deny", "# nobody yet\n");
    router = await startRouter(
      site,
      settings({
        SALLYPORT_CRL: path("live.crl"),
        SALLYPORT_DENY: path("deny"),
        SALLYPORT_ROUTE_B: `tcp://127.0.0.1:${upstream.port}?sni=b.test&crl=${path("own.crl")}`,
        SALLYPORT_ROUTE_HALF: `tcp://127.0.0.1:${patient.port}?sni=half.test`,
      }),
    );
  });
  after(async () => {
    await router?.stop();
    patient?.close();
  });

  for (const how of ["a list", "a deny list"] as const) {
    it(`keeps a revoked certificate out, new, resumed and live, within five seconds of ${how}`, async () => {
      const [lost, kept] = [`lost-${how.length}`, `kept-${how.length}`];
      const { serial } = client(lost);
      client(kept);
      const sessions: Buffer[] = [];
      const live = await dial(site, router.port, "a.test", { as: lost });
      live.on("session", (session) => sessions.push(session));
      const other = await dial(site, router.port, "a.test", { as: kept });
      assert.equal(await answers(live), "hello");
      assert.equal(await answers(other), "hello");
      assert.ok(sessions.length > 0, "there is a session to resume");
      const end = readAll(live);

      if (how === "a list") revoke(serial);
      else write("deny", `${serial}\n`);
      await recorded(lost);
      await end;
      assert.equal(await served(router, lost), false, "new");
      assert.equal(await served(router, lost, { session: sessions.at(-1) }), false, "resumed");
      assert.equal(await answers(other), "hello", "its neighbour goes on");
      assert.equal(await served(router, kept), true);
      other.destroy();
    });
  }

  it("keeps it out of resumed TLS 1.2 sessions too", async () => {
    const from = router.now();
    const { serial } = client("old-tls");
    const socket = await dial(site, router.port, "a.test", { as: "old-tls", maxVersion: "TLSv1.2" });
    assert.equal(await answers(socket), "hello");
    const session = socket.getSession();
    socket.destroy();
    assert.equal(await served(router, "old-tls", { session, maxVersion: "TLSv1.2" }), true);
    revoke(serial);
    for (let i = 0; i < 1200 && (await served(router, "old-tls", { session, maxVersion: "TLSv1.2" })); i++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(await served(router, "old-tls", { session, maxVersion: "TLSv1.2" }), false);
    await router.record((one) => one.resumed && one.reason === "client_cert_revoked", from);
  });

  it("keeps it out of the routes with the list, and of no other", async () => {
    assert.equal(await servedAt("b.test", router, "half"), false);
    assert.equal(await served(router, "half"), true);
  });

  it("ends a connection whose client has ended its half, its upstream included", async () => {
    const { serial } = client("half-closed");
    const socket = await dial(site, router.port, "half.test", { as: "half-closed" });
    assert.equal(String(await firstBytes(socket)), "hello");
    socket.end();
    await new Promise((resolve) => setTimeout(resolve, 300));
    revoke(serial);
    await recorded("half-closed");
    await Promise.all(gone);
    assert.equal(gone.length, 1);
  });

  it("ends a web connection that is kept alive, over HTTP/1.1 and HTTP/2", async () => {
    const { serial } = client("surfer");
    const pair = { cert: readFileSync(path("surfer.crt")), key: readFileSync(path("surfer.key")) };
    const ca = readFileSync(path("ca.crt"));
    const h1 = await dial(site, router.port, "localhost", { as: "surfer", ALPNProtocols: ["http/1.1"] });
    h1.write("GET /v1/whoami HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert.match(String(await firstBytes(h1)), /200 OK/);
    const h2 = connect(`https://localhost:${router.port}`, { ...pair, ca });
    h2.on("error", () => {});
    const stream = h2.request({ ":path": "/v1/whoami" });
    const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
    assert.equal(headers[":status"], 200);
    stream.resume();
    const ends = [readAll(h1), once(h2, "close")];
    revoke(serial);
    await Promise.all(ends);
    for (const alpn of ["http/1.1", "h2"]) await recorded("surfer", alpn);
  });
});

describe("a session of psql", {
  skip: missing("psql", "initdb") || (newestLibpq === undefined ? "no libpq that begins with TLS" : false),
}, () => {
  it("ends when its certificate is revoked", async (test) => {
    const { serial } = client("analyst");
    write("pg.crl", list());
    const postgres = await startPostgres("installed");
    test.after(() => postgres.stop());
    const router = await startRouter(
      site,
      settings({
        SALLYPORT_CRL: path("pg.crl"),
        SALLYPORT_ROUTE_PG: `tcp://127.0.0.1:${postgres.port}?sni=pg.test&alpn=postgresql`,
      }),
    );
    test.after(() => router.stop());
    const connection = `host=pg.test hostaddr=127.0.0.1 port=${router.port} user=postgres dbname=postgres sslnegotiation=direct sslmode=verify-full sslrootcert=${path("ca.crt")} sslcert=${path("analyst.crt")} sslkey=${path("analyst.key")}`;
    const psql = spawn(program("psql"), ["--no-psqlrc", "-tA", connection], {
      env: { PATH: process.env.PATH, HOME: site.folder, LD_LIBRARY_PATH: newestLibpq },
    });
    test.after(() => psql.kill("SIGKILL"));
    let said = "";
    const says = (what: RegExp): Promise<void> =>
      new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`psql said ${said}`)), 60_000);
        const look = (): void => {
          if (!what.test(said)) return;
          clearTimeout(late);
          resolve();
        };
        for (const stream of [psql.stdout, psql.stderr])
          stream.on("data", (chunk) => {
            said += chunk;
            look();
          });
        look();
      });
    psql.stdin.on("error", () => {});
    psql.stdin.write("select 6 * 7;\n");
    await says(/42/);
    write("pg.crl", list({ revoked: [serial] }));
    const record = await router.record((one) => one.reason === "client_cert_revoked");
    assert.deepEqual([record.route, record.identity?.subject], ["pg", "CN=analyst"]);
    psql.stdin.write("select 7 * 7;\n");
    await says(/server closed the connection|connection to server was lost|SSL|EOF/i);
    assert.doesNotMatch(said, /49/);
  });
});

describe("a list at a URL", () => {
  let server: Server;
  let answer: { status: number; body: Buffer | string } = { status: 503, body: "" };
  let asked = 0;
  let url = "";
  before(async () => {
    server = createServer((_, response) => {
      asked++;
      response.writeHead(answer.status).end(answer.body);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    url = `http://127.0.0.1:${(server.address() as { port: number }).port}/a.crl`;
  });
  after(() => server?.close());

  it("is asked for, in DER too, and again before it ends", async (test) => {
    const { serial } = client("remote");
    answer = {
      status: 200,
      // Good for so long from when it is asked for, however long the router takes to get there.
      get body() {
        const now = Date.now();
        return Buffer.from(crl(anchor, { thisUpdate: now - 5000, nextUpdate: now + 4000 }));
      },
    };
    const router = await startRouter(site, settings({ SALLYPORT_CRL: url }));
    test.after(() => router.stop());
    assert.equal(await served(router, "remote"), true);
    const live = await dial(site, router.port, "a.test", { as: "remote" });
    assert.equal(await answers(live), "hello");
    const now = Date.now();
    answer = {
      status: 200,
      body: Buffer.from(
        crl(anchor, { number: 2, thisUpdate: now - 2000, nextUpdate: now + hourMs, revoked: [serial] }),
      ),
    };
    await readAll(live);
    await router.record((one) => one.reason === "client_cert_revoked");
    assert.equal(await served(router, "remote"), false);
  });

  it("that can't be had keeps everybody out, says so once, and lets in where the rule is soft", async (test) => {
    client("waiting");
    answer = { status: 503, body: "" };
    const before = asked;
    const hard = await startRouter(site, settings({ SALLYPORT_CRL: url }));
    test.after(() => hard.stop());
    for (let i = 0; i < 3; i++) assert.equal(await served(hard, "waiting"), false);
    const record = await hard.record((one) => one.reason === "client_cert_untrusted");
    assert.match(record.detail ?? "", /was never read/);
    assert.ok(asked > before);
    assert.equal(hard.errors().match(/it answers 503/g)?.length, 1, hard.errors());
    const metrics = await (await fetch(`http://127.0.0.1:${hard.adminPort}/metrics`)).text();
    assert.match(metrics, /sallyport_crl_refresh_total\{source="http:[^"]*",result="failed"\} \d/);

    const soft = await startRouter(site, settings({ SALLYPORT_CRL: url, SALLYPORT_CRL_RULE: "soft" }));
    test.after(() => soft.stop());
    assert.equal(await served(soft, "waiting"), true);
  });
});

describe("a list in a file", () => {
  it("that is broken, older or gone later leaves the last good one in force", async (test) => {
    const { serial } = client("thief");
    client("honest");
    const old = list();
    write("robust.crl", list({ revoked: [serial] }));
    const router = await startRouter(site, settings({ SALLYPORT_CRL: path("robust.crl") }));
    test.after(() => router.stop());
    const said = async (what: RegExp): Promise<void> => {
      for (let i = 0; i < 2400 && !what.test(router.errors()); i++)
        await new Promise((resolve) => setTimeout(resolve, 25));
      assert.match(router.errors(), what);
      assert.equal(await served(router, "thief"), false);
      assert.equal(await served(router, "honest"), true);
    };
    write("robust.crl", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n");
    await said(/holds a list that can't be used/);
    write("robust.crl", old);
    await said(/is older than the one before/);
    renameSync(path("robust.crl"), path("elsewhere"));
    await said(/no such file any more/);
    const metrics = await (await fetch(`http://127.0.0.1:${router.adminPort}/metrics`)).text();
    assert.match(metrics, /sallyport_crl_expiry_seconds\{source="[^"]*robust\.crl"\} \d+/);
  });

  const several = {
    SALLYPORT_CRL: "http://me:hunter2@crl.test/a.crl",
    SALLYPORT_ROUTE_X: "tcp://127.0.0.1:1?sni=x.test&crl=nowhere.crl",
    SALLYPORT_DENY: "README.md",
  };
  const wrong: Readonly<Record<string, readonly [Record<string, string>, ...RegExp[]]>> = {
    "is missing": [
      { SALLYPORT_CRL: "nowhere.crl" },
      /SALLYPORT_CRL: nowhere\.crl can't be read \(no such file\)/,
    ],
    "is no list": [{ SALLYPORT_CRL: "README.md" }, /SALLYPORT_CRL: README\.md holds no revocation list/],
    "has a password in its URL, is none of a route's, or denies in words": [
      several,
      /SALLYPORT_CRL: holds a URL with a user's name or password/,
      /SALLYPORT_ROUTE_X: crl= nowhere\.crl can't be read/,
      /SALLYPORT_DENY: README\.md, line 3: expected a serial/,
    ],
  };
  for (const [what, [more, ...messages]] of Object.entries(wrong)) {
    it(`that ${what} at the start stops the start`, async () => {
      const [command, ...args] = sallyport;
      const { status, err } = await run(command, [...args, "check"], {
        env: environment({
          SALLYPORT_CERT: path("server.crt"),
          SALLYPORT_KEY: path("server.key"),
          ...settings(more),
        }),
      });
      assert.equal(status, 2, err);
      for (const message of messages) assert.match(err, message);
      assert.doesNotMatch(err, /hunter2/);
    });
  }
});

describe("an open connection", () => {
  it("does not outlive its certificate by more than the route bears with", async (test) => {
    client("lasting");
    const router = await startRouter(
      site,
      settings({
        SALLYPORT_EXPIRY_GRACE: "0s",
        SALLYPORT_ROUTE_B: `tcp://127.0.0.1:${upstream.port}?sni=b.test&expiry_grace=off`,
      }),
    );
    test.after(() => router.stop());
    client("brief", 6000);
    const closed = await dial(site, router.port, "a.test", { as: "brief" });
    const borne = await dial(site, router.port, "b.test", { as: "brief" });
    const lasting = await dial(site, router.port, "a.test", { as: "lasting" });
    for (const socket of [closed, borne, lasting]) assert.equal(await answers(socket), "hello");
    await readAll(closed);
    const record = await router.record((one) => one.reason === "client_cert_expired");
    assert.deepEqual([record.route, record.identity?.subject], ["a", "CN=brief"]);
    for (const socket of [borne, lasting]) assert.equal(await answers(socket), "hello");
    assert.equal(await served(router, "brief"), false, "and nobody comes in with it");
    borne.destroy();
    lasting.destroy();
  });
});

describe("a responder (OCSP)", { skip: skipWithoutOpenssl }, () => {
  it("is asked as the certificate or the configuration has it, and its silence counts as the rule says", async (test) => {
    const good = client("asked-good");
    const bad = client("asked-bad");
    const responder = new OpensslResponder(anchor, anchor, {
      [good.serial]: "good",
      [bad.serial]: "revoked",
    });
    test.after(() => responder.remove());
    const listening = await responder.listen();
    const named = leaf(anchor, {
      serial: good.serial,
      subject: name(["CN", "names-its-own"]),
      extensions: [...leafExtensions, infoAccess(listening.url)],
    });
    const key = named.keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    site.save("names-its-own", { cert: pem(named.der), key });
    const start = (more: Readonly<Record<string, string>>) => startRouter(site, settings(more));
    const hard = await start({ SALLYPORT_OCSP: "hard", SALLYPORT_OCSP_URL: listening.url });
    const soft = await start({ SALLYPORT_OCSP: "soft", SALLYPORT_OCSP_URL: listening.url });
    const own = await start({ SALLYPORT_OCSP: "hard" });
    test.after(() => Promise.all([hard, soft, own].map((router) => router.stop())));

    for (const router of [hard, soft]) {
      assert.equal(await served(router, "asked-good"), true);
      assert.equal(await served(router, "asked-bad"), false);
      await router.record((one) => one.reason === "client_cert_revoked");
    }
    assert.equal(await served(own, "names-its-own"), true);
    assert.equal(await served(own, "asked-good"), false, "it names nobody to ask");
    await listening.stop();
    client("asked-late");
    assert.equal(await served(hard, "asked-good"), true, "an answer is remembered");
    assert.equal(await served(hard, "asked-late"), false);
    assert.equal(await served(soft, "asked-late"), true);
    assert.equal(await served(soft, "asked-bad"), false, "a revocation is remembered");
    const record = await hard.record((one) => one.reason === "client_cert_untrusted");
    assert.match(record.detail ?? "", /whether it is revoked can't be told/);
    for (let i = 0; i < 2400 && !/gives no good answer/.test(hard.errors()); i++)
      await new Promise((resolve) => setTimeout(resolve, 25));
    assert.equal(hard.errors().match(/gives no good answer/g)?.length, 1);
    const metrics = await (await fetch(`http://127.0.0.1:${hard.adminPort}/metrics`)).text();
    assert.match(metrics, /sallyport_ocsp_requests_total\{result="failed"\} 1\n/);
  });
});

describe("a reload under way that asks for a list of its own", () => {
  it("takes up what is denied later, whoever leaves meanwhile", async (test) => {
    let asked = (): void => {};
    const hasAsked = new Promise<void>((resolve) => {
      asked = resolve;
    });
    let answer = (): void => {};
    const lists = createServer((_, response) => {
      answer = () => response.end(crl(anchor, { thisUpdate: Date.now() - hourMs, number: ++numbers }));
      asked();
    }).listen(0, "127.0.0.1");
    await once(lists, "listening");
    test.after(() => lists.close());
    const { port } = lists.address() as AddressInfo;
    client("stays");
    const { serial } = client("denied-later");
    const target = `tcp://127.0.0.1:${upstream.port}`;
    const routes = (a: string, b: string): void =>
      write("lists.routes", `A=${target}?sni=a.test${a}\nB=${target}?sni=b.test${b}\n`);
    routes("", "");
    write("later.deny", "");
    const router = await startRouter(site, {
      SALLYPORT_CLIENT_CA: path("anchor.crt"),
      SALLYPORT_ROUTES_FILE: path("lists.routes"),
      SALLYPORT_DENY: path("later.deny"),
    });
    test.after(() => router.stop());
    const told = async (times: number): Promise<void> => {
      for (let i = 0; i < 2400 && router.errors().split("was read anew").length <= times; i++)
        await new Promise((resolve) => setTimeout(resolve, 25));
    };
    const leaving = await dial(site, router.port, "a.test", { as: "stays" });
    routes("&idle_timeout=5m", "");
    router.process.kill("SIGHUP");
    await told(1);
    routes("&idle_timeout=5m", `&crl=http://127.0.0.1:${port}/b.crl`);
    router.process.kill("SIGHUP");
    await hasAsked;
    const { localPort } = leaving;
    leaving.destroy();
    await router.record(({ source }) => source.endsWith(`:${localPort}`));
    answer();
    await told(2);
    const open = await dial(site, router.port, "b.test", { as: "denied-later" });
    write("later.deny", `${serial}\n`);
    // The connection that is open ends, and no other one is let in.
    await readAll(open);
    const again = await dial(site, router.port, "b.test", { as: "denied-later" });
    const port2 = again.localPort;
    await readAll(again);
    const record = await router.record(({ source }) => source.endsWith(`:${port2}`));
    assert.equal(record.reason, "client_cert_revoked");
  });
});
