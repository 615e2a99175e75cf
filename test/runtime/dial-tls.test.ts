import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { createServer, type TLSSocket } from "node:tls";
import { Authority, createAuthority } from "../../src/authority/authority.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import type { Connection, Runtime, TlsClientOptions, TlsConnection } from "../../src/types.ts";
import { Pairs, readSome } from "../support/pairs.ts";
import { sha1Server } from "../support/sha1-server.ts";

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

  for (const serverName of ["upstream.test", "127.0.0.1"]) {
    it(`to ${serverName} is not made to one whose certificate was signed by SHA-1`, async () => {
      const runtime = await selectRuntime();
      const { ca, ...pair } = sha1Server;
      // Node's own servers would not show it either.
      const from = await source({
        ...pair,
        ...(runtime.name === "node" ? { ciphers: "DEFAULT@SECLEVEL=0" } : {}),
      });
      const tls: TlsClientOptions = { serverName, verify: true, ca: [ca], cert: null, key: null };
      const target = { host: "127.0.0.1", port: from.port, withinMs: 10_000 };
      try {
        const refusal = { name: "Refusal", reason: "upstream_refused" };
        await assert.rejects(runtime.dial({ ...target, tls }), refusal);
        await assert.rejects(runtime.secure(await runtime.dial(target), tls, 10_000), refusal);
        (await runtime.dial({ ...target, tls: { ...tls, verify: false } })).abort();
      } finally {
        from.close();
      }
    });
  }

  describe("asks for a name, a protocol and an authority", () => {
    let runtime: Runtime;
    let authority: Authority;
    let stranger: Authority;
    let server: ReturnType<typeof createServer>;
    const shown: { readonly client: unknown; readonly name: unknown }[] = [];

    before(async () => {
      runtime = await selectRuntime();
      authority = await Authority.open(await createAuthority("Dial"));
      stranger = await Authority.open(await createAuthority("Stranger"));
      server = createServer(
        {
          ...(await authority.server(["upstream.test"], 86_400_000)),
          ca: [authority.certificate.toString("pem")],
          requestCert: true,
          rejectUnauthorized: false,
          ALPNProtocols: ["spoken"],
        },
        (socket) => {
          socket.on("error", () => {});
          shown.push({ client: socket.getPeerCertificate()?.subject?.CN, name: socket.servername });
          socket.end("hello");
        },
      );
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    });
    after(() => server?.close());

    const asked = (): TlsClientOptions => ({
      serverName: "upstream.test",
      verify: true,
      ca: [authority.certificate.toString("pem")],
      cert: null,
      key: null,
    });

    async function connected(way: (typeof ways)[number], tls: TlsClientOptions): Promise<TlsConnection> {
      const { port } = server.address() as AddressInfo;
      const target = { host: "127.0.0.1", port, withinMs: 10_000 };
      if (way === "dialled") return (await runtime.dial({ ...target, tls })) as TlsConnection;
      const plain = await runtime.dial(target);
      try {
        return await runtime.secure(plain, tls, 10_000);
      } catch (error) {
        plain.abort();
        throw error;
      }
    }

    async function heard(connection: TlsConnection): Promise<string> {
      let text = "";
      for (let chunk = await connection.read(); chunk !== null; chunk = await connection.read())
        text += Buffer.from(chunk).toString();
      connection.abort();
      return text;
    }

    for (const way of ways) {
      it(`${way}: shows a certificate, and agrees on the one protocol that both know`, async () => {
        const pair = await authority.client({ commonName: "dialler" }, 86_400_000);
        const connection = await connected(way, { ...asked(), ...pair, alpn: ["unspoken", "spoken"] });
        assert.equal(connection.alpn, "spoken");
        assert.equal(connection.version, "TLSv1.3");
        assert.ok(connection.peerLeaf());
        assert.equal(await heard(connection), "hello");
        assert.deepEqual(shown.pop(), { client: "dialler", name: "upstream.test" });
      });

      for (const [what, wrong] of [
        ["another name", { serverName: "other.test" }],
        ["a name that its own ends with", { serverName: "test" }],
        ["another authority", { ca: "stranger" }],
        ["the system's authorities", { ca: null }],
        ["no protocol that it speaks", { alpn: ["unspoken"] }],
      ] as const) {
        it(`${way}: does not take it for ${what}`, async () => {
          const ca =
            "ca" in wrong ? (wrong.ca === null ? null : [stranger.certificate.toString("pem")]) : asked().ca;
          await assert.rejects(connected(way, { ...asked(), ...wrong, ca }), {
            name: "Refusal",
            reason: "upstream_refused",
          });
        });
      }

      it(`${way}: takes anybody where nothing is to be verified`, async () => {
        const tls = { ...asked(), serverName: "other.test", ca: null, verify: false };
        assert.equal(await heard(await connected(way, tls)), "hello");
      });
    }

    it("leaves plain connections that were opened before and after it alone", async () => {
      const pairs = await Pairs.open();
      try {
        const early = await pairs.pair();
        const tls = await connected("dialled", asked());
        const [client, server] = await pairs.pair();
        // The one that was accepted is the TLS client here.
        const context = runtime.tlsContext({
          ...(await authority.server(["upstream.test"], 86_400_000)),
          clientCas: null,
          sessionContext: "dial",
        });
        const turned = await Promise.all([
          runtime.secure(server, asked(), 10_000),
          runtime.terminate(client, context, null),
        ]);
        for (const [client, other] of [turned, early, await pairs.pair()]) {
          await other.write(Buffer.from("still here"));
          assert.equal((await readSome(client, 10)).toString(), "still here");
          await client.write(Buffer.from("and here"));
          assert.equal((await readSome(other, 8)).toString(), "and here");
        }
        assert.equal(await heard(tls), "hello");
      } finally {
        await pairs.close();
      }
    });
  });
});
