import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { firstWindow, TunnelSession } from "../../src/tunnel/session.ts";
import type { Connection } from "../../src/types.ts";
import { frameFlags, frameTypes, headerBytes, putFrameHeader } from "../../src/wire/yamux.ts";
import { Pairs, readAll, readSome } from "../support/pairs.ts";
import { sessionPair } from "../support/session-pair.ts";

let pairs: Pairs;
before(async () => {
  pairs = await Pairs.open();
});
after(() => pairs?.close());

const pattern = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) + seed) & 255);

const frame = (
  type: keyof typeof frameTypes,
  flags: number,
  stream: number,
  length: number,
  payload: Uint8Array = new Uint8Array(0),
): Uint8Array => {
  const bytes = new Uint8Array(headerBytes + payload.length);
  putFrameHeader(bytes, 0, frameTypes[type], flags, stream, length);
  bytes.set(payload, headerBytes);
  return bytes;
};

/** The agent's side of a session whose router says what the test has it say. */
async function against(bytes: readonly Uint8Array[], maxStreams = 4): Promise<TunnelSession> {
  const [dialled, accepted] = await pairs.pair();
  const session = new TunnelSession(dialled, { dialled: true, maxStreams, accept: () => {} });
  void readAll(accepted).catch(() => {});
  for (const one of bytes) await accepted.write(one);
  return session;
}

