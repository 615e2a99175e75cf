import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AcmeOrders, type OrdersParts } from "../../src/acme/orders.ts";
import { AcmeProblem } from "../../src/acme/problem.ts";
import type { AcmeStore, Failure } from "../../src/acme/store.ts";
import type { AcmeConfig } from "../../src/config/acme.ts";
import type { ServerCertificate } from "../../src/config/certificates.ts";
import { createLog } from "../../src/observe/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { files } from "../../src/runtime/files.ts";
import { authority } from "../support/environment.ts";

const hourMs = 3_600_000;

const config = (names: readonly string[]): AcmeConfig => ({
  directory: "https://ca.test/dir",
  email: null,
  folder: "/acme",
  ca: null,
  externalAccount: null,
  challenge: "tls-alpn-01",
  names,
});

/** A folder that routers share, in memory. */
class Shared implements AcmeStore {
  readonly certificates = new Map<string, string>();
  readonly failures = new Map<string, Failure>();
  taken = false;
  accountKey = (make: () => Promise<string>) => make();
  certificate = (name: string) => this.certificates.get(name) ?? null;
  keepCertificate = (name: string, text: string) => void this.certificates.set(name, text);
  challenge = async () => null;
  publish = async () => {};
  takeUp = () => {};
  withdraw = () => {};
  failure = (name: string) => this.failures.get(name) ?? null;
  keepFailure(name: string, failure: Failure | null): void {
    if (failure === null) this.failures.delete(name);
    else this.failures.set(name, failure);
  }
  async takeTurn() {
    if (this.taken) return null;
    this.taken = true;
    const release = (): void => {
      this.taken = false;
    };
    return { holds: true, release };
  }
}

/** A router beside others, whose clock the test turns. */
function router(
  shared: Shared,
  names: readonly string[],
  issue: (name: string) => Promise<string>,
  clock: { now: number },
) {
  const asked: string[] = [];
  const lines: string[] = [];
  const served = new Map<string, ServerCertificate>();
  const metrics = new Metrics();
  const parts: OrdersParts = {
    config: () => config(names),
    served: (name) => served.get(name),
    storeOf: () => shared,
    inspect: files.inspectPair,
    begin: () => ({
      certificateFor: (name) => {
        asked.push(name);
        return issue(name);
      },
      close: () => {},
    }),
    log: createLog({ write: (line) => void lines.push(line), close: async () => {} }, "json", "info"),
    metrics,
    now: () => clock.now,
    random: () => 0,
  };
  const orders = new AcmeOrders(parts);
  /** As a reload takes up what is in the folder. */
  const reload = (): void => {
    for (const [name, text] of shared.certificates) {
      const [key = ""] = /-----BEGIN PRIVATE KEY-----[\s\S]*?-----END PRIVATE KEY-----/.exec(text) ?? [];
      served.set(name, { name, names: [name], key, cert: text.replace(key, ""), notAfter: new Date(0) });
    }
  };
  return { orders, asked, lines, reload, metrics };
}

const issued = async (name: string, ms = hourMs): Promise<string> => {
  const { cert, key } = await authority.server([name], ms);
  return `${key}${cert}`;
};

