import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { HttpExchange, HttpResponse } from "../../src/http/exchange.ts";
import { answerWithFetch } from "../../src/http/fetch.ts";

async function* parts(...texts: readonly string[]): AsyncIterable<Uint8Array> {
  for (const text of texts) yield new TextEncoder().encode(text);
}

/** What is answered to a request with this body by an app that says what it got. */
async function ask(method: string, body: AsyncIterable<Uint8Array> | null, bodyMs?: number) {
  let response: HttpResponse | undefined;
  const exchange: HttpExchange = {
    request: { method, target: "/", authority: "a.test", version: "1.1", fields: [], body },
    signal: new AbortController().signal,
    respond: async (given) => {
      response = given;
    },
    upgrade: () => {
      throw new TypeError("not asked for");
    },
  };
  const app = async (request: Request): Promise<Response> => new Response(`got ${await request.text()}`);
  await answerWithFetch(exchange, "https://a.test/", app, bodyMs);
  let text = "";
  for await (const chunk of response?.body ?? []) text += new TextDecoder().decode(chunk);
  return { status: response?.status, text };
}

describe("an app behind an exchange", () => {
  it("gets the body whole", async () => {
    assert.deepEqual(await ask("POST", parts("one ", "two")), { status: 200, text: "got one two" });
    assert.deepEqual(await ask("POST", null), { status: 200, text: "got " });
    const most = "x".repeat(64 * 1024);
    assert.equal((await ask("PUT", parts(most))).text, `got ${most}`);
  });

  it("gets none of one that is too large, which is not read to its end", async () => {
    let read = 0;
    async function* endless(): AsyncIterable<Uint8Array> {
      for (;;) {
        read++;
        yield new Uint8Array(1024);
      }
    }
    const { status, text } = await ask("POST", endless());
    assert.equal(status, 413);
    assert.match(text, /more than 65536 bytes/);
    assert.equal(read, 65);
  });

  it("gets none of one that does not come, and the client hears of it", async () => {
    async function* stuck(): AsyncIterable<Uint8Array> {
      yield new Uint8Array(1);
      await new Promise<never>(() => {});
    }
    const { status, text } = await ask("POST", stuck(), 20);
    assert.equal(status, 408);
    assert.match(text, /no whole request within 20 ms/);
  });

  it("gets none with GET and HEAD, which have none for fetch", async () => {
    for (const method of ["GET", "HEAD"]) assert.equal((await ask(method, parts("x"))).status, 200, method);
  });
});
