import assert from "node:assert/strict";
import { createServer } from "node:http";
import { Duplex } from "node:stream";
import { describe, it } from "node:test";
import fc from "fast-check";
import type { Parsed } from "../../../src/wire/cursor.ts";
import {
  type Framing,
  parseRequestHead,
  parseResponseHead,
  type RequestHead,
  type ResponseHead,
} from "../../../src/wire/http1/head.ts";
import { HeadReader } from "../../../src/wire/http1/head-reader.ts";
import { headText, requestLine } from "../../../src/wire/http1/head-text.ts";
import { seed, share } from "../../support/fuzz.ts";
import { attempts } from "../../support/smuggling.ts";

const most = 32 * 1024;
const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");
const request = (text: string): Parsed<RequestHead> => parseRequestHead(bytes(text), most);
const response = (text: string, method = "GET"): Parsed<ResponseHead> =>
  parseResponseHead(bytes(text), { method }, most);

function good<T>(parsed: Parsed<T>): T {
  assert.ok(parsed.kind === "ok", JSON.stringify(parsed));
  return parsed.value;
}

const host = "Host: a.test\r\n";

describe("the head of an HTTP/1.1 request", () => {
  it("is read as it came: names in lower case, order and repeats kept, blanks around values gone", () => {
    const text = `POST /a?b=%20 HTTP/1.1\r\n${host}X-A:  b \t\r\nx-a:\r\nSet: \xe4\t1\r\nContent-Length: 12\r\n\r\n`;
    const parsed = request(`${text}body`);
    assert.ok(parsed.kind === "ok");
    assert.equal(parsed.used, text.length);
    assert.deepEqual(parsed.value, {
      method: "POST",
      target: "/a?b=%20",
      version: "1.1",
      fields: [
        ["host", "a.test"],
        ["x-a", "b"],
        ["x-a", ""],
        ["set", "\xe4\t1"],
        ["content-length", "12"],
      ],
      framing: { kind: "length", bytes: 12 },
      keepAlive: true,
      upgrade: false,
      size: text.length,
    });
  });

  const facts: readonly [string, Partial<RequestHead>][] = [
    [`GET / HTTP/1.1\r\n${host}\r\n`, { framing: { kind: "none" }, keepAlive: true }],
    [`GET / HTTP/1.1\r\n${host}Connection: x, Close\r\n\r\n`, { keepAlive: false }],
    ["GET / HTTP/1.0\r\n\r\n", { version: "1.0", keepAlive: false, framing: { kind: "none" } }],
    ["GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", { version: "1.0", keepAlive: true }],
    [`GET / HTTP/2.0\r\n${host}\r\n`, { version: "2.0" }],
    [`\r\n\r\nGET / HTTP/1.1\r\n${host}\r\n`, { method: "GET", target: "/" }],
    [`OPTIONS * HTTP/1.1\r\n${host}\r\n`, { method: "OPTIONS", target: "*" }],
    [`M-SEARCH http://a.test/ HTTP/1.1\r\n${host}\r\n`, { method: "M-SEARCH", target: "http://a.test/" }],
    [`CONNECT a.test:1 HTTP/1.1\r\n${host}\r\n`, { method: "CONNECT", target: "a.test:1", upgrade: false }],
    [`GET / HTTP/1.1\r\n${host}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`, { upgrade: true }],
    [`GET / HTTP/1.1\r\n${host}Upgrade: websocket\r\n\r\n`, { upgrade: false }],
    [
      `POST / HTTP/1.1\r\n${host}Transfer-Encoding: Chunked \r\n\r\n`,
      { framing: { kind: "chunked" }, keepAlive: true },
    ],
  ];
  for (const [text, expected] of facts)
    it(`says ${JSON.stringify(expected)} of ${JSON.stringify(text)}`, () => {
      const value = good(request(text));
      for (const [key, each] of Object.entries(expected))
        assert.deepEqual(value[key as keyof RequestHead], each);
    });

  it("is read once it is whole, however it is cut, and never before", () => {
    const text = `\r\nPOST /a HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nX:\r\nY: z\r\n\r\n`;
    const whole = good(request(text));
    for (let cut = 1; cut < text.length; cut++) {
      assert.equal(request(text.slice(0, cut)).kind, "more", `${cut} bytes`);
      const reader = new HeadReader((all) => parseRequestHead(all, most), most);
      assert.equal(reader.read(bytes(text.slice(0, cut))).kind, "more");
      assert.ok(reader.begun);
      const parsed = reader.read(bytes(`${text.slice(cut)}rest`));
      assert.deepEqual(good(parsed), whole);
      assert.ok(parsed.kind === "ok");
      assert.equal(Buffer.from(reader.bytes.subarray(parsed.used)).toString(), "rest");
      assert.ok(!reader.begun);
    }
  });

  it("that comes byte by byte is looked at a few times, not with each", () => {
    const text = `GET / HTTP/1.1\r\n${host}X: ${"y".repeat(20_000)}\r\n\r\n`;
    let looks = 0;
    const reader = new HeadReader((all) => {
      looks++;
      return parseRequestHead(all, most);
    }, most);
    let last: Parsed<RequestHead> | undefined;
    for (const byte of bytes(text)) last = reader.read(Uint8Array.of(byte));
    assert.ok(last !== undefined);
    assert.equal(good(last).size, text.length);
    assert.ok(looks < 20, `${looks} looks`);
    const garbage = new HeadReader((all) => parseRequestHead(all, most), most);
    let taken = 0;
    while (garbage.read(bytes(taken++ === 0 ? "GET / HTTP/1.1\r\nX" : " ")).kind === "more");
    assert.ok(taken < 40, `${taken} bytes were taken`);
  });

  it("is bounded", () => {
    const of = (fill: number): string => `GET / HTTP/1.1\r\n${host}X: ${"y".repeat(fill)}\r\n\r\n`;
    const fits = most - of(0).length;
    assert.equal(request(of(fits)).kind, "ok");
    for (const text of [of(fits + 1), of(200_000), of(fits + 1).slice(0, most), "\r\n".repeat(most)]) {
      const parsed = request(text);
      assert.ok(parsed.kind === "no" && parsed.code === "too_large", parsed.kind);
    }
    const reader = new HeadReader((all) => parseRequestHead(all, most), most);
    let taken = 0;
    for (let kind = "more"; kind === "more"; taken++)
      kind = reader.read(bytes(taken === 0 ? "GET /" : "a")).kind;
    assert.ok(taken <= most, `${taken} bytes were taken`);
  });

  const bad: readonly string[] = [
    "GET / HTTP/1.1\r\n\r\n",
    `GET / HTTP/1.1\r\n${host}${host}\r\n`,
    `GET  / HTTP/1.1\r\n${host}\r\n`,
    `GET /  HTTP/1.1\r\n${host}\r\n`,
    `GET / HTTP/1.1 \r\n${host}\r\n`,
    `GET /\xe4 HTTP/1.1\r\n${host}\r\n`,
    `get / HTTP/1.1\r\n${host}\r\n`,
    `NONSENSE / HTTP/1.1\r\n${host}\r\n`,
    "GET /\r\n\r\n",
    "DESCRIBE rtsp://x RTSP/1.0\r\n\r\n",
    "SOURCE /x ICE/1.0\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    `GET / HTTP/1.1\r\n${host}X : y\r\n\r\n`,
    `GET / HTTP/1.1\r\n${host}X: y\r\n z\r\n\r\n`,
    `GET / HTTP/1.1\r\n${host}X: y\nZ: z\r\n\r\n`,
    `GET / HTTP/1.1\r\n${host}X: y\rZ: z\r\n\r\n`,
    `GET / HTTP/1.1\r\n${host}X: y\0\r\n\r\n`,
    `GET / HTTP/1.1\r\n${host}\xe4: y\r\n\r\n`,
    `POST / HTTP/1.1\r\n${host}Content-Length: 1\r\nContent-Length: 1\r\n\r\n`,
    `POST / HTTP/1.1\r\n${host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n`,
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding: gzip, chunked\r\n\r\n`,
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked, gzip\r\n\r\n`,
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding: gzip\r\n\r\n`,
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding:\r\n\r\n`,
    `POST / HTTP/1.1\r\n${host}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n`,
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    `POST / HTTP/1.1\r\n${host}Content-Length: 9999999999999999\r\n\r\n`,
    "\x16\x03\x01\x02\x00\x01",
    "SSH-2.0-OpenSSH_9.2\r\n",
  ];
  for (const text of bad)
    it(`is refused: ${JSON.stringify(text)}`, () => {
      const parsed = request(text);
      assert.ok(parsed.kind === "no" && parsed.code === "malformed", parsed.kind);
      assert.notEqual(parsed.detail, "");
    });

  it("whatever comes, is read without an error thrown, to the same end however it is cut", () => {
    const soup = fc.array(
      fc.oneof(
        fc.constantFrom("GET / HTTP/1.1", "\r\n", "\n", "Host: a", "Transfer-Encoding: chunked", ": ", "\0"),
        fc.constantFrom("Content-Length: 3", "Connection: ", "close", "Upgrade: x", "HTTP/1.0", " ", "\t"),
        fc.uint8Array({ maxLength: 8 }).map((some) => Buffer.from(some).toString("latin1")),
      ),
      { maxLength: 14 },
    );
    fc.assert(
      fc.property(soup, fc.nat(), (parts, at) => {
        const text = parts.join("");
        const whole = request(text);
        response(text);
        const cut = text.length === 0 ? 0 : at % text.length;
        const begun = request(text.slice(0, cut));
        if (begun.kind === "ok") assert.deepEqual(whole, begun);
        else if (begun.kind === "no") assert.notEqual(whole.kind, "ok");
        if (whole.kind !== "ok") return;
        // What was read says the same again, and holds no line's end.
        const { method, target, fields } = whole.value;
        if (whole.value.version !== "1.1") return;
        const again = good(request(headText(requestLine(method, target), fields)));
        assert.deepEqual(again.fields, fields);
        assert.deepEqual(again.framing, whole.value.framing);
      }),
      { seed, numRuns: share(20_000) },
    );
  });
});

