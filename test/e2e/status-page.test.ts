import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { connect, constants } from "node:http2";
import { after, before, describe, it } from "node:test";
import type { TLSSocket } from "node:tls";
import { encodeHello } from "../../src/tunnel/wire.ts";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

const hourMs = 3_600_000;
const evil = "<script>alert(1)</script>";
const http1 = { ALPNProtocols: ["http/1.1"] };

describe("the status page", () => {
  let site: Site;
  let router: TestRouter;
  let upstream: Upstream;
  before(async () => {
    site = await createSite(["localhost", "*.example.com"]);
    const { authority } = site;
    const issue = (commonName: string, groups: string[], ms = hourMs) =>
      authority.client({ commonName, groups }, ms);
    site.save("olga", await issue("olga", ["operators"]));
    site.save("oscar", await issue("oscar", ["operators"]));
    site.save("hanna", await issue("hanna", ["operators"]));
    site.save("edge-1", await issue("edge-1", []));
    site.save("evil", await issue(evil, []));
    const limits = { routes: ["echo"] };
    const otto = { commonName: "otto", groups: ["operators"] };
    site.save("limited", await authority.client(otto, hourMs, Date.now(), { limits }));
    upstream = await tcpUpstream(echo);
    writeFileSync(`${site.folder}/denied`, "");
    router = await startRouter(site, {
      SALLYPORT_ADMIN_ALLOW: "group:operators",
      SALLYPORT_DENY: `${site.folder}/denied`,
      SALLYPORT_TUNNEL_ALLOW: "edge-1=cn:edge-1",
      SALLYPORT_ROUTE_ECHO: `tcp://127.0.0.1:${upstream.port}?sni=echo.example.com`,
      SALLYPORT_ROUTE_DOWN: "tcp://127.0.0.1:1?sni=down.example.com",
      SALLYPORT_ROUTE_AWAY: "tcp://echo?sni=away.example.com&via=edge-1",
    });
  });
  after(async () => {
    await router?.stop();
    upstream?.close();
    site?.remove();
  });

  const request = async (
    as: string | null,
    path: string,
    {
      method = "GET",
      fields = [],
      at = router,
    }: { method?: string; fields?: string[]; at?: TestRouter } = {},
  ): Promise<TLSSocket> => {
    const socket = await dial(site, at.port, "localhost", { ...http1, as });
    const lines = [`${method} ${path} HTTP/1.1`, "Host: localhost", "Connection: close", ...fields];
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    return socket;
  };
  const ask = async (...args: Parameters<typeof request>): Promise<string> =>
    (await readAll(await request(...args))).toString();
  const statusOf = (answer: string): number => Number(answer.slice(9, 12));

  /** Everything that a watcher hears, as it comes. */
  class Watcher {
    readonly socket: TLSSocket;
    heard = "";
    readonly ended: Promise<void>;

    constructor(socket: TLSSocket) {
      this.socket = socket;
      socket.on("data", (chunk: Buffer) => {
        this.heard += chunk;
      });
      socket.on("error", () => {});
      this.ended = new Promise((resolve) => socket.once("close", () => resolve()).once("end", resolve));
    }

    async until(words: RegExp): Promise<void> {
      for (let i = 0; i < 2400 && !words.test(this.heard); i++)
        await new Promise((resolve) => setTimeout(resolve, 25));
      assert.match(this.heard, words);
    }
  }
  const watch = async (as: string, at = router): Promise<Watcher> =>
    new Watcher(await request(as, "/status/events", { at }));

  it("is for administrators; others are told who they are, as ever", async () => {
    assert.match(await ask("olga", "/"), /<title>Status – Sallyport<\/title>[\s\S]*>down\.example\.com</);
    for (const as of ["alice", "limited", null]) {
      const page = await ask(as, "/");
      assert.equal(statusOf(page), 200);
      assert.match(page, as === null ? /without a client certificate/ : /You are/);
      assert.doesNotMatch(page, /example\.com|127\.0\.0\.1|<script>/, String(as));
    }
  });

  it("is kept current for administrators alone", async () => {
    for (const [as, status, reason] of [
      ["alice", 403, "identity_not_allowed"],
      ["limited", 403, "identity_not_allowed"],
      [null, 401, "client_cert_missing"],
    ] as const) {
      const answer = await ask(as, "/status/events");
      assert.equal(statusOf(answer), status);
      assert.ok(answer.includes(reason));
    }
    const watcher = await watch("olga");
    await watcher.until(/content-type: text\/event-stream[\s\S]*event: part\r?\ndata: \{"id":"figures"/i);
    watcher.socket.destroy();
  });

  it("is neither kept, framed, sniffed nor read by others", async () => {
    const [head = ""] = (await ask("olga", "/")).split("\r\n\r\n");
    for (const field of [
      /^cache-control: no-store$/im,
      /^content-security-policy: default-src 'none'; .*frame-ancestors 'none'/im,
      /^x-frame-options: DENY$/im,
      /^x-content-type-options: nosniff$/im,
      /^referrer-policy: no-referrer$/im,
      /^cross-origin-resource-policy: same-origin$/im,
      /^cross-origin-opener-policy: same-origin$/im,
      /^strict-transport-security: /im,
    ])
      assert.match(head, field);
    assert.doesNotMatch(head, /access-control/i);
  });

  it("does not let pages of other origins watch, or take the room for watchers", async () => {
    for (const fields of [
      ["Origin: https://elsewhere.example"],
      ["Origin: null"],
      ["Sec-Fetch-Site: cross-site"],
      ["Sec-Fetch-Site: same-site"],
    ])
      assert.equal(statusOf(await ask("olga", "/status/events", { fields })), 403, fields.join());
    const own = ["Origin: https://localhost", "Sec-Fetch-Site: same-origin"];
    const socket = await request("olga", "/status/events", { fields: own });
    assert.equal(statusOf(String(await firstBytes(socket))), 200);
    socket.destroy();
  });

  it("has room for eight watchers of one identity; HEAD is none", async () => {
    for (let i = 0; i < 9; i++)
      assert.equal(statusOf(await ask("oscar", "/status/events", { method: "HEAD" })), 200);
    const watchers = await Promise.all(Array.from({ length: 8 }, () => watch("oscar")));
    for (const one of watchers) await one.until(/event: part/);
    const ninth = await ask("oscar", "/status/events");
    assert.equal(statusOf(ninth), 503);
    assert.match(ninth, /limit_reached/);
    const other = await watch("olga");
    await other.until(/event: part/);
    for (const one of [...watchers, other]) one.socket.destroy();
  });

  it("is kept current over HTTP/2 as well, and no longer than somebody listens", async () => {
    const socket = await dial(site, router.port, "localhost", { ALPNProtocols: ["h2"], as: "hanna" });
    const session = connect("https://localhost", { createConnection: () => socket });
    session.on("error", () => {});
    // More than may watch at once, one after the other.
    for (let i = 0; i < 10; i++) {
      const stream = session.request({ ":path": "/status/events" });
      const status = await new Promise((resolve) =>
        stream.once("response", (headers) => resolve(headers[":status"])),
      );
      assert.equal(status, 200, `watcher ${i}`);
      const first = await new Promise((resolve) => stream.once("data", resolve));
      assert.match(String(first), /^event: part\n/);
      const closed = new Promise((resolve) => stream.once("close", resolve));
      stream.close(constants.NGHTTP2_CANCEL);
      await closed;
    }
    session.destroy();
  });

  it("shows what peers say of themselves, and runs none of it", async () => {
    const tcp = { ALPNProtocols: ["sallyport-tcp"] };
    const named = await dial(site, router.port, "echo.example.com", { ...tcp, as: "evil" });
    named.write("x");
    await firstBytes(named);
    await dial(site, router.port, `${evil}.example.com`, tcp).catch(() => {});
    const agent = await dial(site, router.port, "localhost", {
      ALPNProtocols: ["sallyport-tunnel"],
      as: "edge-1",
    });
    agent.write(encodeHello({ name: "edge-1", services: ["echo"], version: evil }));
    await firstBytes(agent);
    await dial(site, router.port, "down.example.com", tcp).then(readAll);
    const page = await ask("olga", "/");
    const watcher = await watch("olga");
    await watcher.until(/"id":"refusals"/);
    const escaped = "&lt;script&gt;alert(1)&lt;/script&gt;";
    for (const text of [page, watcher.heard]) {
      assert.ok(!text.includes(evil) && !text.includes("<script>alert"));
      // Agent's version, server name and what is said of it; names in certificates are escaped once more, RFC 4514.
      assert.ok(text.split(escaped).length >= 3, text);
      assert.match(text, /CN=\\+&lt;script/);
      assert.match(text, /unknown_name/);
      assert.match(text, /<th [^>]*>down<\/th>|<th [^>]*>down<\\?\/th>/);
      assert.match(text, /ECONNREFUSED|refused/i);
      assert.match(text, /no agent|publishes|not asked for yet/);
    }
    for (const one of [named, agent, watcher.socket]) one.destroy();
  });

  it("is kept current no longer for whoever's certificate is revoked", async () => {
    const from = router.now();
    const watcher = await watch("olga");
    await watcher.until(/event: part/);
    const { serial } = (JSON.parse(/\{.*\}/s.exec(await ask("olga", "/v1/whoami"))?.[0] ?? "{}") ?? {}) as {
      serial: string;
    };
    writeFileSync(`${site.folder}/denied`, `${serial}\n`);
    await watcher.ended;
    const record = await router.record((one) => one.reason === "client_cert_revoked", from);
    assert.equal(record.route, "sallyport");
    await assert.rejects(async () => {
      assert.equal(statusOf(await ask("olga", "/status/events")), 200);
    });
    writeFileSync(`${site.folder}/denied`, "");
  });

  it("is kept current no longer than the certificate is good, whatever grace connections have, and holds up no router that drains", async () => {
    const own = await startRouter(site, {
      SALLYPORT_ADMIN_ALLOW: "group:operators",
      SALLYPORT_EXPIRY_GRACE: "off",
      SALLYPORT_DRAIN_DELAY: "0s",
      SALLYPORT_DRAIN_TIMEOUT: "60s",
    });
    site.save("short", await site.authority.client({ commonName: "short", groups: ["operators"] }, 8000));
    const socket = await dial(site, own.port, "localhost", { ...http1, as: "short" });
    const question = "GET /status/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    socket.write(question);
    const watcher = new Watcher(socket);
    await watcher.until(/event: part/);
    // The stream ends, and its connection does not; what is asked on it now is no administrator's.
    await watcher.until(/\r\n0\r\n\r\n$/);
    watcher.heard = "";
    socket.write(question);
    await watcher.until(/identity_not_allowed/);
    assert.equal(statusOf(watcher.heard), 403);
    socket.destroy();

    const last = await watch("oscar", own);
    await last.until(/event: part/);
    const exit = new Promise((resolve) => own.process.once("exit", resolve));
    own.process.kill("SIGTERM");
    await last.ended;
    assert.equal(await exit, 0);
    const record = await own.record(({ identity }) => identity?.subject.includes("oscar") === true);
    assert.equal(record.outcome, "served");
  });

  it("has room again for those whose watchers are gone", async () => {
    // A client that ends its half may still listen: the router finds out with the next event.
    for (let i = 0; ; i++) {
      const again = await watch("oscar");
      await again.until(/^HTTP\/1\.1 \d/);
      again.socket.destroy();
      if (statusOf(again.heard) === 200) break;
      assert.ok(i < 600, "there is room again");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  });
});
