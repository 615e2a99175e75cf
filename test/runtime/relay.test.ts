import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { atLeast } from "../../src/runtime/at-least.ts";
import { NodeRuntime } from "../../src/runtime/node.ts";
import { portableRelay } from "../../src/runtime/relay.ts";
import { floors, selectRuntime } from "../../src/runtime/select.ts";
import type { Connection, Listener, RelayEnd, Runtime, Taps } from "../../src/types.ts";
import { Pairs } from "../support/pairs.ts";

const limits = { idleMs: 20_000, halfCloseMs: 10_000 };
const bytes = (length: number): Uint8Array => {
  const seed = createHash("sha512").update("bytes").digest();
  return Uint8Array.from({ length }, (_, i) => (seed[i % 64] ?? 0) ^ (i >> 8));
};

/** Answers, once the peer has ended, with everything it was sent, and ends. */
function mirror(): Promise<{ port: number; close(): void }> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const chunks: Buffer[] = [];
    open.add(socket);
    socket.on("error", () => {});
    socket.on("data", (chunk: Buffer) => {
      if (chunk.toString() === "break") socket.resetAndDestroy();
      chunks.push(chunk);
    });
    socket.on("end", () => socket.end(Buffer.concat(chunks)));
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      resolve({
        port: (server.address() as AddressInfo).port,
        close: () => {
          server.close();
          for (const socket of open) socket.destroy();
        },
      });
    });
  });
}

async function readAll(connection: Connection): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (let chunk = await connection.read(); chunk !== null; chunk = await connection.read())
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

const sum = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

type Relay = (runtime: Runtime, left: Connection, right: Connection, taps?: Taps) => Promise<RelayEnd>;

/** The same for every runtime and relay: what one does the others must do. */
function suite(name: string, make: () => Promise<Runtime>, relay: Relay): void {
  describe(name, () => {
    let runtime: Runtime;
    let listener: Listener;
    let upstream: Awaited<ReturnType<typeof mirror>>;
    const ends: Promise<RelayEnd>[] = [];
    let taps: Taps | undefined;
    before(async () => {
      runtime = await make();
      upstream = await mirror();
      listener = await runtime.listen(
        { host: "127.0.0.1", port: 0 },
        {
          acceptFailed: (error) => assert.fail(error),
          connection: (left) => {
            const target = { host: "127.0.0.1", port: upstream.port, withinMs: 5000 };
            const end = runtime.dial(target).then((right) => relay(runtime, left, right, taps));
            // Looked at later, however it ends.
            end.catch(() => {});
            ends.push(end);
          },
        },
      );
    });
    after(async () => {
      upstream?.close();
      await listener?.close();
    });
    const dial = (): Promise<Connection> =>
      runtime.dial({ host: "127.0.0.1", port: listener.address.port, withinMs: 5000 });

    it("carries everything both ways, half-close included", async () => {
      const data = bytes(3_000_000);
      const client = await dial();
      await client.write(data);
      await client.closeWrite();
      assert.equal(sum(await readAll(client)), sum(data));
      assert.equal(await ends.pop(), "done");
      assert.equal(client.bytesRead, data.length);
      assert.equal(client.bytesWritten, data.length);
    });

    it("carries nothing where nothing is said", async () => {
      const client = await dial();
      await client.closeWrite();
      assert.equal((await readAll(client)).length, 0);
      assert.equal(await ends.pop(), "done");
    });

    it("tells a broken upstream from an orderly end", async () => {
      const client = await dial();
      await client.write(new TextEncoder().encode("break"));
      await readAll(client).catch(() => {});
      client.abort();
      assert.equal(await ends.pop(), "right_broke");
    });

    it("ends when the client goes away", async () => {
      const client = await dial();
      await client.write(new TextEncoder().encode("x"));
      client.abort("reset");
      assert.notEqual(await ends.pop(), "idle");
    });

    it("is gone for good where it is broken off while its own end is on the way", async () => {
      const closed: Promise<void>[] = [];
      const one = await runtime.listen(
        { host: "127.0.0.1", port: 0 },
        {
          acceptFailed: (error) => assert.fail(error),
          connection: (connection) => {
            closed.push(connection.closed);
            void connection.closeWrite().catch(() => {});
            connection.abort("reset");
          },
        },
      );
      const socket = connect({ host: "127.0.0.1", port: one.address.port, allowHalfOpen: true });
      const gone = new Promise<void>((resolve) => {
        socket.on("error", () => {});
        socket.once("close", () => resolve());
      });
      socket.on("connect", () => {
        // As long as the other side holds its socket, writing to it fails nobody.
        const writing = setInterval(() => socket.write("x"), 20);
        socket.once("close", () => clearInterval(writing));
      });
      await gone;
      await Promise.all(closed);
      await one.close();
    });

    it("carries what taps put in its place, and nothing they hold back", async () => {
      let seen = 0;
      const data = bytes(3_000_000);
      const end = new TextEncoder().encode("end");
      taps = {
        // The first byte of each chunk comes twice, in pieces, with nothing between.
        left: (chunk) => [chunk.subarray(0, 1), chunk.subarray(0, 0), chunk],
        right: (chunk) => {
          seen += chunk.length;
          return chunk.length > 0 && seen === chunk.length ? [end, chunk] : [chunk];
        },
      };
      try {
        const client = await dial();
        await client.write(data);
        await client.closeWrite();
        const back = await readAll(client);
        assert.equal(await ends.pop(), "done");
        assert.equal(Buffer.from(back.subarray(0, 3)).toString(), "end");
        assert.equal(back.length, seen + 3);
        assert.ok(seen > data.length);
      } finally {
        taps = undefined;
      }
    });

    it("asks for each chunk who taps: one may go meanwhile", async () => {
      const word = new TextEncoder().encode("word");
      const mine: { -readonly [side in keyof Taps]: Taps[side] } = {
        left: (chunk) => {
          mine.left = undefined;
          return [Buffer.from(Buffer.from(chunk).toString().toUpperCase())];
        },
      };
      taps = mine;
      try {
        const client = await dial();
        await client.write(word);
        while (mine.left !== undefined) await new Promise((resolve) => setTimeout(resolve, 5));
        await client.write(word);
        await client.closeWrite();
        assert.equal(Buffer.from(await readAll(client)).toString(), "WORDword");
        assert.equal(await ends.pop(), "done");
      } finally {
        taps = undefined;
      }
    });

    it("ends where a tap throws, with what it throws, and carries no more", async () => {
      for (const side of ["left", "right"] as const) {
        taps = {
          [side]: (chunk: Uint8Array) => {
            if (Buffer.from(chunk).includes("bad")) throw new Error("no further");
            return [chunk];
          },
        };
        try {
          const client = await dial();
          await client.write(new TextEncoder().encode("bad"));
          await client.closeWrite().catch(() => {});
          const back = await readAll(client).catch(() => new Uint8Array(0));
          assert.equal(back.length, 0);
          await assert.rejects(ends.pop() ?? Promise.resolve(), /no further/);
          client.abort();
        } finally {
          taps = undefined;
        }
      }
    });

    it("says when nobody listens", async () => {
      const gone = await mirror();
      gone.close();
      await assert.rejects(
        runtime.dial({ host: "127.0.0.1", port: gone.port, withinMs: 5000 }),
        /127\.0\.0\.1/,
      );
    });
  });
}

