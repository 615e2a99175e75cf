import assert from "node:assert/strict";
import {
  createServer as createHttp2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { after, afterEach, describe, it } from "node:test";
import { httpAdapter, refuseHttp } from "../../src/adapters/http/index.ts";
import { Refusal } from "../../src/errors.ts";
import {
  answering,
  eventually,
  type Front,
  ok,
  pause,
  RawClient,
  RawUpstream,
  requestsIn,
  type SessionOptions,
  sessionOf,
  startFront,
  startHttp,
} from "../support/http-front.ts";
import { bodyOf, data, frames, get, headers, over, preface } from "../support/http2-frames.ts";

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});
// Some runtimes end a process only when nothing is open any more.
after(() => {
  for (const one of opened) void one.close();
});

function track<T extends { close(): unknown }>(one: T): T {
  opened.push(one);
  return one;
}

const proxy = async (options: SessionOptions): Promise<Front> =>
  track(await startFront((client) => httpAdapter.handle(sessionOf(client, options))));

async function connect(front: Front): Promise<RawClient> {
  const client = await RawClient.connect(front.port);
  track({ close: () => client.socket.destroy() });
  return client;
}

const post = "POST / HTTP/1.1\r\nHost: app.test\r\n";
const postFrames = [preface, headers(1, [[":method", "POST"], ...get().slice(1)], false)];
const manyFrames = Array.from({ length: 4 }, () => data(1, "a".repeat(16_000), false));
const request = (path = "/", more = ""): string => `GET ${path} HTTP/1.1\r\nHost: app.test\r\n${more}\r\n`;
const answered = (text: string): boolean => text.endsWith("ok");
const mebibyte = Buffer.alloc(1 << 20, 0x61);

/** An upstream that writes for as long as somebody reads; how much it got rid of. */
async function endless(): Promise<{ upstream: RawUpstream; written: () => number }> {
  let written = 0;
  const upstream = track(
    await RawUpstream.start((socket) => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n");
      const push = (): void => {
        do written += mebibyte.length;
        while (socket.write(mebibyte) && written < 512 << 20);
      };
      socket.on("drain", push);
      push();
    }),
  );
  return { upstream, written: () => written };
}

/** What the kernel's buffers on the way, and ours, may hold. */
const allowed = 32 << 20;

