import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { selectRuntime } from "../../src/runtime/select.ts";
import type { Connection } from "../../src/types.ts";

const runtime = await selectRuntime();
const one = "GET /it HTTP/1.1\r\nHost: a.test\r\n\r\n";
const limits = { idleMs: 60_000, halfCloseMs: 60_000 };

/** A client that sends so many chunks one after the other, as fast as they are taken, and then says no more. */
function flooding(chunks: readonly Uint8Array[]) {
  let taken = 0;
  let end = (): void => {};
  let answers = "";
  const over = new Promise<void>((resolve) => {
    end = resolve;
  });
  const connection: Connection = {
    remote: { address: "127.0.0.1", port: 1 },
    local: { address: "127.0.0.1", port: 2 },
    closed: over,
    bytesRead: 0,
    bytesWritten: 0,
    read: async () => {
      const chunk = chunks[taken];
      if (chunk !== undefined) {
        taken++;
        return chunk;
      }
      await over;
      return null;
    },
    unread: () => assert.fail("puts back what was read"),
    write: async (bytes) => {
      answers += Buffer.from(bytes).toString("latin1");
    },
    closeWrite: async () => {},
    abort: () => end(),
  };
  return { connection, taken: () => taken, answers: () => answers.split("HTTP/1.1 200").length - 1, end };
}

/** Serves it; requests are answered once `go` was called. */
function serve(connection: Connection) {
  let heard = 0;
  let go = (): void => {};
  const may = new Promise<void>((resolve) => {
    go = resolve;
  });
  const over = runtime.serveHttp(
    connection,
    null,
    {
      handle: async ({ request, respond }) => {
        heard++;
        await may;
        for await (const _ of request.body ?? []);
        await respond({ status: 200, fields: [["content-length", "0"]], body: null });
      },
    },
    new AbortController().signal,
    limits,
  );
  return { heard: () => heard, go, over };
}

const turns = async (holds: () => boolean): Promise<void> => {
  for (let i = 0; i < 1000 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 5));
};

describe("a client that sends requests and does not wait for answers", () => {
  it("is made to wait itself, and all of them are answered", async () => {
    const many = Array.from({ length: 10 }, () => Buffer.from(one.repeat(400)));
    const client = flooding(many);
    const served = serve(client.connection);
    await turns(() => served.heard() === 1);
    // As often as it would take to hear all of it.
    for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
    const before = client.taken();
    assert.ok(before <= 2, `${before} chunks were read while one request was under way`);
    assert.equal(served.heard(), 1);
    served.go();
    await turns(() => client.answers() === 4000);
    assert.equal(client.answers(), 4000);
    client.end();
    await served.over;
  });

  it("is waited for with the body of the first, behind which it sends more", async () => {
    const body = Buffer.alloc(300_000, "b");
    const post = `POST /it HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${body.length}\r\n\r\n`;
    const whole = Buffer.concat([Buffer.from(post), body, Buffer.from(one.repeat(100))]);
    const client = flooding([whole.subarray(0, 200_000), whole.subarray(200_000)]);
    const served = serve(client.connection);
    served.go();
    await turns(() => client.answers() === 101);
    assert.equal(client.answers(), 101);
    client.end();
    await served.over;
  });

  it("has no body read for a request that waits, beyond what fits", async () => {
    const post = "POST /it HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8192000\r\n\r\n";
    const body = Array.from({ length: 500 }, () => Buffer.alloc(16_384, "b"));
    const client = flooding([Buffer.from(one + post), ...body]);
    const served = serve(client.connection);
    await turns(() => served.heard() === 1);
    for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(client.taken() < 20, `${client.taken()} chunks were read while one request was under way`);
    served.go();
    await turns(() => client.answers() === 2);
    assert.equal(client.answers(), 2);
    client.end();
    await served.over;
  });

  it("is heard one at a time where it hides a flood of them behind a body", async () => {
    const post = "POST /it HTTP/1.1\r\nHost: a.test\r\nContent-Length: 8000\r\n\r\n";
    const client = flooding([
      Buffer.concat([Buffer.from(post + "b".repeat(8000)), Buffer.from(one.repeat(2000))]),
      ...Array.from({ length: 100 }, () => Buffer.from(one.repeat(10))),
    ]);
    const served = serve(client.connection);
    await turns(() => served.heard() === 1);
    for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(served.heard(), 1);
    assert.ok(client.taken() <= 2, `${client.taken()} chunks were read while one request was under way`);
    served.go();
    await turns(() => client.answers() === 3001);
    assert.equal(client.answers(), 3001);
    client.end();
    await served.over;
  });
});
