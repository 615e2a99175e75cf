import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { alertRecord } from "../../src/wire/alert.ts";
import { cidrContains, cidrsOverlap, formatIp, parseCidr, parseIp } from "../../src/wire/ip.ts";
import { looksLike, parseNotTls, plainHttpAnswer } from "../../src/wire/not-tls.ts";
import { normaliseServerName } from "../../src/wire/server-name.ts";

describe("server names", () => {
  it("are compared in lower case and without the final dot", () => {
    assert.equal(normaliseServerName("A.Example.COM."), "a.example.com");
    assert.equal(normaliseServerName("xn--bcher-kva.example"), "xn--bcher-kva.example");
    assert.equal(normaliseServerName("_x.example.com"), "_x.example.com");
  });

  it("have at most 253 characters", () => {
    const long = `${`${"a".repeat(63)}.`.repeat(3)}${"b".repeat(61)}`;
    assert.equal(long.length, 253);
    assert.equal(normaliseServerName(`${long}.`), long);
    assert.equal(normaliseServerName(`${long}b`), null);
  });

  for (const bad of [
    "",
    ".",
    "a..b",
    "-a.b",
    "a-.b",
    "a b",
    "bücher.example",
    "a\u0000.b",
    "\u212aube.example",
    "a\u017f.example",
    "a.example\n",
    "*.example.com",
    "a/b.example",
    "fe80::1%eth0",
    "1.2.3.4.",
    "0x7f000001",
    "0X7F.0.0.0x1",
    "2130706433",
    "0177.0.0.01",
    "a.0x",
    "a..",
    ".a",
    "127.0.0.1",
    "1.2.3",
    "a.0x7f",
    "::1",
    "[::1]",
    "a.1",
    `${"a".repeat(64)}.b`,
    `${"a.".repeat(127)}b.c`,
  ]) {
    it(`can't be ${JSON.stringify(bad).slice(0, 40)}`, () => assert.equal(normaliseServerName(bad), null));
  }
});

