import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { httpAdapter } from "../../src/adapters/http/index.ts";
import type { Connection } from "../../src/types.ts";
import {
  answering,
  eventually,
  type Front,
  RawClient,
  type RawUpstream,
  requestsIn,
  runtime,
  sessionOf,
  startFront,
} from "../support/http-front.ts";
import {
  bodyOf,
  data,
  type Fields,
  frame,
  frames,
  get,
  headers,
  over,
  preface,
} from "../support/http2-frames.ts";

let upstream: RawUpstream;
let front: Front;

const serve = (client: Connection): Promise<void> =>
  httpAdapter.handle(sessionOf(client, { upstreamPort: upstream.port, alpn: "h2" }));

before(async () => {
  upstream = await answering();
  front = await startFront(serve);
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

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

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

const broken: readonly (readonly [what: string, sent: readonly Buffer[]])[] = [
  ["4.2: a frame larger than allowed", [frame(0, 0, 1, Buffer.alloc(20_000))]],
  ["4.3: HPACK that is none", [frame(1, 5, 1, Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))]],
  ["5.1: data on an idle stream", [data(1, "x", true)]],
  ["5.1: an end of an idle stream", [frame(3, 0, 1, u32(8))]],
  ["5.1.1: a stream of the server's", [headers(2, get(), true)]],
  ["6.1: data on stream 0", [data(0, "x", true)]],
  ["6.1: more padding than there is", [frame(0, 8, 1, Buffer.from([200, 1]))]],
  ["6.2: fields on stream 0", [headers(0, get(), true)]],
  ["6.4: an end of a stream of another length", [headers(1, get(), false), frame(3, 0, 1, Buffer.alloc(3))]],
  ["6.5: settings of another length", [frame(4, 0, 0, Buffer.alloc(5))]],
  ["6.5: settings on a stream", [frame(4, 0, 1, Buffer.alloc(0))]],
  ["6.5: an answer with settings", [frame(4, 1, 0, Buffer.alloc(6))]],
  ["6.6: a push from the client", [headers(1, get(), false), frame(5, 4, 1, u32(2))]],
  ["6.7: a ping of another length", [frame(6, 0, 0, Buffer.alloc(7))]],
  ["6.7: a ping on a stream", [frame(6, 0, 1, Buffer.alloc(8))]],
  ["6.9: a window of nothing", [frame(8, 0, 0, u32(0))]],
  ["6.9.1: a window beyond 2^31-1", [frame(8, 0, 0, u32(0x7fffffff)), frame(8, 0, 0, u32(0x7fffffff))]],
  ["6.10: a continuation of nothing", [frame(9, 4, 1, Buffer.alloc(0))]],
  ["6.10: another frame between fields", [frame(1, 1, 1, Buffer.alloc(0)), frame(6, 0, 0, Buffer.alloc(8))]],
];

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

  for (const stays of [false, true]) {
    it(`ends the stream or the connection, of a client that ${stays ? "stays" : "goes"}, and serves others`, async () => {
      const from = upstream.seen.length;
      const own = await startFront(serve);
      const clients = await Promise.all(
        broken.map(async ([what, some]) => {
          const client = await RawClient.connect(own.port);
          client.socket.write(Buffer.concat([preface, ...some]));
          await client.until(() => over(client.bytes, 1), 3000);
          assert.ok(turnedAway(client), `${what}: ${client.text}`);
          const { socket } = client;
          // An error of one stream leaves the connection to the client: then to go is for the client.
          if (!stays || !frames(client.bytes).some(({ type }) => type === 7)) socket.destroy();
          return client;
        }),
      );
      assert.deepEqual(upstream.seen.slice(from).flatMap(requestsIn), []);
      assert.ok(
        await eventually(() => own.ended.length === broken.length),
        `${own.ended.length} of ${broken.length} connections ended`,
      );
      for (const { socket } of clients) socket.destroy();
      await own.close();
      assert.equal(bodyOf((await sent(headers(1, get(), true))).bytes, 1), "ok");
    });
  }

  it("does not end the process: GOAWAY twice with open streams and odd ids, then floods", async () => {
    const storm = Array.from({ length: 300 }, (_, i) => [
      frame(4, 0, 0, Buffer.from([0, 4, 0, 0, i & 255, 1])),
      headers(7 + 2 * i, get(), false),
      frame(3, 0, 7 + 2 * i, u32(8)),
    ]).flat();
    const gone = (last: number): Buffer => frame(7, 0, 0, Buffer.concat([u32(last), u32(0)]));
    await Promise.all(
      [0, 1, 3, 0x7fffffff, 2].map(async (last) => {
        const client = await RawClient.connect(front.port);
        const open = [1, 3, 5].map((id) => headers(id, get(), false));
        client.socket.write(
          Buffer.concat([preface, ...open, gone(last), gone(last + (last === 2 ? 2 : 0)), ...storm]),
        );
        await client.until(() => over(client.bytes, 1), 500);
        client.socket.destroy();
      }),
    );
    assert.equal(bodyOf((await sent(headers(1, get(), true))).bytes, 1), "ok");
  });

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
