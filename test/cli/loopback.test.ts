import assert from "node:assert/strict";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { listenForRedirect } from "../../src/cli/login/loopback.ts";

/** The status of one request, whatever its target. */
function ask(port: number, target: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () =>
      socket.write(`GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`),
    );
    let said = "";
    socket.on("data", (chunk) => {
      said += chunk;
    });
    socket.once("error", reject);
    socket.once("close", () => resolve(said.split("\r\n")[0] ?? ""));
  });
}

describe("the port that a login waits at", () => {
  it("bears with any target, and waits for its own", async (test) => {
    const loopback = await listenForRedirect("state", 0);
    test.after(() => loopback.close());
    const port = Number(new URL(loopback.uri).port);
    for (const target of [
      "//",
      "///x",
      "//callback",
      "/%zz",
      "http://other.test/callback?state=state",
      "*",
      "/callback/",
    ])
      assert.match(await ask(port, target), /^HTTP\/1\.1 40[04]/, target);
    assert.match(await ask(port, "/callback?state=other"), /400/);
    assert.match(await ask(port, "/callback?state=state&code=x"), /200/);
    assert.equal((await loopback.redirected).searchParams.get("code"), "x");
  });
});
