import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Packets, type Peer } from "../../src/adapters/mysql/packets.ts";
import { Refusal } from "../../src/errors.ts";
import type { Connection } from "../../src/types.ts";
import { parseNextFactor } from "../../src/wire/mysql/auth.ts";

const reset = new Error("reset");
const broken: Partial<Connection> = {
  read: () => Promise.reject(reset),
  write: () => Promise.reject(reset),
};
const connection = broken as Connection;
const peer: Peer = {
  broken: (detail) => new Refusal("upstream_refused", detail),
  closed: () => new Refusal("client_closed", "gone"),
  lost: (cause) => new Refusal("upstream_refused", "it broke", { cause }),
};
/** A connection that says so much and closes. */
const closing = (bytes: Uint8Array): Connection => {
  const chunks: (Uint8Array | null)[] = bytes.length === 0 ? [null] : [bytes, null];
  return { read: async () => chunks.shift() ?? null } as Partial<Connection> as Connection;
};

describe("MySQL packets on a connection that breaks", () => {
  it("throw what their owner says of it, inside TLS too", async () => {
    const packets = new Packets(connection, 0, peer);
    for (const one of [packets, packets.over(connection)]) {
      await assert.rejects(one.read(), { reason: "upstream_refused", cause: reset });
      await assert.rejects(one.write(new Uint8Array(1)), { reason: "upstream_refused", cause: reset });
    }
  });

  it("tell an end between two of them from one in the middle", async () => {
    await assert.rejects(new Packets(closing(new Uint8Array(0)), 0, peer).read(), {
      reason: "client_closed",
    });
    await assert.rejects(new Packets(closing(Uint8Array.of(9, 0, 0)), 0, peer).read(), {
      reason: "upstream_refused",
      message: "closed in the middle of a packet",
    });
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
