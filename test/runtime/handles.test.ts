import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  type AddressInfo,
  connect,
  createServer,
  getDefaultAutoSelectFamily,
  type Server,
  type Socket,
  setDefaultAutoSelectFamily,
} from "node:net";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { isEvented } from "../../src/core/evented.ts";
import { HandleConnection } from "../../src/runtime/handle-connection.ts";
import { findHandles } from "../../src/runtime/handles.ts";
import { NodeRuntime } from "../../src/runtime/node.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import { dialSocket } from "../../src/runtime/socket-dial.ts";
import type { Connection, EventedConnection, Runtime } from "../../src/types.ts";
import { Pairs, readAll, readSome } from "../support/pairs.ts";
import { run } from "../support/run.ts";

const onNode = !("Bun" in globalThis) && !("Deno" in globalThis);
const onDeno = "Deno" in globalThis;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const sum = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
/** No two stretches of it are alike. */
const bytes = (length: number, seed = 1): Uint8Array => {
  const all = new Uint32Array(Math.ceil(length / 4));
  for (let i = 0, word = seed; i < all.length; i++) {
    word = (Math.imul(word, 1_664_525) + 1_013_904_223) >>> 0;
    all[i] = word;
  }
  return new Uint8Array(all.buffer, 0, length);
};
const text = (chunk: Uint8Array | null): string => Buffer.from(chunk ?? []).toString();

/** What one does the other must do: on Node they are handles, other runtimes have sockets of their own. */
const kinds: readonly (readonly [string, () => Promise<Runtime>])[] = [
  ["of the runtime's own", selectRuntime],
  ["on sockets of node:net", async () => new NodeRuntime(null)],
];

