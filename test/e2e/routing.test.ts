import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { dial, dialTcp, firstBytes, readAll } from "../support/client.ts";
import { clientHello, records } from "../support/client-hello.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, tlsUpstream, type Upstream } from "../support/upstreams.ts";

const names = ["localhost", "echo.test", "*.nodes.test", "pass.test", "two.test", "near.test"];
let site: Site;
let router: TestRouter;
const upstreams: Upstream[] = [];

const keep = async (upstream: Promise<Upstream>): Promise<number> => {
  const started = await upstream;
  upstreams.push(started);
  return started.port;
};
const says = (word: string) => keep(tcpUpstream((socket) => socket.end(word)));

before(async () => {
  site = await createSite(names);
  const pair = await site.authority.server(["pass.test"], 86_400_000);
  const localhost = "127.0.0.1";
  router = await startRouter(site, {
    SALLYPORT_ROUTE_ECHO: `tcp://${localhost}:${await keep(tcpUpstream(echo))}?sni=echo.test`,
    SALLYPORT_ROUTE_NODES: `tcp://${localhost}:${await says("wildcard")}?sni={node}.nodes.test`,
    SALLYPORT_ROUTE_EXACT: `tcp://${localhost}:${await says("exact")}?sni=one.nodes.test`,
    SALLYPORT_ROUTE_PASS: `tls://${localhost}:${await keep(tlsUpstream(pair, (socket) => socket.end("untouched")))}?sni=pass.test`,
    SALLYPORT_ROUTE_TWO_A: `tcp://${localhost}:${await says("a")}?sni=two.test&alpn=proto-a`,
    SALLYPORT_ROUTE_TWO_B: `tcp://${localhost}:${await says("b")}?sni=two.test&alpn=proto-b`,
    SALLYPORT_ROUTE_NEAR: `tcp://${localhost}:${await says("near")}?sni=near.test&source=10.0.0.0/8`,
    SALLYPORT_ROUTE_FULL: `tcp://${localhost}:${await keep(tcpUpstream(echo))}?sni=full.test&max_connections=1`,
    SALLYPORT_ROUTE_DOWN: `tcp://${localhost}:1?sni=down.test`,
  });
});
after(async () => {
  await router?.stop();
  for (const upstream of upstreams) upstream.close();
  site?.remove();
});

const said = async (name: string, alpn?: string[]): Promise<string> => {
  const socket = await dial(site, router.port, name, {
    checkServerIdentity: () => undefined,
    ...(alpn === undefined ? {} : { ALPNProtocols: alpn }),
  });
  return (await readAll(socket)).toString();
};

/** The alert that answers a hello, by its number. */
async function alertFor(hello: Uint8Array): Promise<number | null> {
  const socket = await dialTcp(router.port);
  socket.write(hello);
  const answer = await firstBytes(socket);
  socket.destroy();
  return answer?.[0] === 21 ? (answer[6] ?? null) : null;
}