// `node:http` on Node itself has the same parser: where that refuses, we do, and what both take is the same to both.
const { bun, deno } = process.versions as Record<string, string | undefined>;
const isNode = bun === undefined && deno === undefined;

describe("beside node:http", () => {
  interface Seen {
    readonly method: string | undefined;
    readonly target: string | undefined;
    readonly fields: readonly string[];
    readonly framing: Framing["kind"];
  }
  /** What its server makes of the first request in these bytes; `null`: it refuses it. */
  function theirs(text: string): Promise<Seen | null> {
    return new Promise((resolve) => {
      const server = createServer({ maxHeaderSize: most });
      const seen = (incoming: import("node:http").IncomingMessage): void => {
        const { headers } = incoming;
        const framing =
          headers["transfer-encoding"] !== undefined
            ? "chunked"
            : headers["content-length"] !== undefined
              ? "length"
              : "none";
        resolve({ method: incoming.method, target: incoming.url, fields: incoming.rawHeaders, framing });
      };
      for (const event of ["request", "checkContinue", "checkExpectation", "upgrade", "connect"])
        server.on(event, seen);
      server.on("clientError", () => resolve(null));
      const stream = new Duplex({
        read() {},
        write: (_chunk, _encoding, done) => {
          // It answers some by itself.
          resolve(null);
          done();
        },
      });
      server.emit("connection", stream);
      stream.push(bytes(text));
      setImmediate(() => setImmediate(() => resolve(null)));
    });
  }

  it("takes nothing of the smuggling corpus that it does not, and reads what both take alike", async () => {
    let taken = 0;
    for (const { what, bytes: text } of attempts) {
      const ours = request(text);
      if (ours.kind !== "ok") continue;
      taken++;
      if (!isNode) continue;
      const their = await theirs(text);
      assert.ok(their !== null, `${what}: taken, where node:http refuses it`);
      const { method, target, fields, framing } = ours.value;
      const raw = their.fields.map((each, i) => (i % 2 === 0 ? each.toLowerCase() : each));
      assert.deepEqual([method, target, fields.flat()], [their.method, their.target, raw], what);
      assert.equal(framing.kind, their.framing, what);
    }
    // The same on all runtimes: what is wrong with these is behind their heads, or nothing.
    assert.equal(taken, 37);
  });
});

