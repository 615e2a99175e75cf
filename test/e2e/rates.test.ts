import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { atEnd } from "../support/at-end.ts";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { clientHello, records } from "../support/client-hello.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

let site: Site;
let upstream: Upstream;

before(async () => {
  site = await createSite(["localhost", "a.test"]);
  site.save("bob", await site.authority.client({ commonName: "bob" }, 3_600_000));
  upstream = await tcpUpstream(echo);
});
after(() => {
  upstream?.close();
  site?.remove();
});

/** A TCP connection from one of the loopback's many addresses. */
function from(localAddress: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host: "127.0.0.1", port, localAddress });
    atEnd(() => socket.destroy());
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.on("error", () => {});
      resolve(socket);
    });
  });
}

async function tlsFrom(localAddress: string, port: number, as = "alice"): Promise<TLSSocket> {
  const file = (name: string): Buffer => readFileSync(`${site.folder}/${name}`);
  const socket = connect({
    socket: await from(localAddress, port),
    servername: "a.test",
    ca: file("ca.crt"),
    cert: file(`${as}.crt`),
    key: file(`${as}.key`),
  });
  socket.on("error", () => {});
  return socket;
}

async function served(socket: TLSSocket): Promise<boolean> {
  socket.write("hello");
  const answer = await firstBytes(socket);
  socket.destroy();
  return answer?.toString() === "hello";
}

const limited = async (router: TestRouter, limit: string): Promise<number> => {
  const metrics = await (await fetch(`http://127.0.0.1:${router.adminPort}/metrics`)).text();
  const [, count = "0"] =
    new RegExp(`^sallyport_limited_total\\{limit="${limit}"\\} (\\d+)$`, "m").exec(metrics) ?? [];
  return Number(count);
};

describe("how fast connections may come", () => {
  let router: TestRouter;
  before(async () => {
    router = await startRouter(site, {
      SALLYPORT_CONNECTION_RATE_PER_SOURCE: "2/h,burst=4",
      SALLYPORT_CONNECTION_RATE_PER_IDENTITY: "1/h,burst=3",
      SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
    });
  });
  after(() => router?.stop());

  it("is limited for each source, before a byte of it is read", async () => {
    for (let i = 0; i < 4; i++) await from("127.0.1.1", router.port);
    const seen = router.records().length;
    const socket = await from("127.0.1.1", router.port);
    assert.equal((await readAll(socket)).length, 0);
    const record = await router.record((one) => one.reason === "limit_reached", seen);
    assert.deepEqual([record.outcome, record.sni, record.bytes_in], ["refused", null, 0]);
    assert.match(record.detail ?? "", /too fast from 127\.0\.1\.1/);
    assert.equal(await limited(router, "source_rate"), 1);
    assert.ok(await served(await tlsFrom("127.0.1.2", router.port, "bob")), "others come in");
  });

  it("is limited for each identity, wherever it comes from", async () => {
    for (let i = 1; i <= 3; i++) assert.ok(await served(await tlsFrom(`127.0.2.${i}`, router.port)));
    assert.equal(await served(await tlsFrom("127.0.2.4", router.port)), false);
    const record = await router.record((one) => one.source.startsWith("127.0.2.4"));
    assert.deepEqual([record.reason, record.identity?.subject], ["limit_reached", "CN=alice,OU=payments"]);
    assert.equal(await limited(router, "identity_rate"), 1);
    assert.ok(await served(await tlsFrom("127.0.2.4", router.port, "bob")), "others come in");
  });
});

describe("a crowd of strangers", () => {
  it("gives way to newer strangers, and keeps no known source out", async () => {
    const router = await startRouter(site, {
      SALLYPORT_MAX_HANDSHAKES: "8",
      SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
    });
    assert.ok(await served(await dial(site, router.port, "a.test")));
    const hello = records(clientHello({ serverName: "a.test" }));
    const crowd = await Promise.all(
      Array.from({ length: 40 }, (_, i) => from(`127.0.3.${i + 1}`, router.port)),
    );
    // Some say nothing, others half of a hello.
    for (const socket of crowd.filter((_, i) => i % 2 === 0)) socket.write(hello.subarray(0, 20));
    await router.record((one) => one.reason === "limit_reached");
    for (let i = 0; i < 3; i++) assert.ok(await served(await dial(site, router.port, "a.test")));
    assert.ok(await served(await tlsFrom("127.0.4.1", router.port)), "a stranger comes in too");
    assert.ok((await limited(router, "gave_way")) >= 32);
    await router.stop();
  });
});
