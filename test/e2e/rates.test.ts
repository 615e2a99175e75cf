import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { atEnd } from "../support/at-end.ts";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { clientHello, records } from "../support/client-hello.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, httpUpstream, tcpUpstream, tlsUpstream, type Upstream } from "../support/upstreams.ts";

let site: Site;
let upstream: Upstream;

before(async () => {
  site = await createSite(["localhost", "a.test", "web.test", "tls.test"]);
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

describe("how much connections may carry", () => {
  const size = 1024 * 1024;
  let router: TestRouter;
  let web: Upstream;
  let tls: Upstream;
  let source: Upstream;
  before(async () => {
    source = await tcpUpstream((socket) => socket.end(Buffer.alloc(size)));
    web = await httpUpstream((request, response) => {
      let seen = 0;
      request.on("data", (chunk: Buffer) => {
        seen += chunk.length;
      });
      request.on("end", () => response.end(`${seen}`));
    });
    const pair = (end: string): string => readFileSync(`${site.folder}/server.${end}`, "utf8");
    tls = await tlsUpstream({ cert: pair("crt"), key: pair("key") }, (socket) =>
      socket.end(Buffer.alloc(size)),
    );
    router = await startRouter(site, {
      SALLYPORT_BANDWIDTH_PER_SOURCE: "2MiB/s",
      SALLYPORT_BANDWIDTH_PER_IDENTITY: "1MiB/s",
      SALLYPORT_ROUTE_TCP: `tcp://127.0.0.1:${source.port}?sni=a.test`,
      SALLYPORT_ROUTE_WEB: `http://127.0.0.1:${web.port}?sni=web.test`,
      SALLYPORT_ROUTE_TLS: `tls://127.0.0.1:${tls.port}?sni=tls.test`,
    });
  });
  after(async () => {
    await router?.stop();
    for (const upstream of [web, tls, source]) upstream?.close();
  });

  /** Milliseconds that it took. */
  async function took(what: () => Promise<void>): Promise<number> {
    const started = performance.now();
    await what();
    return performance.now() - started;
  }

  it("is limited for each identity, on what streams", async () => {
    const ms = await took(async () => {
      assert.equal((await readAll(await dial(site, router.port, "a.test"))).length, size);
    });
    // Three quarters of a second's worth had to be waited for, but for the last chunk's.
    assert.ok(ms > 300, `${ms} ms`);
  });

  it("is limited for each identity, on requests' bodies", async () => {
    const ms = await took(async () => {
      const socket = await dial(site, router.port, "web.test", { as: "bob" });
      socket.write(
        `POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: ${size}\r\nConnection: close\r\n\r\n`,
      );
      socket.write(Buffer.alloc(size));
      assert.match((await readAll(socket)).toString(), new RegExp(`\r\n\r\n.*${size}`, "s"));
    });
    assert.ok(ms > 300, `${ms} ms`);
  });

  it("is limited for each source, where TLS passes through", async () => {
    const ms = await took(async () => {
      const sockets = await Promise.all([1, 2].map(() => dial(site, router.port, "tls.test", { as: null })));
      for (const all of await Promise.all(sockets.map((socket) => readAll(socket))))
        assert.equal(all.length, size);
    });
    assert.ok(ms > 300, `${ms} ms`);
    assert.ok(router.records().every(({ outcome }) => outcome === "served"));
  });
});
