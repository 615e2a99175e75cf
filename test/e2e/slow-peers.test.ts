import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import type { ConnectionRecord } from "../../src/core/record.ts";
import { dial, dialTcp, firstBytes } from "../support/client.ts";
import { clientHello, records } from "../support/client-hello.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

let site: Site;
let router: TestRouter;
const upstreams: Upstream[] = [];
const dripping = new Set<ReturnType<typeof setInterval>>();

const hello = records(clientHello({ serverName: "echo.test" }));
const sslRequest = Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47);

/** Sends a byte at a time, for as long as anybody takes them, and the last ones never. */
function drip(socket: Socket, bytes: Uint8Array): void {
  let at = 0;
  const timer = setInterval(() => {
    if (at < bytes.length - 4) socket.write(bytes.subarray(at, ++at));
  }, 40);
  dripping.add(timer);
  socket.once("close", () => clearInterval(timer));
}

/** What is done by somebody slow; the socket whose port tells the record. */
const slow: Readonly<Record<string, readonly [reason: string, act: () => Promise<Socket>]>> = {
  "says nothing": ["handshake_timeout", () => dialTcp(router.port)],
  "sends a PROXY header byte by byte": [
    "handshake_timeout",
    async () => {
      const socket = await dialTcp(router.port);
      drip(socket, Buffer.from("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"));
      return socket;
    },
  ],
  "sends a hello byte by byte": [
    "handshake_timeout",
    async () => {
      const socket = await dialTcp(router.port);
      drip(socket, hello);
      return socket;
    },
  ],
  "sends a hello in records of a byte": [
    "handshake_timeout",
    async () => {
      const socket = await dialTcp(router.port);
      drip(socket, records(clientHello({ serverName: "echo.test" }), 1));
      return socket;
    },
  ],
  "asks Postgres for TLS, a byte short": [
    "handshake_timeout",
    async () => {
      const socket = await dialTcp(router.port);
      socket.write(sslRequest.subarray(0, 7));
      return socket;
    },
  ],
  "asks Postgres for TLS and doesn't begin": [
    "handshake_timeout",
    async () => {
      const socket = await dialTcp(router.port);
      socket.write(sslRequest);
      assert.equal((await firstBytes(socket))?.toString(), "S");
      return socket;
    },
  ],
  "is silent once it is in": ["idle_timeout", () => dial(site, router.port, "echo.test")],
  "sends half of a request's head": [
    "idle_timeout",
    async () => {
      const socket = await dial(site, router.port, "web.test");
      socket.write("GET / HTTP/1.1\r\nHost: web.te");
      return socket;
    },
  ],
  "sends half of a request's body": [
    "idle_timeout",
    async () => {
      const socket = await dial(site, router.port, "web.test");
      socket.write("POST / HTTP/1.1\r\nHost: web.test\r\nContent-Length: 10\r\n\r\nhalf");
      return socket;
    },
  ],
  "asks to reach a database and does not log in": [
    "idle_timeout",
    async () => {
      const socket = await dial(site, router.port, "redis.test");
      socket.write("*2\r\n$4\r\n");
      return socket;
    },
  ],
  "sends half of a MongoDB message": [
    "idle_timeout",
    async () => {
      const socket = await dial(site, router.port, "mongo.test");
      socket.write(Uint8Array.of(64, 0, 0, 0, 1, 0, 0, 0));
      return socket;
    },
  ],
  "doesn't read what the upstream says": [
    "idle_timeout",
    async () => {
      const socket = await dial(site, router.port, "source.test");
      socket.pause();
      return socket;
    },
  ],
  "writes to an upstream that doesn't read": [
    "idle_timeout",
    async () => {
      const socket = await dial(site, router.port, "deaf.test");
      socket.write(Buffer.alloc(32 * 1024 * 1024));
      return socket;
    },
  ],
  "ends its half where the upstream stays": [
    "idle_timeout",
    async () => {
      const socket = await dial(site, router.port, "patient.test");
      socket.end("x");
      return socket;
    },
  ],
};

describe("whoever is slow", () => {
  const ends = new Map<string, Promise<ConnectionRecord>>();

  before(async () => {
    const names = ["echo", "web", "redis", "source", "deaf", "patient", "pg", "mongo"].map(
      (name) => `${name}.test`,
    );
    site = await createSite(["localhost", ...names]);
    const started = async (serve: (socket: Socket) => void): Promise<string> => {
      const upstream = await tcpUpstream(serve);
      upstreams.push(upstream);
      return `127.0.0.1:${upstream.port}`;
    };
    const mirror = await started(echo);
    const deaf = await started((socket) => void socket.pause());
    const source = await started((socket) => void socket.write(Buffer.alloc(32 * 1024 * 1024)));
    router = await startRouter(site, {
      SALLYPORT_PROXY_PROTOCOL: "optional",
      SALLYPORT_PROXY_PROTOCOL_FROM: "127.0.0.0/8",
      SALLYPORT_HANDSHAKE_TIMEOUT: "5s",
      SALLYPORT_HALF_CLOSE_TIMEOUT: "1s",
      SALLYPORT_IDLE_TIMEOUT: "2s",
      SALLYPORT_ROUTE_ECHO: `tcp://${mirror}?sni=echo.test`,
      SALLYPORT_ROUTE_SOURCE: `tcp://${source}?sni=source.test`,
      SALLYPORT_ROUTE_DEAF: `tcp://${deaf}?sni=deaf.test`,
      // Half a connection is not held for as long as a whole one.
      SALLYPORT_ROUTE_PATIENT: `tcp://${deaf}?sni=patient.test&idle_timeout=1h`,
      SALLYPORT_ROUTE_WEB: `http://${deaf}?sni=web.test`,
      SALLYPORT_ROUTE_REDIS: `redis://app:secret@${deaf}?sni=redis.test`,
      SALLYPORT_ROUTE_MONGO: `mongodb://app:secret@${deaf}?sni=mongo.test`,
      SALLYPORT_ROUTE_PG: `postgres://app:secret@${deaf}?sni=pg.test`,
    });
    // All of them at once: each only waits.
    for (const [what, [, act]] of Object.entries(slow)) {
      const end = act().then(({ localPort }) => router.record((one) => one.source.endsWith(`:${localPort}`)));
      end.catch(() => {});
      ends.set(what, end);
    }
  });
  after(async () => {
    for (const timer of dripping) clearInterval(timer);
    await router?.stop();
    for (const upstream of upstreams) upstream.close();
    site?.remove();
  });

  for (const [what, [reason]] of Object.entries(slow)) {
    it(`${what} is ended in time: ${reason}`, async () => {
      const record = await ends.get(what);
      assert.equal(record?.reason, reason, JSON.stringify(record));
    });
  }
});