describe("the head of an HTTP/1.1 response", () => {
  const facts: readonly [string, string, Partial<ResponseHead>][] = [
    [
      "HTTP/1.1 200 OK\r\nA: b\r\n\r\n",
      "GET",
      { status: 200, framing: { kind: "until-close" }, keepAlive: false },
    ],
    [
      "HTTP/1.1 200 \r\nContent-Length: 3\r\n\r\n",
      "GET",
      { framing: { kind: "length", bytes: 3 }, keepAlive: true },
    ],
    ["HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "GET", { framing: { kind: "length", bytes: 0 } }],
    [
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
      "GET",
      { framing: { kind: "chunked" }, keepAlive: true },
    ],
    ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: a, CLOSE\r\n\r\n", "GET", { keepAlive: false }],
    ["HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", "GET", { version: "1.0", keepAlive: false }],
    ["HTTP/1.0 200 OK\r\nContent-Length: 3\r\nConnection: Keep-Alive\r\n\r\n", "GET", { keepAlive: true }],
    ["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD", { framing: { kind: "none" }, keepAlive: true }],
    ["HTTP/1.1 200 OK\r\n\r\n", "HEAD", { framing: { kind: "none" }, keepAlive: true }],
    ["HTTP/1.1 200 OK\r\n\r\n", "CONNECT", { framing: { kind: "none" } }],
    ["HTTP/1.1 407 No\r\nContent-Length: 3\r\n\r\n", "CONNECT", { framing: { kind: "length", bytes: 3 } }],
    [
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200",
      "POST",
      { status: 100, framing: { kind: "none" }, size: 25 },
    ],
    ["HTTP/1.1 204 No\r\n\r\n", "GET", { framing: { kind: "none" }, keepAlive: true }],
    ["HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", "GET", { framing: { kind: "none" }, keepAlive: true }],
    ["HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", "GET", { framing: { kind: "none" }, keepAlive: false }],
    [
      "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n",
      "GET",
      { framing: { kind: "none" }, keepAlive: false },
    ],
    ["HTTP/1.1 304 No\r\nContent-Length: 3\r\n\r\n", "GET", { framing: { kind: "none" }, keepAlive: true }],
    [
      "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
      "GET",
      { status: 101, framing: { kind: "none" } },
    ],
  ];
  for (const [text, method, expected] of facts)
    it(`says ${JSON.stringify(expected)} of ${JSON.stringify(text)} to ${method}`, () => {
      const value = good(response(text, method));
      for (const [key, each] of Object.entries(expected))
        assert.deepEqual(value[key as keyof ResponseHead], each);
    });

  it("is read once it is whole, however it is cut", () => {
    const text = "HTTP/1.1 200 All right\r\nContent-Length: 3\r\nX:\r\n\r\n";
    for (let cut = 0; cut < text.length; cut++)
      assert.equal(response(text.slice(0, cut)).kind, "more", `${cut} bytes`);
    assert.equal(good(response(`${text}abc`)).size, text.length);
  });

  for (const text of [
    "HTTP/2.0 200 OK\r\n\r\n",
    "HTTP/1.1 099 OK\r\n\r\n",
    "HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/1.1  200 OK\r\n\r\n",
    "ICE/1.0 200 OK\r\n\r\n",
    "HTTP/1.1 200 OK\nA: b\n\n",
    "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "220 mail.test ESMTP\r\n",
  ])
    it(`is refused: ${JSON.stringify(text)}`, () => {
      assert.equal(response(text).kind, "no");
    });
});

describe("the text of a head", () => {
  it("is what was asked for", () => {
    assert.equal(
      headText(requestLine("GET", "/a?b"), [
        ["host", "a.test"],
        ["x", ""],
      ]),
      "GET /a?b HTTP/1.1\r\nhost: a.test\r\nx: \r\n\r\n",
    );
  });

  const injections: readonly [string, () => string][] = [
    ["a line in a value", () => headText("GET / HTTP/1.1", [["x", "y\r\nz: 1"]])],
    ["a bare LF in a value", () => headText("GET / HTTP/1.1", [["x", "y\nz"]])],
    ["a NUL in a value", () => headText("GET / HTTP/1.1", [["x", "y\0"]])],
    ["a character of more than a byte in a value", () => headText("GET / HTTP/1.1", [["x", "\u010a"]])],
    ["a colon in a name", () => headText("GET / HTTP/1.1", [["x: y\r\nz", "1"]])],
    ["a blank in a name", () => headText("GET / HTTP/1.1", [["x ", "1"]])],
    ["no name", () => headText("GET / HTTP/1.1", [["", "1"]])],
    ["a line in the first line", () => headText("HTTP/1.1 200 OK\r\nx: y", [])],
    ["a line in a target", () => requestLine("GET", "/ HTTP/1.1\r\nx: y")],
    ["a blank in a target", () => requestLine("GET", "/a b")],
    ["no target", () => requestLine("GET", "")],
    ["a character of more than a byte in a target", () => requestLine("GET", "/\u0120")],
    ["a blank in a method", () => requestLine("GET / HTTP/1.1\r\nx:", "/")],
  ];
  for (const [what, make] of injections)
    it(`throws at ${what}`, () => {
      assert.throws(make, TypeError);
    });
});