describe("a reader that does not read", () => {
  it("makes the upstream wait, over HTTP/1.1", async () => {
    const { upstream, written } = await endless();
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.pause();
    client.socket.write(request());
    await pause(1500);
    assert.ok(written() > 0 && written() < allowed, `${written()} bytes`);
  });

  it("makes the upstream wait, over HTTP/2", async () => {
    const { upstream, written } = await endless();
    const client = await connect(await proxy({ upstreamPort: upstream.port, alpn: "h2" }));
    client.socket.write(Buffer.concat([preface, headers(1, get(), true)]));
    await pause(1500);
    assert.ok(written() > 0 && written() < allowed, `${written()} bytes`);
  });

  it("makes the upstream wait, where it answers a request to switch protocols otherwise", async () => {
    const { upstream, written } = await endless();
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.pause();
    client.socket.write(request("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    await pause(1500);
    assert.ok(written() > 0 && written() < allowed, `${written()} bytes`);
  });

  it("makes the client wait, where it is the upstream", async () => {
    const upstream = track(await RawUpstream.start((socket) => void socket.pause()));
    let read = (): number => 0;
    const front = track(
      await startFront((connection) => {
        read = () => connection.bytesRead;
        return httpAdapter.handle(sessionOf(connection, { upstreamPort: upstream.port }));
      }),
    );
    const client = await connect(front);
    client.socket.write("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9999999999\r\n\r\n");
    for (let i = 0; i < 64; i++) client.socket.write(mebibyte);
    await pause(1500);
    assert.ok(read() > 0 && read() < allowed, `${read()} bytes`);
  });
});

describe("an upstream that", () => {
  for (const alpn of [null, "h2"] as const) {
    const spoken = alpn ?? "http/1.1";
    const send = async (front: Front): Promise<RawClient> => {
      const client = await connect(front);
      client.socket.write(alpn === null ? request() : Buffer.concat([preface, headers(1, get(), true)]));
      return client;
    };

    for (const [how, head] of [
      ["a known length", "Content-Length: 1000\r\n\r\nhalf of it"],
      ["chunks", "Transfer-Encoding: chunked\r\n\r\na\r\nhalf of it\r\n"],
    ] as const) {
      it(`dies in the middle of ${how}: the client can tell, and so can the record (${spoken})`, async () => {
        const upstream = track(
          await RawUpstream.start((socket) => {
            socket.write(`HTTP/1.1 200 OK\r\n${head}`);
            setTimeout(() => socket.destroy(), 50);
          }),
        );
        const noted: Refusal[] = [];
        const client = await send(await proxy({ upstreamPort: upstream.port, alpn, noted }));
        if (alpn === null) {
          const text = await client.all();
          assert.match(text, /half of it/);
          assert.ok(!text.endsWith("0\r\n\r\n"), text);
        } else {
          await client.until(() => over(client.bytes, 1));
          const mine = frames(client.bytes).filter(({ stream }) => stream === 1);
          assert.ok(
            mine.some(({ type }) => type === 3),
            "the stream was not reset",
          );
          assert.ok(
            !mine.some(({ type, flags }) => type === 0 && (flags & 1) === 1),
            "its end was announced",
          );
        }
        assert.ok(await eventually(() => noted.length > 0), "nothing was noted");
        assert.equal(noted[0]?.reason, "upstream_refused");
      });
    }

    it(`closes without a word: 502 (${spoken})`, async () => {
      const upstream = track(await RawUpstream.start((socket) => void socket.end()));
      const noted: Refusal[] = [];
      const client = await send(await proxy({ upstreamPort: upstream.port, alpn, noted }));
      assert.match(await client.until((text) => text.includes("}}\n")), /upstream_refused/);
      assert.equal(noted[0]?.reason, "upstream_refused");
    });

    it(`answers what is no HTTP: 502 (${spoken})`, async () => {
      const upstream = track(await RawUpstream.start((socket) => void socket.write("SSH-2.0-x\r\n\r\n")));
      const client = await send(await proxy({ upstreamPort: upstream.port, alpn }));
      assert.match(await client.until((text) => text.includes("}}\n")), /upstream_refused/);
    });

    it(`is not there: 502 (${spoken})`, async () => {
      const gone = await RawUpstream.start(() => {});
      gone.close();
      const client = await send(await proxy({ upstreamPort: gone.port, alpn }));
      assert.match(await client.until((text) => text.includes("}}\n")), /upstream_unreachable/);
    });

    it(`repeats a field that must be there once is no fault of ours (${spoken})`, async () => {
      const upstream = track(
        await answering(
          "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Type: a/b\r\nETag: 1\r\nETag: 1\r\nContent-Length: 2\r\n\r\nok",
        ),
      );
      const client = await send(await proxy({ upstreamPort: upstream.port, alpn }));
      await client.until((text) => text.includes("ok"));
      assert.match(alpn === null ? client.text : bodyOf(client.bytes, 1), /ok$/);
    });

    it(`sees that the client went away (${spoken})`, async () => {
      let asked = 0;
      const upstream = track(await RawUpstream.start(() => void asked++));
      let closed = 0;
      upstream.on("over", () => void closed++);
      const client = await send(await proxy({ upstreamPort: upstream.port, alpn }));
      assert.ok(await eventually(() => asked > 0));
      // Half closed, an HTTP/1.1 client may still wait for its answer; cut off, it does not.
      if (alpn === null) client.socket.resetAndDestroy();
      else client.socket.destroy();
      assert.ok(await eventually(() => closed > 0), "the request goes on");
    });

    it(`asks nothing for a client that left while it was dialled (${spoken})`, async () => {
      const upstream = track(await answering());
      let dialled = false;
      let proceed = (): void => {};
      const held = new Promise<void>((resolve) => {
        proceed = resolve;
      });
      const dials = (): Promise<void> => {
        dialled = true;
        return held;
      };
      const front = await proxy({ upstreamPort: upstream.port, alpn, dials });
      const client = await send(front);
      assert.ok(await eventually(() => dialled));
      client.socket.resetAndDestroy();
      assert.ok(await eventually(() => front.ended.length > 0));
      proceed();
      assert.ok(await eventually(() => upstream.seen.length > 0));
      await pause(100);
      assert.deepEqual(upstream.seen, [""]);
    });
  }

  it("closes connections that it kept is asked again over a new one", async () => {
    let connections = 0;
    const upstream = track(
      await RawUpstream.start((socket, soFar, nth) => {
        connections = nth + 1;
        if (requestsIn(soFar).length === 0) return;
        socket.write(ok);
        // In order, while nothing is under way: like any server does after its idle timeout.
        setTimeout(() => socket.end(), 50);
      }),
    );
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    for (let i = 1; i <= 3; i++) {
      client.socket.write(request(`/${i}`));
      const text = await client.until((all) => all.split("\r\n\r\nok").length === i + 1);
      assert.equal(text.match(/HTTP\/1\.1 200/g)?.length, i, text);
      await pause(200);
    }
    assert.equal(connections, 3);
  });

  it("closes a kept connection just when the next request comes is asked again", async () => {
    const upstream = track(
      await RawUpstream.start((socket, soFar) => {
        const count = requestsIn(soFar).length;
        if (count === 1) socket.write(ok);
        // It had closed already when this came, but its word was still on the way.
        if (count === 2) socket.destroy();
      }),
    );
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.write(request("/1"));
    await client.until(answered);
    client.socket.write(request("/2"));
    const text = await client.until((all) => all.split("\r\n\r\nok").length === 3);
    assert.equal(text.match(/HTTP\/1\.1 200/g)?.length, 2, text);
  });

  it("closes a kept connection is not asked twice for what may have been done", async () => {
    const upstream = track(
      await RawUpstream.start((socket, soFar) => {
        const count = requestsIn(soFar).length;
        if (count === 1) socket.write(ok);
        if (count === 2) socket.destroy();
      }),
    );
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.write(request("/1"));
    await client.until(answered);
    client.socket.write("POST /2 HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\n\r\nx");
    assert.match(await client.until((all) => all.includes("}}\n")), / 502 /);
    assert.equal(upstream.seen.length, 1);
  });

  it("answers early and stops reading: the answer arrives", async () => {
    const upstream = track(
      await RawUpstream.start((socket) => {
        if (!socket.writable) return;
        socket.end(
          "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 9\r\n\r\ntoo large",
        );
        setTimeout(() => socket.destroy(), 100);
      }),
    );
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.write("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 8388608\r\n\r\n");
    for (let i = 0; i < 8; i++) {
      client.socket.write(mebibyte);
      await pause(40);
    }
    assert.match(await client.until((text) => text.endsWith("too large")), / 413 [\s\S]*too large$/);
  });

  it("answers HEAD, 204 and 304 has no body to wait for", async () => {
    const upstream = track(
      await RawUpstream.start((socket, soFar) => {
        const last = requestsIn(soFar).at(-1)?.head ?? "";
        if (last.startsWith("HEAD")) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
        else if (last.includes("/204")) socket.write("HTTP/1.1 204 No Content\r\n\r\n");
        else socket.write("HTTP/1.1 304 Not Modified\r\nETag: 1\r\nContent-Length: 1000\r\n\r\n");
      }),
    );
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    const heads = ["HEAD / HTTP/1.1", "GET /204 HTTP/1.1", "GET /304 HTTP/1.1"];
    for (const [i, line] of heads.entries()) {
      client.socket.write(`${line}\r\nHost: app.test\r\n\r\n`);
      await client.until((text) => text.split("\r\n\r\n").length === i + 2);
    }
    assert.deepEqual(
      [...(client.text.match(/^HTTP\/1\.1 \d+/gm) ?? [])],
      ["HTTP/1.1 200", "HTTP/1.1 204", "HTTP/1.1 304"],
    );
    assert.match(client.text, /^HTTP\/1\.1 200[\s\S]*?content-length: 1000/i);
  });

  it("sends 1xx first is heard to the end", async () => {
    const upstream = track(await answering(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok}`));
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.write(request());
    assert.match(await client.until(answered), /^HTTP\/1\.1 200 [\s\S]*ok$/);
  });

  it("switches protocols unasked: 502", async () => {
    const upstream = track(
      await answering("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nraw"),
    );
    let closed = 0;
    upstream.on("over", () => void closed++);
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.write(request());
    const text = await client.until((all) => all.includes("}}\n"));
    assert.match(text, /^HTTP\/1\.1 502 /);
    assert.ok(await eventually(() => closed > 0), "the upgraded connection is left open");
  });
});

describe("a client that", () => {
  it("closes its sending half hears the answer", async () => {
    const upstream = track(
      await RawUpstream.start((socket, soFar) => {
        if (requestsIn(soFar).length > 0) setTimeout(() => socket.write(ok), 300);
      }),
    );
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.end("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello");
    assert.match(await client.all(), /^HTTP\/1\.1 200 [\s\S]*ok$/);
  });

  it("speaks HTTP/1.0 gets an answer that ends with the connection", async () => {
    const upstream = track(
      await answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    );
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.write("GET / HTTP/1.0\r\nHost: app.test\r\n\r\n");
    assert.match(await client.all(), /\r\n\r\nhello$/);
  });

  it("sends a body that nobody takes can ask again behind it", async () => {
    const answer = { status: 200, fields: [["content-length", "0"]], body: null } as const;
    const client = await connect(track(await startHttp({ handle: (exchange) => exchange.respond(answer) })));
    client.socket.write("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1048576\r\n\r\n");
    client.socket.write(mebibyte);
    client.socket.write("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
    const text = await client.until((all) => all.split("HTTP/1.1 200").length === 3);
    assert.equal(text.split("HTTP/1.1 200").length, 3, text);
  });

  it("hears an answer to the length that it announces and no further, and may ask again behind it", async () => {
    const front = await startHttp({
      handle: (exchange) =>
        exchange.respond({
          status: 200,
          fields: [["content-length", "5"]],
          body: (async function* () {
            yield Buffer.from("hello");
            yield Buffer.from("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
          })(),
        }),
    });
    const client = await connect(track(front));
    for (const times of [1, 2]) {
      client.socket.write("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
      const text = await client.until((all) => all.split("hello").length > times);
      assert.equal(text.split("HTTP/1.1 200").length - 1, times, text);
      assert.match(text, /\r\n\r\nhello$/);
    }
  });

  it("is cut off while nobody reads what it sends does not stay", async () => {
    const front = track(
      await startHttp({
        handle: ({ signal }) =>
          new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true })),
      }),
    );
    const client = await connect(front);
    client.socket.write("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1048576\r\n\r\n");
    client.socket.write(mebibyte);
    await pause(100);
    front.cut();
    assert.ok(await eventually(() => front.ended.length === 1));
  });

  const unfinished = [
    ["HTTP/1.1", null, Buffer.from(`${post}Content-Length: 10\r\n\r\nhalf`)],
    ["HTTP/1.1, in chunks", null, Buffer.from(`${post}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`)],
    ["HTTP/2", "h2", Buffer.concat(postFrames)],
    ["HTTP/2, with some of it", "h2", Buffer.concat([...postFrames, data(1, "half", false)])],
    ["HTTP/2, with more than is taken", "h2", Buffer.concat([...postFrames, ...manyFrames])],
  ] as const;
  for (const [over, alpn, bytes] of unfinished) {
    for (const how of ["destroy", "resetAndDestroy"] as const) {
      it(`leaves in the middle of its request leaves nothing behind: ${over}, ${how}`, async () => {
        const upstream = track(await RawUpstream.start(() => {}));
        const front = await proxy({ upstreamPort: upstream.port, alpn });
        const client = await connect(front);
        client.socket.write(bytes);
        let left = 0;
        upstream.on("over", () => left++);
        assert.ok(await eventually(() => upstream.sockets.size === 1));
        client.socket[how]();
        assert.ok(await eventually(() => front.ended.length === 1), "the client's connection stays");
        assert.ok(await eventually(() => left > 0), "the upstream's connection stays");
      });
    }
  }

  it("sends nonsense behind a request does not spoil that one's answer", async () => {
    const upstream = track(
      await RawUpstream.start((socket) => {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        setTimeout(() => socket.write("other"), 300);
      }),
    );
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.write(request());
    await client.until((text) => text.endsWith("first"));
    client.socket.write("NONSENSE\r\n\r\n");
    const text = await client.until((all) => all.endsWith("other"), 2000);
    assert.ok(!/first[^o]/.test(text), text);
  });

  it("sends too large a head is told so, and nothing reaches the upstream", async () => {
    const upstream = track(await answering());
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.write(request("/", `X-Large: ${"a".repeat(100_000)}\r\n`));
    assert.match(await client.all(), /^HTTP\/1\.1 4(00|31) /);
    assert.deepEqual(upstream.seen, []);
  });

  it("opens and resets streams without end is not served without end", async () => {
    const upstream = track(await answering());
    const client = await connect(await proxy({ upstreamPort: upstream.port, alpn: "h2" }));
    client.socket.write(preface);
    for (let i = 0; i < 200 && !client.ended; i++) {
      const some: Buffer[] = [];
      for (let k = 0; k < 20; k++) {
        const stream = 1 + 2 * (i * 20 + k);
        const reset = Buffer.from([0, 0, 4, 3, 0, 0, 0, 0, 0, 0, 0, 0, 8]);
        reset.writeUInt32BE(stream, 5);
        some.push(headers(stream, get(), true), reset);
      }
      client.socket.write(Buffer.concat(some));
      await pause(1);
    }
    await pause(200);
    assert.ok(upstream.seen.length < 2000, `${upstream.seen.length} connections for 4000 cancelled streams`);
  });
});

describe("a request to switch protocols", () => {
  const ask = (more = ""): string => request("/ws", `Connection: Upgrade\r\nUpgrade: websocket\r\n${more}`);

  it("is refused by the upstream: the whole answer arrives", async () => {
    const body = "b".repeat(3 << 20);
    const upstream = track(
      await answering(`HTTP/1.1 401 Unauthorized\r\nContent-Length: ${body.length}\r\nX-A: b\r\n\r\n${body}`),
    );
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.write(ask());
    const text = await client.all();
    assert.match(text.slice(0, 200), /^HTTP\/1\.1 401 /);
    assert.equal(text.length - text.indexOf("\r\n\r\n") - 4, body.length);
  });

  it("keeps both directions apart: each may end before the other", async () => {
    const upstream = track(
      await RawUpstream.start((socket: Socket, soFar) => {
        if (soFar.endsWith("\r\n\r\n")) {
          socket.write(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi;",
          );
          socket.once("end", () => setTimeout(() => socket.end("bye"), 200));
        }
      }),
    );
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.write(ask());
    await client.until((text) => text.endsWith("hi;"));
    client.socket.end("last words");
    assert.match(await client.all(), /hi;bye$/);
    assert.match(upstream.seen[0] ?? "", /last words$/);
  });

  it("that the upstream takes for one and the parser did not leaves no connection behind", async () => {
    const upstream = track(
      await RawUpstream.start((socket) => {
        socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
      }),
    );
    let over = false;
    upstream.once("over", () => {
      over = true;
    });
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.write(request("/", "Connection: upgrade\t\r\nUpgrade: x\r\n"));
    assert.match(await client.until((text) => text.includes("}")), /^HTTP\/1\.1 502 /);
    assert.ok(await eventually(() => over, 10_000));
  });

  for (const token of ["h2c", "HTTP/2.0", "TLS/1.0", "h2c, websocket"]) {
    it(`never turns the connection into other HTTP, which nobody would check: ${token}`, async () => {
      const upstream = track(await answering());
      const client = await connect(await proxy({ upstreamPort: upstream.port }));
      client.socket.write(
        request(
          "/",
          `Connection: Upgrade, HTTP2-Settings\r\nUpgrade: ${token}\r\nHTTP2-Settings: AAMAAABk\r\n`,
        ),
      );
      assert.match(await client.until(answered), /^HTTP\/1\.1 200 /);
      assert.doesNotMatch(upstream.seen.join(""), /h2c|http2|HTTP\/2|TLS\//i);
    });
  }

  it("has its turn behind those that came before it", async () => {
    const upstream = track(
      await RawUpstream.start((socket, soFar) => {
        if (/^upgrade: /im.test(soFar))
          socket.write(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi;",
          );
        else setTimeout(() => socket.write(ok), 50);
      }),
    );
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.write(request("/first") + ask());
    assert.match(
      await client.until((text) => text.endsWith("hi;")),
      /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nokHTTP\/1\.1 101 [\s\S]*\r\n\r\nhi;$/,
    );
  });

  it("is not heard behind one that was refused as malformed", async () => {
    const upstream = track(await answering());
    const client = await connect(await proxy({ upstreamPort: upstream.port }));
    client.socket.write(`GET / HTTP/1.1\r\nHost: a b\r\n\r\n${ask()}`);
    assert.match(await client.all(), /^HTTP\/1\.1 400 /);
    assert.deepEqual(upstream.seen, []);
  });

  for (const version of ["1.1", "1.0"])
    for (const token of ["websocket", "h2c"])
      for (const body of [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      ])
        it(`with a body is refused, whether or not it is let through: HTTP/${version}, ${token}, ${JSON.stringify(body)}`, async () => {
          const upstream = track(await answering());
          const client = await connect(await proxy({ upstreamPort: upstream.port }));
          client.socket.write(
            `POST / HTTP/${version}\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: ${token}\r\n${body}`,
          );
          assert.match(await client.all(), /^HTTP\/1\.1 400 /);
          assert.deepEqual(upstream.seen, []);
        });

  it("with a body is refused over HTTP/2, too", async () => {
    const upstream = track(await answering());
    const client = await connect(await proxy({ upstreamPort: upstream.port, alpn: "h2" }));
    const [, ...rest] = get();
    const asked = [
      [":method", "CONNECT"],
      [":protocol", "websocket"],
      ...rest,
      ["sec-websocket-version", "13"],
      ["content-length", "5"],
    ] as const;
    client.socket.write(Buffer.concat([preface, headers(1, asked, false), data(1, "hello", false)]));
    await client.until(() => over(client.bytes, 1));
    assert.deepEqual(upstream.seen, []);
  });
});

describe("an h2c upstream", () => {
  async function startH2c(): Promise<{ port: number; close(): void; cutAll(): void }> {
    const server = createHttp2Server();
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.once("close", () => sockets.delete(socket));
    });
    server.on("sessionError", () => {});
    server.on("stream", (stream: ServerHttp2Stream, fields: IncomingHttpHeaders) => {
      stream.on("error", () => {});
      if (fields[":path"] === "/cut") {
        stream.respond({ ":status": 200 });
        stream.write("half of it");
        setTimeout(() => stream.destroy(new Error("cut")), 50);
        return;
      }
      if (fields[":path"] === "/die") {
        stream.respond({ ":status": 200 });
        stream.write("half of it");
        setTimeout(() => {
          for (const socket of sockets) socket.destroy();
        }, 50);
        return;
      }
      let length = 0;
      stream.on("data", (chunk: Buffer) => {
        length += chunk.length;
      });
      stream.on("end", () => {
        stream.respond({ ":status": 200, "content-type": "text/plain" });
        stream.end(`${fields[":authority"]} ${fields[":path"]} ${length} ok`);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const cutAll = (): void => {
      for (const socket of sockets) socket.destroy();
    };
    return {
      port: (server.address() as AddressInfo).port,
      close: () => {
        server.close();
        cutAll();
      },
      cutAll,
    };
  }

  it("is spoken to in HTTP/2, with a large body", async () => {
    const upstream = track(await startH2c());
    const client = await connect(await proxy({ upstreamPort: upstream.port, scheme: "h2c" }));
    client.socket.write("POST /up HTTP/1.1\r\nHost: app.test\r\nContent-Length: 8388608\r\n\r\n");
    for (let i = 0; i < 8; i++) client.socket.write(mebibyte);
    assert.match(await client.until((text) => text.includes(" ok")), /app\.test \/up 8388608 ok/);
  });

  it("is dialled again when its connection is gone", async () => {
    const upstream = track(await startH2c());
    const client = await connect(await proxy({ upstreamPort: upstream.port, scheme: "h2c" }));
    for (let i = 1; i <= 3; i++) {
      client.socket.write(request(`/${i}`));
      const text = await client.until((all) => all.endsWith(`/${i} 0 ok\r\n0\r\n\r\n`), 3000);
      assert.equal(text.match(/HTTP\/1\.1 200/g)?.length, i, text);
      upstream.cutAll();
      await pause(100);
    }
  });

  for (const path of ["/cut", "/die"]) {
    it(`that breaks off is not taken for complete: ${path}`, async () => {
      const upstream = track(await startH2c());
      const noted: Refusal[] = [];
      const client = await connect(await proxy({ upstreamPort: upstream.port, scheme: "h2c", noted }));
      client.socket.write(request(path));
      const text = await client.all();
      assert.match(text, /half of it/);
      assert.ok(!text.endsWith("0\r\n\r\n"), text);
      assert.ok(await eventually(() => noted.length > 0), "nothing was noted");
    });
  }
});

describe("a refused client", () => {
  const refusal = new Refusal("client_cert_expired", "the certificate expired yesterday");

  it("is told why, over HTTP/1.1, whatever it asks", async () => {
    const front = track(
      await startFront((client) => refuseHttp(sessionOf(client, { upstreamPort: 1 }), refusal)),
    );
    for (const asked of [
      request(),
      "POST / HTTP/1.1\r\nHost: other.test\r\nContent-Length: 5\r\n\r\nhello",
      request("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    ]) {
      const client = await connect(front);
      client.socket.write(asked);
      const text = await client.all();
      assert.match(text, /^HTTP\/1\.1 403 /);
      assert.deepEqual(JSON.parse(text.slice(text.indexOf("\r\n\r\n"))), {
        error: { reason: "client_cert_expired", detail: "the certificate expired yesterday" },
      });
    }
  });

  it("is told why, over HTTP/2", async () => {
    const front = track(
      await startFront((client) => refuseHttp(sessionOf(client, { upstreamPort: 1, alpn: "h2" }), refusal)),
    );
    const client = await connect(front);
    client.socket.write(Buffer.concat([preface, headers(1, get(), false), data(1, "x", true)]));
    await client.until(() => over(client.bytes, 1));
    assert.match(client.text, /client_cert_expired/);
    await client.all();
  });
});
