import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:https";
import { after, before, describe, it } from "node:test";
import { type ClientPair, RouterLink } from "../../src/local/link.ts";
import { NodeRuntime } from "../../src/runtime/node.ts";
import type { Connection } from "../../src/types.ts";
import { WebSocketConnection } from "../../src/websocket/connection.ts";
import { newKey } from "../../src/websocket/handshake.ts";
import { type Edge, noEdge, startEdge } from "../support/edge.ts";
import { client } from "../support/local-proxy.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, httpUpstream, tcpUpstream, type Upstream } from "../support/upstreams.ts";

const runtime = new NodeRuntime();
const sum = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

async function readAll(connection: Connection): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let chunk = await connection.read(); chunk !== null; chunk = await connection.read())
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe("the edge entry, in workerd", { skip: noEdge }, () => {
  let site: Site;
  let router: TestRouter;
  let upstream: Upstream;
  let web: Upstream;
  /** Stands for a service that passes TLS through; says what comes. */
  let other: Upstream;
  let otherHeard: Buffer[];
  let edge: Edge;
  let alice: ClientPair;
  let variables: Record<string, string>;

  before(async () => {
    site = await createSite(["localhost", "*.example.com"]);
    upstream = await tcpUpstream(echo);
    web = await httpUpstream((_, response) => response.end("hello from a web app\n"));
    otherHeard = [];
    other = await tcpUpstream((socket) => {
      socket.on("error", () => {});
      socket.on("data", (chunk: Buffer) => otherHeard.push(chunk));
    });
    const routes = {
      SALLYPORT_ROUTE_ECHO: `tcp://127.0.0.1:${upstream.port}?sni=echo.example.com`,
      SALLYPORT_ROUTE_WEB: `http://127.0.0.1:${web.port}?sni=web.example.com&allow=cn:alice`,
    };
    router = await startRouter(site, {
      ...routes,
      SALLYPORT_PROXY_PROTOCOL: "optional",
      SALLYPORT_PROXY_PROTOCOL_FROM: "127.0.0.0/8",
    });
    variables = {
      ...routes,
      SALLYPORT_HOST: "localhost",
      SALLYPORT_ROUTER: `127.0.0.1:${router.port}`,
      SALLYPORT_ROUTE_OTHER: `tls://127.0.0.1:${other.port}?sni=other.example.com`,
      SALLYPORT_ROUTE_NEAR: `tcp://127.0.0.1:1?sni=near.example.com&source=192.0.2.0/24`,
    };
    edge = await startEdge(site, variables);
    const read = (name: string): string => readFileSync(`${site.folder}/${name}`, "utf8");
    alice = { certificate: read("alice.crt"), key: read("alice.key") };
  });
  after(async () => {
    edge?.stop();
    await router?.stop();
    for (const one of [upstream, web, other]) one?.close();
    site?.remove();
  });

  const link = (): RouterLink =>
    new RouterLink(
      runtime,
      { host: "localhost", port: edge.port, ca: readFileSync(`${site.folder}/ca.crt`, "utf8") },
      "always",
      { needed: () => true, remember: () => {} },
      null,
    );

  /** A WebSocket to the edge, with nothing said in it yet. */
  async function tunnel(
    more: readonly (readonly [string, string])[] = [],
    port = edge.port,
  ): Promise<Connection | number> {
    const ca = [readFileSync(`${site.folder}/ca.crt`, "utf8")];
    const http = runtime.httpClient("http/1.1", () =>
      runtime.dial({
        host: "localhost",
        port,
        withinMs: 5000,
        tls: { serverName: "localhost", verify: true, ca, cert: null, key: null, alpn: ["http/1.1"] },
      }),
    );
    const { status, upgraded } = await http.request({
      method: "GET",
      target: "/.well-known/sallyport/connect",
      authority: "localhost",
      upgrade: "websocket",
      fields: [["sec-websocket-version", "13"], ["sec-websocket-key", newKey()], ...more],
      body: null,
      signal: new AbortController().signal,
    });
    return upgraded ?? status;
  }
  async function stream(): Promise<WebSocketConnection> {
    const bare = await tunnel();
    assert.ok(typeof bare !== "number", String(bare));
    return new WebSocketConnection(bare, "client");
  }

  it("carries a connection to the router, certificate and all, and each half's end", async () => {
    const connection = await link().dial("echo.example.com", "sallyport-tcp", alice);
    await connection.write(Buffer.from("ping"));
    await connection.closeWrite();
    assert.equal((await readAll(connection)).toString(), "ping");
    connection.abort();
    const record = await router.record((one) => one.route === "echo");
    assert.equal(record.identity?.subject, "CN=alice,OU=payments");
    assert.equal(record.outcome, "served");
  });

  it("carries 16 MB both ways", async () => {
    const bytes = Buffer.from(Uint8Array.from({ length: 16_000_000 }, (_, i) => (i * 31 + (i >> 7)) & 255));
    const connection = await link().dial("echo.example.com", "sallyport-tcp", alice);
    const send = async (): Promise<void> => {
      for (let at = 0; at < bytes.length; at += 65_536)
        await connection.write(bytes.subarray(at, at + 65_536));
      await connection.closeWrite();
    };
    const [back] = await Promise.all([readAll(connection), send()]);
    assert.equal(sum(back), sum(bytes));
    connection.abort();
  });

  it("lets our own commands through", async () => {
    const { status, out, err } = await client(site, { router: `localhost:${edge.port}` }, ["routes"]);
    assert.equal(status, 0, err);
    assert.match(out, /^web +http +web\.example\.com$/m);
  });

  it("what matches no route gets the router's alert, and the router hears nothing", async () => {
    const before = router.now();
    await assert.rejects(link().dial("nowhere.example.com", "sallyport-tcp", alice), /unrecognized|112/i);
    await assert.rejects(
      link().dial("echo.example.com", "sallyport-ssh", alice),
      /application protocol|120/i,
    );
    await assert.rejects(link().dial("near.example.com", "sallyport-tcp", alice), /access denied|49/i);
    const served = await link().dial("echo.example.com", "sallyport-tcp", alice);
    await served.write(Buffer.from("x"));
    await served.read();
    served.abort();
    await router.record((one) => one.route === "echo", before);
    const refused = router.records().filter(({ outcome }) => outcome === "refused");
    assert.deepEqual(refused, [], "what the edge turned away would be refused here too");
  });

  it("a route that passes TLS through goes to its own host", async () => {
    const dialled = link().dial("other.example.com", "x", null);
    for (let i = 0; i < 2400 && otherHeard.length === 0; i++)
      await new Promise((next) => setTimeout(next, 25));
    assert.equal(otherHeard[0]?.[0], 22, "the ClientHello as it was");
    other.close();
    await assert.rejects(dialled);
  });

  it("junk and text get nowhere", async () => {
    const junk = await stream();
    await junk.write(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    assert.equal(await junk.read(), null);
    const text = await tunnel();
    assert.ok(typeof text !== "number");
    // A masked text message, "hi".
    await text.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
    const answer = Buffer.concat([(await text.read()) ?? new Uint8Array(0)]);
    assert.deepEqual([...answer.subarray(0, 1), ...answer.subarray(2, 4)], [0x88, 0x03, 0xeb], "Close, 1003");
    assert.deepEqual(
      router.records().filter(({ reason }) => reason === "not_tls"),
      [],
    );
  });

  it("is not for web pages", async () => {
    assert.equal(await tunnel([["origin", "https://evil.example"]]), 403);
  });

  it("tells the router who the client is, where it is to", async () => {
    const telling = await startEdge(site, { ...variables, SALLYPORT_SEND_PROXY: "v2" });
    try {
      const from = router.now();
      const bare = await tunnel([["cf-connecting-ip", "203.0.113.9"]], telling.port);
      assert.ok(typeof bare !== "number", String(bare));
      const connection = await runtime.secure(
        new WebSocketConnection(bare, "client"),
        {
          serverName: "echo.example.com",
          verify: true,
          ca: [readFileSync(`${site.folder}/ca.crt`, "utf8")],
          cert: alice.certificate,
          key: alice.key,
          alpn: ["sallyport-tcp"],
        },
        5000,
      );
      await connection.write(Buffer.from("x"));
      await connection.read();
      connection.abort();
      const record = await router.record((one) => one.route === "echo", from);
      assert.equal(record.source, "203.0.113.9:0");
    } finally {
      telling.stop();
    }
  });

  it("answers pages of its own, and says what it can't be asked", async () => {
    const ask = (path: string, port = edge.port): Promise<{ status: number | undefined; text: string }> =>
      new Promise((resolve, reject) => {
        request({ host: "localhost", port, path, ca: readFileSync(`${site.folder}/ca.crt`) }, (response) => {
          let body = "";
          response.on("data", (chunk) => {
            body += chunk;
          });
          response.on("end", () => resolve({ status: response.statusCode, text: body }));
        })
          .on("error", reject)
          .end();
      });
    assert.deepEqual(await ask("/healthz"), { status: 200, text: "ok\n" });
    assert.match((await ask("/")).text, /at the edge/);
    const api = await ask("/v1/whoami");
    assert.equal(api.status, 404);
    assert.match(api.text, /through a tunnel/);
    assert.equal((await ask("/.well-known/sallyport/connect")).status, 426);
    const broken = await startEdge(site, {
      SALLYPORT_ROUTER: "h",
      SALLYPORT_HOST: "a b",
      SALLYPORT_ROUTE_X: "secret",
    });
    try {
      const { status, text } = await ask("/healthz", broken.port);
      assert.equal(status, 503);
      assert.match(text, /SALLYPORT_HOST, SALLYPORT_ROUTE_X/);
      assert.doesNotMatch(text, /secret/);
    } finally {
      broken.stop();
    }
  });
});
