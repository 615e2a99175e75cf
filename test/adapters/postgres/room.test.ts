import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { followStatements } from "../../../src/adapters/postgres/statements.ts";
import { message } from "../../../src/adapters/postgres/wire.ts";
import type { Session, Statement } from "../../../src/core/session.ts";
import type { Connection } from "../../../src/types.ts";

describe("a Postgres client that is so far ahead that it must wait", () => {
  it("waits no longer than it is there", async () => {
    const ahead = 200;
    const query = message("Q", `${"x".repeat(8000)}\0`);
    const chunks = Array.from({ length: ahead }, () => query);
    let close = (): void => {};
    const known: Partial<Connection> = {
      closed: new Promise((resolve) => {
        close = resolve;
      }),
      read: async () => chunks.shift() ?? Promise.reject(new Error("gone")),
    };
    const client = known as Connection;
    const said: Statement[] = [];
    const session: Partial<Session> = {
      client,
      statement: (statement) => void said.push(statement),
      carry: async (left) => {
        for (;;) {
          const read = left.read();
          const waits = Symbol();
          const first = await Promise.race([
            read,
            new Promise((resolve) => setImmediate(() => resolve(waits))),
          ]);
          if (first !== waits) continue;
          close();
          chunks.length = 0;
          await assert.rejects(read, /gone/);
          return;
        }
      },
    };
    await followStatements(session as Session, client, {});
    assert.ok(said.length > 0 && said.length < ahead);
    assert.ok(said.every(({ error }) => error === "08006"));
  });
});
