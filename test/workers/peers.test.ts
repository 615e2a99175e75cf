import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CancelKeys, type Holder } from "../../src/adapters/postgres/cancel-keys.ts";
import { Refusal } from "../../src/errors.ts";
import type { CertificateIdentity } from "../../src/identity/identity.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import { ownSocket } from "../../src/runtime/unix-socket.ts";
import type { KnownValue } from "../../src/state/state.ts";
import type { StatusHere } from "../../src/status/here.ts";
import { Agents } from "../../src/tunnel/agents.ts";
import type { Runtime } from "../../src/types.ts";
import { PeerServer, Peers } from "../../src/workers/peers.ts";
import { encodeMessage } from "../../src/workers/wire.ts";
import { atEnd } from "../support/at-end.ts";

const identity = {
  keyFingerprint: "k1",
  subject: "CN=alice",
  dnsNames: [],
  emails: [],
  uris: [],
} as unknown as CertificateIdentity;
const alice: Holder = { source: "192.0.2.1", route: "orders", identity };
const real = { pid: 4711, secret: Uint8Array.of(1, 2, 3, 4) };
const secret = "the secret of this router";

let runtime: Runtime;
let folder: string;
before(async () => {
  runtime = await selectRuntime();
  folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

const idle: StatusHere = {
  started: 1,
  unready: null,
  open: 0,
  routes: [],
  newest: [],
  refusals: [],
  throughput: [],
};

/** The second of two workers, which has what the first one asks for. */
async function second(
  name: string,
  known: () => Iterable<KnownValue> | null = () => null,
  status: () => StatusHere = () => idle,
) {
  const socket = join(folder, name);
  const cancelKeys = new CancelKeys({ own: 1, of: 2, cancel: async () => false });
  const agents = new Agents({ agents: 1, perName: 1 }, () => {});
  const server = new PeerServer({ runtime, secret, agents, cancelKeys, known, status });
  const listener = await runtime.listen(
    { path: socket },
    { connection: (connection) => void server.serve(connection), acceptFailed: () => {} },
  );
  ownSocket(socket);
  atEnd(() => void listener.close());
  return { socket, cancelKeys };
}

function first(socket: string, known = secret): Peers {
  const peers = new Peers(runtime, known, 1);
  atEnd(() => peers.close());
  peers.update([
    { number: 1, socket: "", agents: [] },
    { number: 2, socket, agents: ["edge-1"] },
  ]);
  return peers;
}

describe("a request to cancel", () => {
  it("reaches the worker that gave out the key, for whoever may use it", async () => {
    const { socket, cancelKeys } = await second("a.sock");
    assert.equal(statSync(socket).mode & 0o777, 0o600);
    let cancels = 0;
    const { key } = cancelKeys.issue(real, alice, async () => void cancels++);
    assert.equal(key.pid % 2, 1);
    const peers = first(socket);
    const keys = new CancelKeys({ own: 0, of: 2, cancel: (at, asked, who) => peers.cancel(at, asked, who) });
    const others: Holder[] = [
      { ...alice, route: "web" },
      { ...alice, identity: null },
      { ...alice, identity: { ...identity, keyFingerprint: "k2", subject: "CN=bob" } },
    ];
    for (const other of others) assert.equal(await keys.cancel(key, other, 0), false);
    assert.equal(await keys.cancel({ ...key, secret: Uint8Array.of(9, 9, 9, 9) }, alice, 0), false);
    assert.equal(cancels, 0);
    assert.equal(await keys.cancel(key, alice, 0), true);
    assert.equal(cancels, 1);
    // One that this worker gave out itself is nobody else's.
    const own = keys.issue(real, alice, async () => void cancels++);
    assert.equal(own.key.pid % 2, 0);
    assert.equal(await keys.cancel(own.key, alice, 0), true);
    assert.equal(cancels, 2);
  });

  it("says no where that worker is gone", async () => {
    const peers = first(join(folder, "nobody.sock"));
    assert.equal(await peers.cancel(1, real, alice), false);
    assert.equal(await peers.cancel(7, real, alice), false);
  });
});

describe("what workers do", () => {
  const traffic = { bytesIn: 1, bytesOut: 2 };
  const busy: StatusHere = {
    started: 1_700_000_000_000,
    unready: "draining",
    open: 2,
    routes: [
      {
        ...{ name: "orders", open: 1, served: 2, refused: 3, failed: 4, ...traffic },
        dials: [{ server: "10.0.0.1:1", at: 5, ms: 6.5, failure: "refused" }],
        states: [{ server: "10.0.0.1:1", healthy: false, active: 7 }],
      },
    ],
    newest: [{ id: "1", since: 8, route: null, source: "192.0.2.1:1", sni: null, subject: null, ...traffic }],
    refusals: [
      {
        ...{ outcome: "refused", reason: "unknown_name", time: "2026-11-28T00:00:00.000Z", count: 9 },
        ...{ source: "192.0.2.1:1", sni: "a\u0000b", route: null, subject: null, detail: "x" },
      },
    ],
    throughput: [{ in: 10, out: 11 }],
  };

  it("is told to the others as it is", async () => {
    const { socket } = await second(
      "status.sock",
      () => null,
      () => busy,
    );
    assert.deepEqual(await first(socket).statuses(1), [busy]);
  });

  it("is missing of one that is gone, is being replaced, has another secret, or says something else", async () => {
    assert.deepEqual(await first(join(folder, "nobody.sock")).statuses(1), [null]);
    const { socket } = await second(
      "status-2.sock",
      () => null,
      () => busy,
    );
    assert.deepEqual(await first(socket).statuses(3), [busy, null, null]);
    assert.deepEqual(await first(socket, "a guess").statuses(1), [null]);
    const wrong = await second(
      "status-3.sock",
      () => null,
      () => ({ ...busy, open: -1 }),
    );
    assert.deepEqual(await first(wrong.socket).statuses(1), [null]);
  });
});

describe("what routers share", () => {
  it("is told by a worker that knows, in parts, to one that could not read it", async () => {
    const values = Array.from({ length: 40 }, (_, i) => ({
      map: "m",
      field: `${i}`,
      text: "x".repeat(100_000),
    }));
    const { socket } = await second("known.sock", () => values);
    const learnt: KnownValue[] = [];
    let parts = 0;
    const learn = async (part: readonly KnownValue[]): Promise<void> => {
      parts++;
      learnt.push(...part);
    };
    assert.equal(await first(socket).tellKnown(learn), "told");
    assert.deepEqual(learnt, values);
    assert.ok(parts > 1);
    const { socket: empty } = await second("empty.sock", () => []);
    assert.equal(await first(empty).tellKnown(learn), "told");
  });

  it("is told by nobody who knows nothing, is gone, or has another secret", async () => {
    const learn = async (): Promise<void> => assert.fail("nothing to learn");
    const { socket } = await second("ignorant.sock");
    assert.equal(await first(socket).tellKnown(learn), "nobody knows");
    assert.equal(await first(join(folder, "nobody.sock")).tellKnown(learn), "no answer");
    const { socket: other } = await second("other.sock", () => [{ map: "m", field: "f", text: "t" }]);
    assert.equal(await first(other, "another secret").tellKnown(learn), "no answer");
  });
});

describe("another worker", () => {
  const target = { agent: "edge-1", service: "ssh", connection: "c", withinMs: 1000, asking: null };

  it("says why an agent can't be reached", async () => {
    const { socket } = await second("b.sock");
    const peers = first(socket);
    assert.equal(peers.has("edge-1"), true);
    assert.equal(peers.has("edge-2"), false);
    assert.deepEqual(await peers.list(), []);
    await assert.rejects(
      peers.open(target),
      (error) => error instanceof Refusal && /no agent edge-1 is connected/.test(error.message),
    );
    assert.equal(await peers.open({ ...target, agent: "edge-2" }), null);
  });

  it("answers nobody who does not know the secret, or says something else", async () => {
    const { socket, cancelKeys } = await second("c.sock");
    const { key } = cancelKeys.issue(real, alice, () => assert.fail("cancelled"));
    const stranger = first(socket, "another");
    assert.equal(await stranger.cancel(1, key, alice), false);
    await assert.rejects(stranger.open(target), Refusal);
    for (const said of [
      { type: "streams", secret: "another" },
      { type: "agents" },
      { type: "agents", secret: 7 },
      { type: "other", secret },
    ]) {
      const connection = await runtime.dialLocal(socket);
      await connection.write(encodeMessage(said));
      assert.equal(await connection.read().catch(() => null), null);
    }
  });
});
