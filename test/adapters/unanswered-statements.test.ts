import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Asked } from "../../src/adapters/mongodb/requests.ts";
import { Statements as MongodbStatements } from "../../src/adapters/mongodb/statements.ts";
import { Statements as RedisStatements } from "../../src/adapters/redis/statements.ts";
import type { Statement } from "../../src/core/session.ts";
import { commandMessage, parseCommand, replyTo } from "../../src/wire/mongodb.ts";

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const brief = (said: readonly Statement[]) => said.map(({ text, error }) => [text, error]);

describe("statements that were not answered when the connection ended", () => {
  it("are written down on a Redis route, once", () => {
    const said: Statement[] = [];
    const statements = new RedisStatements((statement) => said.push(statement));
    statements.heard({ name: "get", first: ascii("a"), args: 1 });
    statements.heard({ name: "del", first: ascii("b"), args: 1 });
    assert.ok(statements.replies(ascii("$-1\r\n")));
    statements.over();
    statements.over();
    assert.deepEqual(brief(said), [
      ["GET a", null],
      ["DEL b", "unanswered"],
    ]);
  });

  it("are written down on a MongoDB route, under whatever numbers they came", () => {
    const said: Statement[] = [];
    const statements = new MongodbStatements((statement) => said.push(statement));
    const hear = (requestId: number, name: string) => {
      const parsed = parseCommand(commandMessage(requestId, { [name]: "items", $db: "shop" }));
      assert.ok(parsed.kind === "ok");
      const { header, body } = parsed.value;
      const asked: Asked = {
        name,
        header,
        body,
        old: false,
        answered: true,
        whole: true,
        with: () => ascii(""),
      };
      statements.heard({ asked, verdict: { kind: "pass" }, refused: null });
      return header;
    };
    const first = hear(7, "drop");
    hear(7, "find");
    hear(8, "count");
    statements.replies(replyTo(first, { ok: 1 }));
    statements.over();
    statements.over();
    assert.deepEqual(brief(said), [
      ["drop shop.items", null],
      ["find shop.items", "unanswered"],
      ["count shop.items", "unanswered"],
    ]);
  });
});
