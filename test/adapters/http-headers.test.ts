import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { endToEnd, forwardedFields, smuggling, upgradeAsked } from "../../src/adapters/http/headers.ts";

const about = { address: "2001:db8::1", host: "a.test:8443", port: 8443 };

describe("forwarded fields", () => {
  it("quote what RFC 7239 wants quoted", () => {
    const fields = new Map(forwardedFields([], about));
    assert.equal(fields.get("forwarded"), 'for="[2001:db8::1]";host="a.test:8443";proto=https');
    assert.equal(fields.get("x-forwarded-for"), "2001:db8::1");
    assert.equal(fields.get("x-forwarded-port"), "8443");
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

describe("ambiguous framing", () => {
  for (const fields of [
    [
      ["content-length", "1"],
      ["content-length", "1"],
    ],
    [
      ["content-length", "1"],
      ["transfer-encoding", "chunked"],
    ],
    [["content-length", "1, 1"]],
    [["content-length", "-1"]],
    [["transfer-encoding", "gzip, chunked"]],
    [
      ["transfer-encoding", "chunked"],
      ["transfer-encoding", "chunked"],
    ],
    [
      ["host", "a"],
      ["host", "a"],
    ],
  ] as const) {
    it(`is seen: ${JSON.stringify(fields)}`, () => assert.notEqual(smuggling(fields), null));
  }

  it("is not seen where there is none", () => {
    assert.equal(
      smuggling([
        ["host", "a"],
        ["content-length", "10"],
      ]),
      null,
    );
    assert.equal(smuggling([["transfer-encoding", "Chunked"]]), null);
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
});
