import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { httpAdapter } from "../../src/adapters/http/index.ts";
import {
  answering,
  type Front,
  RawClient,
  type RawUpstream,
  requestsIn,
  runtime,
  sessionOf,
  startFront,
} from "../support/http-front.ts";
import { bodyOf, type Fields, frame, frames, get, headers, over, preface } from "../support/http2-frames.ts";

let upstream: RawUpstream;
let front: Front;

before(async () => {
  upstream = await answering();
  front = await startFront((client) =>
    httpAdapter.handle(sessionOf(client, { upstreamPort: upstream.port, alpn: "h2" })),
  );
});
after(async () => {
  await front?.close();
  upstream?.close();
});

/** Sends frames behind the preface, and waits until stream 1, or the connection, is over. */
async function sent(...some: readonly Buffer[]): Promise<RawClient> {
  const client = await RawClient.connect(front.port);
  client.socket.write(Buffer.concat([preface, ...some]));
  await client.until(() => over(client.bytes, 1), 3000);
  client.socket.destroy();
  return client;
}

/** Turned away: the connection or the stream ended, or 400; none was served. */
function turnedAway(client: RawClient): boolean {
  const all = frames(client.bytes);
  const ended = client.ended || all.some(({ type }) => type === 7 || type === 3);
  return ended || bodyOf(client.bytes, 1).includes("protocol_error");
}

const without = (name: string): Fields => get().filter(([key]) => key !== name);

/** As h2spec has them, by section of RFC 9113. */
const requests: readonly (readonly [what: string, fields: Fields])[] = [
  ["8.2: a name in capitals", [...get(), ["X-Mine", "1"]]],
  ["8.2: a space in a name", [...get(), ["x mine", "1"]]],
  ["8.2: a colon in a name", [...get(), ["x:mine", "1"]]],
  ["8.2: a line's end in a name", [...get(), ["x\r\nx-forwarded-for", "6.6.6.6"]]],
  ["8.2: an empty name", [...get(), ["", "1"]]],
  ["8.2: a line's end in a value", [...get(), ["x", "1\r\nx-forwarded-for: 6.6.6.6"]]],
  ["8.2: LF in a value", [...get(), ["x", "1\nx-forwarded-for: 6.6.6.6"]]],
  ["8.2: NUL in a value", [...get(), ["x", "1\u0000"]]],
  ["8.2.2: Connection", [...get(), ["connection", "close"]]],
  ["8.2.2: Transfer-Encoding", [...get(), ["transfer-encoding", "chunked"]]],
  ["8.2.2: Keep-Alive", [...get(), ["keep-alive", "1"]]],
  ["8.2.2: Upgrade", [...get(), ["upgrade", "websocket"]]],
  ["8.2.2: Proxy-Connection", [...get(), ["proxy-connection", "close"]]],
  ["8.2.2: TE other than trailers", [...get(), ["te", "gzip"]]],
  ["8.3: a pseudo-field behind a field", [["x", "1"], ...get()]],
  ["8.3: an unknown pseudo-field", [...get(), [":other", "1"]]],
  ["8.3: a response's pseudo-field", [...get(), [":status", "200"]]],
  ["8.3.1: no method", without(":method")],
  ["8.3.1: no scheme", without(":scheme")],
  ["8.3.1: no path", without(":path")],
  ["8.3.1: an empty path", [...without(":path"), [":path", ""]]],
  ["8.3.1: two methods", [[":method", "GET"], ...get()]],
  ["8.3.1: two paths", [[":path", "/admin"], ...get()]],
  ["8.3.1: two authorities", [[":authority", "other.test"], ...get()]],
  ["8.3.1: a Host that differs", [...get(), ["host", "other.test"]]],
  ["8.3.1: a user in the authority", get("/", "app.test@other.test")],
  ["a request line in the path", get("/ HTTP/1.1\r\nHost: other.test\r\n\r\nGET /admin")],
  ["a space in the path", get("/ HTTP/1.1")],
  ["a path that begins without /", get("admin")],
  ["a request line in the method", [[":method", "GET /admin HTTP/1.1\r\nx:"], ...without(":method")]],
  ["8.1.1: two lengths", [...get(), ["content-length", "0"], ["content-length", "5"]]],
  ["an underscore for the length", [...get(), ["content_length", "5"]]],
];

/** The library of Node and Deno leaves such a field out and gives the rest, where Bun's ends the stream. */
const leftOut: ReadonlySet<string> = new Set(
  requests
    .map(([what]) => what)
    .filter((what) => /^8\.2: (a space|a colon|a line's end|an empty|LF|NUL)/.test(what)),
);

describe("HTTP/2 that RFC 9113 does not allow", () => {
  for (const [what, fields] of requests) {
    it(`reaches nobody: ${what}`, async () => {
      const from = upstream.seen.length;
      const client = await sent(headers(1, fields, true));
      const heads = upstream.seen.slice(from).flatMap(requestsIn);
      if (leftOut.has(what) && runtime.name !== "bun") {
        const names = heads.flatMap(({ head }) =>
          head
            .split("\r\n")
            .slice(1)
            .map((line) => line.split(":")[0]),
        );
        assert.deepEqual(
          names.filter((name) => !/^(host|forwarded|x-forwarded-[a-z]+|connection)$/i.test(name ?? "")),
          [],
        );
        assert.doesNotMatch(heads.map(({ head }) => head).join(), /6\.6\.6\.6/);
        return;
      }
      assert.ok(turnedAway(client) || /40[05]|421/.test(client.text), client.text);
      assert.deepEqual(heads, []);
    });
  }
  it("does not fill memory with fields that never end", async () => {
    const client = await RawClient.connect(front.port);
    client.socket.write(Buffer.concat([preface, frame(1, 1, 1, Buffer.alloc(0))]));
    const part = headers(1, [["x", "y".repeat(8000)]], false).subarray(9);
    for (let i = 0; i < 200 && !client.ended && !over(client.bytes, 1); i++) {
      client.socket.write(frame(9, 0, 1, part));
      await client.until(() => over(client.bytes, 1), 5);
    }
    assert.ok(client.ended || over(client.bytes, 1), "1.6 MB of fields were taken");
    client.socket.destroy();
  });

  it("is none of these: padding, priority, unknown frames, a ping, fields in two parts", async () => {
    const whole = headers(1, get(), true);
    const block = whole.subarray(9);
    const client = await sent(
      frame(99, 0, 0, Buffer.alloc(10)),
      frame(6, 0, 0, Buffer.alloc(8)),
      frame(2, 0, 1, Buffer.from([0, 0, 0, 0, 15])),
      frame(1, 1, 1, block.subarray(0, 10)),
      frame(9, 4, 1, block.subarray(10)),
    );
    assert.equal(bodyOf(client.bytes, 1), "ok");
  });
});
