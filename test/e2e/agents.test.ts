import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import { agentHere, greet } from "../support/agents.ts";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { startAgent, type TestAgent } from "../support/local-proxy.ts";
import { freePort } from "../support/ports.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

const dayMs = 86_400_000;
const tcp = { ALPNProtocols: ["sallyport-tcp"] };
const maxStreams = 8;
const loopback = "127.0.0.1";

let site: Site;
let router: TestRouter;
let settings: Readonly<Record<string, string>>;
/** Two services that say which one they are, and then what they are told. */
let services: readonly [Upstream, Upstream];
let echoes: Upstream;

const person = (commonName: string) => ({ commonName, groups: ["edge"] });
const path = (file: string): string => `${site.folder}/${file}`;
/** Put in place whole, as careful people do. */
function write(file: string, contents: string): void {
  writeFileSync(path(`${file}.new`), contents);
  renameSync(path(`${file}.new`), path(file));
}

before(async () => {
  site = await createSite(["localhost", "*.example.com", "*.solo.example.com"]);
  for (const name of ["edge-1", "edge-2", "lost", "solo"])
    site.save(name, await site.authority.client(person(name), dayMs));
  const who = (name: string): Promise<Upstream> =>
    tcpUpstream((socket) => {
      socket.write(name);
      socket.on("data", (chunk) => socket.write(chunk));
      socket.on("end", () => socket.end());
    });
  services = await Promise.all([who("1"), who("2")]);
  echoes = await tcpUpstream(echo);
  write("deny", "# nobody yet\n");
  settings = {
    // Another one begins there when the first has gone.
    SALLYPORT_LISTEN: `${loopback}:${await freePort()}`,
    SALLYPORT_DENY: path("deny"),
    SALLYPORT_EXPIRY_GRACE: "0s",
    SALLYPORT_DRAIN_DELAY: "0s",
    SALLYPORT_TUNNEL_ALLOW: "edge=group:edge;solo=group:edge",
    SALLYPORT_TUNNEL_MAX_STREAMS: String(maxStreams),
    SALLYPORT_ROUTE_WHO: "tcp://who?sni=who.example.com&via=edge",
    SALLYPORT_ROUTE_SOLO: "tcp://{service}?sni={service}.solo.example.com&via=solo",
  };
  router = await startRouter(site, settings);
});
after(async () => {
  await router?.stop();
  site?.remove();
});

/** A connection, and what it says first. */
async function open(name = "who.example.com"): Promise<[Socket, string | undefined]> {
  const socket = await dial(site, router.port, name, tcp);
  return [socket, (await firstBytes(socket))?.toString()];
}

describe("an agent's connection", () => {
  it("ends when its certificate is revoked, whatever it carries", async () => {
    const from = router.now();
    const held = await agentHere(site, router.port, "lost", "solo", {
      who: { host: loopback, port: services[0].port },
    });
    await held.until(/^connected/);
    const [socket, said] = await open("who.solo.example.com");
    assert.equal(said, "1");
    const gone = readAll(socket);
    const [der = ""] = certificatesFromPem(readFileSync(path("lost.crt"), "utf8"));
    write("deny", `${createHash("sha256").update(der).digest("hex")}\n`);
    const record = await router.record((one) => one.adapter === "tunnel", from);
    assert.equal(record.reason, "client_cert_revoked");
    assert.equal((await gone).length, 0);
    await held.until(/^lost/);
    held.agent.stop();
  });

  it("ends when its certificate expires", async () => {
    site.save("brief", await site.authority.client(person("brief"), 8000));
    const from = router.now();
    const { answer, socket } = await greet(site, router.port, "brief", "solo");
    assert.equal(answer, null);
    await readAll(socket);
    // The one before may have come back once more.
    const record = await router.record(({ identity }) => identity?.subject.includes("brief") === true, from);
    assert.equal(record.reason, "client_cert_expired");
  });

  it("gives way to one with the new certificate, and its streams go on", async () => {
    const port = echoes.port;
    const from = router.now();
    const held = await agentHere(
      site,
      router.port,
      "solo",
      "solo",
      { echo: { host: loopback, port } },
      { lookEveryMs: 20 },
    );
    await held.until(/^connected/);
    const socket = await dial(site, router.port, "echo.solo.example.com", tcp);
    socket.write("before");
    assert.equal(String(await firstBytes(socket)), "before");
    site.save("solo", await site.authority.client(person("solo"), dayMs));
    await held.until(/^moving: there is a new certificate$/);
    // Nobody is turned away meanwhile.
    const next = await dial(site, router.port, "echo.solo.example.com", tcp);
    next.end("beside");
    assert.equal((await readAll(next)).toString(), "beside");
    socket.write("after");
    assert.equal(String(await firstBytes(socket)), "after");
    assert.equal(
      router.records(from).filter((one) => one.adapter === "tunnel").length,
      0,
      "the former connection is there for as long as its stream",
    );
    socket.end();
    const record = await router.record((one) => one.adapter === "tunnel", from);
    assert.equal(record.reason, "ok");

    // A flood of streams: those beyond what one connection may carry are refused.
    const many = await Promise.all(
      Array.from({ length: maxStreams }, () => dial(site, router.port, "echo.solo.example.com", tcp)),
    );
    for (const one of many) one.write("x");
    await Promise.all(many.map((one) => firstBytes(one)));
    const [, refused] = await open("echo.solo.example.com");
    assert.equal(refused, undefined);
    const over = await router.record((one) => one.reason === "limit_reached", from);
    assert.deepEqual([over.outcome, over.route], ["refused", "solo"]);
    assert.match(over.detail ?? "", /8 streams are open/);
    for (const one of many) one.destroy();
    held.agent.stop();
  });
});

describe("agents of one name", () => {
  let agents: readonly TestAgent[] = [];
  before(async () => {
    agents = await Promise.all(
      services.map(({ port }, i) =>
        startAgent(
          site,
          {
            router: `localhost:${router.port}`,
            as: `edge-${i + 1}`,
            env: { SALLYPORT_AGENT_NAME: "edge", SALLYPORT_SERVICE_WHO: `${loopback}:${port}` },
          },
          [],
        ),
      ),
    );
  });

  it("share the load, stand in for each other, move when the router drains, and come back", async () => {
    const [first, second] = agents;
    const pair = [await open(), await open()].sort(([, a = ""], [, b = ""]) => a.localeCompare(b));
    assert.deepEqual(
      pair.map(([, name]) => name),
      ["1", "2"],
    );
    const [[kept], [other]] = pair as [[Socket, string], [Socket, string]];
    // Its service is gone: the other one serves.
    services[1].close();
    other.destroy();
    for (let i = 0; i < 3; i++) assert.equal((await open())[1], "1");
    // It is gone itself.
    second?.process.kill("SIGKILL");
    await router.record((one) => one.identity?.subject.startsWith("CN=edge-2,") === true);
    assert.equal((await open())[1], "1");
    // The router drains: what is open goes on, and the agent looks for another.
    router.process.kill("SIGTERM");
    await first?.until(/a new connection .*: the router asks for it: it drains/);
    kept.write("still here");
    assert.equal(String(await firstBytes(kept)), "still here");
    const said = first?.said().length;
    await router.stop();
    await first?.until(/no connection to .* again in/);
    router = await startRouter(site, settings);
    await first?.until(/ publishes /, said);
    assert.equal((await open())[1], "1");
  });
});
