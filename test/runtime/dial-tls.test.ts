import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import { Authority, createAuthority } from "../../src/authority/authority.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import type { Connection, TlsClientOptions } from "../../src/types.ts";

const size = 48 * 1024 * 1024;

/** Sends `size` bytes to whoever connects, and ends. */
async function source(pair: { cert: string; key: string }): Promise<{ port: number; close(): void }> {
  const open = new Set<TLSSocket>();
  const server = createServer(pair, (socket) => {
    const block = Buffer.alloc(256 * 1024, 0x61);
    let left = size;
    open.add(socket);
    socket.on("error", () => {});
    const push = (): void => {
      while (left > 0) {
        left -= block.length;
        if (!socket.write(block)) return void socket.once("drain", push);
      }
      socket.end();
    };
    push();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

/** Reads to the end, and dawdles now and then, so that what comes has to wait. */
async function readSlowly(connection: Connection): Promise<number> {
  let count = 0;
  for (let reads = 0; ; reads++) {
    const chunk = await connection.read();
    if (chunk === null) return count;
    count += chunk.length;
    if (reads % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

describe("a TLS connection that we open", () => {
  const ways = ["dialled", "secured"] as const;
  for (const way of ways) {
    it(`ends when the peer does, however slowly it was read: ${way}`, async () => {
      const runtime = await selectRuntime();
      const authority = await Authority.open(await createAuthority("Dial"));
      const from = await source(await authority.server(["upstream.test"], 86_400_000));
      const tls: TlsClientOptions = {
        serverName: "upstream.test",
        verify: true,
        ca: [authority.certificate.toString("pem")],
        cert: null,
        key: null,
      };
      const target = { host: "127.0.0.1", port: from.port, withinMs: 10_000 };
      const connection =
        way === "dialled"
          ? await runtime.dial({ ...target, tls })
          : await runtime.secure(await runtime.dial(target), tls, 10_000);
      let late: ReturnType<typeof setTimeout> | undefined;
      const tooLate = new Promise<string>((resolve) => {
        late = setTimeout(resolve, 30_000, "no end");
      });
      assert.equal(await Promise.race([readSlowly(connection), tooLate]), size);
      clearTimeout(late);
      connection.abort();
      from.close();
    });
  }

  for (const [address, names, trusted] of [
    ["127.0.0.1", ["127.0.0.1"], true],
    ["127.0.0.1", ["upstream.test"], false],
    ["127.0.0.1", ["127.0.0.2", "localhost"], false],
    ["::1", ["::1"], true],
  ] as const) {
    it(`to ${address} is ${trusted ? "" : "not "}made to one whose certificate is for ${names}`, async () => {
      const runtime = await selectRuntime();
      const authority = await Authority.open(await createAuthority("Dial"));
      const from = await source(await authority.server(names, 86_400_000));
      const tls: TlsClientOptions = {
        serverName: address,
        verify: true,
        ca: [authority.certificate.toString("pem")],
        cert: null,
        key: null,
      };
      try {
        const plain = await runtime.dial({ host: "127.0.0.1", port: from.port, withinMs: 10_000 });
        const secured = runtime.secure(plain, tls, 10_000);
        if (trusted) (await secured).abort();
        else await assert.rejects(secured, { name: "Refusal", reason: "upstream_refused" });
      } finally {
        from.close();
      }
    });
  }
});
