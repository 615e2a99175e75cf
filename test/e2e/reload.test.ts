import assert from "node:assert/strict";
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import type { TLSSocket } from "node:tls";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { type Holder, hourMs, leaf, name, pem, root } from "../support/crafted-certificates.ts";
import { crl, crlPem } from "../support/crafted-crl.ts";
import { Authority, createAuthority } from "../support/pki.ts";
import { createSite, runtimeName, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, httpUpstream, tcpUpstream, type Upstream } from "../support/upstreams.ts";

let site: Site;
let upstream: Upstream;
let other: Authority;
before(async () => {
  site = await createSite(["localhost", "a.test", "b.test", "c.test"]);
  upstream = await tcpUpstream(echo);
  other = await Authority.open(await createAuthority("Other"));
  site.save("bob", await other.client({ commonName: "bob" }, 86_400_000));
});
after(() => {
  upstream?.close();
  site?.remove();
});

const path = (file: string): string => `${site.folder}/${file}`;
/** Put in place whole, as careful people do. */
function write(file: string, contents: string): void {
  writeFileSync(path(`${file}.new`), contents);
  renameSync(path(`${file}.new`), path(file));
}
const toUpstream = (query: string): string => `tcp://127.0.0.1:${upstream.port}?${query}`;

const told = (router: TestRouter): readonly Record<string, unknown>[] =>
  router
    .errors()
    .split("\n")
    .filter((line) => line.includes("the configuration was read anew"))
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** What the log says of the reload that `cause` brings about. */
async function reload(router: TestRouter, cause: () => void): Promise<Record<string, unknown>> {
  const before = told(router).length;
  cause();
  for (let i = 0; i < 2400; i++) {
    const line = told(router)[before];
    if (line !== undefined) return line;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`no reload: ${router.errors()}`);
}
const hangUp = (router: TestRouter) => () => void router.process.kill("SIGHUP");

async function answers(socket: TLSSocket): Promise<string | null> {
  socket.write("hello");
  return (await firstBytes(socket))?.toString() ?? null;
}

async function served(router: TestRouter, serverName: string, more = {}): Promise<boolean> {
  try {
    const socket = await dial(site, router.port, serverName, more);
    const answer = await answers(socket);
    socket.destroy();
    return answer === "hello";
  } catch {
    return false;
  }
}

