import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import type { TLSSocket } from "node:tls";
import { dial, dialTcp, firstBytes } from "../support/client.ts";
import { clientHello, records } from "../support/client-hello.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

/** Connects, and gives how much came back until it was over. */
function knock(port: number): Promise<number> {
  return new Promise((resolve) => {
    const socket = connectTcp({ host: "127.0.0.1", port });
    socket.on("error", () => {});
    socket.resume();
    socket.once("close", () => resolve(socket.bytesRead));
  });
}

const mebibyte = 1024 * 1024;
let site: Site;
before(async () => {
  const names = ["a", "tcp", "tls", "http", "ssh", "redis", "mongo", "source", "web"];
  site = await createSite(["localhost", ...names.map((name) => `${name}.test`)]);
});
after(() => site?.remove());

describe("memory has a bound", () => {
  it("from which on new connections are refused, and those that are open go on", async () => {
    const upstream = await tcpUpstream(echo);
    // No runtime needs so little for itself.
    const router = await startRouter(site, {
      SALLYPORT_MAX_MEMORY: "64MiB",
      SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
    });
    const says = async (socket: Socket): Promise<string | undefined> => {
      socket.write("x");
      return (await firstBytes(socket))?.toString();
    };
    const open: TLSSocket[] = [];
    for (let i = 0; i < 16; i++) {
      const socket = await dial(site, router.port, "a.test");
      assert.equal(await says(socket), "x");
      open.push(socket);
    }
    const said = (): boolean => router.errors().includes("memory is at its bound (SALLYPORT_MAX_MEMORY)");
    for (let i = 0; i < 2400 && !said(); i++) await new Promise((resolve) => setTimeout(resolve, 25));
    assert.ok(said(), router.errors());
    for (let i = 0; i < 3; i++) assert.equal(await knock(router.port), 0);
    const refused = await router.record(({ reason }) => reason === "limit_reached");
    assert.deepEqual([refused.outcome, refused.bytes_in], ["refused", 0]);
    assert.match(refused.detail ?? "", /memory is at its bound/);
    const metrics = await (await fetch(`http://127.0.0.1:${router.adminPort}/metrics`)).text();
    assert.match(metrics, /^sallyport_limited_total\{limit="memory"\} 3$/m);
    for (const socket of open) assert.equal(await says(socket), "x");
    // With few of them open it can't be they that have it.
    for (const socket of open.slice(4)) socket.end();
    const served = () => router.records().filter(({ outcome }) => outcome === "served");
    await router.record(() => served().length === 12);
    assert.equal(await says(await dial(site, router.port, "a.test")), "x");
    await router.stop();
    upstream.close();
  });
});

const clients = 4;
const pushed = 40 * mebibyte;
/** What all of them together may make the router grow by, MiB: garbage that waits to be collected is most of it. */
const mayGrow = 80;
const head = `Content-Length: ${pushed}\r\n\r\n`;
const block = Buffer.alloc(256 * 1024, "x");

/** Sends as long as anybody takes it, and not more than any of them may. */
async function push(socket: Socket, first: Uint8Array | string = ""): Promise<void> {
  socket.write(first);
  for (let sent = 0; sent < pushed && !socket.destroyed; sent += block.length)
    if (!socket.write(block))
      await new Promise<void>((resolve) => {
        for (const event of ["drain", "close"]) socket.once(event, resolve);
      });
}

/** One of two sides sends all it can, and the other one reads nothing. */
const stalled: Readonly<Record<string, () => Promise<Socket>>> = {
  "tcp, from the client": async () => {
    const socket = await dial(site, router.port, "tcp.test");
    void push(socket);
    return socket;
  },
  "tcp, from the upstream": async () => (await dial(site, router.port, "source.test")).pause(),
  "tls, from the client": async () => {
    const socket = await dialTcp(router.port);
    void push(socket, records(clientHello({ serverName: "tls.test" })));
    return socket;
  },
  "http, a request's body": async () => {
    const socket = await dial(site, router.port, "http.test");
    void push(socket, `POST / HTTP/1.1\r\nHost: http.test\r\n${head}`);
    return socket;
  },
  "http, an answer": async () => {
    const socket = await dial(site, router.port, "web.test");
    socket.write("GET / HTTP/1.1\r\nHost: web.test\r\n\r\n");
    return socket.pause();
  },
  "ssh, before anybody said that it is": async () => {
    const socket = await dial(site, router.port, "ssh.test");
    void push(socket);
    return socket;
  },
  "redis, while the router logs in": async () => {
    const socket = await dial(site, router.port, "redis.test");
    void push(socket, "*2\r\n");
    return socket;
  },
  "mongodb, while the router logs in": async () => {
    const socket = await dial(site, router.port, "mongo.test");
    void push(socket);
    return socket;
  },
};

let router: TestRouter;

describe("a connection keeps little of what it can't pass on", {
  skip: existsSync("/proc/self/status") ? false : "no /proc, which says how much memory a process has",
}, () => {
  const upstreams: Upstream[] = [];
  before(async () => {
    const to = async (serve: (socket: Socket) => void): Promise<string> => {
      const upstream = await tcpUpstream(serve);
      upstreams.push(upstream);
      return `127.0.0.1:${upstream.port}`;
    };
    const deaf = await to((socket) => void socket.pause());
    const source = await to((socket) => void push(socket));
    const web = await to((socket) => {
      socket.once("data", () => void push(socket, `HTTP/1.1 200 OK\r\n${head}`));
    });
    router = await startRouter(site, {
      SALLYPORT_ROUTE_TCP: `tcp://${deaf}?sni=tcp.test`,
      SALLYPORT_ROUTE_TLS: `tls://${deaf}?sni=tls.test`,
      SALLYPORT_ROUTE_HTTP: `http://${deaf}?sni=http.test`,
      SALLYPORT_ROUTE_SSH: `ssh://${deaf}?sni=ssh.test`,
      SALLYPORT_ROUTE_REDIS: `redis://app:secret@${deaf}?sni=redis.test`,
      SALLYPORT_ROUTE_MONGO: `mongodb://app:secret@${deaf}?sni=mongo.test`,
      SALLYPORT_ROUTE_SOURCE: `tcp://${source}?sni=source.test`,
      SALLYPORT_ROUTE_WEB: `http://${web}?sni=web.test`,
    });
  });
  after(async () => {
    await router?.stop();
    for (const upstream of upstreams) upstream.close();
  });

  const residentMiB = (): number =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${router.process.pid}/status`, "utf8"))?.[1]) / 1024;

  /** Once it grows no more. */
  async function settled(): Promise<number> {
    let has = residentMiB();
    for (let i = 0; i < 40; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const now = residentMiB();
      if (Math.abs(now - has) < 1) return now;
      has = now;
    }
    return has;
  }

  for (const [what, connect] of Object.entries(stalled)) {
    it(what, async () => {
      const before = residentMiB();
      const sockets = await Promise.all(Array.from({ length: clients }, connect));
      const grown = (await settled()) - before;
      for (const socket of sockets) socket.destroy();
      assert.ok(
        grown < mayGrow,
        `${grown.toFixed(0)} MiB more, of ${(clients * pushed) / mebibyte} that came`,
      );
    });
  }
});
