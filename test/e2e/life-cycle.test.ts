import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { finished } from "node:stream/promises";
import { after, before, describe, it } from "node:test";
import { dial, dialTcp, firstBytes, readAll } from "../support/client.ts";
import { createSite, type Site, startRouter } from "../support/router.ts";
import { echo, tcpUpstream, tlsUpstream, type Upstream } from "../support/upstreams.ts";

/** For whatever a spec waits for that never comes; what it has opened by then ends with the file. */
const bounded = { timeout: 240_000 };

let site: Site;
let upstream: Upstream;
before(async () => {
  site = await createSite(["localhost", "a.test"]);
  upstream = await tcpUpstream(echo);
});
after(() => {
  upstream?.close();
  site?.remove();
});

const get = async (port: number, path: string): Promise<{ status: number; body: string }> => {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: response.status, body: await response.text() };
};
const route = (more = ""): Record<string, string> => ({
  SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test${more}`,
});
const exited = (child: import("node:child_process").ChildProcess): Promise<number | null> =>
  new Promise((resolve) => (child.exitCode === null ? child.once("exit", resolve) : resolve(child.exitCode)));

describe("SIGTERM", bounded, () => {
  it("goes unready, keeps accepting for the delay, drains, then ends", async () => {
    const router = await startRouter(site, {
      ...route(),
      SALLYPORT_DRAIN_DELAY: "5s",
      SALLYPORT_DRAIN_TIMEOUT: "20s",
    });
    assert.deepEqual(await get(router.adminPort, "/readyz"), { status: 200, body: "ready\n" });
    const before = await dial(site, router.port, "a.test");
    router.process.kill("SIGTERM");
    while ((await get(router.adminPort, "/readyz")).status === 200);
    assert.deepEqual(await get(router.adminPort, "/readyz"), { status: 503, body: "draining\n" });
    assert.equal((await get(router.adminPort, "/healthz")).status, 200);
    const during = await dial(site, router.port, "a.test");
    // The port is closed after the delay.
    const open = (): Promise<boolean> =>
      dialTcp(router.port).then(
        (socket) => socket.destroy() !== undefined,
        () => false,
      );
    while (await open()) await new Promise((resolve) => setTimeout(resolve, 50));
    for (const socket of [before, during]) {
      socket.write("still here");
      assert.equal((await firstBytes(socket))?.toString(), "still here");
      socket.end();
      await readAll(socket);
    }
    assert.equal(await exited(router.process), 0);
    assert.equal(router.records().filter((record) => record.outcome === "served").length, 2);
  });

  it("cuts what is left when the drain time is over, and says so", async () => {
    const router = await startRouter(site, {
      ...route(),
      SALLYPORT_DRAIN_DELAY: "100ms",
      SALLYPORT_DRAIN_TIMEOUT: "1s",
    });
    const socket = await dial(site, router.port, "a.test");
    socket.write("x");
    await firstBytes(socket);
    router.process.kill("SIGTERM");
    await readAll(socket);
    assert.equal(await exited(router.process), 0);
    assert.deepEqual(
      router.records().map(({ outcome, reason }) => [outcome, reason]),
      [["failed", "draining"]],
    );
  });
});

describe("a second signal", bounded, () => {
  it("ends everything at once, and what it cut is recorded", async () => {
    const router = await startRouter(site, {
      ...route(),
      SALLYPORT_DRAIN_DELAY: "60s",
      SALLYPORT_DRAIN_TIMEOUT: "100s",
    });
    const sockets = await Promise.all(Array.from({ length: 3 }, () => dial(site, router.port, "a.test")));
    for (const socket of sockets) {
      socket.write("x");
      await firstBytes(socket);
    }
    router.process.kill("SIGTERM");
    while ((await get(router.adminPort, "/readyz")).status === 200);
    router.process.kill("SIGINT");
    assert.equal(await exited(router.process), 0);
    assert.deepEqual(
      router.records().map(({ outcome, reason }) => [outcome, reason]),
      Array.from({ length: 3 }, () => ["failed", "draining"]),
    );
  });
});

describe("time limits", bounded, () => {
  it("end what is idle, and what is half-closed and idle sooner", async () => {
    const router = await startRouter(site, {
      ...route("&idle_timeout=8s"),
      SALLYPORT_HALF_CLOSE_TIMEOUT: "1s",
    });
    const idle = await dial(site, router.port, "a.test");
    const from = Date.now();
    await readAll(idle);
    assert.ok(Date.now() - from >= 8000, "not before its time");
    await router.record((record) => record.reason === "idle_timeout" && record.outcome === "failed");
    await router.stop();
  });
});

describe("a slow reader", bounded, () => {
  it("makes the sender wait: 128 MiB cost at most 32 MiB", async () => {
    const block = Buffer.alloc(1 << 20, 0x61);
    // Of the connection that came last: an earlier one may still be on its way out.
    let sent = (): number => 0;
    const source = await tcpUpstream((socket) => {
      socket.on("error", () => {});
      let count = 0;
      sent = () => count;
      const push = (): void => {
        while (count < 128 << 20) {
          count += block.length;
          if (!socket.write(block)) return void socket.once("drain", push);
        }
        socket.end();
      };
      push();
    });
    const router = await startRouter(site, {
      SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${source.port}?sni=a.test`,
    });
    const memory = (): number =>
      Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${router.process.pid}/status`, "utf8"))?.[1] ?? 0) /
      1024;
    // What a runtime sets aside once for any bulk transfer is not what is measured.
    const warm = await dial(site, router.port, "a.test");
    warm.once("data", () => warm.destroy());
    await new Promise((resolve) => warm.once("close", resolve));
    const socket = await dial(site, router.port, "a.test");
    socket.pause();
    const before = memory();
    let most = before;
    for (let i = 0; i < 20; i++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      most = Math.max(most, memory());
    }
    assert.ok(sent() < 96 << 20, `the sender was made to wait: ${sent() >> 20} MiB`);
    assert.ok(most - before <= 32, `grew by ${Math.round(most - before)} MiB`);
    let received = 0;
    socket.on("data", (chunk: Buffer) => {
      received += chunk.length;
    });
    socket.resume();
    await finished(socket, { writable: false });
    assert.equal(received, 128 << 20);
    socket.destroy();
    await router.stop();
    source.close();
  });
});

describe("a slow upstream", bounded, () => {
  for (const scheme of ["tcp", "tls"] as const) {
    it(`makes the client wait, and costs at most 32 MiB, on a ${scheme} route`, async () => {
      let reading: Socket | undefined;
      const serve = (socket: Socket): void => {
        socket.pause();
        socket.on("error", () => {});
        reading = socket;
      };
      const pair = await site.authority.server(["a.test"], 86_400_000);
      const sink = scheme === "tls" ? await tlsUpstream(pair, serve) : await tcpUpstream(serve);
      const router = await startRouter(site, {
        SALLYPORT_ROUTE_A: `${scheme}://127.0.0.1:${sink.port}?sni=a.test`,
      });
      const memory = (): number =>
        Number(
          /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${router.process.pid}/status`, "utf8"))?.[1] ?? 0,
        ) / 1024;
      const block = Buffer.alloc(1 << 20, 0x61);
      const total = 128 << 20;
      const socket = await dial(site, router.port, "a.test");
      const before = memory();
      let sent = 0;
      const push = (): void => {
        while (sent < total) {
          sent += block.length;
          if (!socket.write(block)) return void socket.once("drain", push);
        }
        socket.end();
      };
      push();
      let most = before;
      for (let i = 0; i < 20; i++) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        most = Math.max(most, memory());
      }
      // How much the kernel takes for a reader that sleeps is its own affair; that it is not everything is ours.
      assert.ok(sent < total, "the client was made to wait");
      assert.ok(most - before <= 32, `grew by ${Math.round(most - before)} MiB`);
      let received = 0;
      assert.ok(reading !== undefined);
      reading.on("data", (chunk: Buffer) => {
        received += chunk.length;
      });
      reading.resume();
      await finished(reading, { writable: false });
      assert.equal(received, total);
      socket.destroy();
      await router.stop();
      sink.close();
    });
  }
});

describe("metrics", bounded, () => {
  it("count what the records say", async () => {
    const router = await startRouter(site, route());
    const socket = await dial(site, router.port, "a.test");
    socket.write("12345");
    await firstBytes(socket);
    assert.match(
      (await get(router.adminPort, "/metrics")).body,
      /sallyport_connections_active\{route="a"\} 1\n/,
    );
    socket.end();
    await readAll(socket);
    await router.record((record) => record.route === "a");
    const { body } = await get(router.adminPort, "/metrics");
    for (const line of [
      /^sallyport_connections_total\{route="a",outcome="served",reason="ok"\} 1$/m,
      /^sallyport_connections_active\{route="a"\} 0$/m,
      /^sallyport_bytes_total\{route="a",direction="in"\} 5$/m,
      /^sallyport_bytes_total\{route="a",direction="out"\} 5$/m,
      /^sallyport_handshake_seconds_count 1$/m,
      /^sallyport_client_verify_seconds_count 1$/m,
      /^sallyport_upstream_connect_seconds_count\{route="a"\} 1$/m,
      /^sallyport_certificate_expiry_seconds\{name="SALLYPORT_CERT"\} \d+$/m,
      /^sallyport_build_info\{version="\d+\.\d+\.\d+",runtime="(node|deno|bun) [\d.]+"\} 1$/m,
    ]) {
      assert.match(body, line);
    }
    await router.stop();
  });
});
