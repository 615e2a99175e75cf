import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { request } from "node:http";
import { networkInterfaces } from "node:os";
import { after, before, describe, it } from "node:test";
import type { TLSSocket } from "node:tls";
import { atEnd } from "../support/at-end.ts";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { missing } from "../support/programs.ts";
import {
  createSite,
  environment,
  type Site,
  sallyport,
  startRouter,
  type TestRouter,
} from "../support/router.ts";
import { type Finished, run } from "../support/run.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

let site: Site;
let upstream: Upstream;
let router: TestRouter;
const held: TLSSocket[] = [];

async function open(size: number): Promise<TLSSocket> {
  const socket = await dial(site, router.port, "a.test", { ALPNProtocols: ["sallyport-tcp"] });
  socket.write("x".repeat(size));
  assert.ok(await firstBytes(socket));
  held.push(socket);
  return socket;
}

before(async () => {
  site = await createSite(["localhost", "a.test"]);
  upstream = await tcpUpstream(echo);
  router = await startRouter(site, {
    SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
    SALLYPORT_WORKERS: "2",
    SALLYPORT_ADMIN_LISTEN: "0.0.0.0:0",
    SALLYPORT_ADMIN_ALLOW: "cn:alice",
  });
  for (let i = 0; i < 6; i++) await open(100 * (i + 1));
});
after(async () => {
  for (const socket of held) socket.destroy();
  await router?.stop();
  upstream?.close();
  site?.remove();
});

const top = (...args: readonly string[]): Promise<Finished> =>
  run(sallyport[0], [...sallyport.slice(1), "top", ...args], {
    env: environment({ SALLYPORT_ADMIN_LISTEN: `0.0.0.0:${router.adminPort}` }),
  });

const esc = String.fromCharCode(27);

interface Told {
  readonly open: number;
  readonly connections: {
    route: string;
    source: string;
    sni: string;
    subject: string;
    bytes_in: number;
    bytes_out: number;
    rate_in: number;
    age_seconds: number;
  }[];
}

