import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { WholeBody } from "../../src/http/whole-body.ts";
import { FakeConnection, FakeEventedConnection } from "../support/fake-connection.ts";
import { refusedWith, Table, textOf, turn } from "../support/http1-table.ts";

interface Answer {
  readonly what: string;
  readonly method?: string;
  readonly text: string;
  readonly body: string;
  /** No further request may come behind it. */
  readonly last?: true;
}

const answers: readonly Answer[] = [
  { what: "of a length", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", body: "hello" },
  { what: "of no bytes", text: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", body: "" },
  {
    what: "in chunks, with trailers",
    text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-Sum: 1\r\n\r\n",
    body: "hello",
  },
  { what: "to HEAD", method: "HEAD", text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", body: "" },
  { what: "204", text: "HTTP/1.1 204 No Content\r\n\r\n", body: "" },
  { what: "304", text: "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", body: "" },
  {
    what: "behind others",
    text: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    body: "ok",
  },
  {
    what: "that is the last one",
    text: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    body: "ok",
    last: true,
  },
];

for (const [kind, Kind] of [
  ["reads", FakeConnection],
  ["events", FakeEventedConnection],
] as const) {
  describe(`HTTP/1.1 to an upstream, by ${kind}: an answer`, () => {
    for (const { what, method = "GET", text, body, last } of answers) {
      it(`${what} is read, wherever it is torn, and the connection kept if it may be`, async () => {
        for (let at = 1; at <= text.length; at++) {
          const table = new Table(Kind);
          const { answer } = await table.ask({ method });
          table.at(0).say(text.slice(0, at));
          await turn();
          if (at < text.length) table.at(0).say(text.slice(at));
          const response = await answer;
          assert.equal(await textOf(response), body, `torn at ${at}`);
          if (what.includes("trailers")) assert.deepEqual(response.trailers?.(), [["x-sum", "1"]]);
          await turn();
          assert.equal(table.overs, 1);
          assert.equal(table.at(0).ended, last === undefined ? "no" : "close");
          assert.equal(await table.answered("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo"), "two");
          assert.equal(table.connections.length, last === undefined ? 1 : 2);
          table.client.close();
        }
      });

      it(`${what} that ends too early never looks whole`, async () => {
        for (let at = 0; at < text.length; at++) {
          for (const how of ["end", "breakOff"] as const) {
            const table = new Table(Kind);
            const { answer } = await table.ask({ method });
            if (at > 0) table.at(0).say(text.slice(0, at));
            table.at(0)[how]();
            const whole = answer.then(textOf);
            await assert.rejects(whole, refusedWith("upstream_refused"), `${how} at ${at}`);
            assert.equal(table.overs, 1);
            assert.notEqual(table.at(0).ended, "no");
          }
        }
      });

      it(`${what} is not followed by what nobody asked for`, async () => {
        const unasked = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
        for (const later of [false, true]) {
          const table = new Table(Kind);
          const { answer } = await table.ask({ method });
          table.at(0).say(later ? text : text + unasked);
          assert.equal(await textOf(await answer), body);
          if (later) table.at(0).say(unasked);
          await turn();
          assert.notEqual(table.at(0).ended, "no");
          assert.equal(await table.answered("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"), "good");
          assert.equal(table.connections.length, 2);
          table.client.close();
        }
      });
    }

    it("without a length is over with its connection, and cut where that breaks", async () => {
      for (const how of ["end", "breakOff"] as const) {
        const table = new Table(Kind);
        const { answer } = await table.ask();
        table.at(0).say("HTTP/1.1 200 OK\r\n\r\nall ");
        const text = answer.then(textOf);
        await turn();
        table.at(0).say("of it");
        await turn();
        table.at(0)[how]();
        if (how === "end") assert.equal(await text, "all of it");
        else await assert.rejects(text, refusedWith("upstream_refused", /cut/));
        assert.equal(table.overs, 1);
      }
    });

    for (const [what, text] of [
      ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 4\r\n\r\nokok"],
      [
        "a length and chunks",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      ],
      ["a length below nothing", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok"],
      [
        "a chunk of a strange size",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nok\r\n0\r\n\r\n",
      ],
      [
        "a chunk longer than it says",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nok\r\n0\r\n\r\n",
      ],
      ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
      ["a head without end", `HTTP/1.1 200 OK\r\n${"X-Long: 0123456789\r\n".repeat(4000)}`],
      ["more and more heads before it", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(40)],
      ["a switch of protocols that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\n\r\n"],
    ]) {
      it(`with ${what} is refused`, async () => {
        const table = new Table(Kind);
        const { answer } = await table.ask();
        table.at(0).say(text ?? "");
        await assert.rejects(answer.then(textOf), refusedWith("upstream_refused"));
        assert.equal(table.at(0).ended, "reset");
        assert.equal(table.overs, 1);
      });
    }

    it("is there at once where all of it is", async () => {
      const table = new Table(Kind);
      for (const text of answers.slice(0, 1).map((one) => one.text)) {
        const { answer } = await table.ask();
        table.at(0).say(text);
        assert.deepEqual(Buffer.from((await answer).body?.takeWhole?.() ?? []).toString(), "hello");
      }
      table.client.close();
    });

    it("that nobody reads makes the upstream wait, and comes whole later", async () => {
      const table = new Table(Kind);
      const { answer } = await table.ask();
      table.at(0).say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n");
      const response = await answer;
      for (let i = 0; i < 100; i++) table.at(0).say("0123456789".repeat(1000));
      await turn();
      assert.ok(table.at(0).waiting > 900_000 - 64 * 1024, String(table.at(0).waiting));
      assert.equal(await textOf(response), "0123456789".repeat(100_000));
      assert.equal(table.overs, 1);
      table.client.close();
    });

    it("that nobody reads makes the upstream wait all the sooner, the smaller its chunks are", async () => {
      const table = new Table(Kind);
      const { answer } = await table.ask();
      table.at(0).say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      const response = await answer;
      const chunks = "1\r\na\r\n".repeat(100);
      for (let i = 0; i < 100; i++) table.at(0).say(chunks);
      table.at(0).say("0\r\n\r\n");
      await turn();
      assert.ok(table.at(0).waiting > 90 * chunks.length, String(table.at(0).waiting));
      assert.equal(await textOf(response), "a".repeat(10_000));
      assert.equal(table.overs, 1);
      table.client.close();
    });

    it("that nobody wants any more ends its connection", async () => {
      const table = new Table(Kind);
      const { answer } = await table.ask();
      table.at(0).say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsome");
      await (await answer).body?.[Symbol.asyncIterator]().return?.();
      assert.equal(table.at(0).ended, "close");
      assert.equal(table.overs, 1);
    });

    it("that takes too long, or says nothing for too long, is waited for no longer", async () => {
      const table = new Table(Kind);
      const limits = { answerMs: 1, silenceMs: 1 };
      const { answer } = await table.ask({ limits });
      await assert.rejects(answer, refusedWith("idle_timeout"));
      const { answer: other } = await table.ask({ limits: { ...limits, answerMs: 60_000 } });
      table.at(1).say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsome");
      await assert.rejects(other.then(textOf), refusedWith("idle_timeout"));
      assert.equal(table.overs, 2);
    });
  });

  describe(`HTTP/1.1 to an upstream, by ${kind}: a kept connection`, () => {
    const ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    it("that the upstream ends, or speaks on unasked, is not used again", async () => {
      for (const how of ["end", "breakOff", "say"] as const) {
        const table = new Table(Kind);
        assert.equal(await table.answered(ok), "ok");
        table.at(0)[how](ok);
        await turn();
        assert.equal(await table.answered(ok), "ok");
        assert.equal(table.connections.length, 2);
        table.client.close();
      }
    });

    it("that was closed with a request on its way is asked again elsewhere where that does no harm", async () => {
      for (const [request, again] of [
        [{}, true],
        [{ method: "DELETE" }, true],
        [{ method: "POST" }, false],
        [{ method: "PUT", body: new WholeBody(Buffer.from("x")) }, false],
      ] as const) {
        const table = new Table(Kind);
        assert.equal(await table.answered(ok), "ok");
        const { answer } = await table.ask(request);
        table.at(0).end();
        await turn();
        if (!again) {
          await assert.rejects(answer, refusedWith("upstream_refused"));
          assert.equal(table.connections.length, 1);
          continue;
        }
        table.at(1).say(ok);
        assert.equal(await textOf(await answer), "ok");
        assert.equal(table.overs, 2);
        table.client.close();
      }
    });

    it("that was closed in the middle of an answer is not asked again", async () => {
      const table = new Table(Kind);
      assert.equal(await table.answered(ok), "ok");
      const { answer } = await table.ask();
      table.at(0).say("HTTP/1.1 200");
      table.at(0).end();
      await assert.rejects(answer, refusedWith("upstream_refused"));
      assert.equal(table.connections.length, 1);
    });
  });
}
