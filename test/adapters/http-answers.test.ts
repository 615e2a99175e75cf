import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { httpAdapter } from "../../src/adapters/http/index.ts";
import { answering, RawClient, RawUpstream, sessionOf, startFront } from "../support/http-front.ts";
import { bodyOf, get, headers, preface } from "../support/http2-frames.ts";

const opened: { close(): unknown }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function through(upstream: RawUpstream, alpn: "h2" | null = null): Promise<RawClient> {
  const front = await startFront((client) =>
    httpAdapter.handle(sessionOf(client, { upstreamPort: upstream.port, alpn })),
  );
  const client = await RawClient.connect(front.port);
  opened.push(upstream, front, { close: () => client.socket.destroy() });
  return client;
}

const asked = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n";

describe("an answer of an announced length", () => {
  for (const parts of [
    ["Content-Length: 5\r\n\r\n", "hello"],
    ["Content-Length: 5\r\n\r\n", "hel", "lo"],
    ["Content-Length: 5\r\n\r\nh", "ello"],
    ["Content-Length: 0\r\n\r\n"],
  ]) {
    it(`comes part by part where it does so: ${JSON.stringify(parts)}`, async () => {
      let waiting: string[] = [];
      let socket: RawUpstream["sockets"] extends Set<infer S> ? S | undefined : never;
      const more = (): boolean => socket?.write(waiting.shift() ?? "") ?? false;
      const upstream = await RawUpstream.start((from) => {
        socket = from;
        waiting = [`HTTP/1.1 200 OK\r\n${parts[0]}`, ...parts.slice(1)];
        more();
      });
      const client = await through(upstream);
      for (const times of [1, 2]) {
        client.socket.write(asked);
        let heard = "";
        for (const part of parts) {
          heard += part;
          const body = heard.slice(heard.indexOf("\r\n\r\n") + 4);
          const text = await client.until((all) => {
            const answers = all.split("HTTP/1.1 200").slice(1);
            return answers.length === times && answers.at(-1)?.split("\r\n\r\n")[1] === body;
          });
          assert.ok(text.endsWith(`\r\n\r\n${body}`), text);
          if (waiting.length > 0) more();
        }
      }
      assert.equal(upstream.seen.length, 1, "the connection is kept");
    });
  }

  it("that ends before it is whole does not look whole", async () => {
    const upstream = await RawUpstream.start((socket) =>
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"),
    );
    const client = await through(upstream);
    client.socket.write(asked);
    const text = await client.all();
    assert.ok(!/\r\n\r\nhello/.test(text) && !/Content-Length: 3/i.test(text), text);
  });

  it("and no body, to HEAD, has none", async () => {
    const upstream = await answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    const client = await through(upstream);
    for (const times of [1, 2]) {
      client.socket.write(asked.replace("GET", "HEAD"));
      const text = await client.until((all) => all.split("\r\n\r\n").length > times);
      assert.equal(text.split(/content-length: 5/i).length - 1, times, text);
      assert.ok(text.endsWith("\r\n\r\n"), text);
    }
  });

  it("is the same over HTTP/2, at once and part by part", async () => {
    const upstream = await RawUpstream.start((socket, soFar) => {
      const head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
      if (soFar.split("\r\n\r\n").length === 2) socket.write(`${head}hello`);
      else {
        socket.write(`${head}wo`);
        setImmediate(() => socket.write("rld"));
      }
    });
    const client = await through(upstream, "h2");
    client.socket.write(Buffer.concat([preface, headers(1, get(), true)]));
    const whole = (id: number) => () => bodyOf(client.bytes, id).length === 5;
    await client.until(whole(1));
    client.socket.write(headers(3, get(), true));
    await client.until(whole(3));
    assert.deepEqual(
      [1, 3].map((id) => bodyOf(client.bytes, id)),
      ["hello", "world"],
    );
  });
});
