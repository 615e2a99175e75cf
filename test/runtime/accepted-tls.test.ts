import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { TLSSocket } from "node:tls";
import { Authority, createAuthority } from "../../src/authority/authority.ts";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import type { CertificateAndKey } from "../../src/core/contexts.ts";
import { isEvented } from "../../src/core/evented.ts";
import { parseCertificate } from "../../src/identity/certificate.ts";
import { NodeRuntime } from "../../src/runtime/node.ts";
import { placeReads } from "../../src/runtime/placed-reads.ts";
import type { Connection, Runtime, TlsConnection } from "../../src/types.ts";
import { Pairs, readAll, readSome } from "../support/pairs.ts";
import { make, root } from "../support/pki.ts";

const size = 24 * 1024 * 1024;
const byteAt = (at: number): number => (at * 7 + (at >> 12)) & 255;
const dayMs = 86_400_000;
const nothing = new Uint8Array(0);
const hex = (bytes: ArrayBuffer | Uint8Array): string => Buffer.from(bytes as Uint8Array).toString("hex");

let pairs: Pairs;
let authority: Authority;
before(async () => {
  pairs = await Pairs.open();
  authority = await Authority.open(await createAuthority("Accepted"));
});
after(() => pairs?.close());

/** @param shown the client's certificate, for a server that asks for one; absent: it doesn't */
async function terminated(
  shown?: CertificateAndKey | null,
  runtime: Runtime = pairs.runtime,
): Promise<[client: TlsConnection, server: TlsConnection]> {
  return handshake(...(await pairs.pair()), shown, runtime);
}

async function handshake(
  dialled: Connection,
  accepted: Connection,
  shown?: CertificateAndKey | null,
  runtime: Runtime = pairs.runtime,
): Promise<[client: TlsConnection, server: TlsConnection]> {
  const context = runtime.tlsContext({
    ...(await authority.server(["accepted.test"], dayMs)),
    clientCas: shown === undefined ? null : [authority.certificate.toString("pem")],
    sessionContext: "accepted",
  });
  const tls = {
    serverName: "accepted.test",
    verify: true,
    ca: [authority.certificate.toString("pem")],
    cert: shown?.cert ?? null,
    key: shown?.key ?? null,
  };
  return Promise.all([runtime.secure(dialled, tls, 10_000), runtime.terminate(accepted, context, null)]);
}