/** The serial number of the certificate that a new connection sees. */
async function seen(router: TestRouter, serverName: string): Promise<string> {
  const socket = await dial(site, router.port, serverName);
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

const metrics = async ({ adminPort }: TestRouter): Promise<string> =>
  (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();

describe("certificates that are replaced on disk", () => {
  it("are what new connections see, through swapped links too, and an old connection carries on", async (test) => {
    // As Kubernetes mounts them.
    const folder = path("mounted");
    const put = async (version: string): Promise<void> => {
      mkdirSync(`${folder}/..${version}`, { recursive: true });
      const pair = await site.authority.server(["b.test"], hourMs);
      writeFileSync(`${folder}/..${version}/tls.crt`, pair.cert);
      writeFileSync(`${folder}/..${version}/tls.key`, pair.key);
      symlinkSync(`..${version}`, `${folder}/..next`);
      renameSync(`${folder}/..next`, `${folder}/..data`);
    };
    await put("1");
    for (const file of ["tls.crt", "tls.key"]) symlinkSync(`..data/${file}`, `${folder}/${file}`);
    const router = await startRouter(site, {
      SALLYPORT_CERT_DIR: folder,
      SALLYPORT_ROUTE_A: toUpstream("sni=a.test"),
      SALLYPORT_ROUTE_B: toUpstream("sni=b.test"),
    });
    test.after(() => router.stop());
    const live = await dial(site, router.port, "a.test");
    assert.equal(await answers(live), "hello");
    const before = [await seen(router, "a.test"), await seen(router, "b.test")];

    const pair = await site.authority.server(["localhost", "a.test", "b.test", "c.test"], hourMs);
    await put("2");
    // One after the other, as many write them; what stands there in between fits nothing.
    write("server.crt", pair.cert);
    const line = await reload(router, () => write("server.key", pair.key));
    rmSync(`${folder}/..1`, { recursive: true });
    assert.deepEqual(line.certificates, ["tls", "SALLYPORT_CERT"]);
    assert.equal(line.routes_changed, undefined);
    assert.match(String(line.why), /server\.crt .*server\.key .*mounted$/);
    assert.notEqual(await seen(router, "a.test"), before[0]);
    assert.notEqual(await seen(router, "b.test"), before[1]);
    assert.equal(await answers(live), "hello");
    const text = await metrics(router);
    assert.match(text, /^sallyport_reload_total\{result="ok"\} 1$/m);
    assert.match(text, /^sallyport_reload_last_success_timestamp_seconds \d{10}$/m);
  });
});

describe("an authority that is no longer trusted", () => {
  it("lets nobody in any more, nor who resumes a session; who is in stays", async (test) => {
    write(
      "trusted.crt",
      `${site.authority.certificate.toString("pem")}\n${other.certificate.toString("pem")}\n`,
    );
    const router = await startRouter(site, {
      SALLYPORT_CLIENT_CA: path("trusted.crt"),
      SALLYPORT_ROUTE_A: toUpstream("sni=a.test"),
    });
    test.after(() => router.stop());
    const versions = ["TLSv1.2", "TLSv1.3"] as const;
    const lives = await Promise.all(
      versions.map(async (maxVersion) => {
        const how = { as: "bob", maxVersion } as const;
        const sessions: Buffer[] = [];
        const live = await dial(site, router.port, "a.test", how);
        live.on("session", (session) => sessions.push(session));
        assert.equal(await answers(live), "hello");
        return { how, live, session: sessions.at(-1) ?? live.getSession() };
      }),
    );
    write("trusted.crt", site.authority.certificate.toString("pem"));
    const line = await reload(router, hangUp(router));
    assert.deepEqual([line.level, line.why], ["info", "SIGHUP"]);
    assert.deepEqual(line.routes_changed, ["a", "sallyport"]);
    const from = router.now();
    for (const { how, live, session } of lives) {
      assert.ok(session !== undefined, "there is a session to resume");
      assert.equal(await served(router, "a.test", how), false, "new");
      assert.equal(await served(router, "a.test", { ...how, session }), false, "resumed");
      assert.equal(await answers(live), "hello", "whoever was in");
    }
    await router.record(({ reason }) => reason === "client_cert_untrusted", from);
    // Deno keeps sessions of TLS 1.2 by server name, whatever made them: there, that they are verified anew is all.
    const resumed = router.records().filter((one) => one.resumed && runtimeName !== "deno");
    assert.deepEqual(resumed, []);
    assert.equal(await served(router, "a.test"), true, "somebody else");
  });
});

describe("what can't be used", () => {
  it("leaves everything as it is, says why as at start, and is taken up once it is mended", async (test) => {
    write("routes", `A=${toUpstream("sni=a.test")}\n`);
    const router = await startRouter(site, { SALLYPORT_ROUTES_FILE: path("routes") });
    test.after(() => router.stop());
    const good = readFileSync(path("server.key"), "utf8");
    const before = await seen(router, "a.test");
    writeFileSync(path("server.key"), "-----BEGIN PRIVATE KEY-----\nhalf of it");
    write("routes", `A=${toUpstream("sni=a.test&clinet=none")}\nB=${toUpstream("sni=b.test")}\n`);
    const line = await reload(router, hangUp(router));
    assert.equal(line.level, "error");
    const problems = String(line.problems);
    assert.match(problems, /SALLYPORT_KEY: .*the private key can't be read/);
    assert.match(problems, /SALLYPORT_ROUTES_FILE A: .*did you mean client\?/);
    assert.doesNotMatch(router.errors(), /half of it/);
    assert.equal(await seen(router, "a.test"), before);
    assert.equal(await served(router, "b.test"), false, "nothing of it");
    assert.match(await metrics(router), /^sallyport_reload_total\{result="failed"\} 1$/m);

    const mended = await reload(router, () => {
      write("server.key", good);
      write("routes", `A=${toUpstream("sni=a.test")}\nB=${toUpstream("sni=b.test")}\n`);
    });
    assert.deepEqual([mended.level, mended.routes_added, mended.certificates], ["info", ["b"], undefined]);
    assert.equal(await served(router, "b.test"), true);

    // What is sound, and takes a restart.
    write("routes", `A=${toUpstream("sni=a.test&port=39999")}\n`);
    const { level, problems: why } = await reload(router, hangUp(router));
    assert.equal(level, "error");
    assert.deepEqual(why, ["SALLYPORT_ROUTES_FILE A: listening on port 39999 too takes a restart"]);
    assert.equal(await served(router, "a.test"), true);
  });
});

describe("a routes file", () => {
  it("adds, changes and removes routes; connections stay on what they came by, and count", async (test) => {
    const elsewhere = await tcpUpstream((socket) => socket.end("elsewhere"));
    test.after(() => elsewhere.close());
    const lines = (a: string, more: string): string =>
      `# routes\n\nA=tcp://127.0.0.1:${a}?sni=a.test&max_connections=1\n${more}\n`;
    write("table", lines(String(upstream.port), `B=${toUpstream("sni=b.test")}`));
    const router = await startRouter(site, {
      SALLYPORT_ROUTES_FILE: path("table"),
      ELSEWHERE: String(elsewhere.port),
    });
    test.after(() => router.stop());
    const [onA, onB] = [await dial(site, router.port, "a.test"), await dial(site, router.port, "b.test")];
    assert.deepEqual([await answers(onA), await answers(onB)], ["hello", "hello"]);

    const line = await reload(router, () => {
      write("table", lines("$" + "{ELSEWHERE}", `C=${toUpstream("sni=c.test")}`));
    });
    assert.deepEqual([line.routes_added, line.routes_changed, line.routes_removed], [["c"], ["a"], ["b"]]);
    assert.equal(await served(router, "b.test"), false);
    assert.equal(await served(router, "c.test"), true);
    assert.deepEqual([await answers(onA), await answers(onB)], ["hello", "hello"], "as they came");
    assert.equal(await served(router, "a.test"), false);
    await router.record(({ reason, route }) => reason === "limit_reached" && route === "a");
    onA.destroy();
    await router.record(({ outcome, route }) => outcome === "served" && route === "a");
    const moved = await dial(site, router.port, "a.test");
    assert.equal((await readAll(moved)).toString(), "elsewhere");
    onB.destroy();
  });
});

describe("several workers", () => {
  it("each read anew what the primary is told to", async (test) => {
    write("shared", `A=${toUpstream("sni=a.test")}\n`);
    const router = await startRouter(site, {
      SALLYPORT_ROUTES_FILE: path("shared"),
      SALLYPORT_WORKERS: "2",
    });
    test.after(() => router.stop());
    write("shared", `B=${toUpstream("sni=b.test")}\n`);
    router.process.kill("SIGHUP");
    for (let i = 0; i < 2400 && told(router).length < 2; i++)
      await new Promise((resolve) => setTimeout(resolve, 25));
    assert.deepEqual(
      told(router).map(({ routes_added }) => routes_added),
      [["b"], ["b"]],
    );
    for (let i = 0; i < 6; i++)
      assert.deepEqual([await served(router, "a.test"), await served(router, "b.test")], [false, true]);
  });
});

describe("a revocation", () => {
  it("ends a connection whose route was read anew since it came", async (test) => {
    const anchor = root({ notAfter: Date.now() + 24 * hourMs });
    const holder: Holder = leaf(anchor, {
      serial: "77",
      subject: name(["CN", "carol"]),
      notAfter: Date.now() + hourMs,
    });
    const key = holder.keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    site.save("carol", { cert: pem(holder.der), key });
    write("anchor.crt", pem(anchor.der));
    const list = (number: number, revoked: string[]): string =>
      crlPem(crl(anchor, { thisUpdate: Date.now() - hourMs + number * 1000, number, revoked }));
    write("own.crl", list(1, []));
    const line = (limit: string): string =>
      `A=${toUpstream(`sni=a.test&client_ca=${path("anchor.crt")}&crl=${path("own.crl")}${limit}`)}\n`;
    write("revoking", line(""));
    const router = await startRouter(site, { SALLYPORT_ROUTES_FILE: path("revoking") });
    test.after(() => router.stop());
    const live = await dial(site, router.port, "a.test", { as: "carol" });
    assert.equal(await answers(live), "hello");
    const gone = readAll(live);
    write("revoking", `B=${toUpstream("sni=b.test")}\n`);
    assert.deepEqual((await reload(router, hangUp(router))).routes_removed, ["a"]);
    write("own.crl", list(2, ["77"]));
    await router.record(({ reason }) => reason === "client_cert_revoked");
    await gone;
  });
});

describe("reloads under load", () => {
  it("fail no request and no handshake; sessions on routes that did not change are resumed", async (test) => {
    const web = await httpUpstream((_, response) => response.end("web"));
    test.after(() => web.close());
    const routes = (i: number): string => `B=${toUpstream(`sni=b.test&idle_timeout=${i + 1}m`)}\n`;
    write("many", routes(0));
    const router = await startRouter(site, {
      SALLYPORT_ROUTES_FILE: path("many"),
      SALLYPORT_ROUTE_A: toUpstream("sni=a.test"),
      SALLYPORT_ROUTE_C: `http://127.0.0.1:${web.port}?sni=c.test`,
    });
    test.after(() => router.stop());
    const sessions: Buffer[] = [];
    const first = await dial(site, router.port, "a.test");
    first.on("session", (session) => sessions.push(session));
    assert.equal(await answers(first), "hello");
    first.destroy();

    let over = false;
    const failures: string[] = [];
    let count = 0;
    const worker = async (one: () => Promise<boolean>, what: string): Promise<void> => {
      while (!over) {
        count++;
        if (!(await one())) failures.push(what);
      }
    };
    const keptAlive = await dial(site, router.port, "c.test", { ALPNProtocols: ["http/1.1"] });
    keptAlive.setMaxListeners(0);
    const request = async (): Promise<boolean> => {
      keptAlive.write("GET / HTTP/1.1\r\nHost: c.test\r\n\r\n");
      let answer = "";
      while (!answer.endsWith("web")) {
        const more = await firstBytes(keptAlive);
        if (more === null) return false;
        answer += more.toString();
      }
      return answer.startsWith("HTTP/1.1 200 ");
    };
    const workers = [
      worker(() => served(router, "a.test"), "a new connection"),
      worker(() => served(router, "b.test"), "a new connection to a route that changes"),
      worker(request, "a request"),
    ];
    for (let i = 1; i <= 10; i++) {
      write("many", routes(i));
      assert.deepEqual((await reload(router, hangUp(router))).routes_changed, ["b"]);
    }
    // On a machine that is busy with other things, too.
    for (let i = 0; i < 2400 && count <= 30; i++) await new Promise((resolve) => setTimeout(resolve, 25));
    over = true;
    await Promise.all(workers);
    assert.deepEqual(failures, []);
    assert.ok(count > 30, `${count} requests`);
    assert.equal(await served(router, "a.test", { session: sessions.at(-1) }), true);
    await router.record(({ route, resumed }) => route === "a" && resumed);
  });
});
