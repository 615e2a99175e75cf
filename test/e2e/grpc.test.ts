import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { Metadata, status } from "@grpc/grpc-js";
import { collected, GrpcClient, grpcServer } from "../support/grpc.ts";
import { eventually } from "../support/http-front.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { tlsUpstream, type Upstream } from "../support/upstreams.ts";

let site: Site;
let router: TestRouter;
let plain: Awaited<ReturnType<typeof grpcServer>>;
let secure: Awaited<ReturnType<typeof grpcServer>>;
let front: Upstream;
/** All made before the first call: on one runtime a client that is made after another was closed gets no connection. */
let clients: Record<"plain" | "secure" | "dead", GrpcClient>;

before(async () => {
  site = await createSite(["localhost", "plain.test", "secure.test", "dead.test"]);
  const read = (file: string): string => readFileSync(`${site.folder}/${file}`, "utf8");
  plain = await grpcServer();
  secure = await grpcServer();
  // TLS in front of it, since the library's own server with TLS does not get on with every runtime.
  front = await tlsUpstream(
    { cert: read("server.crt"), key: read("server.key"), ALPNProtocols: ["h2"] },
    (socket) => {
      const back = connect(secure.port, "127.0.0.1");
      for (const one of [socket, back]) one.on("error", () => {});
      socket.pipe(back).pipe(socket);
      socket.once("close", () => back.destroy());
    },
  );
  router = await startRouter(site, {
    SALLYPORT_ROUTE_PLAIN: `h2c://127.0.0.1:${plain.port}?sni=plain.test&allow=group:payments`,
    SALLYPORT_ROUTE_SECURE: `https://127.0.0.1:${front.port}?sni=secure.test&upstream_ca=${site.folder}/ca.crt&upstream_sni=localhost`,
    SALLYPORT_ROUTE_DEAD: "h2c://127.0.0.1:1?sni=dead.test",
  });
  const client = (name: string): GrpcClient => new GrpcClient(site, router.port, name);
  clients = { plain: client("plain.test"), secure: client("secure.test"), dead: client("dead.test") };
});
after(async () => {
  for (const client of Object.values(clients ?? {})) client.close();
  await router?.stop();
  plain?.close();
  secure?.close();
  front?.close();
  site?.remove();
});

for (const kind of ["plain", "secure"] as const) {
  describe(`gRPC to ${kind === "plain" ? "an h2c upstream" : "an https upstream that chooses h2 (ALPN)"}`, () => {
    let client: GrpcClient;
    const server = (): typeof plain => (kind === "plain" ? plain : secure);
    before(() => {
      client = clients[kind];
    });

    it("calls, and hears the trailers", async () => {
      const metadata = new Metadata();
      metadata.set("x-mine", "1");
      metadata.set("sallyport-identity", "root");
      metadata.set("x-forwarded-for", "6.6.6.6");
      metadata.set("bytes-bin", Buffer.from([0, 255, 10, 13]));
      const { messages, code, trailers } = await client.shout("hello", metadata);
      assert.deepEqual([messages, code, trailers["x-last"]], [["HELLO"], status.OK, "word"]);
      const seen = server().seen.metadata;
      assert.equal(seen["x-mine"], "1");
      assert.deepEqual(seen["bytes-bin"], Buffer.from([0, 255, 10, 13]));
      assert.match(String(seen["sallyport-identity"]), /^eyJ/, "the router's own word");
      assert.equal(seen["x-forwarded-for"], "127.0.0.1");
    });

    it("hears an error that comes without a message, details and all", async () => {
      const { messages, code, details } = await client.shout("fail");
      assert.deepEqual([messages, code, details], [[], status.FAILED_PRECONDITION, "no: ümlaut"]);
    });

    it("streams to the server, more than any window holds", async () => {
      const { messages, code } = await client.count(32, 64 * 1024);
      assert.deepEqual([messages, code], [[String(32 * 64 * 1024)], status.OK]);
    });

    it("streams from the server", async () => {
      const { messages, code, trailers } = await client.split("one two three");
      assert.deepEqual([messages, code, trailers["x-last"]], [["one", "two", "three"], status.OK, "word"]);
    });

    it("talks both ways, each word answered before the next", async () => {
      const call = client.talk();
      const over = collected(call);
      for (const word of ["a", "b", "c"]) {
        call.write(Buffer.from(word));
        const [heard] = (await once(call, "data")) as [Buffer];
        assert.equal(heard.toString(), `heard ${word}`);
      }
      call.end();
      assert.equal((await over).code, status.OK);
    });

    it("is cancelled at the server when the client cancels", async () => {
      const { seen } = server();
      const before = seen.cancelled;
      const call = client.wait(10_000);
      const over = collected(call);
      await once(call, "data");
      call.cancel();
      assert.equal((await over).code, status.CANCELLED);
      assert.ok(await eventually(() => seen.cancelled === before + 1), "the server was not told");
    });

    it("is cancelled at the server when the client's deadline is over", async () => {
      const { seen } = server();
      const before = seen.cancelled;
      const { code } = await collected(client.wait(300));
      assert.equal(code, status.DEADLINE_EXCEEDED);
      assert.ok(await eventually(() => seen.cancelled === before + 1), "the server was not told");
    });

    it("makes many calls at once", async () => {
      const all = await Promise.all(Array.from({ length: 200 }, (_, i) => client.shout(`n${i}`)));
      assert.deepEqual(
        all.map(({ messages }) => messages[0]),
        all.map((_, i) => `N${i}`),
      );
    });
  });
}

describe("gRPC to an upstream that is down", () => {
  it("is unavailable, and the client is told why in gRPC's own way", async () => {
    const { code, details } = await clients.dead.shout("hello");
    assert.equal(code, status.UNAVAILABLE);
    assert.match(details, /^upstream_unreachable: /);
  });
});
