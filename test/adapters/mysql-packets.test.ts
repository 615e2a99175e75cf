import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Packets } from "../../src/adapters/mysql/packets.ts";
import { Refusal } from "../../src/errors.ts";
import type { Connection } from "../../src/types.ts";
import { parseNextFactor } from "../../src/wire/mysql/auth.ts";

const reset = new Error("reset");
const broken: Partial<Connection> = {
  read: () => Promise.reject(reset),
  write: () => Promise.reject(reset),
};
const connection = broken as Connection;
const notMysql = (detail: string) => new Refusal("upstream_refused", detail);

describe("MySQL packets on a connection that breaks", () => {
  it("throw what their owner says of it, inside TLS too", async () => {
    const lost = (cause: unknown) => new Refusal("upstream_refused", "it broke", { cause });
    const packets = new Packets(connection, 0, notMysql, lost);
    for (const one of [packets, packets.over(connection)]) {
      await assert.rejects(one.read(), { reason: "upstream_refused", cause: reset });
      await assert.rejects(one.write(new Uint8Array(1)), { reason: "upstream_refused", cause: reset });
    }
  });

  it("throw what broke it where nothing is said", async () => {
    await assert.rejects(new Packets(connection, 0, notMysql).read(), reset);
  });
});

describe("another factor of a login", () => {
  it("is known by its plugin", () => {
    const packet = Uint8Array.from([2, ...new TextEncoder().encode("mysql_clear_password\0")]);
    assert.equal(parseNextFactor(packet)?.plugin, "mysql_clear_password");
    assert.equal(parseNextFactor(Uint8Array.of(2)), null);
    assert.equal(parseNextFactor(Uint8Array.of(1, 4)), null);
  });
});
