import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { type ClientHttp2Stream, connect as connectHttp2 } from "node:http2";
import { createServer as createHttps } from "node:https";
import { createRequire } from "node:module";
import type { AddressInfo, Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { eventually } from "../support/http-front.ts";
import { missing, program } from "../support/programs.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { run } from "../support/run.ts";
import { httpUpstream, type Upstream } from "../support/upstreams.ts";

interface WebSocket {
  send(data: string): void;
  close(): void;
  on(event: string, listener: (data: Buffer) => void): void;
}
interface WebSocketServer {
  handleUpgrade(request: IncomingMessage, socket: Socket, head: Buffer, done: (ws: WebSocket) => void): void;
}
const { WebSocket: Client, WebSocketServer: Server } = createRequire(import.meta.url)("ws") as {
  WebSocket: new (url: string, options: object) => WebSocket;
  WebSocketServer: new (options: { noServer: true }) => WebSocketServer;
};

let site: Site;
let router: TestRouter;
const upstreams: Upstream[] = [];
/** Requests that each of the two servers has seen. */
const seen = [0, 0];
let held: ServerResponse[] = [];

function serve(nth: number) {
  return (request: IncomingMessage, response: ServerResponse): void => {
    seen[nth] = (seen[nth] ?? 0) + 1;
    if (request.url === "/hold") return void held.push(response);
    if (request.url === "/events") {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      held.push(response);
      return;
    }
    if (request.url === "/refuse") {
      response.writeHead(413, { "content-length": "2", connection: "close" });
      response.end("no");
      return;
    }
    request.resume();
    request.on("end", () => response.end(`server ${nth}`));
  };
}

before(async () => {
  site = await createSite(["localhost", "two.test", "half.test", "slow.test", "few.test", "tls.test"]);
  const sockets = new Server({ noServer: true });
  for (const nth of [0, 1]) {
    upstreams.push(
      await httpUpstream(serve(nth), (request, socket) =>
        sockets.handleUpgrade(request, socket, Buffer.alloc(0), (ws) => {
          ws.on("message", (data) => ws.send(`heard ${String(data)}`));
        }),
      ),
    );
  }
  const secure = createHttps(
    {
      cert: readFileSync(`${site.folder}/server.crt`),
      key: readFileSync(`${site.folder}/server.key`),
      ALPNProtocols: ["http/1.1"],
    },
    (request, response) => response.end(`HTTP/${request.httpVersion}`),
  );
  await new Promise<void>((resolve) => secure.listen(0, "127.0.0.1", resolve));
  upstreams.push({
    port: (secure.address() as AddressInfo).port,
    close: () => {
      secure.close();
      secure.closeAllConnections();
    },
  });
  const [a, b, c] = upstreams.map(({ port }) => `127.0.0.1:${port}`);
  router = await startRouter(site, {
    SALLYPORT_ROUTE_TWO: `http://${a},${b}?sni=two.test&client=none`,
    SALLYPORT_ROUTE_HALF: `http://127.0.0.1:1,${b}?sni=half.test&client=none`,
    SALLYPORT_ROUTE_SLOW: `http://${a}?sni=slow.test&client=none&answer_timeout=300ms`,
    SALLYPORT_ROUTE_FEW: `http://${a}?sni=few.test&client=none&max_requests=1`,
    SALLYPORT_ROUTE_TLS: `https://${c}?sni=tls.test&client=none&upstream_ca=${site.folder}/ca.crt&upstream_sni=localhost`,
    SALLYPORT_CONNECT_TIMEOUT: "5s",
  });
});
after(async () => {
  for (const response of held) response.destroy();
  await router?.stop();
  for (const one of upstreams) one.close();
  site?.remove();
});

async function ask(name: string, path = "/", method = "GET", body = ""): Promise<string> {
  const socket = await dial(site, router.port, name, { as: null, ALPNProtocols: ["http/1.1"] });
  const length = body === "" ? "" : `Content-Length: ${body.length}\r\n`;
  socket.write(`${method} ${path} HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n${length}\r\n${body}`);
  const answer = (await readAll(socket)).toString();
  socket.destroy();
  return answer;
}

describe("an upstream of two servers", () => {
  it("is asked in turns", async () => {
    const from = [...seen];
    for (let i = 0; i < 10; i++) assert.match(await ask("two.test"), /server \d/);
    const asked = seen.map((count, nth) => count - (from[nth] ?? 0));
    assert.ok(
      asked.every((count) => count >= 3),
      String(asked),
    );
  });

  it("of which one is down loses no request, whatever its method", async () => {
    for (const [method, body] of [
      ["GET", ""],
      ["POST", "some words"],
      ["GET", ""],
      ["POST", "some words"],
    ] as const)
      assert.match(await ask("half.test", "/", method, body), /^HTTP\/1\.1 200 [\s\S]*server 1/);
  });
});

describe("an upstream that takes its time", () => {
  it("is waited for as long as the route says, then 504", async () => {
    const from = router.now();
    assert.match(await ask("slow.test", "/hold"), /^HTTP\/1\.1 504 [\s\S]*idle_timeout/);
    await router.record((one) => one.route === "slow" && one.reason === "idle_timeout", from);
  });

  it("is not asked more at a time than the route says: others wait, then 503", async () => {
    held = [];
    const first = ask("few.test", "/hold");
    assert.ok(await eventually(() => held.length === 1));
    assert.match(await ask("few.test"), /^HTTP\/1\.1 503 [\s\S]*limit_reached/);
    const second = ask("few.test");
    held[0]?.end("at last");
    assert.match(await first, /at last/);
    assert.match(await second, /server 0/);
  });
});

describe("an https upstream without HTTP/2", () => {
  it("is spoken to in HTTP/1.1, which it chose (ALPN)", async () => {
    assert.match(await ask("tls.test"), /HTTP\/1\.1$/);
  });
});

describe("a stream of events", () => {
  it("begins before its first event, and comes event by event", async () => {
    held = [];
    const socket = await dial(site, router.port, "two.test", { as: null, ALPNProtocols: ["http/1.1"] });
    socket.write("GET /events HTTP/1.1\r\nHost: two.test\r\n\r\n");
    assert.match((await firstBytes(socket))?.toString() ?? "", /text\/event-stream/);
    for (const event of ["one", "two"]) {
      held[0]?.write(`data: ${event}\n\n`);
      let came = "";
      while (!came.includes(event)) came += (await firstBytes(socket))?.toString() ?? assert.fail(came);
    }
    socket.destroy();
  });
});

describe("a client that waits for 100 before it sends", () => {
  const post = (path: string): string =>
    `POST ${path} HTTP/1.1\r\nHost: two.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`;

  it("is told so by the upstream", async () => {
    const socket = await dial(site, router.port, "two.test", { as: null, ALPNProtocols: ["http/1.1"] });
    socket.write(post("/"));
    assert.match((await firstBytes(socket))?.toString() ?? "", /^HTTP\/1\.1 100 /);
    socket.write("hello");
    assert.match((await firstBytes(socket))?.toString() ?? "", /^HTTP\/1\.1 200 /);
    socket.destroy();
  });

  it("hears a refusal instead, and nothing is read behind it", async () => {
    const socket = await dial(site, router.port, "two.test", { as: null, ALPNProtocols: ["http/1.1"] });
    socket.write(post("/nowhere").replace("Host: two.test", "Host: other.test"));
    const answer = (await readAll(socket)).toString();
    assert.match(answer, /^HTTP\/1\.1 421 /);
    assert.match(answer, /connection: close/i);
  });
});

describe("a WebSocket", () => {
  it("of another program goes through over HTTP/1.1", async () => {
    const ws = new Client(`wss://two.test:${router.port}/chat`, {
      ca: readFileSync(`${site.folder}/ca.crt`),
      servername: "two.test",
      headers: { host: "two.test" },
      lookup: (_host: string, _options: object, done: (...all: unknown[]) => void) =>
        done(null, [{ address: "127.0.0.1", family: 4 }]),
    });
    ws.on("open", () => ws.send("hello"));
    const heard = await new Promise<string>((resolve, reject) => {
      ws.on("message", (data) => resolve(String(data)));
      ws.on("error", (error) => reject(error));
    });
    assert.equal(heard, "heard hello");
    ws.close();
  });

  it("goes through over HTTP/2 (RFC 8441) to a server that knows HTTP/1.1 alone", async () => {
    const socket = await dial(site, router.port, "two.test", { as: null, ALPNProtocols: ["h2"] });
    const session = connectHttp2("https://two.test", { createConnection: () => socket });
    const [settings] = (await once(session, "remoteSettings")) as [{ enableConnectProtocol?: boolean }];
    assert.equal(settings.enableConnectProtocol, true);
    const asked = (protocol: string): ClientHttp2Stream =>
      session.request(
        {
          ":method": "CONNECT",
          ":protocol": protocol,
          ":scheme": "https",
          ":path": "/chat",
          ":authority": "two.test",
          "sec-websocket-version": "13",
        },
        { endStream: false },
      );
    const stream = asked("websocket");
    const [head] = (await once(stream, "response")) as [Record<string, unknown>];
    assert.equal(head[":status"], 200);
    assert.equal(head["sec-websocket-accept"], undefined);
    // A text frame, masked with zeroes: "hi".
    stream.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
    const [answer] = (await once(stream, "data")) as [Buffer];
    assert.equal(answer.subarray(2).toString(), "heard hi");
    stream.close();
    const other = asked("connect-udp");
    const [refusal] = (await once(other, "response")) as [Record<string, unknown>];
    assert.equal(refusal[":status"], 400);
    other.close();
    session.destroy();
  });
});

describe("h2load", { skip: missing("h2load") }, () => {
  // It goes with GOAWAY while streams are open.
  for (const version of [["--h1"], ["--npn-list=h2", "-m", "4"]]) {
    it(`makes 10,000 requests over 100 connections while certificates are replaced, and none is lost: ${version.join(" ")}`, async () => {
      const serial = async (): Promise<string> => {
        const socket = await dial(site, router.port, "two.test", { as: null });
        const { serialNumber } = socket.getPeerCertificate();
        socket.destroy();
        return serialNumber;
      };
      const answered = (): number => (seen[0] ?? 0) + (seen[1] ?? 0);
      const start = answered();
      let over = false;
      const loading = run(
        program("h2load"),
        [
          "-n",
          "10000",
          "-c",
          "100",
          "-t",
          "1",
          ...version,
          `--connect-to=127.0.0.1:${router.port}`,
          "https://two.test/",
        ],
        { ms: 60_000 },
      ).finally(() => {
        over = true;
      });
      assert.ok(await eventually(() => answered() > start));
      for (let nth = 0; nth < 3; nth++) {
        const pair = await site.authority.server(["localhost", "two.test"], 3_600_000);
        const wanted = new X509Certificate(pair.cert).serialNumber;
        site.save("server", pair);
        router.process.kill("SIGHUP");
        let found = await serial();
        for (let tries = 0; tries < 400 && found !== wanted; tries++) {
          await new Promise((resolve) => setTimeout(resolve, 25));
          found = await serial();
        }
        assert.equal(found, wanted);
      }
      assert.equal(over, false, "the certificate was replaced under load");
      const { out } = await loading;
      assert.match(out, /requests: 10000 total, 10000 started, 10000 done, 10000 succeeded, 0 failed/);
      assert.match(out, /status codes: 10000 2xx, 0 3xx, 0 4xx, 0 5xx/);
    });
  }
});