describe("addresses", () => {
  const canonical: [string, string][] = [
    ["192.0.2.1", "192.0.2.1"],
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["1:0:0:2:0:0:0:3", "1:0:0:2::3"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
  ];
  for (const [text, expected] of canonical) {
    it(`${text} is written ${expected}`, () => {
      const ip = parseIp(text);
      assert.ok(ip !== null);
      assert.equal(formatIp(ip), expected);
    });
  }

  for (const bad of [
    "",
    "1.2.3",
    "01.2.3.4",
    "1.2.3.256",
    "1.2.3.4 ",
    "1::2::3",
    ":1",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1:2:3:4:5:6:7::8",
    "fe80::1%eth0",
    "[::1]",
    "1.2.3.4::",
  ]) {
    it(`${JSON.stringify(bad)} is none`, () => assert.equal(parseIp(bad), null));
  }

  it("lie in networks, bit by bit", () => {
    const network = parseCidr("10.128.0.0/9");
    const [inside, outside, wide] = [parseIp("10.200.1.1"), parseIp("10.1.1.1"), parseIp("::1")];
    assert.ok(network !== null && inside !== null && outside !== null && wide !== null);
    assert.equal(cidrContains(network, inside), true);
    assert.equal(cidrContains(network, outside), false);
    assert.equal(cidrContains(network, wide), false);
  });

  it("of one family are in no network of the other, whatever their bits", () => {
    for (const [network, address] of [
      ["10.0.0.0/8", "a00::1"],
      ["0.0.0.0/0", "::1"],
      ["::/0", "192.0.2.1"],
    ]) {
      const [cidr, ip] = [parseCidr(network ?? ""), parseIp(address ?? "")];
      assert.ok(cidr !== null && ip !== null);
      assert.equal(cidrContains(cidr, ip), false, `${address} in ${network}`);
    }
  });

  it("networks with host bits, or too many bits, are refused", () => {
    for (const bad of ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/", "10.0.0.0/8/8", "::1/64"]) {
      assert.equal(parseCidr(bad), null, bad);
    }
  });

  it("networks overlap when one holds the other", () => {
    const [a, b, c] = [parseCidr("10.0.0.0/8"), parseCidr("10.1.0.0/16"), parseCidr("11.0.0.0/8")];
    assert.ok(a !== null && b !== null && c !== null);
    assert.equal(cidrsOverlap(a, b), true);
    assert.equal(cidrsOverlap(b, a), true);
    assert.equal(cidrsOverlap(b, c), false);
  });
});

describe("what is not TLS", () => {
  const bytes = (text: string): Uint8Array => Uint8Array.from([...text].map((c) => c.charCodeAt(0)));
  const told: [string, string][] = [
    ["GET / HTTP/1.1\r\n", "http"],
    ["PROPFIND /dav HTTP/1.1\r\n", "http"],
    ["VERSION-CONTROL /x HTTP/1.1\r\n", "http"],
    ["OPTIONS * HTTP/1.1\r\n", "http"],
    ["GET http://a.example/ HTTP/1.1\r\n", "http"],
    ["CONNECT a.example:443 HTTP/1.1\r\n", "http"],
    ["PRI /x HTTP/1.1\r\n", "http"],
    ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2"],
    ["SSH-2.0-OpenSSH_9.2\r\n", "ssh"],
    ["PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "proxy"],
    ["\r\n\r\n\0\r\nQUIT\n\u0021\u0011", "proxy"],
    ["EHLO mail.example\r\n", "other"],
    ["get / HTTP/1.1\r\n", "other"],
    [`${"A".repeat(40)} / HTTP/1.1\r\n`, "other"],
    ["\u0000\u0001", "other"],
    ["\u0080\u002e\u0001\u0003\u0001", "other"],
    ["\u0016\u0002", "other"],
  ];
  for (const [text, what] of told) {
    it(`${encodeURIComponent(text.slice(0, 30))} is ${what}, from however few bytes can tell`, () => {
      const whole = parseNotTls(bytes(text));
      assert.ok(whole.kind === "ok");
      assert.equal(whole.value, what);
      for (let cut = 0; cut <= text.length; cut++) {
        const parsed = parseNotTls(bytes(text.slice(0, cut)));
        if (parsed.kind === "more") assert.ok(parsed.atLeast === cut + 1 && cut < 24, `cut at ${cut}`);
        else assert.ok(parsed.kind === "ok" && parsed.value === what, `cut at ${cut}`);
      }
    });
  }

  it("is other when it ends before anything can be told", () => {
    assert.equal(looksLike(bytes("GE")), "other");
    assert.equal(looksLike(bytes("")), "other");
    assert.equal(looksLike(bytes("GET /")), "http");
  });

  it("and plain HTTP hears that this port speaks TLS", () => {
    const answer = new TextDecoder().decode(plainHttpAnswer());
    const [head = "", body = ""] = answer.split("\r\n\r\n");
    assert.match(head, /^HTTP\/1\.1 400 Bad Request\r\n/);
    assert.match(head, new RegExp(`^Content-Length: ${new TextEncoder().encode(body).length}$`, "m"));
    assert.match(head, /^Connection: close$/m);
    assert.match(head, /^Content-Type: text\/plain/m);
    assert.match(body, /speaks TLS/);
  });
});

describe("a TLS alert", () => {
  it("is a fatal one in a plaintext record of its own", () => {
    assert.deepEqual([...alertRecord("unrecognized_name")], [21, 3, 3, 0, 2, 2, 112]);
    assert.deepEqual([...alertRecord("no_application_protocol")], [21, 3, 3, 0, 2, 2, 120]);
    assert.deepEqual([...alertRecord("decode_error")], [21, 3, 3, 0, 2, 2, 50]);
    assert.deepEqual([...alertRecord("access_denied")], [21, 3, 3, 0, 2, 2, 49]);
    assert.deepEqual([...alertRecord("internal_error")], [21, 3, 3, 0, 2, 2, 80]);
  });
});
