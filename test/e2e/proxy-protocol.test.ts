import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import {
  encodeProxyV1,
  encodeProxyV2,
  parseProxyHeader,
  parseSslTlv,
} from "../../src/wire/proxy-protocol.ts";
import { dial, dialTcp, firstBytes, readAll } from "../support/client.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { tcpUpstream, tlsUpstream, type Upstream } from "../support/upstreams.ts";

const names = ["localhost", "v1.test", "v2.test", "plain.test", "near.test", "tls.test", "nobody.test"];
const facts = {
  source: { address: "203.0.113.9", port: 40000 },
  destination: { address: "198.51.100.1", port: 443 },
  alpn: null,
  authority: null,
  tls: null,
};
let site: Site;
let router: TestRouter;
let direct: TestRouter;
let mirror: Upstream;
let secure: Upstream;

before(async () => {
  site = await createSite(names);
  // Says back whatever comes first.
  mirror = await tcpUpstream((socket) => {
    socket.on("error", () => {});
    socket.once("data", (chunk) => socket.end(chunk));
  });
  const pair = await site.authority.server(["upstream.test"], 86_400_000);
  secure = await tlsUpstream({ ...pair, ca: site.authority.certificate.toString("pem") }, (socket) =>
    socket.end("verified"),
  );
  const ca = encodeURIComponent(`${site.folder}/ca.crt`);
  const own = `upstream_cert=${encodeURIComponent(`${site.folder}/alice.crt`)}&upstream_key=${encodeURIComponent(`${site.folder}/alice.key`)}`;
  const routes = {
    SALLYPORT_ROUTE_V1: `tcp://127.0.0.1:${mirror.port}?sni=v1.test&send_proxy=v1`,
    SALLYPORT_ROUTE_V2: `tcp://127.0.0.1:${mirror.port}?sni=v2.test&send_proxy=v2`,
    SALLYPORT_ROUTE_PLAIN: `tcp://127.0.0.1:${mirror.port}?sni=plain.test`,
    SALLYPORT_ROUTE_NEAR: `tcp://127.0.0.1:${mirror.port}?sni=near.test&source=203.0.113.0/24`,
    SALLYPORT_ROUTE_TLS: `tcp://127.0.0.1:${secure.port}?sni=tls.test&upstream_tls=verify&upstream_ca=${ca}&upstream_sni=upstream.test&${own}`,
    SALLYPORT_ROUTE_STRANGER: `tcp://127.0.0.1:${secure.port}?sni=nobody.test&upstream_tls=verify&upstream_sni=upstream.test&${own}`,
  };
  router = await startRouter(site, {
    ...routes,
    SALLYPORT_PROXY_PROTOCOL: "optional",
    SALLYPORT_PROXY_PROTOCOL_FROM: "127.0.0.0/8",
  });
  direct = await startRouter(site, {
    ...routes,
    SALLYPORT_PROXY_PROTOCOL: "required",
    SALLYPORT_PROXY_PROTOCOL_FROM: "192.0.2.0/24",
  });
});
after(async () => {
  await router?.stop();
  await direct?.stop();
  mirror?.close();
  secure?.close();
  site?.remove();
});

/** A TLS connection behind a header. */
async function behind(header: Uint8Array, name: string, port = router.port): Promise<string> {
  const raw = await dialTcp(port);
  raw.write(header);
  const socket = await new Promise<TLSSocket>((resolve, reject) => {
    const tls = connect({
      socket: raw,
      servername: name,
      ca: readFileSync(`${site.folder}/ca.crt`),
      cert: readFileSync(`${site.folder}/alice.crt`),
      key: readFileSync(`${site.folder}/alice.key`),
    });
    tls.once("error", reject);
    tls.once("secureConnect", () => resolve(tls));
  });
  socket.write("hello");
  const answer = (await readAll(socket)).toString("latin1");
  socket.destroy();
  return answer;
}

describe("PROXY headers from a listed balancer", () => {
  for (const [version, header] of [
    ["v1", encodeProxyV1(facts)],
    ["v2", encodeProxyV2(facts)],
  ] as const) {
    it(`say who the client is, ${version}`, async () => {
      const from = router.now();
      assert.equal(await behind(header, "near.test"), "hello");
      const record = await router.record((one) => one.route === "near", from);
      assert.equal(record.source, "203.0.113.9:40000");
    });
  }

  it("may be missing where they are optional", async () => {
    const socket = await dial(site, router.port, "plain.test");
    socket.write("hello");
    assert.equal((await firstBytes(socket))?.toString(), "hello");
    socket.destroy();
  });

  it("that are malformed are refused", async () => {
    const from = router.now();
    const socket = await dialTcp(router.port);
    socket.write("PROXY TCP4 1.2.3.4 nonsense\r\n");
    assert.equal((await readAll(socket)).length, 0);
    await router.record((one) => one.reason === "proxy_header_invalid", from);
  });
});

describe("PROXY headers from anybody else", () => {
  it("are refused, and so is everything where they are required", async () => {
    await assert.rejects(behind(encodeProxyV2(facts), "plain.test", direct.port));
    await direct.record((one) => one.reason === "proxy_header_invalid" && one.outcome === "refused");
    await assert.rejects(dial(site, direct.port, "plain.test"));
  });
});

describe("towards the upstream", () => {
  const through = async (name: string): Promise<Buffer> => {
    const socket = await dial(site, router.port, name, { ALPNProtocols: ["sallyport-tcp"] });
    socket.write("hello");
    return readAll(socket);
  };

  it("a v1 header comes first", async () => {
    assert.match((await through("v1.test")).toString(), /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+\r\n/);
  });

  it("a v2 header carries protocol, name, TLS version, common name and certificate", async () => {
    const parsed = parseProxyHeader(await through("v2.test"));
    assert.ok(parsed.kind === "ok");
    const text = (type: number): string | undefined => {
      const value = parsed.value.tlvs.find((tlv) => tlv.type === type)?.value;
      return value === undefined ? undefined : Buffer.from(value).toString();
    };
    assert.equal(text(0x01), "sallyport-tcp");
    assert.equal(text(0x02), "v2.test");
    const ssl = parseSslTlv(parsed.value.tlvs.find((tlv) => tlv.type === 0x20)?.value ?? new Uint8Array(0));
    assert.ok(ssl?.verified);
    const inner = new Map(ssl.tlvs.map(({ type, value }) => [type, Buffer.from(value)]));
    assert.equal(inner.get(0x21)?.toString(), "TLSv1.3");
    assert.equal(inner.get(0x22)?.toString(), "alice");
    assert.ok((inner.get(0x28)?.length ?? 0) > 200);
  });

  it("TLS is verified, with our own certificate shown", async () => {
    assert.equal((await through("tls.test")).toString(), "verified");
  });

  it("an upstream that nobody vouches for is refused", async () => {
    const from = router.now();
    assert.equal((await through("nobody.test")).length, 0);
    const record = await router.record((one) => one.route === "stranger", from);
    assert.deepEqual([record.outcome, record.reason], ["failed", "upstream_refused"], record.detail ?? "");
  });
});
