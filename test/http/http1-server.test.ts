import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Gone } from "../../src/http/cancellation.ts";
import type { HttpBody, HttpExchange, HttpFields, HttpResponse } from "../../src/http/exchange.ts";
import { WholeBody } from "../../src/http/whole-body.ts";
import { serveHttp1 } from "../../src/runtime/http/http1-server.ts";
import type { Connection } from "../../src/types.ts";
import { FakeConnection, FakeEventedConnection } from "../support/fake-connection.ts";

const host = "Host: a.test\r\n";
const get = `GET /it HTTP/1.1\r\n${host}\r\n`;
const date = /^date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r$/m;

async function* parts(...texts: readonly (string | Error)[]): HttpBody {
  for (const each of texts) {
    if (each instanceof Error) throw each;
    yield Buffer.from(each);
  }
}

const whole = (text: string): HttpBody => new WholeBody(Buffer.from(text));

const answer = (body: HttpBody | null, ...fields: HttpFields): HttpResponse => ({
  status: 200,
  fields,
  body,
});

/** Serves a connection whose client is the test. */
function serving(
  connection: FakeConnection,
  handle: (exchange: HttpExchange) => Promise<void>,
  draining = new Gone(),
): { over: Promise<unknown>; draining: Gone } {
  const over = serveHttp1(connection, { handle }, draining, { idleMs: 60_000, halfCloseMs: 60_000 }).catch(
    (error: unknown) => error,
  );
  return { over, draining };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The next turns of the event loop: nothing in here waits for anything but those. */
async function settled(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

async function collect(body: HttpBody | null): Promise<string> {
  let text = "";
  for await (const part of body ?? []) text += Buffer.from(part).toString("latin1");
  return text;
}

/** What is written, without the time and that the connection stays. */
const said = (connection: Pick<FakeConnection, "written">): string =>
  connection.written.replace(/^(date: .*|connection: keep-alive)\r\n/gm, "");

for (const [kind, make] of [
  ["read by promises", () => new FakeConnection()],
  ["read by events", () => new FakeEventedConnection()],
] as const)
  describe(`HTTP/1.1 for clients, ${kind}`, () => {
    /** What one request gets; then the connection is cut. */
    async function ask(
      request: string,
      response: HttpResponse | ((exchange: HttpExchange) => Promise<HttpResponse>),
    ): Promise<Pick<FakeConnection, "written" | "writes" | "ended">> {
      const client = make();
      const served = serving(client, async (exchange) =>
        exchange.respond(typeof response === "function" ? await response(exchange) : response),
      );
      client.say(request);
      await settled();
      const { written, writes, ended } = client;
      client.abort();
      await served.over;
      return { written, writes, ended };
    }

    const answers: readonly [
      what: string,
      request: string,
      response: () => HttpResponse,
      expected: string,
    ][] = [
      [
        "a body that is here goes out with its head, by its length",
        get,
        () => answer(whole("hello"), ["x", "y"]),
        "HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 5\r\n\r\nhello",
      ],
      [
        "a body that comes in parts is in chunks",
        get,
        () => answer(parts("hel", "", "lo")),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
      ],
      [
        "a body of a length that is announced is as it is",
        get,
        () => answer(parts("hel", "lo"), ["content-length", "5"]),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
      ],
      ["no body has no length", get, () => answer(null), "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"],
      [
        "an answer to HEAD has a length and no body",
        get.replace("GET", "HEAD"),
        () => answer(parts("hello"), ["content-length", "5"]),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
      ],
      [
        "204 has neither",
        get,
        () => ({ status: 204, fields: [["content-length", "5"]], body: parts("hello") }),
        "HTTP/1.1 204 No Content\r\n\r\n",
      ],
      [
        "304 has a length and no body",
        get,
        () => ({ status: 304, fields: [["content-length", "5"]], body: null }),
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n",
      ],
      [
        "a status that nobody knows has no phrase",
        get,
        () => ({ status: 299, fields: [], body: null }),
        "HTTP/1.1 299 \r\ncontent-length: 0\r\n\r\n",
      ],
      [
        "fields for this hop are ours",
        get,
        () => answer(null, ["transfer-encoding", "gzip"], ["keep-alive", "timeout=5"], ["connection", "x"]),
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
      ],
      [
        "trailers go to whom takes them",
        `GET / HTTP/1.1\r\n${host}TE: trailers\r\n\r\n`,
        () => ({ ...answer(whole("hello")), trailers: () => [["x-sum", "1"]] }),
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n",
      ],
      [
        "trailers go to nobody else",
        get,
        () => ({ ...answer(whole("hello")), trailers: () => [["x-sum", "1"]] }),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
      ],
      [
        "HTTP/1.0 is told that the connection stays, where it asked for that",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        () => answer(whole("hello")),
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
      ],
    ];
    for (const [what, request, response, expected] of answers)
      it(what, async () => {
        const client = await ask(request, response());
        assert.match(client.written, date);
        assert.match(client.written, /^connection: keep-alive\r$/m);
        assert.equal(said(client), expected);
        assert.equal(client.ended, "no");
      });

    it("a whole answer is one write", async () => {
      assert.equal((await ask(get, answer(whole("hello")))).writes, 1);
    });

    it("the head of an answer that says nothing yet goes out at once", async () => {
      const client = make();
      const never = new Promise<never>(() => {});
      const served = serving(client, ({ respond }) =>
        respond(
          answer(
            (async function* () {
              yield await never;
            })(),
          ),
        ),
      );
      client.say(get);
      await settled();
      assert.equal(said(client), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
      client.abort();
      await served.over;
    });

    const last: readonly [what: string, request: string, response: () => HttpResponse, expected: string][] = [
      [
        "a client that asks for it",
        `GET / HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
        () => answer(whole("hello")),
        "content-length: 5\r\nconnection: close\r\n\r\nhello",
      ],
      [
        "HTTP/1.0",
        "GET / HTTP/1.0\r\n\r\n",
        () => answer(whole("hello")),
        "content-length: 5\r\nconnection: close\r\n\r\nhello",
      ],
      [
        "HTTP/1.0, which knows no chunks, with an answer of no length",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        () => answer(parts("hel", "lo")),
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello",
      ],
      [
        "an answer that says so",
        get,
        () => ({ ...answer(whole("no")), last: true }),
        "content-length: 2\r\nconnection: close\r\n\r\nno",
      ],
      [
        "an answer whose fields say so",
        get,
        () => answer(whole("no"), ["connection", "close"]),
        "content-length: 2\r\nconnection: close\r\n\r\nno",
      ],
      [
        "a body that may come or not: nobody has asked for it",
        `POST / HTTP/1.1\r\n${host}Content-Length: 3\r\nExpect: 100-continue\r\n\r\n`,
        () => answer(whole("no")),
        "content-length: 2\r\nconnection: close\r\n\r\nno",
      ],
      [
        "a request to switch protocols that is answered instead",
        `GET / HTTP/1.1\r\n${host}Connection: Upgrade\r\nUpgrade: x\r\n\r\n`,
        () => answer(whole("no")),
        "content-length: 2\r\nconnection: close\r\n\r\nno",
      ],
    ];
    for (const [what, request, response, expected] of last)
      it(`the connection ends behind: ${what}`, async () => {
        const client = await ask(request + get, response());
        assert.ok(said(client).endsWith(expected), client.written);
        assert.equal(client.written.split("HTTP/1.1").length, 2);
        assert.equal(client.ended, "our half");
      });

    const refused: readonly [status: string, request: string][] = [
      ["400 Bad Request", `GET / HTTP/1.1\r\n\r\n${get}`],
      ["400 Bad Request", `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\nx\r\n${get}`],
      ["400 Bad Request", "\x16\x03\x01\x02\x00\x01"],
      ["405 Method Not Allowed", `CONNECT a.test:1 HTTP/1.1\r\n${host}\r\n${get}`],
      ["417 Expectation Failed", `POST / HTTP/1.1\r\n${host}Expect: wonders\r\n\r\n${get}`],
      ["431 Request Header Fields Too Large", `GET / HTTP/1.1\r\n${host}X: ${"y".repeat(40_000)}\r\n\r\n`],
      ["505 HTTP Version Not Supported", `GET / HTTP/2.0\r\n${host}\r\n${get}`],
    ];
    for (const [status, request] of refused)
      it(`is refused with ${status}, and nothing heard behind it: ${JSON.stringify(request.slice(0, 60))}`, async () => {
        const client = await ask(request, () => assert.fail("heard"));
        assert.equal(client.written, `HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
        assert.equal(client.ended, "our half");
      });

    const broken: readonly [what: string, response: () => HttpResponse][] = [
      ["a source that breaks", () => answer(parts("hel", new Error("broke")))],
      ["a source that breaks before anything", () => answer(parts(new Error("broke")))],
      ["less than was announced", () => answer(parts("hel"), ["content-length", "5"])],
      ["less than was announced, whole", () => answer(whole("hel"), ["content-length", "5"])],
      ["nothing of what was announced", () => answer(null, ["content-length", "5"])],
      ["trailers that are no fields", () => ({ ...answer(parts("hello")), trailers: () => [["x y", "1"]] })],
    ];
    for (const [what, response] of broken)
      it(`the connection is cut, so that nothing looks complete: ${what}`, async () => {
        const client = await ask(`GET / HTTP/1.1\r\n${host}TE: trailers\r\n\r\n`, response());
        assert.equal(client.ended, "reset");
        assert.doesNotMatch(client.written, /\r\n0\r\n\r\n$/);
      });

    it("more than was announced is nobody's", async () => {
      const client = await ask(get, answer(parts("hel", "lo", "HTTP/1.1 200"), ["content-length", "4"]));
      assert.ok(client.written.endsWith("\r\n\r\nhell"), client.written);
    });

    it("nothing in a field of an answer makes another one of it", async () => {
      for (const [name, value] of [
        ["x", "y\r\nset-cookie: z"],
        ["x: y\r\nset-cookie", "z"],
        ["x", "\u010a"],
      ] as const) {
        const client = await ask(get, answer(null, [name, value]));
        assert.equal(said(client), "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n");
      }
    });

    it("what an exchange throws, or leaves unanswered, is a 500 without details", async () => {
      for (const handle of [async () => {}, () => Promise.reject(new Error("a secret"))]) {
        const client = make();
        const served = serving(client, handle);
        client.say(get + get);
        await settled();
        const one = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
        assert.equal(said(client), one + one);
        client.abort();
        await served.over;
      }
    });

    const posts: readonly [what: string, request: string, body: string, trailers: HttpFields][] = [
      ["of a length", `POST /it HTTP/1.1\r\n${host}Content-Length: 11\r\n\r\nhello world`, "hello world", []],
      [
        "in chunks",
        `POST /it HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n`,
        "hello world",
        [["x-sum", "1"]],
      ],
      ["of nothing", `POST /it HTTP/1.1\r\n${host}Content-Length: 0\r\n\r\n`, "", []],
    ];
    for (const [what, request, body, trailers] of posts)
      it(`a body ${what} is read however it is cut, with what comes behind it`, async () => {
        const all = request + get;
        for (let cut = 1; cut < all.length; cut++) {
          const client = make();
          const heard: unknown[] = [];
          const served = serving(client, async ({ request: asked, respond }) => {
            const text = asked.body === null ? null : await collect(asked.body);
            heard.push([asked.method, asked.authority, text, asked.trailers?.() ?? []]);
            await respond(answer(null));
          });
          client.say(all.slice(0, cut));
          if (cut % 2 === 0) await turn();
          client.say(all.slice(cut));
          await client.until(/HTTP[\s\S]*HTTP[\s\S]*\r\n\r\n$/);
          assert.deepEqual(heard, [
            ["POST", "a.test", body, trailers],
            ["GET", "a.test", null, []],
          ]);
          client.abort();
          await served.over;
        }
      });

    it("a client that waits to be asked for its body is asked at the first read, once", async () => {
      const client = make();
      let read = (): void => {};
      const may = new Promise<void>((resolve) => {
        read = resolve;
      });
      const served = serving(client, async ({ request, respond }) => {
        await may;
        await respond(answer(whole(await collect(request.body))));
      });
      client.say(`POST / HTTP/1.1\r\n${host}Content-Length: 4\r\nExpect: 100-Continue\r\n\r\n`);
      await settled();
      assert.equal(client.written, "");
      read();
      await settled();
      assert.equal(client.written, "HTTP/1.1 100 Continue\r\n\r\n");
      client.say("bo");
      client.say(`dy${get}`);
      await client.until(/body/);
      assert.equal(
        said(client),
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody",
      );
      client.abort();
      await served.over;
    });

    it("a body that nobody takes makes the client wait, and goes past behind the answer", async () => {
      const client = make();
      let go = (): void => {};
      const may = new Promise<void>((resolve) => {
        go = resolve;
      });
      const served = serving(client, async ({ request, respond }) => {
        if (request.method === "POST") await may;
        await respond(answer(null));
      });
      const size = 100 * 16_384;
      client.say(`POST / HTTP/1.1\r\n${host}Content-Length: ${size}\r\n\r\n`);
      for (let sent = 0; sent < size; sent += 16_384) client.say(Buffer.alloc(16_384));
      client.say(get);
      await settled();
      assert.ok(client.waiting > size - 200_000, `${client.waiting} bytes wait at the client`);
      go();
      await client.until(/HTTP[\s\S]*HTTP/);
      assert.equal(client.waiting, 0);
      client.abort();
      await served.over;
    });

    it("a body that nobody takes makes the client wait all the sooner, the smaller its chunks are", async () => {
      const client = make();
      let taken = "";
      let go = (): void => {};
      const may = new Promise<void>((resolve) => {
        go = resolve;
      });
      const served = serving(client, async ({ request, respond }) => {
        await may;
        taken = await collect(request.body);
        await respond(answer(null));
      });
      client.say(`POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n`);
      const chunks = "1\r\na\r\n".repeat(100);
      for (let i = 0; i < 100; i++) client.say(chunks);
      await settled();
      assert.ok(client.waiting > 90 * chunks.length, `${client.waiting} bytes wait at the client`);
      client.say("0\r\n\r\n");
      go();
      await client.until(/HTTP/);
      assert.equal(taken, "a".repeat(10_000));
      client.abort();
      await served.over;
    });

    for (const [how, length, rest] of [
      ["of a length", "Content-Length: 6", "def"],
      ["in chunks", "Transfer-Encoding: chunked", "3\r\ndef\r\n0\r\n\r\n"],
    ] as const)
      it(`a body ${how} that is still read when the answer is out never looks whole`, async () => {
        for (const leaves of [false, true]) {
          const client = make();
          let read: Promise<unknown> | undefined;
          const served = serving(client, async ({ request, respond }) => {
            read ??= collect(request.body).catch(({ reason }: { reason: string }) => reason);
            await respond(answer(null));
          });
          client.say(
            `POST / HTTP/1.1\r\n${host}${length}\r\n\r\n${how === "in chunks" ? "3\r\nabc\r\n" : "abc"}`,
          );
          await client.until(/\r\n\r\n$/);
          await settled();
          if (leaves) client.breakOff();
          else {
            client.say(rest + get);
            await client.until(/HTTP[\s\S]*HTTP[\s\S]*\r\n\r\n$/);
          }
          assert.equal(await read, "client_closed");
          client.abort();
          await served.over;
        }
      });

    it("a client that does not read makes the source of its answer wait", async () => {
      const client = make();
      let taken = 0;
      const served = serving(client, ({ respond }) =>
        respond(
          answer(
            (async function* () {
              for (; taken < 1000; taken++) yield Buffer.alloc(16_384);
            })(),
          ),
        ),
      );
      client.fill();
      client.say(get);
      await settled();
      assert.ok(taken < 5, `${taken} parts were taken`);
      client.drain();
      await settled();
      assert.ok(taken > 0);
      client.abort();
      await served.over;
    });

    for (const [what, request] of [
      ["while it waits", get],
      ["in the middle of its request", `POST / HTTP/1.1\r\n${host}Content-Length: 4\r\n\r\nbo`],
    ] as const)
      it(`a client that breaks off ${what} is noticed, and what is under way for it ends`, async () => {
        const client = make();
        let aborted = false;
        let body = "";
        const served = serving(client, async ({ request: asked, signal }) => {
          signal.addEventListener("abort", () => {
            aborted = true;
          });
          body = await collect(asked.body).catch(({ reason }: { reason: string }) => reason);
          await new Promise<void>((resolve) => {
            if (signal.aborted) resolve();
            else signal.addEventListener("abort", resolve);
          });
        });
        client.say(request);
        await settled();
        client.breakOff();
        await served.over;
        await settled();
        assert.ok(aborted);
        assert.equal(body, request === get ? "" : "client_closed");
      });

    it("a client that has ended hears its answers, and then the end", async () => {
      const client = make();
      const served = serving(client, async ({ respond }) => {
        await turn();
        await respond(answer(whole("hello")));
      });
      client.say(get + get);
      client.end();
      await served.over;
      assert.equal(client.written.split("hello").length, 3);
      assert.equal(client.ended, "close");
    });

    it("a client that ends in the middle of its request is given up", async () => {
      const client = make();
      const served = serving(
        client,
        async ({ request }) => void (await collect(request.body).catch(() => "")),
      );
      client.say(`POST / HTTP/1.1\r\n${host}Content-Length: 4\r\n\r\nbo`);
      await settled();
      client.end();
      await served.over;
      assert.equal(client.written, "");
    });

    it("while the router drains the next answer tells, and a silent client is let go", async () => {
      const client = make();
      const told = serving(client, ({ respond }) => respond(answer(null)));
      client.say(get);
      await settled();
      told.draining.abort();
      client.say(get + get);
      await settled();
      assert.match(client.written, /^HTTP[\s\S]*HTTP\/1\.1 200 OK\r\n[\s\S]*connection: close\r\n\r\n$/);
      assert.equal(client.written.split("HTTP/1.1").length, 3);
      client.end();
      await told.over;
      const silent = make();
      const served = serving(silent, () => assert.fail("heard"));
      served.draining.abort();
      await served.over;
      assert.equal(silent.written, "");
    });

    it("a client that switches protocols has the connection, and what it sent already comes first", async () => {
      const client = make();
      let switched: Connection | undefined;
      const served = serving(client, async (exchange) => {
        assert.equal(exchange.request.body, null);
        switched = exchange.upgrade([
          ["connection", "Upgrade"],
          ["upgrade", "x"],
        ]);
        await exchange.respond(answer(null));
        await switched.closed;
      });
      client.say(`GET / HTTP/1.1\r\n${host}Connection: Upgrade\r\nUpgrade: x\r\n\r\nfirst`);
      client.say("second");
      await settled();
      assert.equal(
        client.written,
        "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: x\r\n\r\n",
      );
      assert.ok(switched !== undefined);
      let text = "";
      while (text.length < 11) text += Buffer.from((await switched.read()) ?? []).toString();
      assert.equal(text, "firstsecond");
      client.end();
      assert.equal(await switched.read(), null);
      switched.abort();
      await served.over;
    });

    it("a request that did not ask for it switches nothing", async () => {
      const client = await ask(get, async (exchange) => {
        assert.throws(() => exchange.upgrade([]), TypeError);
        return answer(whole("as ever"));
      });
      assert.match(client.written, /as ever$/);
    });
  });