const asked = (
  headers: Readonly<Record<string, string>>,
  host = "127.0.0.1",
): Promise<{ status: number; text: string }> =>
  new Promise((resolve, reject) => {
    const asking = request({ host, port: router.adminPort, path: "/connections", headers }, (response) => {
      let text = "";
      response.on("data", (chunk: Buffer) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
    });
    asking.once("error", reject);
    asking.end();
  });

describe("sallyport top", () => {
  it("lists what is open at every worker, as JSON, in the order that was asked for", async () => {
    const { status, out, err } = await top("--once", "--json", "--sort", "bytes", "--interval", "100ms");
    assert.equal(status, 0, err);
    const told = JSON.parse(out) as Told;
    assert.equal(told.open, 6);
    assert.deepEqual(
      told.connections.map(({ bytes_in }) => bytes_in),
      [600, 500, 400, 300, 200, 100],
    );
    const [first] = told.connections;
    assert.deepEqual([first?.route, first?.sni], ["a", "a.test"]);
    assert.match(first?.subject ?? "", /CN=alice/);
    assert.match(first?.source ?? "", /^127\.0\.0\.1:\d+$/);
  });

  it("says how much passes a second", async () => {
    const [socket] = held;
    const writing = setInterval(() => socket?.write("y".repeat(10_000)), 20);
    socket?.resume();
    const { out } = await top("--once", "--json", "--interval", "500ms");
    clearInterval(writing);
    const [busiest, next] = (JSON.parse(out) as Told).connections;
    assert.ok((busiest?.rate_in ?? 0) > 1000, out);
    assert.equal(next?.rate_in, 0);
  });

  it("agrees with what the metrics count of open connections", async () => {
    let counted = Number.NaN;
    let sum = 0;
    // What was written a moment ago may be on its way.
    for (let i = 0; i < 600 && counted !== sum; i++) {
      if (i > 0) await new Promise((resolve) => setTimeout(resolve, 100));
      const text = await (await fetch(`http://127.0.0.1:${router.adminPort}/metrics`)).text();
      counted = Number(/^sallyport_bytes_total\{route="a",direction="in"\} (\d+)$/m.exec(text)?.[1]);
      const { connections } = JSON.parse((await asked({})).text) as Told;
      sum = connections.reduce((total, { bytes_in }) => total + bytes_in, 0);
    }
    assert.ok(sum > 2000);
    assert.equal(counted, sum);
  });

  it("is one plain table where standard output is no terminal", async () => {
    const { status, out } = await top("--interval", "100ms");
    assert.equal(status, 0);
    const [summary = "", head = "", ...rows] = out.trimEnd().split("\n");
    assert.match(summary, /^6 connections, in .*\/s, out .*\/s, by rate$/);
    assert.match(head, /^ROUTE +IDENTITY +SOURCE +AGE +IN +OUT +IN\/S +OUT\/S$/);
    assert.equal(rows.length, 6);
    assert.ok(
      rows.every((row) => /^a +CN=alice/.test(row)),
      out,
    );
    assert.ok(!out.includes(esc));
  });

  it("has the terminal to itself until q", { skip: missing("script") }, async () => {
    const words = [...sallyport, "top", "--interval", "200ms"].map((word) => `'${word}'`).join(" ");
    const child = spawn("script", ["-qec", words, "/dev/null"], {
      env: environment({ SALLYPORT_ADMIN_LISTEN: `127.0.0.1:${router.adminPort}`, TERM: "xterm" }),
      stdio: ["pipe", "pipe", "inherit"],
    });
    atEnd(() => child.kill("SIGKILL"));
    const late = setTimeout(() => child.kill("SIGKILL"), 60_000);
    let shown = "";
    const exit = new Promise<number | null>((resolve) => child.once("exit", resolve));
    child.stdout.on("data", (chunk: Buffer) => {
      const before = shown;
      shown += chunk;
      if (!before.includes("by rate") && shown.includes("by rate")) child.stdin.write("s");
      if (!before.includes("by bytes") && shown.includes("by bytes")) child.stdin.write("q");
    });
    const status = await exit;
    clearTimeout(late);
    assert.equal(status, 0, shown);
    const [, inside = ""] = shown.split(`${esc}[?1049h`);
    assert.match(inside.split(`${esc}[?1049l`)[0] ?? "", /CN=alice/);
    assert.ok(inside.includes(`${esc}[?1049l`), "the terminal is as it was");
  });

  it("has the status page show the same, whichever worker it comes from", async () => {
    // A connection each: they come to either worker.
    for (let i = 0; i < 6; i++) {
      const socket = await dial(site, router.port, "localhost", { ALPNProtocols: ["http/1.1"] });
      socket.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      const page = (await readAll(socket)).toString();
      assert.equal(page.split(">a.test</td>").length - 1, 6 + 1, page);
      assert.match(page, /<dt>Workers<\/dt><dd>2<\/dd>/);
      // Its own among them, and maybe the one before, which is about to close.
      assert.ok(Number(/<dt>Connections<\/dt><dd>(\d+)<\/dd>/.exec(page)?.[1]) >= 7, page);
    }
  });

  it("says what is wrong, in words", async () => {
    const nobody = await top("--once", "--admin", "127.0.0.1:1");
    assert.equal(nobody.status, 1);
    assert.match(nobody.err, /nobody answers at http:\/\/127\.0\.0\.1:1\/connections: is it/);
    for (const args of [["--sort", "colour"], ["--admin", "off"], ["--interval", "0s"], ["extra"]])
      assert.equal((await top(...args)).status, 2, args.join(" "));
  });
});

describe("who is connected", () => {
  it("is told to programs of the router's machine alone, and to no page", async () => {
    assert.equal((await asked({})).status, 200);
    assert.equal((await asked({ Host: "localhost:8080" })).status, 200);
    for (const headers of [
      { Host: "evil.example:8080" },
      { Host: "127.0.0.1.evil.example" },
      { Host: "localhost.evil.example" },
      { Origin: "http://127.0.0.1:8080" },
      { "Sec-Fetch-Site": "cross-site" },
      { "Sec-Fetch-Site": "same-site" },
    ] as const)
      assert.deepEqual(await asked(headers), {
        status: 403,
        text: "for programs on the router's own machine alone\n",
      });
    const own = Object.values(networkInterfaces())
      .flat()
      .find((one) => one?.family === "IPv4" && !one.internal)?.address;
    if (own === undefined) return;
    assert.equal((await asked({ Host: "127.0.0.1" }, own)).status, 403);
    const { status } = await fetch(`http://${own}:${router.adminPort}/readyz`);
    assert.equal(status, 200);
  });

  it("is told to nobody where that is said", async () => {
    const quiet = await startRouter(site, { SALLYPORT_ADMIN_CONNECTIONS: "off" });
    const response = await fetch(`http://127.0.0.1:${quiet.adminPort}/connections`);
    assert.equal(response.status, 404);
    await quiet.stop();
  });
});
