import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Limits } from "../../src/authority/authority.ts";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

let site: Site;
let router: TestRouter;
let upstream: Upstream;
const hourMs = 3_600_000;

before(async () => {
  site = await createSite(["localhost", "a.test", "b.test", "c.test"]);
  upstream = await tcpUpstream(echo);
  const to = `tcp://127.0.0.1:${upstream.port}`;
  router = await startRouter(site, {
    SALLYPORT_ALLOW: "group:ops; cn:boss",
    SALLYPORT_GROUPS: "extension,uri:spiffe://example.com/group/{group}",
    SALLYPORT_ROUTE_A: `${to}?sni=a.test`,
    SALLYPORT_ROUTE_B: `${to}?sni=b.test`,
    SALLYPORT_ROUTE_C: `${to}?sni=c.test&allow=cn:*`,
  });
});
after(async () => {
  await router?.stop();
  upstream?.close();
  site?.remove();
});

/** What becomes of a new certificate on a route. */
async function reason(
  name: string,
  person: { readonly commonName: string; readonly groups?: string[]; readonly uris?: string[] },
  limits: Limits = {},
  more = {},
): Promise<string> {
  site.save("new", await site.authority.client(person, hourMs, Date.now(), { limits }));
  const from = router.now();
  try {
    const socket = await dial(site, router.port, name, { as: "new", ...more });
    socket.write("x");
    await firstBytes(socket);
    socket.end();
    await readAll(socket);
  } catch {
    // Refused inside the handshake: the record says why.
  }
  return (await router.record((one) => one.sni === name, from)).reason;
}

describe("limits in a certificate", () => {
  const ops = { commonName: "m", groups: ["ops"] };
  for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
    it(`on its source hold, ${maxVersion}`, async () => {
      const more = { maxVersion };
      assert.equal(await reason("a.test", ops, { sources: ["127.0.0.0/8"] }, more), "ok");
      assert.equal(await reason("a.test", ops, { sources: ["10.0.0.0/8"] }, more), "source_not_allowed");
    });
  }

  it("on its routes hold, and do not give what a rule does not", async () => {
    assert.equal(await reason("a.test", ops, { routes: ["a"] }), "ok");
    assert.equal(await reason("b.test", ops, { routes: ["a"] }), "identity_not_allowed");
    assert.equal(await reason("a.test", { commonName: "m" }, { routes: ["a"] }), "identity_not_allowed");
  });

  it("hold for resumed sessions as well", async () => {
    site.save("new", await site.authority.client(ops, hourMs, Date.now(), { limits: { routes: ["b"] } }));
    const from = router.now();
    for (let i = 0; i < 2; i++) {
      await dial(site, router.port, "a.test", { as: "new", maxVersion: "TLSv1.2" })
        .then((socket) => firstBytes(socket))
        .catch(() => null);
    }
    const refused = () => router.records(from).filter((one) => one.reason === "identity_not_allowed");
    await router.record(() => refused().length === 2, from);
  });
});

describe("rules for all routes", () => {
  it("hold where a route has none of its own", async () => {
    assert.equal(await reason("a.test", { commonName: "boss" }), "ok");
    assert.equal(await reason("a.test", { commonName: "m", uris: ["spiffe://example.com/group/ops"] }), "ok");
    assert.equal(await reason("a.test", { commonName: "m", groups: ["dev"] }), "identity_not_allowed");
    assert.equal(await reason("c.test", { commonName: "anybody" }), "ok");
  });
});
