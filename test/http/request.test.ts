import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { HttpRequest } from "../../src/http/exchange.ts";
import { hostOf, readRequest } from "../../src/http/request.ts";

async function* someBody(): AsyncGenerator<Uint8Array> {}

const request = (more: Partial<HttpRequest>): HttpRequest => ({
  method: "GET",
  target: "/",
  authority: "a.test",
  version: "1.1",
  fields: [],
  body: someBody(),
  ...more,
});
const refused = (more: Partial<HttpRequest>): void =>
  assert.equal(typeof readRequest(request(more)), "string", JSON.stringify(more));

describe("a request", () => {
  it("is for its Host and path", () => {
    assert.deepEqual(readRequest(request({ target: "/a?b=c", authority: "a.test:8443" })), {
      authority: "a.test:8443",
      target: "/a?b=c",
    });
    assert.deepEqual(readRequest(request({ authority: "[2001:db8::1]:8443" })), {
      authority: "[2001:db8::1]:8443",
      target: "/",
    });
  });

  it("with an absolute target is for what that says", () => {
    for (const [target, authority, path] of [
      ["http://b.test/x?y", "b.test", "/x?y"],
      ["HTTPS://b.test:1", "b.test:1", "/"],
      ["https://b.test?q", "b.test", "/?q"],
    ] as const) {
      assert.deepEqual(readRequest(request({ target })), { authority, target: path });
    }
  });

  it("for the server as a whole is OPTIONS *", () => {
    assert.deepEqual(readRequest(request({ method: "OPTIONS", target: "*" })), {
      authority: "a.test",
      target: "*",
    });
    refused({ target: "*" });
  });

  it("for no name, or none that is one, is refused", () => {
    for (const authority of [null, "", "a b", "a@b", "a/b", "a:80:80", "a:port", "[::1", "a,b", "a\r\nb"]) {
      refused({ authority });
    }
    refused({ target: "http:///x" });
    refused({ target: "http://user@a.test/" });
  });

  it("for no path is refused", () => {
    for (const target of ["", "x", "/a b", "/a\r\nb", "/a\0", "//a\tb", "ftp://a.test/", "a.test:443"]) {
      refused({ target });
    }
    refused({ version: "2", target: "http://a.test/" });
  });

  it("with what HTTP/1.1 has no place for is refused", () => {
    refused({ method: "GET /" });
    refused({ method: "" });
    for (const method of ["connect", "post", "gEt"]) refused({ version: "2", method });
    for (const field of [
      ["a b", ""],
      ["a:", ""],
      ["", ""],
      ["a", "x\r\ny"],
      ["a", "x\ny"],
      ["a", "x\0y"],
    ] as const) {
      refused({ version: "2", fields: [field] });
    }
  });

  it("over HTTP/2 has one name", () => {
    refused({ version: "2", fields: [["host", "b.test"]] });
    assert.equal(typeof readRequest(request({ version: "2", fields: [["host", "A.test"]] })), "object");
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
    [["content-length", "0x1"]],
    [["content-length", ""]],
    [["transfer-encoding", "gzip, chunked"]],
    [["transfer-encoding", "identity"]],
    [
      ["transfer-encoding", "chunked"],
      ["transfer-encoding", "chunked"],
    ],
    [
      ["host", "a.test"],
      ["host", "a.test"],
    ],
  ] as const) {
    it(`is refused: ${JSON.stringify(fields)}`, () => refused({ fields }));
  }

  it("is a Transfer-Encoding in HTTP/1.0 and HTTP/2", () => {
    const fields = [["transfer-encoding", "chunked"]] as const;
    refused({ version: "1.0", fields });
    refused({ version: "2", fields });
  });

  it("is a body that is announced where there is none", () => {
    for (const field of [
      ["content-length", "5"],
      ["transfer-encoding", "chunked"],
    ] as const)
      refused({ body: null, fields: [field] });
    assert.equal(typeof readRequest(request({ body: null, fields: [["content-length", "0"]] })), "object");
  });

  it("is not seen where there is none", () => {
    for (const fields of [
      [["content-length", "10"]],
      [["transfer-encoding", "Chunked"]],
      [["x-a", "caf\u00e9\t"]],
    ] as const) {
      assert.equal(typeof readRequest(request({ fields })), "object");
    }
  });
});

describe("a host", () => {
  it("is compared without case, port and final dot", () => {
    assert.equal(hostOf("A.Test.:8443"), "a.test");
    assert.equal(hostOf("[::1]:8443"), "[::1]");
    assert.equal(hostOf("a.test:"), "a.test");
  });
});
