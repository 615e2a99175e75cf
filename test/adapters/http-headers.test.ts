import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { forwardedFields } from "../../src/adapters/http/forwarded-fields.ts";
import { endToEnd, upgradeAsked } from "../../src/http/hop-by-hop.ts";

const about = {
  address: "2001:db8::1",
  host: "a.test:8443",
  port: 8443,
  client: null,
  by: [],
  assertion: null,
};

describe("forwarded fields", () => {
  it("quote what RFC 7239 wants quoted", () => {
    const fields = new Map(forwardedFields([], about));
    assert.equal(fields.get("forwarded"), 'for="[2001:db8::1]";host="a.test:8443";proto=https');
    assert.equal(fields.get("x-forwarded-for"), "2001:db8::1");
    assert.equal(fields.get("x-forwarded-port"), "8443");
  });

  it("leave no host a way to say more than a host", () => {
    const fields = new Map(forwardedFields([], { ...about, host: "a;for=127.0.0.1" }));
    assert.equal(fields.get("forwarded"), 'for="[2001:db8::1]";host="a;for=127.0.0.1";proto=https');
  });

  it("replace the peer's, however it spells them", () => {
    const names = [
      "forwarded",
      "x-forwarded-for",
      "x_forwarded_for",
      "x-forwarded_host",
      "x-real-ip",
      "sallyport-identity",
      "sallyport_identity",
      "x-forwarded-client-cert",
    ];
    const fields = forwardedFields(
      names.map((name) => [name, "spoofed"]),
      about,
    );
    assert.ok(!fields.some(([, value]) => value === "spoofed"));
  });

  it("keep everything else, in order, repeated fields too", () => {
    const fields = endToEnd([
      ["a", "1"],
      ["connection", "b, keep-alive"],
      ["b", "2"],
      ["a", "3"],
      ["te", "x"],
    ]);
    assert.deepEqual(fields, [
      ["a", "1"],
      ["a", "3"],
    ]);
  });
});

describe("an upgrade", () => {
  it("is asked for by Connection and Upgrade together", () => {
    assert.equal(
      upgradeAsked([
        ["connection", "keep-alive, Upgrade"],
        ["upgrade", "websocket"],
      ]),
      "websocket",
    );
    assert.equal(upgradeAsked([["upgrade", "websocket"]]), null);
  });

  it("to other HTTP is not asked for", () => {
    const asked = (upgrade: string): string | null =>
      upgradeAsked([
        ["connection", "upgrade"],
        ["upgrade", upgrade],
      ]);
    for (const token of ["h2c", "H2C", "h2", "HTTP/2.0", "TLS/1.0", " h2c , TLS/1.2"]) {
      assert.equal(asked(token), null, token);
    }
    assert.equal(asked("h2c, websocket"), "websocket");
    assert.equal(asked("SPDY/3.1"), "SPDY/3.1");
  });
});
