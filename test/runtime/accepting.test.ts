import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { after, describe, it } from "node:test";
import { selectRuntime } from "../../src/runtime/select.ts";
import type { Connection, Listener, ListenHandlers } from "../../src/types.ts";

const count = 200;
const open: { listener: Listener; clients: Socket[]; accepted: Connection[] }[] = [];

after(async () => {
  for (const { listener, clients, accepted } of open) {
    for (const connection of accepted) connection.abort();
    for (const client of clients) client.destroy();
    await listener.close();
  }
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Many who are connected, and wait to be accepted. */
async function crowd(handlers: Partial<ListenHandlers> = {}): Promise<(typeof open)[number]> {
  const runtime = await selectRuntime();
  const accepted: Connection[] = [];
  const listener = await runtime.listen(
    { host: "127.0.0.1", port: 0 },
    {
      connection: (connection) => void accepted.push(connection),
      acceptFailed: (error) => assert.fail(error),
      ...handlers,
    },
  );
  const clients = Array.from({ length: count }, () =>
    connect(listener.address.port, "127.0.0.1").on("error", () => {}),
  );
  const one = { listener, clients, accepted };
  open.push(one);
  return one;
}

/** Other runtimes accept by themselves: there is nothing of ours to look at. */
const ours = "Deno" in globalThis;

describe("accepting", () => {
  it("leaves turns to others, however many wait", async () => {
    if (!ours) return;
    let asked = 0;
    await crowd({
      mayCome: () => {
        asked++;
        return false;
      },
    });
    let most = 0;
    for (let before = 0; asked < count; before = asked) {
      await turn();
      most = Math.max(most, asked - before);
    }
    assert.ok(most > 0 && most <= 32, `${most} in one turn`);
  });

  it("takes in those who wait before the listener closes", async () => {
    if (!ours) return;
    let connected = 0;
    let closing: Promise<void> | undefined;
    const accepted: Connection[] = [];
    const { listener, clients } = await crowd({
      connection: (connection) => {
        accepted.push(connection);
        closing ??= listener.close();
      },
    });
    const settled = clients.map((client) =>
      once(client, "connect").then(
        () => connected++,
        () => {},
      ),
    );
    await Promise.all(settled);
    await closing;
    for (const connection of accepted) connection.abort();
    assert.ok(connected > 16, `${connected} connected`);
    assert.equal(accepted.length, connected);
  });
});
