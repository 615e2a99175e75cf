import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { CancelKeys, type Holder } from "../../src/adapters/postgres/cancel-keys.ts";
import { EnrolmentRefusal } from "../../src/enrolment/refusal.ts";
import { sharedTokens } from "../../src/enrolment/shared-tokens.ts";
import { silentLog } from "../../src/observe/log.ts";
import { SharedCancels } from "../../src/state/cancels.ts";
import { RedisState } from "../../src/state/redis-state.ts";
import { SharedTickets } from "../../src/state/tickets.ts";
import { missing } from "../support/programs.ts";
import { createSite, type Site } from "../support/router.ts";
import { StateServer, settled } from "../support/state.ts";

const secret = new Uint8Array(32).fill(4);

describe("what is secret, or good once, among routers", { skip: missing("redis-server") }, () => {
  let site: Site;
  let server: StateServer;
  const ends: (() => Promise<void>)[] = [];

  async function router() {
    const state = await RedisState.open({ ...server.settings, secret }, silentLog);
    const tickets = new SharedTickets(state);
    const cancels = new SharedCancels(state);
    const keys = new CancelKeys(null, (key, asking) => cancels.cancel(key, asking));
    cancels.own = (key, asking) => keys.cancelOwn(key, asking);
    ends.push(() => state.close());
    return { state, tickets, keys, start: () => state.start(10_000) };
  }

  before(async () => {
    site = await createSite(["localhost"]);
    server = await StateServer.start(site);
  });
  after(async () => {
    for (const end of ends) await end();
    server?.stop();
    site?.remove();
  });

  it("session tickets are sealed by one secret, whoever comes first", async () => {
    const [a, b] = [await router(), await router()];
    const secretOf = ({ tickets }: typeof a): string => tickets.secret?.join() ?? "none";
    assert.equal(secretOf(a), "none");
    let changes = 0;
    b.tickets.onChange(() => changes++);
    await Promise.all([a.start(), b.start()]);
    await settled(() => secretOf(a) !== "none" && secretOf(a) === secretOf(b));
    assert.equal(secretOf(a).split(",").length, 32);
    assert.ok(changes > 0);
    const c = await router();
    await c.start();
    assert.equal(secretOf(c), secretOf(a));
  });

  const holder = (source: string, subject: string): Holder => ({
    source,
    route: "orders",
    identity: { keyFingerprint: subject, subject, dnsNames: [], emails: [], uris: [] },
  });

  it("a request to cancel reaches the router that has the session, and only who may is heard", async () => {
    const [a, b, c] = [await router(), await router(), await router()];
    await Promise.all([a.start(), b.start(), c.start()]);
    let cancelled = 0;
    const real = { pid: 7, secret: Uint8Array.of(1, 2, 3, 4) };
    const { key } = a.keys.issue(real, holder("192.0.2.1", "CN=alice"), async () => {
      cancelled++;
    });
    const asking = holder("192.0.2.9", "CN=alice");
    assert.equal(await b.keys.cancel(key, asking, 0), true);
    assert.equal(cancelled, 1);
    const wrong = { pid: key.pid, secret: Uint8Array.of(9, 9, 9, 9) };
    const answers = await Promise.all([
      b.keys.cancel(key, holder("192.0.2.9", "CN=mallory"), 0),
      c.keys.cancel(wrong, asking, 0),
    ]);
    assert.deepEqual([...answers, cancelled], [false, false, 1]);
  });

  it("a join token is good once at all of them, though each has its own folder and Redis forgets", async () => {
    const [a, b] = [await router(), await router()];
    await Promise.all([a.start(), b.start()]);
    const person = { commonName: "x", groups: [], emails: [], dnsNames: [], uris: [] };
    const record = { person, lifetimeMs: 1000, expires: Date.now() + 60_000 };
    const store = (state: RedisState) => {
      let spent = false;
      return sharedTokens(
        {
          find: async () => ({ record, spent }),
          spend: async () => {
            const first = !spent;
            spent = true;
            return first;
          },
        },
        state,
      );
    };
    const [first, second, third] = [store(a.state), store(b.state), store(b.state)];
    const answers = await Promise.all([first.spend("hash"), second.spend("hash")]);
    assert.deepEqual(answers.filter(Boolean), [true]);
    await server.restart();
    await settled(() => a.state.away === null && b.state.away === null);
    assert.equal(await third.spend("hash"), false);
    server.kill();
    await settled(() => a.state.away !== null);
    await assert.rejects(
      store(a.state).spend("another"),
      (error) => error instanceof EnrolmentRefusal && error.status === 503 && error.retryAfter === 5,
    );
    await server.revive();
  });
});
