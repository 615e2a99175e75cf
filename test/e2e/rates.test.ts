import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import type { ConnectionRecord } from "../../src/core/record.ts";
import { atEnd } from "../support/at-end.ts";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { clientHello, records } from "../support/client-hello.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, httpUpstream, tcpUpstream, tlsUpstream, type Upstream } from "../support/upstreams.ts";

const hello = records(clientHello({ serverName: "a.test" }));
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

/** Connects and says that, if it gets to; gives how much came back until it was over. */
function knock(localAddress: string, port: number, say: Uint8Array): Promise<number> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host: "127.0.0.1", port, localAddress });
    atEnd(() => socket.destroy());
    socket.once("connect", () => socket.write(say));
    socket.on("error", () => {});
    socket.resume();
    socket.once("close", () => resolve(socket.bytesRead));
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
    const seen = router.now();
    assert.equal(await knock("127.0.1.1", router.port, hello), 0);
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
  it("gives way to newer strangers, or is turned away unread, and keeps no known source out", async () => {
    const router = await startRouter(site, {
      SALLYPORT_MAX_HANDSHAKES: "8",
      SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
    });
    assert.ok(await served(await dial(site, router.port, "a.test")));
    // Some say nothing, others half of a hello.
    const crowd = Array.from({ length: 40 }, (_, i) =>
      knock(`127.0.3.${i + 1}`, router.port, hello.subarray(0, i % 2 === 0 ? 20 : 0)),
    );
    // As many leave as there is no room for.
    let left = 0;
    await new Promise<void>((resolve) => {
      for (const one of crowd)
        void one.then(() => {
          if (++left === 32) resolve();
        });
    });
    for (let i = 0; i < 3; i++) assert.ok(await served(await dial(site, router.port, "a.test")));
    assert.ok(await served(await tlsFrom("127.0.4.1", router.port)), "a stranger comes in too");
    const away = (await limited(router, "gave_way")) + (await limited(router, "handshakes"));
    assert.ok(away >= 32, `${away} of them are gone`);
    // Each has a record, whichever way it went, and those that nobody looked at say that much.
    const ofCrowd = (): ConnectionRecord[] =>
      router.records().filter(({ source }) => source.startsWith("127.0.3."));
    await router.record(() => ofCrowd().length >= away);
    for (const { outcome, reason, detail, bytes_in } of ofCrowd()) {
      assert.deepEqual([outcome, reason], ["refused", "limit_reached"]);
      if (detail?.includes("too many handshakes")) assert.equal(bytes_in, 0);
    }
    await router.stop();
  });

  it("is turned away by a reset, and what it has sent is not read", async () => {
    const router = await startRouter(site, {
      SALLYPORT_CONNECTION_RATE_PER_SOURCE: "1/h",
      SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
    });
    assert.ok(await served(await tlsFrom("127.0.5.1", router.port)));
    for (let i = 0; i < 20; i++) assert.equal(await knock("127.0.5.1", router.port, hello), 0);
    const ofSource = (): ConnectionRecord[] =>
      router.records().filter(({ source }) => source.startsWith("127.0.5.1:"));
    await router.record(() => ofSource().length === 21);
    for (const { reason, bytes_in, sni } of ofSource().filter(({ outcome }) => outcome === "refused"))
      assert.deepEqual([reason, bytes_in, sni], ["limit_reached", 0, null]);
    assert.equal(await limited(router, "source_rate"), 20);
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
      // What came as one chunk is paid for by whatever comes next.
      for (let i = 0; i < 2; i++) {
        const socket = await dial(site, router.port, "web.test", { as: "bob" });
        const length = size / 2;
        socket.write(
          `POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n`,
        );
        socket.write(Buffer.alloc(length));
        assert.match((await readAll(socket)).toString(), new RegExp(`\r\n\r\n.*${length}`, "s"));
        assert.ok(socket.readableEnded, "it ended with its answer");
      }
    });
    assert.ok(ms > 200, `${ms} ms`);
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
