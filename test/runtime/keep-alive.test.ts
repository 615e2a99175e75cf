import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Pairs } from "../support/pairs.ts";

const table = "/proc/net/tcp";
/** It says nothing before thirty seconds of silence, and need not be asked for at once. */
const withinMs = 15_000;

/** The timer of the socket between these ports, as Linux tells it: 2 is the one for keep-alive. */
function timer(local: number, remote: number): string | undefined {
  const hex = (port: number): string => `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const line = readFileSync(table, "utf8")
    .split("\n")
    .find((text) => text.includes(` ${hex(local)} ${hex(remote)} `));
  return line?.trim().split(/\s+/)[5]?.slice(0, 2);
}

describe("a connection that was dialled", {
  skip: existsSync(table) ? false : `no ${table}, which has the sockets' timers`,
}, () => {
  let pairs: Pairs;
  before(async () => {
    pairs = await Pairs.open();
  });
  after(() => pairs?.close());

  it("notices by itself, though nobody writes, that its peer's machine has gone", async () => {
    const [client] = await pairs.pair();
    const { local, remote } = client;
    const until = Date.now() + withinMs;
    while (timer(local.port, remote.port) !== "02" && Date.now() < until) await pause(100);
    assert.equal(timer(local.port, remote.port), "02");
  });
});