const own: Relay = (runtime, left, right, taps) => runtime.relay(left, right, limits, taps);
suite("this runtime's sockets and relay", selectRuntime, own);
suite("this runtime's sockets, the portable relay", selectRuntime, (_, left, right, taps) =>
  portableRelay(left, right, limits, taps),
);
suite("node:net and its relay", async () => new NodeRuntime(null), own);

describe("an idle relay", () => {
  it("is ended after its limit", async () => {
    const runtime = await selectRuntime();
    const upstream = await mirror();
    const end = new Promise<RelayEnd>((resolve) => {
      void runtime
        .listen(
          { host: "127.0.0.1", port: 0 },
          {
            acceptFailed: () => {},
            connection: async (left) => {
              const right = await runtime.dial({ host: "127.0.0.1", port: upstream.port, withinMs: 5000 });
              resolve(await runtime.relay(left, right, { idleMs: 600, halfCloseMs: 600 }));
            },
          },
        )
        .then(async (listener) => {
          const client = await runtime.dial({
            host: "127.0.0.1",
            port: listener.address.port,
            withinMs: 5000,
          });
          await readAll(client).catch(() => {});
          client.abort();
          await listener.close();
        });
    });
    assert.equal(await end, "idle");
    upstream.close();
  });

  it("does not look whole to those whom it carried for", async () => {
    // Which has no reset.
    if ("Deno" in globalThis) return;
    const pairs = await Pairs.open();
    after(() => pairs.close());
    const [client, left] = await pairs.pair();
    const [right, upstream] = await pairs.pair();
    const end = pairs.runtime.relay(left, right, { idleMs: 600, halfCloseMs: 600 });
    await client.write(new TextEncoder().encode("half of"));
    assert.equal((await upstream.read())?.length, 7);
    const waiting = [client, upstream].map((each) => assert.rejects(each.read()));
    assert.equal(await end, "idle");
    await Promise.all(waiting);
  });
});

describe("version floors", () => {
  it("are compared number by number", () => {
    assert.equal(atLeast("20.20.0", floors.node), true);
    assert.equal(atLeast("20.9.9", floors.node), false);
    assert.equal(atLeast("1.4.10", floors.bun), true);
    assert.equal(atLeast("1.4.2", floors.bun), false);
    assert.equal(atLeast("2.10.0", floors.deno), true);
  });
});
