import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { dialThroughProxy, type HttpProxy } from "../../src/local/http-proxy.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import type { Runtime } from "../../src/types.ts";
import { startConnectProxy } from "../support/connect-proxy.ts";
import { echo, tcpUpstream } from "../support/upstreams.ts";

const asking = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n";

describe("a connection through an HTTP proxy", () => {
  let runtime: Runtime;
  before(async () => {
    runtime = await selectRuntime();
  });
  const by = (port: number, authorization: string | null = null): HttpProxy => ({
    host: "127.0.0.1",
    port,
    tls: false,
    authorization,
  });

  it("begins where the proxy's answer ends", async () => {
    const upstream = await tcpUpstream(echo);
    const proxy = await startConnectProxy();
    const connection = await dialThroughProxy(runtime, by(proxy.port), `127.0.0.1:${upstream.port}`, 5000);
    await connection.write(Uint8Array.of(1, 2, 3));
    await connection.closeWrite();
    assert.deepEqual([...((await connection.read()) ?? [])], [1, 2, 3]);
    assert.equal(await connection.read(), null);
    connection.abort();
  });

  const user = "Basic dXNlcjpzZWNyZXQ=";
  for (const [what, answer, authorization, words] of [
    [
      "asks who we are",
      asking,
      null,
      /said 407 Proxy Authentication Required to a connection to gate:8443: no user and password were given$/,
    ],
    ["does not know us", asking, user, /: the user and password given are not its own$/],
    [
      "refuses",
      "HTTP/1.1 403 Not\x1bAllowed\r\nContent-Length: 6\r\n\r\nsorry\n",
      null,
      /said 403 Not Allowed to /,
    ],
    ["can't reach it", "HTTP/1.0 502\r\n\r\n", null, /said 502 to a connection to gate:8443$/],
    ["speaks no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", null, /sent something that is no HTTP$/],
    ["says nothing", "", null, /said nothing$/],
    ["stops halfway", "HTTP/1.1 200 ok\r\nA: b\r\n", null, /said nothing$/],
    ["never stops", `HTTP/1.1 200 ok\r\n${"A: b\r\n".repeat(9000)}`, null, /sent more than 16384 bytes/],
  ] as const)
    it(`is none where it ${what}`, async () => {
      const proxy = await startConnectProxy(() => answer);
      const dialled = dialThroughProxy(runtime, by(proxy.port, authorization), "gate:8443", 5000);
      await assert.rejects(dialled, ({ name, reason, message }: Error & { readonly reason?: string }) => {
        assert.deepEqual([name, reason], ["Refusal", "upstream_unreachable"]);
        assert.match(message, words);
        assert.match(message, /^the proxy 127\.0\.0\.1:\d+ /);
        assert.doesNotMatch(message, /dXNlcj|secret/);
        return true;
      });
    });

  it("is none where it answers nothing in time, or is not there", async () => {
    const silent = await tcpUpstream(() => {});
    await assert.rejects(dialThroughProxy(runtime, by(silent.port), "gate:8443", 100), {
      reason: "upstream_unreachable",
      message: /did not answer within 100 ms$/,
    });
    await assert.rejects(dialThroughProxy(runtime, by(1), "gate:8443", 5000), {
      reason: "upstream_unreachable",
      message: /^the proxy 127\.0\.0\.1:1 can't be reached: /,
    });
  });
});