for (const [kind, make] of kinds) {
  describe(`a connection ${kind}`, () => {
    /** Whose writes wait for each other where TLS is on them alone, and whose end is no reset, for it has none. */
    const isDenos = onDeno && make === selectRuntime;
    let pairs: Pairs;
    before(async () => {
      pairs = await Pairs.open(await make());
    });
    after(() => pairs?.close());

    it("sends all of a large write, and what follows, before its end, to a peer that reads late", async () => {
      const [client, server] = await pairs.pair();
      const data = bytes(12_000_000);
      const writing = (async () => {
        await client.write(data);
        await client.writev?.([Buffer.from("a"), Buffer.from("bc"), Buffer.from("d")]);
        if (client.writev === undefined) await client.write(Buffer.from("abcd"));
        await client.closeWrite();
      })();
      for (let turns = 0; turns < 20; turns++) await turn();
      const heard = await readAll(server);
      await writing;
      assert.equal(sum(heard.subarray(0, data.length)), sum(data));
      assert.equal(text(heard.subarray(data.length)), "abcd");
      // The other direction is open still.
      await server.write(Buffer.from("late"));
      assert.equal(text(await client.read()), "late");
      await server.closeWrite();
      assert.equal(await client.read(), null);
      await Promise.all([client.closed, server.closed]);
      assert.equal(server.bytesRead, data.length + 4);
      assert.equal(client.bytesWritten, data.length + 4);
    });

    it("takes writes that don't wait for each other in their order", async () => {
      if (isDenos) return;
      const [client, server] = await pairs.pair();
      const data = bytes(6_000_000, 3);
      const parts = Array.from({ length: 8 }, (_, i) => data.subarray(i * 750_000, (i + 1) * 750_000));
      const written = Promise.all(parts.map((part) => client.write(part))).then(() => client.closeWrite());
      assert.equal(sum(await readAll(server)), sum(data));
      await written;
      client.abort();
    });

    it("says who is at both ends", async () => {
      const [client, server] = await pairs.pair();
      assert.deepEqual(client.remote, server.local);
      assert.deepEqual(client.local, server.remote);
      assert.equal(client.remote.address, "127.0.0.1");
      client.abort();
    });

    it("tells its reader that it was reset, and whoever writes to it", async () => {
      if (isDenos) return;
      const [client, server] = await pairs.pair();
      await client.write(Buffer.from("x"));
      assert.equal(text(await server.read()), "x");
      const waiting = assert.rejects(server.read());
      client.abort("reset");
      await waiting;
      await server.closed;
      await assert.rejects(server.write(Buffer.from("y")));
      await server.closeWrite();
      server.abort();
      await assert.rejects(client.read());
    });

    it("lets nobody wait who writes to a peer that goes away unread", async () => {
      const [client, server] = await pairs.pair();
      const waiting = assert.rejects(
        (async () => {
          for (;;) await client.write(bytes(1_000_000));
        })(),
      );
      for (let turns = 0; turns < 20; turns++) await turn();
      server.abort("reset");
      await waiting;
      await client.closed;
    });

    it("does not look whole to a peer where it is cut while its end waits behind bytes", async () => {
      // Which has no reset.
      if (onDeno) return;
      const [client, server] = await pairs.pair();
      // More than anybody takes who does not read.
      client.write(bytes(16_000_000)).catch(() => {});
      void client.closeWrite();
      for (let turns = 0; turns < 20; turns++) await turn();
      client.abort("reset");
      await client.closed;
      for (let turns = 0; turns < 20; turns++) await turn();
      // It was reset: after a mere end the first word would still go out.
      await assert.rejects(server.write(Buffer.from("x")));
      server.abort();
    });

    it("gives what was put back first", async () => {
      const [client, server] = await pairs.pair();
      await client.write(Buffer.from("hello"));
      const hello = await readSome(server, 5);
      server.unread(hello.subarray(2));
      server.unread(hello.subarray(0, 2));
      await client.closeWrite();
      assert.equal(text(await readAll(server)), "hello");
      client.abort();
      server.abort();
    });

    it("closes, hundreds at once, and leaves nothing", async () => {
      const open = await Promise.all(Array.from({ length: 300 }, () => pairs.pair()));
      await Promise.all(open.map(([client]) => client.write(Buffer.from("x"))));
      await Promise.all(open.map(([, server]) => server.read()));
      for (const [i, [client, server]] of open.entries()) {
        if (i % 3 === 0) client.abort();
        else if (i % 3 === 1) server.abort("reset");
        else void client.closeWrite();
      }
      await Promise.all(
        open.map(async ([client, server]) => {
          const ends = [client, server].map(async (end) => {
            for (let chunk = await end.read(); chunk !== null; chunk = await end.read());
            await end.closeWrite();
          });
          await Promise.allSettled(ends);
          await Promise.all([client.closed, server.closed]);
        }),
      );
    });

    it("relays what comes both ways at once, byte by byte, whoever is slow", async () => {
      const limits = { idleMs: 20_000, halfCloseMs: 20_000 };
      const ways = await Promise.all(
        Array.from({ length: 6 }, async (_, i) => {
          const [client, left] = await pairs.pair();
          const [right, upstream] = await pairs.pair();
          const end = pairs.runtime.relay(left, right, limits);
          return { client, upstream, end, up: bytes(4_000_000, i + 5), down: bytes(3_000_000, i + 50) };
        }),
      );
      const slowly = async (from: Connection, pause: boolean): Promise<string> => {
        const hash = createHash("sha256");
        for (let chunk = await from.read(); chunk !== null; chunk = await from.read()) {
          hash.update(chunk);
          if (pause) for (let turns = 0; turns < 3; turns++) await turn();
        }
        return hash.digest("hex");
      };
      const send = async (to: Connection, data: Uint8Array): Promise<void> => {
        for (let at = 0; at < data.length; at += 150_000) await to.write(data.subarray(at, at + 150_000));
        await to.closeWrite();
      };
      await Promise.all(
        ways.map(async ({ client, upstream, end, up, down }, i) => {
          const [heardUp, heardDown] = await Promise.all([
            slowly(upstream, i % 2 === 0),
            slowly(client, i % 3 === 0),
            send(client, up),
            send(upstream, down),
          ]);
          assert.equal(heardUp, sum(up));
          assert.equal(heardDown, sum(down));
          assert.equal(await end, "done");
        }),
      );
    });
  });
}

