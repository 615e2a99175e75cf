import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { Back, Front } from "../../src/local/fronts/front.ts";
import { mysqlFront } from "../../src/local/fronts/mysql.ts";
import { postgresFront } from "../../src/local/fronts/postgres.ts";
import { mongodbFront, redisFront } from "../../src/local/fronts/speaks-first.ts";
import { selfSigned } from "../../src/local/self-signed.ts";
import type { Connection, TlsConnection, TlsContext } from "../../src/types.ts";
import { mysqlPacket } from "../../src/wire/mysql/packet.ts";
import { Pairs, readAll, readSome } from "../support/pairs.ts";

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const ssl = Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47);
const gss = Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 48);
const cancel = Uint8Array.of(0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2);
const startup = Uint8Array.of(0, 0, 0, 17, 0, 3, 0, 0, ...ascii("user\0me\0\0"));

let pairs: Pairs;
let context: TlsContext;
before(async () => {
  pairs = await Pairs.open();
  const { certificate, key } = await selfSigned(Date.now());
  context = pairs.runtime.tlsContext({ cert: certificate, key, clientCas: null, sessionContext: "local" });
});
after(() => pairs.close());

/** A local client, the server that the router would lead to, and the two streams that the front joins. */
async function met(front: Front, reachable = true) {
  const [client, accepted] = await pairs.pair();
  const [router, server] = await pairs.pair();
  let dials = 0;
  const back: Back = {
    dial: async () => {
      dials++;
      if (!reachable) throw new Error("nobody is there");
      return router;
    },
    why: async () => "you are not welcome",
    terminate: (connection, alpn) => pairs.runtime.terminate(connection, context, alpn),
  };
  const joined = front.open(accepted, back);
  joined.catch(() => {});
  return { client, server, joined, dials: () => dials };
}

const secured = (client: Connection, alpn?: string): Promise<TlsConnection> =>
  pairs.runtime.secure(
    client,
    {
      serverName: "localhost",
      verify: false,
      ca: null,
      cert: null,
      key: null,
      ...(alpn === undefined ? {} : { alpn: [alpn] }),
    },
    5000,
  );

