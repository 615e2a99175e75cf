import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { client, startAgent, type TestAgent } from "../support/local-proxy.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

const dayMs = 86_400_000;

interface Listed {
  readonly routes: readonly { readonly name: string }[];
  readonly agents?: readonly Readonly<Record<string, unknown>>[];
}

describe("agents, listed", () => {
  let site: Site;
  let router: TestRouter;
  let agent: TestAgent;
  let upstream: Upstream;
  before(async () => {
    site = await createSite(["localhost", "*.example.com"]);
    const { authority } = site;
    const person = (commonName: string, groups: string[]) => ({ commonName, groups });
    site.save("edge-1", await authority.client(person("edge-1", []), dayMs));
    site.save("olga", await authority.client(person("olga", ["operators"]), dayMs));
    const limits = { routes: ["echo"] };
    site.save(
      "limited",
      await authority.client(person("otto", ["operators"]), dayMs, Date.now(), { limits }),
    );
    upstream = await tcpUpstream(echo);
    router = await startRouter(site, {
      SALLYPORT_ADMIN_ALLOW: "cn:nobody; group:operators",
      SALLYPORT_TUNNEL_ALLOW: "edge-1=cn:edge-1",
      SALLYPORT_ROUTE_ECHO: "tcp://echo?sni=echo.example.com&via=edge-1",
      SALLYPORT_ROUTE_PAY: "tcp://127.0.0.1:1?sni=pay.example.com&allow=group:payments",
    });
    agent = await startAgent(site, { router: `localhost:${router.port}`, as: "edge-1" }, [
      "--name=edge-1",
      `--service=echo=127.0.0.1:${upstream.port}`,
      "--service=other=127.0.0.1:1",
    ]);
  });
  after(async () => {
    await agent?.stop();
    await router?.stop();
    upstream?.close();
    site?.remove();
  });

  const command = async (as: string, ...args: string[]): Promise<string> => {
    const { status, out, err } = await client(site, { router: `localhost:${router.port}`, as }, [
      "routes",
      ...args,
    ]);
    assert.equal(status, 0, err);
    return out;
  };

  const text = async (as: string | null, path: string, at: TestRouter): Promise<string> => {
    const socket = await dial(site, at.port, "localhost", { ALPNProtocols: ["http/1.1"], as });
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
    return (await readAll(socket)).toString();
  };
  const ask = async (as: string | null, at = router): Promise<[status: string, body: string]> => {
    const answer = await text(as, "/v1/routes", at);
    return [answer.slice(9, 12), /\{.*\}/s.exec(answer)?.[0] ?? ""];
  };

  it("are shown to administrators, with what they carry", async () => {
    const socket = await dial(site, router.port, "echo.example.com", { ALPNProtocols: ["sallyport-tcp"] });
    socket.write("x".repeat(5000));
    assert.ok(((await firstBytes(socket))?.length ?? 0) > 0);
    const listed = JSON.parse(await command("olga", "--json")) as Listed;
    assert.deepEqual(
      listed.routes.map(({ name }) => name),
      ["echo"],
    );
    assert.equal(listed.agents?.length, 1);
    const { name, services, version, address, subject, since, streams, bytes_in, bytes_out } =
      listed.agents?.[0] ?? {};
    assert.deepEqual([name, services, streams], ["edge-1", ["echo", "other"], 1]);
    assert.match(String(version), /^\d+\.\d+\.\d+/);
    assert.match(String(address), /^127\.0\.0\.1:\d+$/);
    assert.match(String(subject), /^CN=edge-1/);
    assert.ok(Math.abs(Date.now() - Date.parse(String(since))) < 60_000);
    assert.ok(Number(bytes_out) >= 5000 && Number(bytes_in) > 0, `${bytes_in} ${bytes_out}`);
    socket.destroy();
    const shown = await command("olga");
    assert.match(shown, /^echo +tcp +echo\.example\.com\n\nAGENT +SERVICES .*\nedge-1 +echo other +\d/);
  });

  it("are not shown to others, nor are their addresses", async () => {
    for (const as of ["alice", "edge-1", "limited"]) {
      const [status, body] = await ask(as);
      assert.equal(status, "200");
      assert.deepEqual(Object.keys(JSON.parse(body) as object), ["routes"], as);
    }
    assert.doesNotMatch(await command("alice"), /AGENT|127\.0\.0\.1/);
    assert.ok(Array.isArray(JSON.parse(await command("alice", "--json"))), "an array, as ever");
    assert.equal((await ask(null))[0], "401");
  });

  it("are shown to nobody unless it is said to whom", async () => {
    const silent = await startRouter(site, { SALLYPORT_TUNNEL_ALLOW: "edge-1=cn:edge-1" });
    assert.equal((await ask("olga", silent))[1], '{"routes":[]}');
    assert.match(await text("olga", "/", silent), /You are/);
    assert.match(await text("olga", "/status/events", silent), /^HTTP\/1\.1 403 /);
    await silent.stop();
  });
});