describe("a dial", () => {
  let server: Server;
  const open = new Set<Socket>();
  before(async () => {
    server = createServer((socket) => {
      open.add(socket.on("error", () => {}));
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  after(() => {
    for (const socket of open) socket.destroy();
    server?.close();
  });
  const target = (host: string, port = (server.address() as AddressInfo).port) => ({
    host,
    port,
    withinMs: 5000,
  });

  for (const [kind, make] of kinds) {
    it(`${kind} goes to names, and to IPv6, and sends what comes first`, async () => {
      const runtime = await make();
      const named = await runtime.dial({ ...target("localhost"), preamble: Buffer.from("first ") });
      await named.write(Buffer.from("then"));
      assert.equal((await readSome(named, 10)).toString(), "first then");
      named.abort();
      await assert.rejects(runtime.dial(target("no-such-host.invalid")), { reason: "upstream_unreachable" });
      await assert.rejects(runtime.dial(target("::1", 1)), /\[?::1\]?/);
    });
  }

  it("goes to the first of several addresses where Node is told to try no others", async () => {
    if (!onNode) return;
    const usual = getDefaultAutoSelectFamily();
    setDefaultAutoSelectFamily(false);
    const { port } = server.address() as AddressInfo;
    const several = [
      { address: "127.0.0.1", family: 4 },
      { address: "::1", family: 6 },
    ];
    const dialled = dialSocket(target("several.test", port), undefined, several);
    setDefaultAutoSelectFamily(usual);
    const socket = await dialled;
    assert.equal(socket.remoteAddress, "127.0.0.1");
    socket.destroy();
  });

  it("on handles fails in the words of node:net", async () => {
    if (!onNode) return;
    const said = async (runtime: Runtime): Promise<string[]> =>
      Promise.all(
        [target("127.0.0.1", 1), target("::1", 1)].map((where) =>
          runtime.dial(where).then(
            () => "connected",
            (error: Error) => error.message,
          ),
        ),
      );
    const words = await said(new NodeRuntime());
    assert.match(words[0] ?? "", /connect ECONNREFUSED 127\.0\.0\.1:1$/);
    assert.deepEqual(words, await said(new NodeRuntime(null)));
  });
});

describe("handles", () => {
  it("are where they were on Node, and nobody else has them", async () => {
    if (!onNode) return assert.equal(findHandles(), null);
    assert.ok(findHandles() !== null, "Node keeps them somewhere else: see handles.ts");
    const pairs = await Pairs.open();
    const [client, server] = await pairs.pair();
    assert.ok(client instanceof HandleConnection && server instanceof HandleConnection);
    await pairs.close();
  });

  it("are used without a word, whatever words are asked for, and not where that is not permitted", async () => {
    if (!onNode) return;
    const path = fileURLToPath(import.meta.url).replace(/test\/runtime\/.*$/, "src/runtime/handles.js");
    const script = `import(${JSON.stringify(path)}).then((m) => console.log(m.findHandles() !== null, process.noDeprecation))`;
    const asked = await run(process.execPath, ["--pending-deprecation", "--trace-deprecation", "-e", script]);
    assert.deepEqual([asked.out, asked.err], ["true false\n", ""]);
    const flag = process.allowedNodeEnvironmentFlags.has("--permission")
      ? "--permission"
      : "--experimental-permission";
    const denied = await run(process.execPath, [flag, "--allow-fs-read=*", "--no-warnings", "-e", script]);
    assert.deepEqual([denied.out, denied.err], ["false false\n", ""]);
  });

  it("can become sockets, with what was read and what comes", async () => {
    if (!onNode) return;
    const pairs = await Pairs.open();
    const [client, server] = await pairs.pair();
    await client.write(Buffer.from("first "));
    server.unread((await server.read()) ?? new Uint8Array(0));
    assert.ok(server instanceof HandleConnection);
    const socket = await server.detach();
    const heard: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => heard.push(chunk));
    const ended = new Promise<void>((resolve) => socket.once("end", () => resolve()));
    await client.write(Buffer.from("then"));
    await client.closeWrite();
    socket.resume();
    await ended;
    assert.equal(Buffer.concat(heard).toString(), "first then");
    socket.write("back");
    assert.equal(text(await client.read()), "back");
    server.abort();
    await server.closed;
    assert.ok(socket.destroyed);
    await pairs.close();
  });

  it("say their end once, also where it comes when there is room again", async () => {
    if (!onNode) return;
    const pairs = await Pairs.open();
    const [client, server] = await pairs.pair();
    assert.ok(client instanceof HandleConnection);
    const { handle } = client as unknown as { handle: { shutdown(request: object): number } };
    const { shutdown } = handle;
    let said = 0;
    handle.shutdown = (request) => {
      said++;
      return shutdown.call(handle, request);
    };
    client.drained = () => client.endWrite();
    assert.equal(client.push(bytes(16_000_000)), false);
    assert.equal((await readAll(server)).length, 16_000_000);
    assert.equal(said, 1);
    await pairs.close();
  });

  it("become no sockets once they are aborted, which nobody would hear of", async () => {
    if (!onNode) return;
    const pairs = await Pairs.open();
    const [client, server] = await pairs.pair();
    assert.ok(client instanceof HandleConnection && server instanceof HandleConnection);
    const detached = client.detach();
    client.abort();
    await assert.rejects(detached, /connection closed/);
    const tls = { serverName: "nobody.test", verify: true, ca: null, cert: null, key: null };
    const secured = pairs.runtime.secure(server, tls, 60_000);
    queueMicrotask(() => server.abort());
    await assert.rejects(secured, { reason: "upstream_refused" });
    await pairs.close();
  });

  it("leave alone what they have handed over", async () => {
    if (!onNode) return;
    const pairs = await Pairs.open();
    const [client, server] = await pairs.pair();
    assert.ok(isEvented(server));
    const evented: EventedConnection = server;
    const chunks: { readonly chunk: Uint8Array; readonly was: string }[] = [];
    const done = new Promise<void>((resolve) => {
      evented.pipeTo((chunk) => {
        if (chunk === null) resolve();
        else chunks.push({ chunk, was: sum(chunk) });
        // Kept by whoever takes them.
        return false;
      });
    });
    await client.write(bytes(3_000_000));
    await client.closeWrite();
    await done;
    assert.equal(
      chunks.reduce((all, { chunk }) => all + chunk.length, 0),
      3_000_000,
    );
    for (const { chunk, was } of chunks) assert.equal(sum(chunk), was);
    await pairs.close();
  });

  it("listen at Unix sockets too, and let in nobody who may not come", async () => {
    if (!onNode) return;
    const runtime = new NodeRuntime();
    let mayCome = false;
    const listener = await runtime.listen(
      { host: "127.0.0.1", port: 0 },
      {
        mayCome: () => mayCome,
        connection: (connection) => void connection.write(Buffer.from("in")).catch(() => {}),
        acceptFailed: (error) => assert.fail(error),
      },
    );
    const come = (): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(listener.address.port, "127.0.0.1");
        socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? ""));
        socket.once("data", (chunk) => {
          socket.destroy();
          resolve(chunk.toString());
        });
      });
    assert.equal(await come(), "ECONNRESET");
    mayCome = true;
    assert.equal(await come(), "in");
    await listener.close();
    const path = `/tmp/sallyport-handles-${process.pid}.sock`;
    const local = await runtime.listen(
      { path },
      {
        connection: (connection) => void readAll(connection).then((all) => connection.write(all)),
        acceptFailed: (error) => assert.fail(error),
      },
    );
    const dialled = await runtime.dialLocal(path);
    await dialled.write(Buffer.from("there and back"));
    await dialled.closeWrite();
    assert.equal((await readSome(dialled, 14)).toString(), "there and back");
    dialled.abort();
    await local.close();
  });
});