describe("a TLS connection that we accept", () => {
  it("gives what was sent before anybody read, then the rest, in order and to the end, however it is read", async () => {
    const [client, server] = await terminated();
    const sending = (async () => {
      const block = new Uint8Array(200_000);
      for (let at = 0; at < size; at += block.length) {
        for (let i = 0; i < block.length; i++) block[i] = byteAt(at + i);
        await client.write(block.slice(0, size - at));
      }
      await client.closeWrite();
    })();
    // By then more has come than is held for somebody who may read some day.
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    let heard = 0;
    for (let chunk = await server.read(); chunk !== null; chunk = await server.read()) {
      for (const [i, byte] of chunk.entries())
        if (byte !== byteAt(heard + i)) assert.fail(`another byte at ${heard + i}`);
      heard += chunk.length;
      if (heard % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(heard, size);
    await sending;
    await server.closeWrite();
    assert.equal(await client.read(), null);
  });

  for (const how of ["reads", "is given events"]) {
    it(`tells its end also to somebody who ${how} later`, async () => {
      const [client, server] = await terminated();
      await client.closeWrite();
      // It comes while nobody wants to know.
      await new Promise((resolve) => setTimeout(resolve, 50));
      const ended = new Promise<Uint8Array | null>((resolve, reject) => {
        setTimeout(() => reject(new Error("no end")), 5000).unref();
        if (how === "reads" || !isEvented(server)) server.read().then(resolve, reject);
        else
          server.pipeTo((chunk) => {
            resolve(chunk);
            return false;
          });
      });
      assert.equal(await ended, null);
    });
  }

  it("takes writes that don't wait for each other, in their order, while it is read", async () => {
    const [client, server] = await terminated();
    const sent = Buffer.alloc(3 * 1024 * 1024, "0123456789abcdef");
    const writes = Promise.all(
      Array.from({ length: 24 }, (_, i) => server.write(sent.subarray(i * 131_072, (i + 1) * 131_072))),
    ).then(() => server.closeWrite());
    const asked = server.read();
    const heard = await readAll(client);
    await writes;
    assert.ok(sent.equals(heard));
    await client.write(Buffer.from("and on"));
    assert.equal(Buffer.from((await asked) ?? []).toString(), "and on");
    await client.closeWrite();
    assert.equal(await server.read(), null);
    await server.closed;
  });

  it("is read while its writes wait for a peer that hears nothing, though records come in parts", async () => {
    const [dialled, accepted] = await pairs.pair();
    let writes = (bytes: Uint8Array): Promise<void> => accepted.write(bytes);
    let most = Number.POSITIVE_INFINITY;
    const beneath: Connection = {
      remote: accepted.remote,
      local: accepted.local,
      closed: accepted.closed,
      bytesRead: 0,
      bytesWritten: 0,
      read: async () => {
        const chunk = await accepted.read();
        accepted.unread(chunk?.subarray(most) ?? nothing);
        return chunk?.subarray(0, most) ?? null;
      },
      unread: (bytes) => accepted.unread(bytes),
      write: (bytes) => writes(bytes),
      closeWrite: () => accepted.closeWrite(),
      abort: () => accepted.abort(),
    };
    const [client, server] = await handshake(dialled, beneath);
    writes = () => new Promise(() => {});
    most = 20;
    server.write(Buffer.from("never heard")).catch(() => {});
    await client.write(Buffer.from("first"));
    await client.write(Buffer.from("second"));
    const late = new Promise<never>((_, reject) => {
      setTimeout(() => reject(new Error("it is not read")), 20_000).unref();
    });
    assert.equal((await Promise.race([readSome(server, 11), late])).toString(), "firstsecond");
    server.abort();
    client.abort();
  });

  it("gives what was put back first, and nothing after it was cut", async () => {
    const [client, server] = await terminated();
    await client.write(Buffer.from("b"));
    const b = await server.read();
    server.unread(b ?? new Uint8Array(0));
    server.unread(Buffer.from("a"));
    assert.equal(Buffer.from((await server.read()) ?? []).toString(), "a");
    assert.equal(Buffer.from((await server.read()) ?? []).toString(), "b");
    const waiting = assert.rejects(server.read());
    server.abort();
    await waiting;
    await assert.rejects(server.read());
    await assert.rejects(server.write(Buffer.from("x")));
    await server.closeWrite();
    await server.closed;
  });

  it("is gone with what it stands on, though that is reset while its own end is on the way", async () => {
    const kinds = [pairs.runtime, ...(pairs.runtime.name === "node" ? [new NodeRuntime(null)] : [])];
    for (const runtime of kinds) {
      const own = await Pairs.open(runtime);
      for (let turns = 0; turns < 6; turns++) {
        const [dialled, accepted] = await own.pair();
        const [client, server] = await handshake(dialled, accepted, undefined, runtime);
        void server.closeWrite();
        for (let turn = 0; turn < turns; turn++) await null;
        accepted.abort("reset");
        const late = new Promise<never>((_, reject) => {
          setTimeout(() => reject(new Error(`open still: ${turns}`)), 10_000).unref();
        });
        await Promise.race([Promise.all([accepted.closed, server.closed]), late]);
        client.abort();
      }
      await own.close();
    }
  });

  it("knows the client's certificate and what came with it, byte by byte", async () => {
    const above = await Authority.open(await createAuthority("Above", { authoritiesBelow: 1 }));
    const issuing = await Authority.open(await above.authority("Issuing"), { above: above.chain });
    const shown = await issuing.client({ commonName: "alice" }, dayMs);
    const [leaf, ...rest] = certificatesFromPem(shown.cert);
    const [, server] = await terminated(shown);
    assert.deepEqual(Buffer.from(server.peerLeaf() ?? []), Buffer.from(leaf ?? []));
    assert.deepEqual(
      server.peerChain().map((der) => Buffer.from(der)),
      [leaf ?? [], ...rest].map((der) => Buffer.from(der)),
    );
    server.abort();
    const [, other] = await terminated(null);
    assert.equal(other.peerLeaf(), null);
    assert.deepEqual(other.peerChain(), []);
    other.abort();
  });

  it("on Deno stands on what node:tls stands on, and on that where it is not as expected", async () => {
    if (pairs.runtime.name !== "deno") return;
    // Where it runs alone: the file names globals that are not elsewhere.
    const { DenoRuntime } = await import("../../src/runtime/deno.ts");
    const { findEngine } = await import("../../src/runtime/deno-tls.ts");
    assert.ok(findEngine() !== null, "Deno keeps it somewhere else: see deno-tls.ts");
    const shown = await authority.client({ commonName: "alice" }, dayMs);
    const [client, server] = await terminated(shown, new DenoRuntime(null));
    assert.ok("socket" in server && server.socket instanceof TLSSocket);
    const { _handle: handle } = server.socket as unknown as {
      _handle: { getPeerCertificateChain(): { certificates: readonly Uint8Array[] } };
    };
    assert.deepEqual(
      handle.getPeerCertificateChain().certificates[0],
      server.peerLeaf(),
      "Deno keeps them somewhere else: see deno.ts",
    );
    await client.write(Buffer.from("there"));
    assert.equal(Buffer.from((await server.read()) ?? []).toString(), "there");
    await server.write(Buffer.from("and back"));
    assert.equal(Buffer.from((await client.read()) ?? []).toString(), "and back");
    server.abort();
  });

  it("knows the authorities by their names alone, and shows none of those as sent by a client", async () => {
    // Deno's engine tells nobody what it verified: see below.
    if (pairs.runtime.name === "deno") return;
    const other = await Authority.open(await createAuthority("Other"));
    const unnumbered = await root();
    // Somebody whose authority the client itself knows nothing of, and sends nothing; the second says no key's number.
    const shown = [
      [other.certificate.toString("pem"), await other.client({ commonName: "somebody" }, dayMs)],
      [unnumbered.cert, await make({ subject: "CN=somebody", issuer: unnumbered })],
    ] as const;
    for (const [theirs, { cert, key }] of shown) {
      const context = pairs.runtime.tlsContext({
        ...(await authority.server(["accepted.test"], dayMs)),
        clientCas: [theirs],
        sessionContext: "accepted",
      });
      const tls = {
        cert,
        key,
        serverName: "accepted.test",
        verify: true,
        ca: [authority.certificate.toString("pem")],
      };
      const [dialled, accepted] = await pairs.pair();
      const [client, server] = await Promise.all([
        pairs.runtime.secure(dialled, tls, 10_000),
        pairs.runtime.terminate(accepted, context, null),
      ]);
      const { socket, handle } = server as unknown as {
        readonly socket?: { readonly authorized: boolean };
        readonly handle: { verifyError(): Error | null | undefined };
      };
      const verified = socket === undefined ? !handle.verifyError() : socket.authorized;
      assert.equal(verified, false, "its TLS verified the client's chain: see names-alone.ts");
      assert.deepEqual(server.peerChain().map(hex), certificatesFromPem(cert).slice(0, 1).map(hex));
      client.abort();
      server.abort();
    }
  });

  it("where names alone are known, by a key that nobody signs with", async () => {
    const { namesAlone } = await import("../../src/runtime/names-alone.ts");
    const [alone = ""] = namesAlone([authority.certificate.toString("pem")]) ?? [];
    const named = parseCertificate(certificatesFromPem(alone)[0] ?? nothing);
    assert.ok("spki" in named);
    const key = createPublicKey({ key: Buffer.from(named.spki), format: "der", type: "spki" });
    // What anybody can make without a private key where the public one is of small order (RFC 8032 §5.1.7): the neutral
    // point, and zero.
    const forged = new Uint8Array(64);
    forged[0] = 1;
    for (let i = 0; i < 64; i++) assert.equal(verify(null, Buffer.from(`message ${i}`), key, forged), false);
  });

  it("where names alone are known shows the issuers that a TLS library would have found for it", async () => {
    const { withIssuers } = await import("../../src/runtime/names-alone.ts");
    const older = await Authority.open(await createAuthority("Accepted"));
    const [right, wrong] = [authority, older].map(({ certificate }) => certificate.toString("pem"));
    assert.ok(right !== undefined && wrong !== undefined);
    const { cert } = await authority.server(["accepted.test"], dayMs);
    const shown = (pem: string): readonly string[] => certificatesFromPem(pem).map(hex);
    const [leaf, issuer] = [cert, right].flatMap(shown);
    assert.deepEqual(shown(withIssuers(cert, [wrong, right])), [leaf, issuer]);
    assert.deepEqual(shown(withIssuers(cert, [wrong])), [leaf]);
    assert.equal(withIssuers(`${cert}${wrong}`, [right]), `${cert}${wrong}`, "a chain is what it is");
    assert.deepEqual(shown(withIssuers(right, [right, wrong])), [issuer], "its own issuer");
  });

  it("on Deno knows the authorities by their names alone", async () => {
    if (pairs.runtime.name !== "deno") return;
    const { DenoTlsContext } = await import("../../src/runtime/deno-tls-context.ts");
    const { namesAlone } = await import("../../src/runtime/names-alone.ts");
    const { findEngine } = await import("../../src/runtime/deno-tls.ts");
    const other = await Authority.open(await createAuthority("Other, with 1 comma"));
    const clientCas = [authority, other, authority].map((one) => one.certificate.toString("pem"));
    const subjects = namesAlone(clientCas)?.map((pem) => {
      const named = parseCertificate(certificatesFromPem(pem)[0] ?? nothing);
      return "subject" in named && hex(named.subject);
    });
    assert.deepEqual(
      subjects,
      [authority, other].map(({ certificate }) => hex(certificate.subjectName.toArrayBuffer())),
    );
    assert.equal(namesAlone(["-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----"]), null);
    const context = new DenoTlsContext({
      ...(await authority.server(["accepted.test"], dayMs)),
      clientCas,
      sessionContext: "accepted",
    });
    const Engine = findEngine();
    assert.ok(Engine !== null);
    const asked: unknown[] = [];
    for (let time = 0; time < 2; time++)
      context.configure((options) => {
        asked.push(options);
        return new Engine(1, 0).initServerTls(options);
      });
    assert.equal(asked.length, 2, "Deno asks for them otherwise: see deno-tls-context.ts");
    // Whoever asks otherwise gets all, and is not asked again.
    const given: unknown[] = [];
    for (let time = 0; time < 2; time++) context.configure((options) => given.push(options) * 0);
    assert.equal(given.length, 3);
    assert.deepEqual(
      given.slice(1).map((one) => (one as { ca: unknown }).ca),
      [clientCas, clientCas],
    );
  });

  it("on Deno gives back the memory of what a relay is done with, and nobody else's", async () => {
    if (pairs.runtime.name !== "deno") return;
    const [client, server] = await terminated();
    const [left, right] = await pairs.pair();
    const sent = Buffer.alloc(400_000, "0123456789");
    await client.write(sent.subarray(0, 10_000));
    const first = await server.read();
    assert.ok(first !== null && first.length > 4096);
    server.unread(first);
    const { transfer } = ArrayBuffer.prototype as unknown as { transfer(length: number): ArrayBuffer };
    let given = 0;
    Reflect.set(ArrayBuffer.prototype, "transfer", function (this: ArrayBuffer, length: number) {
      given += this.byteLength;
      return transfer.call(this, length);
    });
    try {
      const relayed = pairs.runtime.relay(server, left, { idleMs: 20_000, halfCloseMs: 20_000 });
      const heard = Promise.all([readAll(right), readAll(client)]);
      await client.write(sent.subarray(10_000));
      await client.closeWrite();
      await right.write(sent);
      await right.closeWrite();
      const [up, down] = await heard;
      assert.equal(await relayed, "done");
      assert.ok(sent.equals(up) && sent.equals(down));
    } finally {
      Reflect.set(ArrayBuffer.prototype, "transfer", transfer);
    }
    assert.ok(given > sent.length * 1.5, `${given} bytes`);
    assert.deepEqual(Buffer.from(first), sent.subarray(0, first.length), "it was put back, and is ours, too");
  });

  it("on Node has a place for its reads, where it is a socket of node:tls", async () => {
    // The others have sockets of their own there.
    if (pairs.runtime.name !== "node") return;
    const sockets = await Pairs.open(new NodeRuntime(null));
    const [, server] = await handshake(...(await sockets.pair()), undefined, sockets.runtime);
    assert.ok("socket" in server && server.socket instanceof TLSSocket);
    const reads = { buffer: () => new Uint8Array(16_384), callback: () => true };
    assert.equal(placeReads(server.socket, reads), true, "Node keeps it somewhere else: see placed-reads.ts");
    await sockets.close();
  });
});