async function byteByByte(connection: Connection, bytes: Uint8Array): Promise<void> {
  for (const byte of bytes) {
    await connection.write(Uint8Array.of(byte));
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

describe("the front for Postgres", () => {
  it("hands on what a client without TLS says, however it is cut", async () => {
    const { client, server, joined } = await met(postgresFront);
    await byteByByte(client, startup);
    assert.deepEqual(await readSome(server, startup.length), Buffer.from(startup));
    await server.write(ascii("R…"));
    assert.notEqual(await joined, null);
  });

  it("says no to GSSAPI encryption and yes to TLS, one after the other", async () => {
    const { client, server, joined } = await met(postgresFront);
    await byteByByte(client, gss);
    assert.equal((await readSome(client, 1)).toString(), "N");
    await byteByByte(client, ssl);
    assert.equal((await readSome(client, 1)).toString(), "S");
    const inner = await secured(client);
    await inner.write(startup);
    assert.deepEqual(await readSome(server, startup.length), Buffer.from(startup));
    await server.write(ascii("R…"));
    assert.notEqual(await joined, null);
  });

  it("answers TLS from the first byte on with the protocol's id", async () => {
    const { client, server } = await met(postgresFront);
    const inner = await secured(client, "postgresql");
    assert.equal(inner.alpn, "postgresql");
    await inner.write(startup);
    assert.deepEqual(await readSome(server, startup.length), Buffer.from(startup));
  });

  it("takes nothing said in the clear for something said inside TLS", async () => {
    const { client, joined, dials } = await met(postgresFront);
    await client.write(Buffer.concat([ssl, startup]));
    assert.match(
      Buffer.from(await readAll(client)).toString(),
      /^E[\s\S]*FATAL\0C08P01\0Msallyport: bytes in front/,
    );
    await assert.rejects(joined, /in front of the TLS handshake/);
    assert.equal(dials(), 0);
  });

  it("does not begin TLS inside TLS", async () => {
    const { client, joined } = await met(postgresFront);
    const inner = await secured(client);
    await inner.write(ssl);
    assert.match(Buffer.from(await readAll(inner)).toString(), /FATAL/);
    await assert.rejects(joined);
  });

  it("lets a client go that changes its mind", async () => {
    const { client, joined, dials } = await met(postgresFront);
    await client.write(Uint8Array.of(0x58, 0, 0, 0, 4));
    assert.equal(await joined, null);
    assert.equal(dials(), 0);
  });

  it("passes a request to cancel on, which nobody answers", async () => {
    const { client, server, joined } = await met(postgresFront);
    await client.write(cancel);
    const streams = await joined;
    assert.ok(streams);
    assert.deepEqual(await readSome(streams[0], cancel.length), Buffer.from(cancel));
    server.abort();
  });

  it("says why when the router can't be reached, and when it closes without a word", async () => {
    const far = await met(postgresFront, false);
    await far.client.write(startup);
    assert.match(Buffer.from(await readAll(far.client)).toString(), /C08006\0Msallyport: nobody is there\0/);
    const closed = await met(postgresFront);
    await closed.client.write(startup);
    await readSome(closed.server, startup.length);
    await closed.server.closeWrite();
    assert.match(
      Buffer.from(await readAll(closed.client)).toString(),
      /C28000\0Msallyport: you are not welcome\0/,
    );
    await assert.rejects(closed.joined, /not welcome/);
  });

  it("refuses what is no Postgres client", async () => {
    const { client, joined, dials } = await met(postgresFront);
    await client.write(ascii("GET / HTTP/1.1\r\n\r\n"));
    assert.match(Buffer.from(await readAll(client)).toString(), /FATAL/);
    await assert.rejects(joined, /not how a Postgres client begins/);
    assert.equal(dials(), 0);
  });

  it("lets a client go that says nothing", async () => {
    const { client, joined, dials } = await met(postgresFront);
    await client.closeWrite();
    assert.equal(await joined, null);
    assert.equal(dials(), 0);
  });
});

/** A greeting of protocol 10: version, id, challenge, and the lower capability flags at 20. */
const greeting = (flags: number): Uint8Array =>
  Uint8Array.from([
    10,
    ...ascii("8.0.1\0"),
    1,
    0,
    0,
    0,
    ...ascii("12345678"),
    0,
    flags & 255,
    flags >> 8,
    45,
    2,
    0,
  ]);
const sslFlag = 0x0800;
const flagsAt = (packet: Buffer, at: number): number => packet.readUInt16LE(at);

async function packet(connection: Connection): Promise<{ sequence: number; payload: Buffer }> {
  const head = await readSome(connection, 4);
  return { sequence: head[3] ?? -1, payload: await readSome(connection, head.readUIntLE(0, 3)) };
}

describe("the front for MySQL", () => {
  it("offers TLS where the server has none, and counts packets for both", async () => {
    const { client, server, joined } = await met(mysqlFront);
    await byteByByte(server, mysqlPacket(0, greeting(0xa205)));
    const offered = await packet(client);
    assert.equal(offered.sequence, 0);
    assert.equal(flagsAt(offered.payload, 20), 0xa205 | sslFlag);

    const request = new Uint8Array(32);
    request.set([0x05, 0x0a | (sslFlag >> 8)]);
    await byteByByte(client, mysqlPacket(1, request));
    const inner = await secured(client);
    const response = Uint8Array.from([...request, ...ascii("alice\0")]);
    await inner.write(mysqlPacket(2, response));
    const passed = await packet(server);
    assert.equal(passed.sequence, 1);
    assert.equal(flagsAt(passed.payload, 0) & sslFlag, 0, "the server offered none");
    assert.deepEqual(passed.payload.subarray(2), Buffer.from(response.subarray(2)));

    // Another method, its answer, then: it was remembered, and goes on.
    await server.write(mysqlPacket(2, ascii("\xfeother\0")));
    assert.equal((await packet(inner)).sequence, 3);
    await inner.write(mysqlPacket(4, ascii("proof")));
    assert.deepEqual(await packet(server), { sequence: 3, payload: Buffer.from("proof") });
    await server.write(
      Buffer.concat([mysqlPacket(4, Uint8Array.of(1, 3)), mysqlPacket(5, Uint8Array.of(0, 0, 0))]),
    );
    assert.equal((await packet(inner)).sequence, 5);
    assert.equal((await packet(inner)).sequence, 6);
    assert.notEqual(await joined, null);
  });

  it("leaves a client that wants no TLS as it is", async () => {
    const { client, server, joined } = await met(mysqlFront);
    await server.write(mysqlPacket(0, greeting(0xa205)));
    await packet(client);
    const response = mysqlPacket(
      1,
      Uint8Array.from([5, 0xa2, ...ascii("and the rest of a handshake response\0")]),
    );
    await client.write(response);
    assert.deepEqual(await readSome(server, response.length), Buffer.from(response));
    assert.notEqual(await joined, null);
  });

  it("leaves TLS to a server that has it", async () => {
    const { server, joined } = await met(mysqlFront);
    const own = mysqlPacket(0, greeting(0xa205 | sslFlag));
    await server.write(own);
    const streams = await joined;
    assert.ok(streams);
    assert.deepEqual(await readSome(streams[1], own.length), Buffer.from(own));
  });

  it("passes an error on in place of a greeting, and says why there is none", async () => {
    const failing = await met(mysqlFront);
    const error = mysqlPacket(0, ascii("\xff\x10\x04Too many connections"));
    await failing.server.write(error);
    const streams = await failing.joined;
    assert.ok(streams);
    assert.deepEqual(await readSome(streams[1], error.length), Buffer.from(error));
    const closed = await met(mysqlFront);
    await closed.server.closeWrite();
    assert.match(
      (await packet(closed.client)).payload.toString("latin1"),
      /^\xff[\s\S]{2}sallyport: you are not welcome/,
    );
  });
});

describe("the fronts for Redis and MongoDB", () => {
  for (const [name, front] of [
    ["Redis", redisFront],
    ["MongoDB", mongodbFront],
  ] as const) {
    it(`${name}: with TLS and without`, async () => {
      for (const tls of [false, true]) {
        const { client, joined } = await met(front);
        const speaker = tls ? await secured(client) : client;
        await speaker.write(ascii("PING\r\n"));
        const streams = await joined;
        assert.deepEqual(Buffer.from((await streams?.[0].read()) ?? []).toString(), "PING\r\n");
      }
    });
  }

  it("Redis hears why in one line", async () => {
    const { client } = await met(redisFront, false);
    await client.write(ascii("PING\r\n"));
    assert.equal(Buffer.from(await readAll(client)).toString(), "-ERR sallyport: nobody is there\r\n");
  });
});
