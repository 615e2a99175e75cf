import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { httpAdapter } from "../../src/adapters/http/index.ts";
import type { Refusal } from "../../src/errors.ts";
import {
  answering,
  eventually,
  type Front,
  pause,
  RawClient,
  type RawUpstream,
  requestsIn,
  sessionOf,
  startFront,
} from "../support/http-front.ts";
import { bodyOf, data, type Fields, get, headers, over, preface } from "../support/http2-frames.ts";

/** What a client would like the upstream to take for a request of its own. */
const smuggled = "GET /admin HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";

let upstream: RawUpstream;
let front1: Front;
let front2: Front;
const noted: Refusal[] = [];

before(async () => {
  upstream = await answering();
  front1 = await startFront((client) =>
    httpAdapter.handle(sessionOf(client, { upstreamPort: upstream.port, noted })),
  );
  front2 = await startFront((client) =>
    httpAdapter.handle(sessionOf(client, { upstreamPort: upstream.port, alpn: "h2", noted })),
  );
});
after(async () => {
  await front1?.close();
  await front2?.close();
  upstream?.close();
});

/** All requests that the upstream saw while `send` ran. */
async function seenBy(send: () => Promise<unknown>): Promise<{ head: string; body: string }[]> {
  const from = upstream.seen.length;
  await send();
  return upstream.seen.slice(from).flatMap(requestsIn);
}

async function over1(request: string): Promise<string> {
  const client = await RawClient.connect(front1.port);
  client.socket.write(request, "latin1");
  try {
    return await client.until((text) => text.endsWith("ok") || text.endsWith("}\n"), 3000);
  } finally {
    client.socket.destroy();
  }
}

/** Sends frames by hand and waits for stream 1 to be over. */
async function over2(...sent: Buffer[]): Promise<RawClient> {
  const client = await RawClient.connect(front2.port);
  client.socket.write(Buffer.concat([preface, ...sent]));
  await client.until(() => over(client.bytes, 1), 3000);
  client.socket.destroy();
  return client;
}