describe("orders", () => {
  it("what is missing is ordered once, and renewed when a third of its time is left", async () => {
    const shared = new Shared();
    const clock = { now: Date.now() };
    const start = clock.now;
    const issue = (name: string) => issued(name, clock.now === start ? hourMs : 10 * hourMs);
    const one = router(shared, ["a.test", "b.test"], issue, clock);
    assert.deepEqual(one.orders.waiting(), ["a.test", "b.test"]);
    await one.orders.look();
    assert.deepEqual(one.asked, ["a.test", "b.test"]);
    // Before it has taken them up, it finds them in the folder.
    await one.orders.look();
    one.reload();
    assert.deepEqual(one.orders.waiting(), []);
    clock.now += hourMs * 0.6;
    await one.orders.look();
    assert.equal(one.asked.length, 2);
    clock.now += hourMs * 0.16;
    await one.orders.look();
    assert.deepEqual(one.asked.slice(2), ["a.test", "b.test"]);
    assert.match(one.metrics.text(), /sallyport_acme_orders_total\{name="a.test",result="ok"\} 2/);
  });

  it("of two routers that share a folder one orders, and the other waits for it", async () => {
    const shared = new Shared();
    const clock = { now: Date.now() };
    let finish = (): void => {};
    const slow = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const one = router(shared, ["a.test"], (name) => slow.then(() => issued(name)), clock);
    const other = router(shared, ["a.test"], (name) => issued(name), clock);
    const looking = one.orders.look();
    await other.orders.look();
    finish();
    await looking;
    await other.orders.look();
    assert.deepEqual([one.asked, other.asked], [["a.test"], []]);
    assert.equal(shared.taken, false);
  });

  it("a name that fails waits, is no other name's fault, and is not tried by another router meanwhile", async () => {
    const shared = new Shared();
    const clock = { now: Date.now() };
    let sound = false;
    const issue = async (name: string): Promise<string> => {
      if (name === "a.test" && !sound) throw new AcmeProblem("caa: forbidden");
      return issued(name);
    };
    const one = router(shared, ["a.test", "b.test"], issue, clock);
    const other = router(shared, ["a.test", "b.test"], issue, clock);
    await one.orders.look();
    await other.orders.look();
    assert.deepEqual([one.asked, other.asked], [["a.test", "b.test"], []]);
    assert.deepEqual(shared.failures.get("a.test"), {
      count: 1,
      next: clock.now + 300_000,
      problem: "caa: forbidden",
    });
    clock.now += 300_000;
    await other.orders.look();
    assert.equal(shared.failures.get("a.test")?.count, 2);
    assert.ok(one.lines.some((line) => /"name":"a.test".*"problem":"caa: forbidden"/.test(line)));
    sound = true;
    clock.now += 600_000;
    await one.orders.look();
    assert.deepEqual([shared.failures.size, shared.certificates.size], [0, 2]);
  });

  it("as long as the authority asks for is waited, and an authority that is not there is asked sooner", async () => {
    const shared = new Shared();
    const clock = { now: Date.now() };
    const limited = async () => Promise.reject(new AcmeProblem("rateLimited: later", hourMs));
    await router(shared, ["a.test"], limited, clock).orders.look();
    const gone = async () => Promise.reject(new Error("connection refused"));
    await router(shared, ["b.test"], gone, clock).orders.look();
    const waits = [...shared.failures.values()].map(({ next }) => next - clock.now);
    assert.deepEqual(waits, [hourMs, 30_000]);
  });

  it("nobody waits for what a clock said that went wrong", async () => {
    const shared = new Shared();
    const clock = { now: Date.now() };
    shared.keepFailure("a.test", { count: 3, next: clock.now + 365 * 24 * hourMs, problem: "no" });
    const one = router(shared, ["a.test"], (name) => issued(name), clock);
    await one.orders.look();
    assert.deepEqual([one.asked, shared.failures.size], [["a.test"], 0]);
  });

  for (const [what, answer, problem] of [
    ["another name's certificate", () => issued("other.test"), /is for other.test, not a.test/],
    [
      "a key that is not the certificate's",
      async () =>
        `${(await issued("a.test")).replace(/-----BEGIN CERT[\s\S]*/, "")}${(await issued("a.test")).replace(/^[\s\S]*END PRIVATE KEY-----\n/, "")}`,
      /not this certificate's/,
    ],
    ["one that ends at once", () => issued("a.test", 1), /too soon/],
    ["no certificate", async () => "<html>", /expected a private key and its chain/],
  ] as const) {
    it(`${what} is not taken`, async () => {
      const shared = new Shared();
      const clock = { now: Date.now() + 400_000 };
      await router(shared, ["a.test"], answer, clock).orders.look();
      assert.equal(shared.certificates.size, 0);
      assert.match(shared.failures.get("a.test")?.problem ?? "", problem);
    });
  }

  it("a folder that can't be used is said once, and orders begin when it can be", async () => {
    const shared = new Shared();
    const clock = { now: Date.now() };
    const one = router(shared, ["a.test"], (name) => issued(name), clock);
    const takeTurn = shared.takeTurn.bind(shared);
    shared.takeTurn = () => {
      throw new Error("EACCES");
    };
    await one.orders.look();
    await one.orders.look();
    assert.equal(one.lines.length, 1);
    assert.match(one.lines[0] ?? "", /SALLYPORT_ACME_DIR.*EACCES/);
    shared.takeTurn = takeTurn;
    await one.orders.look();
    assert.deepEqual(one.asked, ["a.test"]);
  });

  it("what is under way when the router ends is no failure", async () => {
    const shared = new Shared();
    const clock = { now: Date.now() };
    let fail = (_: Error): void => {};
    let begun = (): void => {};
    const underWay = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const hanging = new Promise<string>((_, reject) => {
      fail = reject;
    });
    const issue = (): Promise<string> => {
      begun();
      return hanging;
    };
    const one = router(shared, ["a.test", "b.test"], issue, clock);
    const looking = one.orders.look();
    await underWay;
    const stopped = one.orders.stop();
    fail(new Error("cut"));
    await Promise.all([looking, stopped]);
    assert.deepEqual([one.asked, shared.failures.size, shared.taken], [["a.test"], 0, false]);
    await one.orders.look();
    assert.deepEqual(one.asked, ["a.test"]);
  });
});