describe("a session", () => {
  it("carries streams both ways at once, whole, in any order of turns", async () => {
    const pair = await sessionPair(pairs);
    const streams = await Promise.all(Array.from({ length: 20 }, () => pair.open()));
    await Promise.all(
      streams.map(async ([near, far], i) => {
        const sent = pattern(300_000 + i * 7919, i);
        const back = pattern(70_000 + i, i + 100);
        const send = async (to: Connection, bytes: Uint8Array): Promise<void> => {
          for (let at = 0; at < bytes.length; at += 50_001) await to.write(bytes.subarray(at, at + 50_001));
          await to.closeWrite();
        };
        const [got, gotBack] = await Promise.all([
          readAll(far),
          readAll(near),
          send(near, sent),
          send(far, back),
        ]);
        assert.equal(Buffer.compare(got, sent), 0);
        assert.equal(Buffer.compare(gotBack, back), 0);
        await near.closed;
        assert.equal(near.broke, undefined);
      }),
    );
    assert.equal(pair.router.size, 0);
    pair.close();
  });

  it("says what one stream sends in one turn in one frame, and what several send in one each", async () => {
    const [dialled, accepted] = await pairs.pair();
    const session = new TunnelSession(accepted, { dialled: false, maxStreams: 4, accept: null });
    const [one, other] = [session.open(), session.open()];
    for (const [stream, byte] of [
      [one, 1],
      [one, 2],
      [other, 3],
      [other, 4],
      [one, 5],
    ] as const)
      void stream.write(Uint8Array.of(byte));
    await one.write(Uint8Array.of(6));
    const { syn } = frameFlags;
    const expected = Buffer.concat([
      frame("data", syn, 2, 2, Uint8Array.of(1, 2)),
      frame("data", syn, 4, 2, Uint8Array.of(3, 4)),
      frame("data", 0, 2, 2, Uint8Array.of(5, 6)),
    ]);
    const said = await readSome(dialled, expected.length + headerBytes);
    // A session's first word is a ping.
    assert.ok([0, headerBytes].includes(said.indexOf(expected)), said.toString("hex"));
    session.close();
  });

  it("keeps the half that is open when the other is closed", async () => {
    const pair = await sessionPair(pairs);
    const [near, far] = await pair.open();
    await near.closeWrite();
    assert.equal(await far.read(), null);
    await far.write(Uint8Array.of(7));
    assert.deepEqual([...((await near.read()) ?? [])], [7]);
    await far.closeWrite();
    assert.equal(await near.read(), null);
    await Promise.all([near.closed, far.closed]);
    pair.close();
  });

  it("says a reset to the other end, and leaves the others alone", async () => {
    const pair = await sessionPair(pairs);
    const [near, far] = await pair.open();
    const [other, otherFar] = await pair.open();
    const reading = far.read();
    near.abort();
    await assert.rejects(reading, /reset/);
    await assert.rejects(near.write(Uint8Array.of(1)), /reset/);
    await other.write(Uint8Array.of(5));
    assert.deepEqual([...((await otherFar.read()) ?? [])], [5]);
    pair.close();
  });

  it("holds no more of a stream that nobody reads than its window, and the others go on", async () => {
    const pair = await sessionPair(pairs);
    const [stuck, unread] = await pair.open();
    let given = 0;
    const stuffing = (async () => {
      for (;;) {
        await stuck.write(new Uint8Array(16_384));
        given += 16_384;
      }
    })();
    stuffing.catch(() => {});
    const [near, far] = await pair.open();
    const sent = pattern(2_000_000, 3);
    const sending = near.write(sent).then(() => near.closeWrite());
    assert.equal(Buffer.compare(await readAll(far), sent), 0);
    await sending;
    // One write has left, and waits for its turn.
    assert.ok(given <= firstWindow, `${given} bytes were taken`);
    assert.ok(unread.bytesRead <= firstWindow + 1);
    // Whoever reads late reads all of it.
    assert.equal((await readSome(unread, 60_000)).length, 60_000);
    stuck.abort();
    pair.close();
    await assert.rejects(stuffing);
  });

  it("lets a small stream through beside one that sends all it can", async () => {
    const pair = await sessionPair(pairs);
    const [bulky, sink] = await pair.open();
    let going = true;
    const flood = (async () => {
      while (going) await bulky.write(new Uint8Array(262_144));
    })();
    const drain = (async () => {
      while ((await sink.read()) !== null);
    })();
    const [near, far] = await pair.open();
    for (let i = 0; i < 50; i++) {
      await near.write(Uint8Array.of(i));
      assert.deepEqual([...((await far.read()) ?? [])], [i]);
    }
    going = false;
    await flood;
    await bulky.closeWrite();
    await drain;
    pair.close();
  });

  it("asks the other side for no more streams, and ends with the last one", async () => {
    let asked = false;
    const pair = await sessionPair(pairs, {
      router: {
        goneAway: () => {
          asked = true;
        },
      },
    });
    const [near, far] = await pair.open();
    pair.agent.goAway();
    await far.write(Uint8Array.of(1));
    await near.read();
    assert.ok(asked);
    assert.throws(() => pair.router.open(), /no new streams/);
    await near.write(Uint8Array.of(2));
    assert.deepEqual([...((await far.read()) ?? [])], [2]);
    await Promise.all([near.closeWrite(), far.closeWrite()]);
    await Promise.all([near.read(), far.read()]);
    pair.agent.close();
    await pair.router.closed;
    assert.equal(pair.router.failure, undefined);
    pair.close();
  });

  it("takes a stream that was on its way when it asked for no more", async () => {
    const pair = await sessionPair(pairs);
    pair.agent.goAway();
    const [near, far] = await pair.open();
    await far.write(Uint8Array.of(1));
    assert.deepEqual([...((await near.read()) ?? [])], [1]);
    pair.close();
  });

  it("has no more streams than it may, on either side", async () => {
    const pair = await sessionPair(pairs, { router: { maxStreams: 2 } });
    await pair.open();
    await pair.open();
    assert.throws(() => pair.router.open(), { reason: "limit_reached" });
    pair.close();
    const narrow = await sessionPair(pairs, { agent: { maxStreams: 1 } });
    await narrow.open();
    const refused = narrow.router.open();
    await refused.write(Uint8Array.of(1));
    await assert.rejects(refused.read(), /reset/);
    narrow.close();
  });

  it("notices that nobody is there any more", async () => {
    const [dialled] = await pairs.pair();
    const session = new TunnelSession(dialled, {
      dialled: true,
      maxStreams: 1,
      accept: () => {},
      pingEveryMs: 40,
      silentMs: 120,
    });
    await session.closed;
    assert.equal(session.failure?.reason, "idle_timeout");
  });

  it("stays while pings are answered", async () => {
    const pair = await sessionPair(pairs, {
      agent: { pingEveryMs: 20, silentMs: 500 },
      router: { pingEveryMs: 20, silentMs: 500 },
    });
    await new Promise((resolve) => setTimeout(resolve, 700));
    assert.ok(pair.agent.rttMs > 0);
    assert.equal(pair.agent.failure, undefined);
    const [near] = await pair.open();
    assert.equal(near.broke, undefined);
    pair.close();
  });

  it("takes frames that are cut anywhere", async () => {
    const [dialled, accepted] = await pairs.pair();
    let all: Promise<Uint8Array> = Promise.reject(new Error("no stream came"));
    all.catch(() => {});
    const session = new TunnelSession(dialled, {
      dialled: true,
      maxStreams: 4,
      accept: (stream) => {
        all = readAll(stream);
      },
    });
    const bytes = [
      ...frame("data", frameFlags.syn, 2, 3, Uint8Array.of(1, 2, 3)),
      ...frame("ping", frameFlags.syn, 0, 99),
      ...frame("data", 0, 2, 0),
      ...frame("data", frameFlags.fin, 2, 2, Uint8Array.of(4, 5)),
    ];
    for (const byte of bytes) await accepted.write(Uint8Array.of(byte));
    const heard = await readSome(accepted, 2 * headerBytes);
    assert.ok(heard.includes(Buffer.from(frame("ping", frameFlags.ack, 0, 99))));
    assert.deepEqual([...(await all)], [1, 2, 3, 4, 5]);
    session.close();
  });

  const wrong: Readonly<Record<string, readonly Uint8Array[]>> = {
    "no frame at all": [new TextEncoder().encode("GET / HTTP/1.1\r\n")],
    "more than a window holds": [
      frame("data", frameFlags.syn, 2, firstWindow + 1),
      new Uint8Array(firstWindow + 1),
    ],
    "bytes on a stream that never was": [frame("data", 0, 8, 1, Uint8Array.of(1))],
    "a stream that is ours to open": [frame("data", frameFlags.syn, 3, 0)],
    "a stream opened twice": [frame("data", frameFlags.syn, 2, 0), frame("data", frameFlags.syn, 2, 0)],
    "streams backwards": [frame("data", frameFlags.syn, 4, 0), frame("data", frameFlags.syn, 2, 0)],
    "a window beyond all bounds": [
      frame("windowUpdate", frameFlags.syn, 2, 0xffff_ffff),
      frame("windowUpdate", 0, 2, 0xffff_ffff),
    ],
    "a reason for going away": [frame("goAway", 0, 0, 2)],
    "a flood of streams": Array.from({ length: 2000 }, (_, i) =>
      frame("data", frameFlags.syn, 2 * (i + 1), 0),
    ).reduce<Uint8Array[]>(([all = new Uint8Array(0)], one) => [Buffer.concat([all, one])], []),
  };
  for (const [what, bytes] of Object.entries(wrong)) {
    it(`ends for ${what}`, async () => {
      const session = await against(bytes);
      await session.closed;
      assert.equal(session.failure?.reason, "protocol_error");
    });
  }

  it("does not pile up what it answers", async () => {
    const [dialled, accepted] = await pairs.pair();
    const session = new TunnelSession(dialled, { dialled: true, maxStreams: 4, accept: () => {} });
    const pings = Buffer.concat(
      Array.from({ length: 50_000 }, (_, i) => frame("ping", frameFlags.syn, 0, i)),
    );
    await accepted.write(pings);
    await accepted.write(frame("ping", frameFlags.syn, 0, 0xdead_beef));
    let heard = 0;
    for (let last = Buffer.alloc(0); ; ) {
      const chunk = (await accepted.read()) ?? new Uint8Array(0);
      heard += chunk.length;
      last = Buffer.concat([last, chunk]).subarray(-headerBytes);
      if (last.equals(Buffer.from(frame("ping", frameFlags.ack, 0, 0xdead_beef)))) break;
    }
    assert.ok(heard < pings.length / 10, `${heard} bytes of answers`);
    session.close();
  });
});
