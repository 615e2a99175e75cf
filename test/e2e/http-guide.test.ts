import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { atEnd } from "../support/at-end.ts";
import { dial, readAll } from "../support/client.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { httpUpstream, tlsUpstream } from "../support/upstreams.ts";

const [, block = ""] = /```sh\n([\s\S]*?)```/.exec(readFileSync("docs/http.md", "utf8")) ?? [];
const exports = [...block.matchAll(/^export (\w+)='(.*)'$/gm)].map(([, name = "", url = ""]) => ({
  name,
  url,
}));

describe("docs/http.md", () => {
  let site: Site;
  let router: TestRouter;
  before(async () => {
    site = await createSite(["localhost", "*.example.com", "api.internal"]);
    site.save("bob", await site.authority.client({ commonName: "bob", groups: ["marketing"] }, 86_400_000));
    const read = (file: string): string => readFileSync(`${site.folder}/${file}`, "utf8");
    const pair = { cert: read("server.crt"), key: read("server.key"), ALPNProtocols: ["http/1.1"] };
    const app = await httpUpstream((request, response) =>
      response.end(`the app, for ${request.headers["x-forwarded-client-cert"]}`),
    );
    const apis = await Promise.all(
      ["one", "two"].map((name) =>
        tlsUpstream(pair, (socket) => {
          socket.on("error", () => {});
          const body = `the API, server ${name}`;
          socket.on("data", () =>
            socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`),
          );
        }),
      ),
    );
    const grpc = createServer((_request, response) => response.end("over HTTP/2"));
    grpc.listen(0, "127.0.0.1");
    await once(grpc, "listening");
    atEnd(() => grpc.close());
    // The addresses of the page, as they are here.
    const places: Readonly<Record<string, number>> = {
      "10.0.3.7:8080": app.port,
      "10.0.3.8:443": apis[0]?.port ?? 0,
      "10.0.3.9:443": apis[1]?.port ?? 0,
      "10.0.3.10:50051": (grpc.address() as AddressInfo).port,
    };
    const placed = exports.map(({ name, url }) => {
      const here = url.replace(/10\.0\.3\.\d+:\d+/g, (place) => {
        assert.ok(place in places, place);
        return `127.0.0.1:${places[place]}`;
      });
      return [name, url.startsWith("https:") ? `${here}&upstream_ca=${site.folder}/ca.crt` : here];
    });
    router = await startRouter(site, Object.fromEntries(placed) as Record<string, string>);
  });
  after(async () => {
    await router?.stop();
    site?.remove();
  });

  const ask = async (host: string, as: string): Promise<string> => {
    const socket = await dial(site, router.port, host, { as, ALPNProtocols: ["http/1.1"] });
    socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    return (await readAll(socket)).toString();
  };

  it("has three routes", () =>
    assert.deepEqual(
      exports.map(({ name }) => name),
      ["SALLYPORT_ROUTE_APP", "SALLYPORT_ROUTE_API", "SALLYPORT_ROUTE_GRPC"],
    ));

  it("lets one group have the app, which is told who asks", async () => {
    assert.match(
      await ask("app.example.com", "alice"),
      /^HTTP\/1\.1 200 [\s\S]*the app, for Hash=.*CN=alice/,
    );
    assert.match(await ask("app.example.com", "bob"), /^HTTP\/1\.1 403 [\s\S]*identity_not_allowed/);
  });

  it("asks both servers of the API over TLS, in turns", async () => {
    const heard = [await ask("api.example.com", "alice"), await ask("api.example.com", "alice")];
    assert.deepEqual(heard.map((answer) => /server (one|two)$/.exec(answer)?.[1]).sort(), ["one", "two"]);
  });

  it("speaks HTTP/2 without TLS with what gRPC is served by", async () => {
    const socket = await dial(site, router.port, "grpc.example.com", { ALPNProtocols: ["h2"] });
    const session = connect("https://grpc.example.com", { createConnection: () => socket });
    session.on("error", () => {});
    const stream = session.request({ ":path": "/" });
    let body = "";
    for await (const part of stream) body += part;
    assert.equal(body, "over HTTP/2");
    session.destroy();
  });
});