describe("one port", () => {
  it("tells names apart, exact before wildcard", async () => {
    assert.equal(await said("one.nodes.test"), "exact");
    assert.equal(await said("other.nodes.test"), "wildcard");
  });

  it("does not mind case or a final dot", async () => {
    assert.equal(await said("ONE.nodes.TEST"), "exact");
    const socket = await dialTcp(router.port);
    socket.write(records(clientHello({ serverName: "echo.test.", alpn: ["nothing"] })));
    assert.equal((await firstBytes(socket))?.[6], 120, "the name matched: it is the protocol that did not");
    socket.destroy();
  });

  it("takes the first protocol in the client's order that is served", async () => {
    assert.equal(await said("two.test", ["proto-b", "proto-a"]), "b");
    assert.equal(await said("two.test", ["unknown", "proto-a"]), "a");
  });

  it("forwards tls routes untouched, certificate and all", async () => {
    const socket = await dial(site, router.port, "pass.test", { as: null });
    assert.equal(socket.getPeerCertificate().subject.CN, "pass.test");
    assert.equal((await readAll(socket)).toString(), "untouched");
  });

  it("refuses what matches nothing, with the alert that says so", async () => {
    assert.equal(await alertFor(records(clientHello({ serverName: "nobody.test" }))), 112);
    assert.equal(await alertFor(records(clientHello({ serverName: "deep.er.nodes.test" }))), 112);
    assert.equal(await alertFor(records(clientHello({}))), 112);
    assert.equal(await alertFor(records(clientHello({ serverName: "127.0.0.1" }))), 112);
    assert.equal(await alertFor(records(clientHello({ serverName: "two.test", alpn: ["proto-c"] }))), 120);
    assert.equal(await alertFor(records(clientHello({ serverName: "two.test" }))), 120);
    assert.equal(
      await alertFor(records(clientHello({ serverName: "near.test", alpn: ["sallyport-tcp"] }))),
      49,
    );
    assert.equal(await alertFor(Uint8Array.of(22, 3, 1, 0, 4, 2, 0, 0, 0)), 50);
    for (const reason of ["unknown_name", "no_protocol", "source_not_allowed", "bad_client_hello"]) {
      await router.record((record) => record.reason === reason && record.outcome === "refused");
    }
  });

  it("knows nothing of agents, unless it is said who may be one", async () => {
    await assert.rejects(dial(site, router.port, "localhost", { ALPNProtocols: ["sallyport-tunnel"] }));
    const record = await router.record((one) => one.sni === "localhost" && one.outcome === "refused");
    assert.equal(record.reason, "no_protocol");
  });

  it("reads a hello in any pieces", async () => {
    const message = clientHello({ serverName: "echo.test", alpn: ["nothing"] });
    for (const size of [1, 7, 60])
      assert.equal(await alertFor(records(message, size)), 120, `records of ${size}`);
    const socket = await dialTcp(router.port);
    for (const byte of records(message)) socket.write(Uint8Array.of(byte));
    assert.equal((await firstBytes(socket))?.[6], 120);
    socket.destroy();
  });

  it("answers plain HTTP with 400, whatever pieces it comes in", async () => {
    const socket = await dialTcp(router.port);
    socket.write("G");
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.write("ET / HTTP/1.1\r\nHost: x\r\n\r\n");
    const answer = (await readAll(socket)).toString();
    assert.match(answer, /^HTTP\/1\.1 400 /);
    assert.match(answer, /speaks TLS/);
    await router.record((record) => record.reason === "not_tls");
  });

  it("keeps to a route's own cap", async () => {
    const first = await dial(site, router.port, "full.test", { checkServerIdentity: () => undefined });
    await assert.rejects(dial(site, router.port, "full.test", { checkServerIdentity: () => undefined }));
    await router.record((record) => record.reason === "limit_reached" && record.route === "full");
    first.destroy();
  });

  it("says when the upstream is down", async () => {
    const socket = await dial(site, router.port, "down.test", { checkServerIdentity: () => undefined });
    assert.equal((await readAll(socket)).length, 0);
    const record = await router.record((one) => one.route === "down");
    assert.deepEqual([record.outcome, record.reason], ["failed", "upstream_unreachable"]);
  });

  it("records who, where to, by what and how much", async () => {
    const socket = await dial(site, router.port, "echo.test", { ALPNProtocols: ["sallyport-tcp"] });
    assert.equal(socket.alpnProtocol, "sallyport-tcp");
    socket.end("0123456789");
    assert.equal((await readAll(socket)).toString(), "0123456789");
    const record = await router.record((one) => one.route === "echo" && one.bytes_in === 10);
    assert.equal(record.outcome, "served");
    assert.equal(record.sni, "echo.test");
    assert.equal(record.alpn, "sallyport-tcp");
    assert.equal(record.tls, "TLSv1.3");
    assert.equal(record.adapter, "tcp");
    assert.equal(record.bytes_out, 10);
    assert.equal(record.identity?.subject, "CN=alice,OU=payments");
    assert.deepEqual(record.identity?.groups, ["payments"]);
    assert.match(record.ja4 ?? "", /^t13d\d{4}\w\w_[0-9a-f]{12}_[0-9a-f]{12}$/);
    assert.match(record.source, /^127\.0\.0\.1:\d+$/);
  });
});
