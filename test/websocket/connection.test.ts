import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import type { Connection, Runtime, TlsConnection } from "../../src/types.ts";
import { WebSocketConnection } from "../../src/websocket/connection.ts";
import { frame, opcodes } from "../../src/wire/websocket.ts";
import { authority, hourMs } from "../support/environment.ts";
import { Pairs, readAll } from "../support/pairs.ts";

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const key = Uint8Array.of(1, 2, 3, 4);
const empty = new Uint8Array(0);

const sum = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const large = Uint8Array.from({ length: 8_000_000 }, (_, i) => (i * 31 + (i >> 9)) & 255);

describe("a byte stream inside WebSocket messages", () => {
  let pairs: Pairs;
  let runtime: Runtime;
  const pair = () => pairs.pair();

  async function sockets(): Promise<[WebSocketConnection, WebSocketConnection]> {
    const [client, server] = await pair();
    return [new WebSocketConnection(client, "client"), new WebSocketConnection(server, "server")];
  }

  before(async () => {
    pairs = await Pairs.open();
    ({ runtime } = pairs);
  });
  after(() => pairs.close());

  it("carries bytes both ways, and each half's end by itself", async () => {
    const [client, server] = await sockets();
    await client.write(ascii("up"));
    await client.closeWrite();
    assert.equal(Buffer.from(await readAll(server)).toString(), "up");
    await server.write(ascii("down, after the other half's end"));
    await server.closeWrite();
    assert.equal(Buffer.from(await readAll(client)).toString(), "down, after the other half's end");
    assert.deepEqual([client.bytesWritten, client.bytesRead], [2, 32]);
    await Promise.all([client.closed, server.closed]);
  });

  it("carries much, both ways at once", async () => {
    const [client, server] = await sockets();
    const send = async (from: Connection): Promise<void> => {
      for (let at = 0; at < large.length; at += 100_000) await from.write(large.slice(at, at + 100_000));
      await from.closeWrite();
    };
    const [up, down] = await Promise.all([readAll(server), readAll(client), send(client), send(server)]);
    assert.equal(sum(up), sum(large));
    assert.equal(sum(down), sum(large));
  });

  it("puts bytes back", async () => {
    const [client, server] = await sockets();
    await client.write(ascii("again"));
    const chunk = await server.read();
    assert.ok(chunk);
    server.unread(chunk);
    assert.deepEqual(await server.read(), chunk);
    assert.equal(server.bytesRead, 5);
  });

  it("writes several parts as one message, and no parts as none", async () => {
    const [client, server] = await pair();
    const [sender, receiver] = [
      new WebSocketConnection(client, "client"),
      new WebSocketConnection(server, "server"),
    ];
    await sender.writev([]);
    await sender.writev([empty, empty]);
    await sender.writev([ascii("one "), empty, ascii("two")]);
    assert.equal(sender.bytesWritten, 7);
    await sender.closeWrite();
    let heard = "";
    for (let chunk = await receiver.read(); chunk !== null; chunk = await receiver.read())
      heard += Buffer.from(chunk).toString();
    assert.equal(heard, "one two");
    sender.abort();
    receiver.abort();
  });

  it("reads messages however they are cut, answers pings among them, and is closed by a Close frame", async () => {
    const bytes = Buffer.concat([
      frame(opcodes.ping, ascii("are you there"), key),
      // One message in three frames, a ping in the middle.
      fragment(opcodes.binary, ascii("one "), false),
      frame(opcodes.ping, empty, key),
      fragment(opcodes.continuation, ascii("two "), false),
      fragment(opcodes.continuation, empty, true),
      frame(opcodes.binary, ascii("x".repeat(70_000)), key),
      frame(opcodes.pong, ascii("unasked"), key),
      frame(opcodes.close, Uint8Array.of(3, 232), key),
    ]);
    for (const size of [1, 7, bytes.length]) {
      const [client, server] = await pair();
      const socket = new WebSocketConnection(server, "server");
      const [got] = await Promise.all([
        readAll(socket),
        (async () => {
          for (let at = 0; at < bytes.length; at += Math.max(size, at > 200 ? 4096 : 0))
            await client.write(bytes.subarray(at, at + Math.max(size, at > 200 ? 4096 : 0)));
        })(),
      ]);
      assert.equal(Buffer.from(got).toString(), `one two ${"x".repeat(70_000)}`);
      const answers = await readAll(client);
      const expected = Buffer.concat([
        frame(opcodes.pong, ascii("are you there"), null),
        frame(opcodes.pong, empty, null),
        frame(opcodes.close, Uint8Array.of(3, 232), null),
      ]);
      assert.deepEqual(Buffer.from(answers), expected);
      await assert.rejects(socket.write(ascii("more")), /closed/);
      client.abort();
    }
  });

  /** A connection whose writes stand still: nobody reads at the other end. */
  async function stuck(): Promise<{ socket: WebSocketConnection; peer: Connection; done: Promise<unknown> }> {
    const [peer, under] = await pair();
    const socket = new WebSocketConnection(under, "server");
    const writes = async (): Promise<void> => {
      for (let i = 0; i < 10; i++) await socket.write(large);
    };
    let over = false;
    const done = writes()
      .catch(() => {})
      .then(() => {
        over = true;
      });
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(over, false);
    return { socket, peer, done };
  }

  const within = <T>(ms: number, what: string, promise: Promise<T>): Promise<T> =>
    Promise.race([
      promise,
      new Promise<never>((_, reject) => {
        setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms`)), ms).unref();
      }),
    ]);

  it("reads on past pings while nobody takes what it writes, and answers the newest of them", async () => {
    const { socket, peer, done } = await stuck();
    for (let i = 0; i < 1000; i++) await peer.write(frame(opcodes.ping, ascii(`ping ${i}`), key));
    await peer.write(frame(opcodes.binary, ascii("go on"), key));
    const got = await within(10_000, "the read", socket.read());
    assert.equal(Buffer.from(got ?? empty).toString(), "go on");
    void done.then(() => socket.closeWrite());
    const reader = new WebSocketConnection(peer, "client");
    let bytes = 0;
    for (let chunk = await reader.read(); chunk !== null; chunk = await reader.read()) bytes += chunk.length;
    await done;
    assert.equal(bytes, 10 * large.length);
    // A thousand answers of 10 bytes and more would be so much more.
    assert.ok(peer.bytesRead - bytes < 5000, String(peer.bytesRead - bytes));
    socket.abort();
    peer.abort();
  });

  it("lets go of a peer that says goodbye and never hears ours", async () => {
    const { socket, peer, done } = await stuck();
    await peer.write(frame(opcodes.close, Uint8Array.of(3, 232), key));
    assert.equal(await within(10_000, "the end", socket.read()), null);
    socket.abort();
    await within(10_000, "closing", Promise.all([socket.closed, done]));
    peer.abort();
  });

  it("says which rule was broken when it closes", async () => {
    for (const [bytes, status] of [
      [frame(opcodes.text, ascii("text"), key), 1003],
      [frame(opcodes.binary, ascii("no mask"), null), 1002],
    ] as const) {
      const [client, server] = await pair();
      await client.write(bytes);
      await assert.rejects(new WebSocketConnection(server, "server").read());
      const heard = await within(10_000, "the Close frame", client.read());
      assert.deepEqual(
        Buffer.from(heard ?? empty),
        Buffer.from(frame(opcodes.close, Uint8Array.of(status >> 8, status & 255), null)),
      );
      client.abort();
    }
  });

  it("refuses what is no WebSocket, or not this kind", async () => {
    const wrong: readonly (readonly [string, Uint8Array, RegExp])[] = [
      ["no mask", frame(opcodes.binary, ascii("x"), null), /without a mask/],
      ["text", frame(opcodes.text, ascii("x"), key), /text message/],
      ["the rest of nothing", frame(opcodes.continuation, ascii("x"), key), /rest of none/],
      [
        "a message in another",
        Buffer.concat([fragment(opcodes.binary, ascii("x"), false), frame(opcodes.binary, ascii("y"), key)]),
        /inside another/,
      ],
      ["an extension", Uint8Array.of(0xc2, 0x80, 0, 0, 0, 0), /extension/],
      ["an unknown type", Uint8Array.of(0x83, 0x80, 0, 0, 0, 0), /unknown type 3/],
      ["a long ping", Uint8Array.of(0x89, 0xfe, 0, 126, 0, 0, 0, 0), /control frame/],
      ["a ping in pieces", Uint8Array.of(0x09, 0x80, 0, 0, 0, 0), /control frame/],
      ["a long length", Uint8Array.of(0x82, 0xfe, 0, 5, 0, 0, 0, 0), /longer form/],
      [
        "an endless frame",
        Uint8Array.of(0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0),
        /counted/,
      ],
      ["HTTP", ascii("GET / HTTP/1.1\r\n\r\n"), /./],
    ];
    for (const [what, bytes, why] of wrong) {
      const [client, server] = await pair();
      const socket = new WebSocketConnection(server, "server");
      await client.write(bytes);
      await assert.rejects(readAll(socket), why, what);
      await server.closed;
    }
    const [client, server] = await pair();
    await server.write(frame(opcodes.binary, ascii("x"), key));
    await assert.rejects(new WebSocketConnection(client, "client").read(), /server's frame with a mask/);
  });

  it("does not take a cut stream for a whole one", async () => {
    for (const bytes of [empty, frame(opcodes.binary, ascii("cut short"), key).subarray(0, 9)]) {
      const [client, server] = await pair();
      const socket = new WebSocketConnection(server, "server");
      await client.write(bytes);
      await client.closeWrite();
      await assert.rejects(readAll(socket), /closed/);
    }
  });

  /** TLS inside, once through its handshake, with a client certificate. */
  async function tls(): Promise<{
    inner: TlsConnection;
    outer: TlsConnection;
    client: WebSocketConnection;
    server: WebSocketConnection;
  }> {
    const [client, server] = await sockets();
    const certificate = await authority.server(["inner.example.com"], hourMs);
    const alice = await authority.client({ commonName: "alice", groups: [] }, hourMs);
    const ca = [authority.certificate.toString("pem")];
    const context = runtime.tlsContext({
      cert: certificate.cert,
      key: certificate.key,
      clientCas: ca,
      sessionContext: "inner",
    });
    const [inner, outer] = await Promise.all([
      runtime.terminate(server, context, "sallyport-tcp"),
      runtime.secure(
        client,
        {
          serverName: "inner.example.com",
          verify: true,
          ca,
          cert: alice.cert,
          key: alice.key,
          alpn: ["sallyport-tcp"],
        },
        5000,
      ),
    ]);
    return { inner, outer, client, server };
  }

  it("holds a TLS handshake with client certificates, and as much as one likes behind it", async () => {
    const { inner, outer, client, server } = await tls();
    assert.deepEqual([inner.alpn, outer.alpn], ["sallyport-tcp", "sallyport-tcp"]);
    assert.ok(inner.peerLeaf());
    const send = async (from: Connection): Promise<void> => {
      for (let at = 0; at < large.length; at += 100_000) await from.write(large.slice(at, at + 100_000));
      await from.closeWrite();
    };
    const [up, down] = await Promise.all([readAll(inner), readAll(outer), send(inner), send(outer)]);
    assert.equal(sum(up), sum(large));
    assert.equal(sum(down), sum(large));
    outer.abort();
    inner.abort();
    await Promise.all([client.closed, server.closed]);
  });

  it("carries TLS one way after the other way's end", async () => {
    for (const forth of [true, false]) {
      const { inner, outer } = await tls();
      const [first, second] = forth ? [outer, inner] : [inner, outer];
      await first.write(ascii("a question"));
      await first.closeWrite();
      assert.equal(Buffer.from(await readAll(second)).toString(), "a question");
      const answering = (async () => {
        for (let at = 0; at < large.length; at += 100_000) await second.write(large.slice(at, at + 100_000));
        await second.closeWrite();
      })();
      assert.equal(sum(await readAll(first)), sum(large), forth ? "from the server" : "from the client");
      await answering;
      outer.abort();
      inner.abort();
    }
  });

  it("makes whoever writes TLS wait for whoever does not read it", async () => {
    for (const forth of [true, false]) {
      const { inner, outer } = await tls();
      const [from, to] = forth ? [outer, inner] : [inner, outer];
      let written = 0;
      const writing = (async () => {
        for (; written < 300_000_000; written += 100_000) await from.write(large.slice(0, 100_000));
      })().catch(() => {});
      // Somebody who reads at first; a relay always does.
      await to.read();
      let before = -1;
      while (before !== written) {
        before = written;
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      // The system takes some tens of megabytes itself, where it has sockets in between.
      assert.ok(written < 150_000_000, `${written} bytes went where nobody reads`);
      to.abort();
      from.abort();
      await writing;
    }
  });

  it("refuses a certificate that it should not trust, inside as outside", async () => {
    const [client, server] = await sockets();
    const certificate = await authority.server(["other.example.com"], hourMs);
    const context = runtime.tlsContext({ ...certificate, clientCas: null, sessionContext: "inner" });
    const ca = [authority.certificate.toString("pem")];
    const options = { serverName: "inner.example.com", verify: true, ca, cert: null, key: null };
    const terminated = runtime.terminate(server, context, null).then(
      (connection) => connection.abort(),
      () => {},
    );
    await assert.rejects(runtime.secure(client, options, 5000), { reason: "upstream_refused" });
    client.abort();
    await terminated;
  });
});

/** A frame that is masked with zeros, and may not be its message's last one. */
function fragment(opcode: 0 | 2, payload: Uint8Array, final: boolean): Uint8Array {
  const bytes = frame(opcode, payload, new Uint8Array(4));
  if (!final) bytes[0] = opcode;
  return bytes;
}
