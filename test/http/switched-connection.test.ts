import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Gone } from "../../src/http/cancellation.ts";
import type { Connection } from "../../src/types.ts";
import { Pairs, readAll, readSome } from "../support/pairs.ts";

const ask = "GET /switch HTTP/1.1\r\nHost: switch.test\r\nConnection: Upgrade\r\nUpgrade: bytes\r\n\r\n";
const answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: bytes\r\n\r\n";
const large = Buffer.alloc(3_000_000, 0x7a);
const patient = { idleMs: 20_000, halfCloseMs: 20_000 };

describe("a connection that has switched protocols", () => {
  let pairs: Pairs;
  before(async () => {
    pairs = await Pairs.open();
  });
  after(() => pairs?.close());

  /** What a server has after the upgrade, its client's end, and when all is over at the server. */
  async function served(
    first: string,
  ): Promise<[upgraded: Connection, client: Connection, over: Promise<void>]> {
    const [client, accepted] = await pairs.pair();
    let given = (_: Connection): void => {};
    const upgraded = new Promise<Connection>((resolve) => {
      given = resolve;
    });
    const over = pairs.runtime.serveHttp(
      accepted,
      "http/1.1",
      {
        handle: async (exchange) => {
          const connection = exchange.upgrade([
            ["connection", "Upgrade"],
            ["upgrade", "bytes"],
          ]);
          given(connection);
          await connection.closed;
        },
      },
      new Gone(),
      patient,
    );
    await client.write(Buffer.from(first));
    const connection = await upgraded;
    assert.match((await readSome(client, answer.length)).toString("latin1"), /^HTTP\/1\.1 101 /);
    return [connection, client, over];
  }

  it("gives a server what was sent with the request, then the rest, and each half's end by itself", async () => {
    const [upgraded, client, over] = await served(`${ask}right behind, `);
    await client.write(Buffer.from("later, "));
    await upgraded.write(Buffer.from("said at once"));
    assert.equal((await readSome(client, 12)).toString(), "said at once");
    await client.write(Buffer.from("and last"));
    await client.closeWrite();
    assert.equal(Buffer.from(await readAll(upgraded)).toString(), "right behind, later, and last");
    assert.equal(upgraded.bytesRead, 29);
    const heard = readAll(client);
    await upgraded.write(large);
    await upgraded.closeWrite();
    assert.ok(Buffer.from(await heard).equals(large));
    client.abort();
    upgraded.abort();
    await over;
  });

  it("takes much from a client that does not wait, in order, while the server reads slowly", async () => {
    const [upgraded, client, over] = await served(`${ask}0`);
    const sending = (async () => {
      for (let i = 1; i < 200; i++) await client.write(Buffer.alloc(20_000, i));
      await client.closeWrite();
    })();
    let count = 0;
    for (let chunk = await upgraded.read(); chunk !== null; chunk = await upgraded.read()) {
      for (const [i, byte] of chunk.entries()) {
        const at = count + i;
        if (byte !== (at === 0 ? 48 : 1 + Math.floor((at - 1) / 20_000)))
          assert.fail(`another byte at ${at}`);
      }
      count += chunk.length;
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(count, 1 + 199 * 20_000);
    await sending;
    upgraded.abort();
    client.abort();
    await over;
  });

  it("is over for the server when the client is gone", async () => {
    const [upgraded, client, over] = await served(ask);
    client.abort("reset");
    // Not every runtime hears of it before it writes.
    await assert.rejects(async () => {
      for (let i = 0; i < 100; i++) await upgraded.write(large);
    });
    await upgraded.closed;
    await over;
  });

  it("gives a client what came with the answer, then the rest, and each half's end by itself", async () => {
    const [near, far] = await pairs.pair();
    const client = pairs.runtime.httpClient("http/1.1", async () => near);
    let over = 0;
    const response = client.request({
      method: "GET",
      target: "/switch",
      authority: "switch.test",
      fields: [],
      body: null,
      signal: new AbortController().signal,
      upgrade: "bytes",
      over: () => {
        over++;
      },
    });
    const seen = (await far.read()) ?? new Uint8Array(0);
    assert.match(Buffer.from(seen).toString(), /upgrade: bytes/i);
    await far.write(Buffer.from(`${answer}right behind, `));
    const { upgraded } = await response;
    assert.ok(upgraded);
    await far.write(Buffer.from("later"));
    await far.closeWrite();
    assert.equal(Buffer.from(await readAll(upgraded)).toString(), "right behind, later");
    const heard = readAll(far);
    await upgraded.write(large);
    await upgraded.closeWrite();
    assert.ok(Buffer.from(await heard).equals(large));
    far.abort();
    upgraded.abort();
    await upgraded.closed;
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(over, 1);
    client.close();
  });
});
