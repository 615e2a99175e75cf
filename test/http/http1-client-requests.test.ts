import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Gone } from "../../src/http/cancellation.ts";
import { WholeBody } from "../../src/http/whole-body.ts";
import { FakeConnection, FakeEventedConnection } from "../support/fake-connection.ts";
import { requestsIn } from "../support/http-front.ts";
import { refusedWith, Source, Table, textOf, turn } from "../support/http1-table.ts";

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/** Waits for 100. */
const post = (): object => ({
  method: "POST",
  expectContinue: true,
  fields: [["content-length", "4"]],
  body: new WholeBody(Buffer.from("body")),
});

for (const [kind, Kind] of [
  ["reads", FakeConnection],
  ["events", FakeEventedConnection],
] as const) {
  describe(`HTTP/1.1 to an upstream, by ${kind}: a request`, () => {
    it("is one write, with its body where all of that is here", async () => {
      const table = new Table(Kind);
      const { answer } = await table.ask({
        method: "POST",
        target: "/a?b",
        fields: [
          ["content-length", "4"],
          ["x-a", "b"],
          ["transfer-encoding", "gzip"],
          ["connection", "close"],
        ],
        body: new WholeBody(Buffer.from("body")),
      });
      assert.equal(
        table.at(0).written,
        "POST /a?b HTTP/1.1\r\nhost: app.test\r\nx-a: b\r\ncontent-length: 4\r\n\r\nbody",
      );
      assert.equal(table.at(0).writes, 1);
      table.at(0).say(ok);
      assert.equal(await textOf(await answer), "ok");
      table.client.close();
    });

    it("is framed as its body is", async () => {
      const table = new Table(Kind);
      for (const [request, framing] of [
        [{ method: "POST" }, /\r\ncontent-length: 0\r\n\r\n$/],
        [
          { method: "GET", fields: [["content-length", "7"]] },
          /^GET [^ ]+ HTTP\/1\.1\r\nhost: app\.test\r\n\r\n$/,
        ],
        [{ method: "PUT", body: new WholeBody(Buffer.from("x")) }, /\r\ncontent-length: 1\r\n\r\nx$/],
        [
          { method: "PUT", body: new WholeBody(Buffer.from("x")), trailers: () => [["x-sum", "1"] as const] },
          /\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-sum: 1\r\n\r\n$/,
        ],
      ] as const) {
        table.connections[0]?.forget();
        const { answer } = await table.ask(request);
        assert.match(table.at(0).written, framing);
        table.at(0).say(ok);
        await answer;
      }
      assert.equal(table.connections.length, 1);
      table.client.close();
    });

    it("goes out before the first part of its body, and each part as it comes, while an answer does", async () => {
      const table = new Table(Kind);
      const source = new Source();
      const { answer } = await table.ask({ method: "POST", body: source });
      assert.match(table.at(0).written, /chunked\r\n\r\n$/);
      table.at(0).say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      const { body } = await answer;
      const heard = body?.[Symbol.asyncIterator]() ?? assert.fail();
      for (const word of ["ping", "pong"]) {
        source.give(word);
        await turn();
        assert.ok(table.at(0).written.endsWith(`\r\n4\r\n${word}\r\n`), table.at(0).written);
        table.at(0).say(`4\r\n${word}\r\n`);
        assert.equal(Buffer.from((await heard.next()).value ?? []).toString(), word);
      }
      source.give("");
      table.at(0).say("0\r\n\r\n");
      assert.equal((await heard.next()).done, true);
      assert.equal(table.overs, 0, "the request is not all out");
      source.give(null);
      await turn();
      assert.equal(requestsIn(table.at(0).written)[0]?.body, "pingpong");
      assert.ok(table.at(0).written.endsWith("pong\r\n0\r\n\r\n"), "a part of no bytes is no end");
      assert.equal(table.overs, 1);
      assert.equal(await table.answered(ok), "ok");
      assert.equal(table.connections.length, 1, "and then it is kept");
      table.client.close();
    });

    it("whose answer says that it is the last one is sent no further than that", async () => {
      const table = new Table(Kind);
      const source = new Source();
      const { answer } = await table.ask({ method: "POST", body: source });
      source.give("some");
      await turn();
      table.at(0).say("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
      assert.equal((await answer).status, 413);
      assert.equal(table.at(0).ended, "close");
      assert.equal(table.overs, 1);
      source.give("more");
      await turn();
      assert.equal(source.left, true);
    });

    for (const [what, length, parts] of [
      ["is longer", 4, ["12345"]],
      ["is shorter", 4, ["12", null]],
      ["is longer, later", 4, ["1234", "5"]],
      ["breaks", 4, ["12", new Error("the client went away")]],
    ] as const) {
      it(`whose body ${what} is cut`, async () => {
        const table = new Table(Kind);
        const source = new Source();
        for (const part of parts) source.give(part);
        const { answer } = await table.ask({
          method: "POST",
          body: source,
          fields: [["content-length", String(length)]],
        });
        await turn();
        await assert.rejects(answer, refusedWith(what === "breaks" ? "upstream_refused" : "protocol_error"));
        assert.equal(table.at(0).ended, "reset");
        assert.ok(!table.at(0).written.endsWith("12345"));
        assert.equal(table.overs, 1);
      });
    }

    it("is not begun where it would be two, and takes no connection", async () => {
      const table = new Table(Kind);
      assert.equal(await table.answered(ok), "ok");
      const before = table.at(0).written;
      for (const request of [
        { target: "/ HTTP/1.1\r\nX: y" },
        { method: "GET / HTTP/1.1\r\nX:" },
        { authority: "app.test\r\nX: y" },
        { fields: [["x-a", "b\r\nX: y"]] },
        { fields: [["x-a: b\r\nx", "y"]] },
        { fields: [["x-a", "b\0"]] },
        {
          fields: [
            ["content-length", "1"],
            ["content-length", "2"],
          ],
          body: new WholeBody(Buffer.from("x")),
        },
        { fields: [["content-length", "0x1"]], body: new WholeBody(Buffer.from("x")) },
        { upgrade: "a\r\nX: y" },
      ] as const) {
        const { answer } = await table.ask(request);
        await assert.rejects(answer);
        assert.equal(table.at(0).written, before);
      }
      assert.equal(await table.answered(ok), "ok");
      assert.equal(table.connections.length, 1);
      table.client.close();
    });

    it("with trailers that would be more than that is cut", async () => {
      const table = new Table(Kind);
      const source = new Source();
      const { answer } = await table.ask({
        method: "POST",
        body: source,
        trailers: () => [["x-a", "b\r\n\r\nGET / HTTP/1.1"]],
      });
      source.give(null);
      await assert.rejects(answer);
      assert.ok(!table.at(0).written.includes("GET"));
      assert.equal(table.at(0).ended, "reset");
    });

    it("waits for room", async () => {
      const table = new Table(Kind);
      const source = new Source();
      for (let i = 0; i < 4; i++) source.give("part");
      source.give(null);
      await table.ask();
      table.at(0).say(ok);
      await turn();
      table.at(0).fill();
      const { answer } = await table.ask({ method: "POST", body: source });
      await turn();
      const { asked } = source;
      assert.ok(asked <= 2, String(asked));
      table.at(0).drain();
      await turn();
      await turn();
      table.at(0).say(ok);
      await answer;
      assert.equal(requestsIn(table.at(0).written)[1]?.body, "partpartpartpart");
      table.client.close();
    });

    it("is called off with its client, before an answer and in the middle of one", async () => {
      for (const answered of [false, true]) {
        const table = new Table(Kind);
        const signal = new Gone();
        const { answer } = await table.ask({ signal });
        if (answered) table.at(0).say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel");
        const text = answer.then(textOf);
        await turn();
        signal.abort();
        await assert.rejects(text, refusedWith("client_closed"));
        assert.equal(table.at(0).ended, "reset");
        assert.equal(table.overs, 1);
        await assert.rejects((await table.ask({ signal })).answer, refusedWith("client_closed"));
        assert.equal(table.connections.length, 1);
      }
    });

    it("is over where the client of all closes", async () => {
      const table = new Table(Kind);
      const { answer } = await table.ask();
      table.client.close();
      await assert.rejects(answer, refusedWith("upstream_refused"));
      assert.equal(table.at(0).ended, "reset");
      assert.equal(table.overs, 1);
    });
  });

  describe(`HTTP/1.1 to an upstream, by ${kind}: a body that waits for 100`, () => {
    it("goes out when it comes", async () => {
      const table = new Table(Kind);
      const { answer } = await table.ask(post());
      assert.match(table.at(0).written, /expect: 100-continue\r\n\r\n$/);
      table.at(0).say("HTTP/1.1 100 Continue\r\n\r\n");
      await turn();
      assert.match(table.at(0).written, /\r\n\r\nbody$/);
      table.at(0).say(ok);
      assert.equal(await textOf(await answer), "ok");
      assert.equal(await table.answered(ok), "ok");
      assert.equal(table.connections.length, 1);
      table.client.close();
    });

    it("stays where an answer comes instead, and nothing goes out behind it", async () => {
      const table = new Table(Kind);
      const { answer } = await table.ask(post());
      table.at(0).say(ok);
      assert.equal(await textOf(await answer), "ok");
      await turn();
      assert.match(table.at(0).written, /expect: 100-continue\r\n\r\n$/);
      assert.equal(table.at(0).ended, "close");
      assert.equal(table.overs, 1);
    });
  });

  describe(`HTTP/1.1 to an upstream, by ${kind}: a switch of protocols`, () => {
    const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: bytes\r\n\r\n";

    it("gives the connection, wherever its answer is torn, with what came behind it", async () => {
      const text = `${switching}behind`;
      for (let at = 1; at <= text.length; at++) {
        const table = new Table(Kind);
        const { answer } = await table.ask({ upgrade: "bytes" });
        assert.match(table.at(0).written, /\r\nconnection: Upgrade\r\nupgrade: bytes\r\n\r\n$/);
        table.at(0).say(text.slice(0, at));
        await turn();
        if (at < text.length) table.at(0).say(text.slice(at));
        const { status, upgraded } = await answer;
        assert.equal(status, 101);
        table.at(0).say(" and later");
        table.at(0).end();
        let heard = "";
        for (let chunk = await upgraded?.read(); chunk; chunk = await upgraded?.read())
          heard += Buffer.from(chunk).toString();
        assert.equal(heard, "behind and later");
        table.client.close();
        assert.equal(table.at(0).ended, "no", "it is the client's no more");
        assert.equal(table.overs, 0);
        upgraded?.abort();
        await turn();
        assert.equal(table.overs, 1);
      }
    });

    it("may be refused by an answer like any other", async () => {
      const table = new Table(Kind);
      const { answer } = await table.ask({ upgrade: "bytes" });
      table.at(0).say("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
      const response = await answer;
      assert.equal(response.upgraded, null);
      assert.equal(await textOf(response), "no");
      assert.equal(await table.answered(ok), "ok");
      assert.equal(table.connections.length, 1);
      table.client.close();
    });
  });
}

describe("HTTP/1.1 to an upstream that knows nothing of 100", () => {
  it("gets the body at last", async () => {
    const table = new Table(FakeConnection);
    const { answer } = await table.ask(post());
    await table.at(0).until(/\r\n\r\nbody$/);
    table.at(0).say(ok);
    assert.equal(await textOf(await answer), "ok");
    table.client.close();
  });
});
