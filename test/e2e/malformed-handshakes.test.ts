import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect } from "node:tls";
import { dial, dialTcp, firstBytes, readAll } from "../support/client.ts";
import { clientHello, records } from "../support/client-hello.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

let site: Site;
let router: TestRouter;
let upstream: Upstream;

before(async () => {
  site = await createSite(["localhost", "a.test"]);
  upstream = await tcpUpstream(echo);
  router = await startRouter(site, {
    SALLYPORT_HANDSHAKE_TIMEOUT: "3s",
    SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
  });
});
after(async () => {
  await router?.stop();
  upstream?.close();
  site?.remove();
});

/** What a TLS client says first, with everything in it that a server needs to answer. */
async function realHello(maxVersion: "TLSv1.2" | "TLSv1.3"): Promise<Buffer> {
  let heard = (_: Buffer): void => {};
  const hello = new Promise<Buffer>((resolve) => {
    heard = resolve;
  });
  const listening = await tcpUpstream((socket) => void socket.once("data", heard));
  const client = connect({ host: "127.0.0.1", port: listening.port, servername: "a.test", maxVersion });
  client.on("error", () => {});
  const bytes = await hello;
  client.destroy();
  listening.close();
  return bytes;
}

const record = (type: number, ...body: number[]): Buffer =>
  Buffer.from([type, 3, 3, body.length >> 8, body.length & 255, ...body]);
const alert = (level: number, description: number): Buffer => record(21, level, description);
const ccs = record(20, 1);
const many = (bytes: Buffer, times: number): Buffer =>
  Buffer.concat(Array.from({ length: times }, () => bytes));
/** A message of that type, without anything in it that could be right. */
const message = (type: number, length = 4): Buffer =>
  record(22, type, 0, 0, length, ...new Array<number>(length).fill(0));
/** The hello in records of another size. */
const split = (hello: Buffer, size: number): Buffer => Buffer.from(records(hello.subarray(5), size));

/** Instead of a hello. */
const first: Readonly<Record<string, Uint8Array>> = {
  "an alert": alert(2, 40),
  close_notify: alert(1, 0),
  "an SSLv2 hello": Buffer.from([
    0x80,
    0x2e,
    1,
    0,
    2,
    0,
    0x15,
    0,
    0,
    0,
    0x10,
    ...new Array<number>(37).fill(1),
  ]),
  "a record of no length": record(22),
  "a thousand records of no length": many(record(22), 1000),
  "a record longer than any": Buffer.from([22, 3, 1, 0xff, 0xff, ...new Array<number>(500).fill(1)]),
  "a hello longer than any": Buffer.from([
    22,
    3,
    1,
    0x40,
    0,
    1,
    0xff,
    0xff,
    0xff,
    ...new Array<number>(16_380).fill(0),
  ]),
  ChangeCipherSpec: many(ccs, 100),
  "application data": record(23, ...new Array<number>(100).fill(1)),
  "a ServerHello": message(2),
  "a Finished": message(20, 12),
  "a heartbeat": record(24, 1, 0x40, 0),
  "a hello with an alert inside": Buffer.concat([
    records(clientHello({ serverName: "a.test" }), 40).subarray(0, 45),
    alert(1, 90),
  ]),
};

/** Behind a good hello. */
const next: Readonly<Record<string, Buffer>> = {
  "a fatal alert": alert(2, 80),
  close_notify: alert(1, 0),
  "an alert of no such level": alert(9, 9),
  "an alert cut short": record(21, 2),
  "a flood of warnings": many(alert(1, 90), 5000),
  "a flood of ChangeCipherSpec": many(ccs, 5000),
  "a ChangeCipherSpec that says something else": record(20, 7),
  "records of no length": many(record(22), 5000),
  "a record longer than any": Buffer.from([23, 3, 3, 0xff, 0xff, ...new Array<number>(1000).fill(1)]),
  "application data in the clear": record(23, ...new Array<number>(64).fill(1)),
  "a Finished in the clear": message(20, 12),
  "key updates in the clear": many(message(24, 1), 1000),
  "an unknown message": message(99),
  "an unknown record": record(99, 1, 2, 3),
  "a request to renegotiate": message(0, 0),
  "half a message and another record": Buffer.concat([record(22, 16, 0, 1, 0), record(23, 1)]),
};

const served = async (maxVersion: "TLSv1.2" | "TLSv1.3"): Promise<void> => {
  const socket = await dial(site, router.port, "a.test", { maxVersion });
  socket.write("hello");
  assert.equal((await firstBytes(socket))?.toString(), "hello");
  socket.destroy();
};

/** Sends it, ends, and gives the reason in the record. */
async function reasonOf(
  bytes: Uint8Array,
  act: (socket: Socket) => Promise<unknown> = readAll,
): Promise<string> {
  const from = router.now();
  const socket = await dialTcp(router.port);
  const { localPort } = socket;
  socket.write(bytes);
  await act(socket);
  socket.destroy();
  const { reason, outcome } = await router.record((one) => one.source.endsWith(`:${localPort}`), from);
  assert.notEqual(outcome, "served");
  return reason;
}

/** All of them at once: some only wait. */
function begun(cases: Readonly<Record<string, () => Promise<string>>>): Map<string, Promise<string>> {
  const reasons = new Map(Object.entries(cases).map(([what, act]) => [what, act()]));
  for (const reason of reasons.values()) reason.catch(() => {});
  return reasons;
}

const each = <T>(cases: Readonly<Record<string, T>>, act: (one: T) => Promise<string>) =>
  begun(Object.fromEntries(Object.entries(cases).map(([what, one]) => [what, () => act(one)])));

describe("instead of a hello", () => {
  let reasons: Map<string, Promise<string>>;
  before(() => {
    reasons = each(first, (bytes) =>
      reasonOf(bytes, (socket) => {
        socket.end();
        return readAll(socket);
      }),
    );
  });

  for (const what of Object.keys(first)) {
    it(`${what} is refused and recorded`, async () => {
      const reason = (await reasons.get(what)) ?? "";
      assert.ok(["not_tls", "bad_client_hello"].includes(reason), reason);
    });
  }
});

/** An end without a word, or in the middle of something, may be waited out. */
const over = ["handshake_failed", "client_closed", "handshake_timeout"];

for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
  describe(`behind a hello, ${version}`, () => {
    let hello: Buffer;
    let reasons: Map<string, Promise<string>>;
    before(async () => {
      hello = await realHello(version);
      reasons = each({ ...next, "the same hello again": hello }, (bytes) =>
        reasonOf(hello, async (socket) => {
          await firstBytes(socket);
          socket.write(bytes);
          socket.end();
          return readAll(socket);
        }),
      );
    });

    for (const what of [...Object.keys(next), "the same hello again"]) {
      it(`${what} ends the handshake, and is recorded`, async () => {
        const reason = (await reasons.get(what)) ?? "";
        assert.ok(over.includes(reason), reason);
      });
    }

    for (const size of [1, 7, 100]) {
      it(`a hello in records of ${size} is answered`, async () => {
        const socket = await dialTcp(router.port);
        socket.write(split(hello, size));
        const answer = await firstBytes(socket);
        assert.equal(answer?.[0], 22, "a ServerHello");
        socket.destroy();
      });
    }

    it("nobody else is kept from being served", () => served(version));
  });
}
