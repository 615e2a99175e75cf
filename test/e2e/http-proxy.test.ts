import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { atEnd } from "../support/at-end.ts";
import { dial, dialTcp, readAll } from "../support/client.ts";
import { type ConnectProxy, startConnectProxy } from "../support/connect-proxy.ts";
import { client, startAgent, startProxy, type TestAgent } from "../support/local-proxy.ts";
import { answers, freePort } from "../support/ports.ts";
import { missing, program } from "../support/programs.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

const dayMs = 86_400_000;
const basic = `Basic ${Buffer.from("edge:s3cret!").toString("base64")}`;
/** As the guide has it. */
const [, guideUrl = ""] = /^export HTTPS_PROXY='(.*)'$/m.exec(readFileSync("docs/clients.md", "utf8")) ?? [];
const asking = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n";

let site: Site;
let router: TestRouter;
let upstream: Upstream;
/** Wants to know who asks. */
let guarded: ConnectProxy;

before(async () => {
  site = await createSite(["localhost", "echo.example.com", "direct.example.com"]);
  for (const name of ["edge-1", "edge-2", "edge-3"])
    site.save(name, await site.authority.client({ commonName: name, groups: [] }, dayMs));
  upstream = await tcpUpstream(echo);
  router = await startRouter(site, {
    SALLYPORT_TUNNEL_ALLOW: "edge-1=cn:edge-1;edge-2=cn:edge-2;edge-3=cn:edge-3",
    SALLYPORT_ROUTE_ECHO: "tcp://echo?sni=echo.example.com&via=edge-1",
    SALLYPORT_ROUTE_DIRECT: `tcp://127.0.0.1:${upstream.port}?sni=direct.example.com`,
  });
  guarded = await startConnectProxy((authorization) => (authorization === basic ? null : asking));
});
after(async () => {
  await router?.stop();
  site?.remove();
});

const agentBy = (as: string, env: Readonly<Record<string, string>>, ready?: RegExp): Promise<TestAgent> =>
  startAgent(
    site,
    { router: `localhost:${router.port}`, as, env, ...(ready === undefined ? {} : { ready }) },
    [`--name=${as}`, `--service=echo=127.0.0.1:${upstream.port}`],
  );

const routesBy = (env: Readonly<Record<string, string>>) =>
  client(site, { router: `localhost:${router.port}`, env }, ["routes"]);

describe("through an HTTP proxy", () => {
  it("says why there is no way by it", async () => {
    const { status, err } = await routesBy({ HTTPS_PROXY: `http://localhost:${guarded.port}` });
    assert.equal(status, 1);
    assert.match(err, /the proxy localhost:\d+ said 407 .*: no user and password were given$/m);
  });

  it("an agent publishes, shows its credentials to the proxy, and says nothing of them", async () => {
    const agent = await agentBy("edge-1", {
      HTTPS_PROXY: guideUrl.replace("proxy.example.com:3128", `localhost:${guarded.port}`),
    });
    const line = `CONNECT localhost:${router.port} HTTP/1.1`;
    assert.deepEqual(guarded.asked.at(-1), { line, authorization: basic });
    const socket = await dial(site, router.port, "echo.example.com", { ALPNProtocols: ["sallyport-tcp"] });
    socket.end("round and back");
    assert.equal((await readAll(socket)).toString(), "round and back");
    const from = agent.said().length;
    // A proxy that goes away takes the connection with it.
    guarded.close();
    await agent.until(/no connection to .* the proxy localhost:\d+ can't be reached/, from);
    assert.doesNotMatch(agent.said(), /s3cret|Basic|ZWRnZ/);
    agent.process.kill("SIGKILL");
  });

  it("so do the other client commands, inside a WebSocket as well", async () => {
    const proxy = await startConnectProxy();
    const env = { https_proxy: `localhost:${proxy.port}`, HTTPS_PROXY: "http://localhost:1" };
    const listed = await routesBy(env);
    assert.equal(listed.status, 0, listed.err);
    assert.match(listed.out, /^direct /m);
    for (const tunnel of ["never", "always"]) {
      const before = proxy.asked.length;
      const local = await startProxy(site, { router: `localhost:${router.port}`, env }, [
        "tcp",
        "direct.example.com",
        `--tunnel=${tunnel}`,
      ]);
      // Of many, for what is said last must not be lost when everything ends at once.
      for (let i = 0; i < 30; i++) {
        const socket = await dialTcp(local.port);
        socket.end("hello");
        assert.equal((await readAll(socket)).toString(), "hello", tunnel);
      }
      assert.ok(proxy.asked.length > before);
      local.process.kill("SIGKILL");
    }
  });

  it("speaks TLS with the proxy where its URL says so", async () => {
    const proxy = await startConnectProxy(() => null, await site.authority.server(["localhost"], dayMs));
    const url = { ALL_PROXY: `https://localhost:${proxy.port}` };
    const ca = `${site.folder}/ca.crt`;
    const trusted = await routesBy({ ...url, NODE_EXTRA_CA_CERTS: ca, DENO_CERT: ca });
    assert.equal(trusted.status, 0, trusted.err);
    assert.equal(proxy.asked.length, 1);
    // Nobody that the system trusts has signed its certificate: it gets no request, and no credentials.
    const { status, err } = await routesBy(url);
    assert.equal(status, 1);
    assert.match(err, /the proxy localhost:\d+ can't be reached: /);
    assert.equal(proxy.asked.length, 1);
  });

  it("not to what NO_PROXY names", async () => {
    const proxy = await startConnectProxy();
    const { status, err } = await routesBy({
      HTTPS_PROXY: `http://localhost:${proxy.port}`,
      NO_PROXY: "example.com,localhost",
    });
    assert.equal(status, 0, err);
    assert.equal(proxy.asked.length, 0);
  });

  it("goes by a real one", { skip: missing("tinyproxy") }, async () => {
    const port = await freePort();
    const file = `${site.folder}/tinyproxy.conf`;
    const log = `${site.folder}/tinyproxy.log`;
    writeFileSync(
      file,
      `Port ${port}\nListen 127.0.0.1\nTimeout 600\nLogFile "${log}"\nLogLevel Connect\nMaxClients 20\nBasicAuth edge pass\n`,
    );
    const child: ChildProcess = spawn(program("tinyproxy"), ["-d", "-c", file], { stdio: "ignore" });
    atEnd(() => child.kill("SIGKILL"));
    await answers(port);
    const agent = await agentBy("edge-2", { HTTPS_PROXY: `http://edge:pass@127.0.0.1:${port}` });
    assert.match(readFileSync(log, "utf8"), new RegExp(`CONNECT localhost:${router.port}`));
    agent.process.kill("SIGKILL");
  });
});