const chunked = (body: string): string => `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

describe("a request's body can't become a request of its own", () => {
  for (const method of ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "PATCH"]) {
    it(`when a ${method} comes in chunks`, async () => {
      const seen = await seenBy(() =>
        over1(
          `${method} /mine HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(smuggled)}`,
        ),
      );
      assert.equal(seen.length, 1, JSON.stringify(seen));
      assert.match(seen[0]?.head ?? "", new RegExp(`^${method} /mine `));
      assert.equal(seen[0]?.body, smuggled);
    });

    it(`when a ${method} comes over HTTP/2 without a length`, async () => {
      const fields: Fields = [[":method", method], ...get("/mine").slice(1)];
      const seen = await seenBy(() => over2(headers(1, fields, false), data(1, smuggled, true)));
      assert.equal(seen.length, 1, JSON.stringify(seen));
      assert.match(seen[0]?.head ?? "", new RegExp(`^${method} /mine `));
      assert.equal(seen[0]?.body, smuggled);
    });
  }

  for (const length of ["0", "4"]) {
    it(`when HTTP/2 sends more than its Content-Length of ${length}`, async () => {
      const fields: Fields = [[":method", "POST"], ...get("/mine").slice(1), ["content-length", length]];
      const from = upstream.seen.length;
      await over2(headers(1, fields, false), data(1, `abcd${smuggled}`, true));
      await pause(100);
      assert.ok(!upstream.seen.slice(from).join("").includes("/admin"), upstream.seen.slice(from).join(""));
    });
  }

  it("when HTTP/2 sends less than its Content-Length", async () => {
    const fields: Fields = [
      [":method", "POST"],
      ...get("/mine").slice(1),
      ["content-length", String(4 + smuggled.length)],
    ];
    const client = await RawClient.connect(front2.port);
    const seen = await seenBy(async () => {
      client.socket.write(Buffer.concat([preface, headers(1, fields, false), data(1, "abcd", true)]));
      await client.until(() => over(client.bytes, 1), 3000);
      client.socket.write(headers(3, get("/next"), true));
      await client.until(() => over(client.bytes, 3), 3000);
      client.socket.destroy();
    });
    assert.ok(over(client.bytes, 1), "the client is left waiting");
    assert.ok(!seen.some(({ body }) => body.includes("/next")), JSON.stringify(seen));
  });
});

describe("what HTTP/2 can carry and HTTP/1.1 can't", () => {
  const line = "\r\nX-Forwarded-For: 6.6.6.6";
  const cases: [string, Fields][] = [
    ["a line break in a value", [...get(), ["x-a", `a${line}`]]],
    ["a bare line feed in a value", [...get(), ["x-a", "a\nX-Forwarded-For: 6.6.6.6"]]],
    ["a NUL in a value", [...get(), ["x-a", "a\0b6.6.6.6"]]],
    ["a line break in a name", [...get(), [`x-a: b${line.toLowerCase()}\r\nx-b`, "6.6.6.6"]]],
    ["a colon in a name", [...get(), ["x-forwarded-for:", "6.6.6.6"]]],
    ["a space in a name", [...get(), ["x-forwarded-for ", "6.6.6.6"]]],
    ["a line break in the path", get(`/ HTTP/1.1${line}\r\n\r\n`)],
    ["a space in the path", get("/admin HTTP/1.1 6.6.6.6")],
    ["a path that is no path", get("http://6.6.6.6/")],
    ["a line break in the authority", get("/", `app.test${line}`)],
    ["a line break in the method", [[":method", `GET / HTTP/1.1${line}\r\nA: b`], ...get().slice(1)]],
    ["a space in the method", [[":method", "GET /6.6.6.6"], ...get().slice(1)]],
    ["Transfer-Encoding", [...get("/6.6.6.6"), ["transfer-encoding", "chunked"]]],
    ["Connection", [...get("/6.6.6.6"), ["connection", "x-forwarded-for"]]],
    ["two lengths", [...get("/6.6.6.6"), ["content-length", "0"], ["content-length", "10"]]],
    ["a Host beside another authority", [...get("/6.6.6.6"), ["host", "other.test"]]],
  ];
  for (const [what, fields] of cases) {
    it(`is refused: ${what}`, async () => {
      const from = upstream.seen.length;
      const client = await over2(headers(1, fields, true));
      await pause(50);
      const bytes = upstream.seen.slice(from).join("");
      assert.ok(!bytes.includes("6.6.6.6"), JSON.stringify(bytes));
      assert.ok(over(client.bytes, 1) || client.ended, "the client is left waiting");
    });
  }

  it("is joined where it must be: Cookie in several fields (RFC 9113 §8.2.3)", async () => {
    const [seen] = await seenBy(() =>
      over2(headers(1, [...get(), ["cookie", "a=1"], ["cookie", "b=2"]], true)),
    );
    assert.deepEqual([...((seen?.head ?? "").match(/^cookie: .*$/gim) ?? [])], ["cookie: a=1; b=2"]);
  });
});

describe("field names that mean something to the language", () => {
  for (const name of ["constructor", "__proto__"]) {
    it(`go through like any other: ${name}`, async () => {
      const [seen] = await seenBy(async () => {
        assert.match(
          await over1(`GET / HTTP/1.1\r\nHost: app.test\r\n${name}: x\r\n\r\n`),
          /^HTTP\/1\.1 200 /,
        );
      });
      assert.match(seen?.head ?? "", new RegExp(`\r\n${name}: x`, "i"));
    });

    it(`come back like any other: ${name}`, async () => {
      const strange = await answering(`HTTP/1.1 200 OK\r\n${name}: x\r\nContent-Length: 2\r\n\r\nok`);
      const front = await startFront((client) =>
        httpAdapter.handle(sessionOf(client, { upstreamPort: strange.port })),
      );
      const client = await RawClient.connect(front.port);
      client.socket.write("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
      const text = await client.until((one) => one.endsWith("ok"));
      client.socket.destroy();
      await front.close();
      strange.close();
      assert.match(text, /^HTTP\/1\.1 200 /);
      assert.ok(text.toLowerCase().includes(`\r\n${name}: x`), text);
    });
  }
});

describe("the name that a request is for", () => {
  it("may differ in case, port and final dot", async () => {
    for (const host of ["app.test", "APP.test:8443", "app.test."]) {
      assert.match(await over1(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`), /^HTTP\/1\.1 200 /);
    }
  });

  for (const host of [
    "other.test",
    "app.test.evil",
    "app.test@other.test",
    "other.test/app.test",
    "app.test:80:80",
    "",
  ]) {
    it(`is the connection's, or it is refused: "${host}"`, async () => {
      const seen = await seenBy(async () => {
        assert.match(await over1(`GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`), /^HTTP\/1\.1 4(00|21) /);
      });
      assert.deepEqual(seen, []);
    });
  }

  it("is taken from an absolute target (RFC 9112 §3.2.2)", async () => {
    const seen = await seenBy(async () => {
      const wrong = await over1("GET https://other.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n");
      assert.match(wrong, /^HTTP\/1\.1 421 /);
    });
    assert.deepEqual(seen, []);
    const [right] = await seenBy(() =>
      over1("GET https://app.test/path?q HTTP/1.1\r\nHost: other.test\r\n\r\n"),
    );
    assert.match(right?.head ?? "", /^GET \/path\?q HTTP\/1\.1\r\nhost: app\.test\r\n/i);
  });

  it("over HTTP/2 is the authority", async () => {
    const seen = await seenBy(async () => {
      const client = await over2(headers(1, get("/", "other.test"), true));
      assert.match(bodyOf(client.bytes, 1), /unknown_name/);
    });
    assert.deepEqual(seen, []);
  });
});

describe("several requests on one connection", () => {
  it("are answered in order when sent at once", async () => {
    const client = await RawClient.connect(front1.port);
    const one = (n: number): string => `GET /${n} HTTP/1.1\r\nHost: app.test\r\n\r\n`;
    const seen = await seenBy(async () => {
      client.socket.write(one(1) + one(2) + one(3));
      await client.until((text) => text.split("\r\n\r\nok").length === 4);
    });
    client.socket.destroy();
    assert.equal(client.text.split("\r\n\r\nok").length, 4, client.text);
    assert.deepEqual(seen.map(({ head }) => head.slice(0, 6)).sort(), ["GET /1", "GET /2", "GET /3"]);
  });

  it("note nothing when all goes well", async () => {
    await eventually(() => front1.ended.length > 0);
    noted.length = 0;
    await over1("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
    assert.deepEqual(noted, []);
  });
});
