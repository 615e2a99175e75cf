import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { dial, firstBytes } from "../support/client.ts";
import { allOf, type RecordWriter, recordWriter } from "../support/crafted-records.ts";
import { skipWithoutOpenssl } from "../support/openssl.ts";
import { opensslClient, withEarlyData } from "../support/openssl-client.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

let site: Site;
let router: TestRouter;
let upstream: Upstream;

before(async () => {
  site = await createSite(["localhost", "a.test"]);
  upstream = await tcpUpstream(echo);
  router = await startRouter(site, { SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test` });
});
after(async () => {
  await router?.stop();
  upstream?.close();
  site?.remove();
});

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const zeroes = (length: number): Uint8Array => new Uint8Array(length);
const type = { none: 0, changeCipherSpec: 20, alert: 21, handshake: 22, application: 23 } as const;
const message = (kind: number, ...body: number[]): Uint8Array =>
  bytes(kind, 0, body.length >> 8, body.length & 255, ...body);
const keyUpdate = (request: 0 | 1): Uint8Array => message(24, request);

/** What no server may bear once the handshake is over (RFC 8446 §4, §5). */
const ends: Readonly<Record<string, (writer: RecordWriter) => Promise<Uint8Array>>> = {
  "a record that was tampered with": async ({ seal }) => {
    const record = await seal(type.application, bytes(1, 2, 3));
    record[record.length - 1] = (record[record.length - 1] ?? 0) ^ 1;
    return record;
  },
  "application data in the clear": async () => bytes(23, 3, 3, 0, 20, ...zeroes(20)),
  "a record longer than any": async ({ seal }) => seal(type.application, zeroes(16_384 + 300)),
  "more in a record than any may have": async ({ seal }) => seal(type.application, zeroes(16_385)),
  "a ClientHello": async ({ seal }) => seal(type.handshake, message(1, ...zeroes(64))),
  "a Finished": async ({ seal }) => seal(type.handshake, message(20, ...zeroes(32))),
  "a ticket": async ({ seal }) => seal(type.handshake, message(4, ...zeroes(32))),
  "a request to renegotiate": async ({ seal }) => seal(type.handshake, message(0)),
  "an unknown message": async ({ seal }) => seal(type.handshake, message(99, 1)),
  "an unknown record": async ({ seal }) => seal(99, bytes(1)),
  "a key update that says neither yes nor no": async ({ seal }) => seal(type.handshake, message(24, 2)),
  "a record of padding alone": async ({ seal }) => seal(type.none, zeroes(30)),
  "a fatal alert": async ({ seal }) => seal(type.alert, bytes(2, 80)),
  "an unknown record in the clear": async () => bytes(99, 3, 3, 0, 1, 1),
};

/** What costs a server more than its sender, where it lets it go on. */
const floods: Readonly<Record<string, (writer: RecordWriter) => Promise<Uint8Array>>> = {
  "key updates that ask for others": ({ seal, nextKeys }) =>
    allOf(500, async () => {
      const record = await seal(type.handshake, keyUpdate(1));
      await nextKeys();
      return record;
    }),
  "key updates": ({ seal, nextKeys }) =>
    allOf(500, async () => {
      const record = await seal(type.handshake, keyUpdate(0));
      await nextKeys();
      return record;
    }),
  "records without a byte": ({ seal }) => allOf(3000, () => seal(type.application, bytes())),
  "records of a byte and much padding": ({ seal }) =>
    allOf(300, () => seal(type.none, Uint8Array.from([1, 23, ...zeroes(16_000)]))),
  warnings: ({ seal }) => allOf(2000, () => seal(type.alert, bytes(1, 90))),
  ChangeCipherSpec: async () => Buffer.alloc(6 * 3000, bytes(20, 3, 3, 0, 1, 1)),
  "parts of a message that never ends": async ({ seal }) => {
    const first = await seal(type.handshake, bytes(4, 0xff, 0xff, 0xff));
    const rest = await allOf(300, () => seal(type.handshake, zeroes(16_000)));
    return Buffer.concat([first, rest]);
  },
};

const residentMiB = (): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${router.process.pid}/status`, "utf8"))?.[1]) / 1024;

describe("behind a handshake", () => {
  let ended: Map<string, Promise<void>>;
  before(() => {
    ended = new Map(
      Object.entries(ends).map(([what, make]) => {
        const act = async (): Promise<void> => {
          const writer = await recordWriter(site, router.port, "a.test");
          const { localPort } = writer.socket;
          writer.socket.write(await make(writer));
          await writer.over;
          writer.socket.destroy();
          await router.record((one) => one.source.endsWith(`:${localPort}`));
        };
        const done = act();
        done.catch(() => {});
        return [what, done];
      }),
    );
  });

  it("whoever keeps to the rules goes on, with other keys and without payload too", async () => {
    const { socket, seal, nextKeys, heard } = await recordWriter(site, router.port, "a.test");
    socket.write(await seal(type.application, Buffer.from("hello")));
    assert.ok(await heard(5));
    socket.write(await seal(type.handshake, keyUpdate(1)));
    await nextKeys();
    socket.write(await seal(type.application, bytes()));
    socket.write(await seal(type.application, Buffer.from("again")));
    assert.ok(await heard(10));
    socket.destroy();
  });

  for (const what of Object.keys(ends)) {
    it(`${what} ends the connection, which is recorded`, async () => {
      await ended.get(what);
    });
  }

  for (const [what, make] of Object.entries(floods)) {
    it(`a flood of ${what} ends, or goes on, and takes nothing from others`, async () => {
      const before = residentMiB();
      const writer = await recordWriter(site, router.port, "a.test");
      const { localPort } = writer.socket;
      writer.socket.write(await make(writer));
      writer.socket.write(await writer.seal(type.application, Buffer.from("hello")));
      const other = await dial(site, router.port, "a.test");
      other.write("x");
      assert.equal((await firstBytes(other))?.toString(), "x");
      other.destroy();
      await writer.heard(1);
      writer.socket.destroy();
      const { bytes_in: carried, tls } = await router.record((one) => one.source.endsWith(`:${localPort}`));
      // A server may not have done with the handshake by then: it counts all bytes until it has.
      assert.ok(tls === null || carried <= 1024, `${carried} bytes of it were payload`);
      const grown = residentMiB() - before;
      assert.ok(grown < 64, `${grown} MiB more`);
    });
  }
});

describe("what a client of TLS may ask for, and does not get", { skip: skipWithoutOpenssl }, () => {
  it("early data is not taken, though the ticket is good: the client goes on without", async () => {
    const first = await dial(site, router.port, "a.test", { minVersion: "TLSv1.3" });
    const session = new Promise<Buffer>((resolve) => first.once("session", resolve));
    first.write("x");
    await firstBytes(first);
    writeFileSync(`${site.folder}/session.pem`, withEarlyData(await session, 16_384));
    writeFileSync(`${site.folder}/early`, "EARLY");
    first.destroy();
    const files = ["-sess_in", `${site.folder}/session.pem`, "-early_data", `${site.folder}/early`];
    const client = opensslClient(site, router.port, "a.test", "-tls1_3", ...files);
    assert.ok(await client.says("Early data was "), client.said());
    assert.match(client.said(), /Early data was rejected/);
    client.type("LATER\n");
    assert.ok(await client.says("LATER"), client.said());
    assert.ok(!client.said().includes("EARLY"), "the upstream has echoed it");
    client.end();
  });

  it("no other handshake on the same connection, in TLS 1.2", async () => {
    const client = opensslClient(site, router.port, "a.test", "-tls1_2");
    assert.ok(await client.says("Verify return code: 0"), client.said());
    // Told on another stream, which may come later.
    assert.ok(await client.says("depth=0"), client.said());
    const shown = (): number => client.said().split("depth=0").length;
    const before = shown();
    client.type("R\n");
    await client.over;
    assert.match(client.said(), /RENEGOTIATING/);
    assert.equal(shown(), before, client.said());
    const other = await dial(site, router.port, "a.test", { maxVersion: "TLSv1.2" });
    other.write("x");
    assert.equal((await firstBytes(other))?.toString(), "x");
    other.destroy();
  });
});

describe("what a client of TLS is told", { skip: skipWithoutOpenssl }, () => {
  for (const version of ["-tls1_2", "-tls1_3"])
    it(`which authorities its certificate may come from, to choose by, ${version.slice(1)}`, async () => {
      const client = opensslClient(site, router.port, "a.test", version);
      assert.ok(await client.says("Verify return code: 0"), client.said());
      client.end();
      assert.match(client.said(), /^Acceptable client certificate CA names\n[^\n]*CN ?= ?Test\n/m);
    });
});
