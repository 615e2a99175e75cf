import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConfigError } from "../../src/errors.ts";
import { inheritedSockets } from "../../src/service-manager/listen-fds.ts";
import { ServiceManager } from "../../src/service-manager/service-manager.ts";

const listeners = ["SALLYPORT_LISTEN", "SALLYPORT_ADMIN_LISTEN"];
const sockets = (env: Readonly<Record<string, string>>) =>
  Object.fromEntries(inheritedSockets({ LISTEN_PID: "7", ...env }, 7, listeners));

describe("sockets that were opened for a process", () => {
  it("are those of that process alone", () => {
    assert.deepEqual(sockets({ LISTEN_PID: "8", LISTEN_FDS: "1" }), {});
    assert.deepEqual(Object.fromEntries(inheritedSockets({ LISTEN_FDS: "1" }, 7, listeners)), {});
  });

  it("are named by their listeners' variables; one alone need not be", () => {
    assert.deepEqual(sockets({ LISTEN_FDS: "1" }), { SALLYPORT_LISTEN: 3 });
    assert.deepEqual(sockets({ LISTEN_FDS: "1", LISTEN_FDNAMES: "a.socket" }), { SALLYPORT_LISTEN: 3 });
    assert.deepEqual(sockets({ LISTEN_FDS: "1", LISTEN_FDNAMES: "SALLYPORT_ADMIN_LISTEN" }), {
      SALLYPORT_ADMIN_LISTEN: 3,
    });
    assert.deepEqual(
      sockets({ LISTEN_FDS: "2", LISTEN_FDNAMES: "SALLYPORT_ADMIN_LISTEN:SALLYPORT_LISTEN" }),
      {
        SALLYPORT_ADMIN_LISTEN: 3,
        SALLYPORT_LISTEN: 4,
      },
    );
  });

  for (const [what, env, words] of [
    ["a number that is none", { LISTEN_FDS: "two" }, /LISTEN_FDS: "two": expected a number/],
    ["none at all", { LISTEN_FDS: "0" }, /LISTEN_FDS/],
    ["more than anybody has", { LISTEN_FDS: "999" }, /from 1 to 64/],
    ["fewer names than sockets", { LISTEN_FDS: "2", LISTEN_FDNAMES: "SALLYPORT_LISTEN" }, /1 names for 2/],
    ["no names", { LISTEN_FDS: "2" }, /"" is no listener.*FileDescriptorName=/],
    [
      "a name of nothing",
      { LISTEN_FDS: "2", LISTEN_FDNAMES: "SALLYPORT_LISTEN:web" },
      /"web" is no listener/,
    ],
    ["a name twice", { LISTEN_FDS: "2", LISTEN_FDNAMES: "SALLYPORT_LISTEN:SALLYPORT_LISTEN" }, /twice/],
  ] as const)
    it(`are refused: ${what}`, () => {
      assert.throws(
        () => sockets(env),
        (error) => error instanceof ConfigError && words.test(error.message),
      );
    });
});

const untold = {
  send: async (words: readonly string[]): Promise<void> => assert.fail(words.join(" ")),
  monotonicMicros: () => 0,
  failed: (error: Error) => assert.fail(error),
};

describe("a service manager", () => {
  it("that is not there is told nothing", async () => {
    const manager = new ServiceManager({ WATCHDOG_USEC: "1000" }, 7, untold);
    manager.ready("ready");
    manager.reloading();
    manager.stopping(1000);
    await manager.close();
  });

  it("is told one thing after the other; where it can't be, once, and then no more", async () => {
    const told: string[] = [];
    let failures = 0;
    const manager = new ServiceManager({ NOTIFY_SOCKET: "/run/notify" }, 7, {
      send: async (words) => {
        await new Promise((resolve) => setTimeout(resolve, told.length === 0 ? 20 : 0));
        told.push(words.join(" "));
        if (told.length === 2) throw new Error("gone");
      },
      monotonicMicros: () => 5,
      failed: () => void failures++,
    });
    manager.ready("ready");
    manager.reloading();
    manager.stopping(1000);
    await manager.close();
    assert.deepEqual(told, ["READY=1 STATUS=ready", "RELOADING=1 MONOTONIC_USEC=5"]);
    assert.equal(failures, 1);
  });

  it("hears no sign of life of a process that it does not wait for", async () => {
    const env = { NOTIFY_SOCKET: "/run/notify", WATCHDOG_USEC: "2000", WATCHDOG_PID: "8" };
    const manager = new ServiceManager(env, 7, untold);
    await new Promise((resolve) => setTimeout(resolve, 20));
    await manager.close();
  });
});
