import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connectRequest, maxProxyAnswer, parseProxyAnswer } from "../../src/wire/http-connect.ts";

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

describe("CONNECT", () => {
  it("names where to, and proves who asks where it is told to", () => {
    const text = (credentials: string | null): string =>
      new TextDecoder().decode(connectRequest("gate.example.com:8443", credentials));
    const start = "CONNECT gate.example.com:8443 HTTP/1.1\r\nHost: gate.example.com:8443\r\n";
    assert.ok(text(null).startsWith(start));
    assert.ok(text(null).endsWith("\r\n\r\n"));
    assert.doesNotMatch(text(null), /Authorization/);
    assert.ok(text("Basic eDp5").endsWith("Proxy-Authorization: Basic eDp5\r\n\r\n"));
  });

  const good: readonly [string, number, string][] = [
    ["HTTP/1.1 200 Connection established\r\n\r\n", 200, "Connection established"],
    ["HTTP/1.0 200\r\nVia: x\r\nContent-Length: 7\r\n\r\n", 200, ""],
    ["HTTP/1.1 299 \n\n", 299, ""],
    ["HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n", 407, ""],
    ["HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nA: b\r\n\r\nHTTP/1.1 200 ok\r\n\r\n", 200, "ok"],
    ["HTTP/1.1 502 no\x1b[31m\xffway\r\n\r\n", 502, "no [31m way"],
  ];
  for (const [text, status, phrase] of good)
    it(`reads ${JSON.stringify(text)}, and nothing behind it, however it is cut`, () => {
      const all = bytes(`${text}\x16\x03\x01`);
      for (let length = 0; length < text.length; length++) {
        const parsed = parseProxyAnswer(all.subarray(0, length));
        assert.equal(parsed.kind, "more", `${length} bytes`);
        assert.ok(parsed.kind === "more" && parsed.atLeast > length);
      }
      const parsed = parseProxyAnswer(all);
      assert.ok(parsed.kind === "ok");
      assert.equal(parsed.used, text.length);
      assert.equal(parsed.value.status, status);
      if (phrase !== "") assert.equal(parsed.value.phrase, phrase);
    });

  for (const [what, text] of [
    ["another protocol", "SSH-2.0-x"],
    ["another version", "HTTP/2"],
    ["no status", "HTTP/1.1 OK\r\n"],
    ["a status of four digits", "HTTP/1.1 2000 x\r\n"],
    ["a protocol that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\n\r\n"],
    ["TLS", "\x15\x03\x01"],
  ] as const)
    it(`refuses ${what}`, () => {
      assert.equal(parseProxyAnswer(bytes(text)).kind, "no");
    });

  it("refuses fields without end, and interim responses without end", () => {
    for (const text of ["A: b\r\n", "x", "\r\nHTTP/1.1 100 x\r\n"]) {
      const all = bytes(`HTTP/1.1 ${text === "x" ? "" : "100 x\r\n"}${text.repeat(maxProxyAnswer)}`);
      let asked = 0;
      for (let length = 1; ; length = asked) {
        const parsed = parseProxyAnswer(all.subarray(0, length));
        if (parsed.kind === "more") asked = Math.max(parsed.atLeast, length + 1000);
        else {
          assert.ok(parsed.kind === "no" && parsed.code === "too_large", text);
          break;
        }
      }
      assert.ok(asked <= maxProxyAnswer + 1000);
    }
  });
});
