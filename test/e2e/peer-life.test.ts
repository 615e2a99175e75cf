import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import type { ConnectionRecord } from "../../src/core/record.ts";
import { type AgentHere, agentHere } from "../support/agents.ts";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { amongPeers, peerSite } from "../support/peers.ts";
import { freePort } from "../support/ports.ts";
import { type Site, startRouter, type TestRouter } from "../support/router.ts";
import { tcpUpstream, type Upstream } from "../support/upstreams.ts";

const tcp = { ALPNProtocols: ["sallyport-tcp"] };
const dayMs = 86_400_000;

let site: Site;
let a: TestRouter;
let b: TestRouter;
/** What agents dial: in front of whichever router it is told. */
let balancer: Upstream;
let behind = 0;
let agent: AgentHere;
let service: Upstream;

async function start(name: "a" | "b", more: Readonly<Record<string, string>> = {}): Promise<TestRouter> {
  return startRouter(
    site,
    amongPeers(site, name, {
      SALLYPORT_TUNNEL_ALLOW: "*=group:edge",
      SALLYPORT_DENY: `${site.folder}/deny`,
      SALLYPORT_EXPIRY_GRACE: "0s",
      SALLYPORT_ROUTE_WHO: "tcp://who?sni=who.example.com&via=edge-1",
      ...more,
    }),
  );
}

/** Put in place whole, as careful people do. */
function write(file: string, contents: string): void {
  writeFileSync(`${site.folder}/${file}.new`, contents);
  renameSync(`${site.folder}/${file}.new`, `${site.folder}/${file}`);
}

before(async () => {
  site = await peerSite(["a", "b"], ["edge-1"], ["who.example.com"]);
  write("deny", "# nobody yet\n");
  // Says hello, and then what it is told.
  service = await tcpUpstream((socket) => {
    socket.write("hello");
    socket.pipe(socket);
  });
  balancer = await tcpUpstream((near) => {
    const far = connect({ host: "127.0.0.1", port: behind, allowHalfOpen: true });
    far.on("error", () => near.destroy());
    far.on("close", () => near.destroy());
    near.on("close", () => far.destroy());
    near.pipe(far);
    far.pipe(near);
  });
  // Another one begins there when the first has gone.
  a = await start("a", { SALLYPORT_LISTEN: `127.0.0.1:${await freePort()}` });
  behind = a.port;
  b = await start("b", { SALLYPORT_PEERS: `127.0.0.1:${a.port}` });
  agent = await agentHere(site, balancer.port, "edge-1", "edge-1", {
    who: { host: "127.0.0.1", port: service.port },
  });
  await agent.until(/^connected/);
});
after(async () => {
  await Promise.all([a?.stop(), b?.stop()]);
  site?.remove();
});

/** A connection, once the service has said hello. */
async function open(router = b): Promise<Socket> {
  const socket = await dial(site, router.port, "who.example.com", tcp);
  assert.equal((await firstBytes(socket))?.toString(), "hello");
  return socket;
}

/** What `b` writes of the connection from this port, and of no other: those that ended before write theirs when they do. */
const recordFrom = (port: number | undefined): Promise<ConnectionRecord> =>
  b.record((one) => one.source.endsWith(`:${port}`));

async function says(socket: Socket, text: string): Promise<void> {
  socket.write(text);
  assert.equal((await firstBytes(socket))?.toString(), text);
}

async function logged(router: TestRouter, words: RegExp): Promise<void> {
  for (let i = 0; i < 2400 && !words.test(router.errors()); i++)
    await new Promise((resolve) => setTimeout(resolve, 25));
  assert.match(router.errors(), words);
}

const connected = (times: number): RegExp =>
  new RegExp(`(?:"message":"connected to another router"[\\s\\S]*){${times}}`);

describe("routers that know each other", () => {
  it("go on with a renewed certificate, and streams with the former one", async () => {
    const socket = await open();
    await logged(b, connected(1));
    const person = { commonName: "b", groups: ["routers"] };
    const renewed = await site.authority.router(person, "localhost", dayMs);
    write("b.key", renewed.key);
    write("b.crt", renewed.cert);
    b.process.kill("SIGHUP");
    await logged(b, /"routes_changed":"?\[?.*sallyport-peer/);
    (await open()).destroy();
    await logged(b, connected(2));
    await says(socket, "still here");
    socket.end();
    await readAll(socket);
    const record = await a.record((one) => one.adapter === "peer");
    assert.deepEqual([record.outcome, record.reason], ["served", "ok"]);
  });

  it("end what is open to one whose certificate is revoked, and dial it no more", async () => {
    const socket = await open();
    const [der = new Uint8Array(0)] = certificatesFromPem(readFileSync(`${site.folder}/a.crt`, "utf8"));
    write("deny", `${createHash("sha256").update(der).digest("hex")}\n`);
    await readAll(socket);
    const from = b.now();
    const next = await dial(site, b.port, "who.example.com", tcp);
    assert.equal(await firstBytes(next), null);
    const record = await b.record((one) => one.route === "who" && one.bytes_out === 0, from);
    assert.equal(record.reason, "upstream_refused");
    assert.match(record.detail ?? "", /revoked|denied|deny/);
    write("deny", "# nobody again\n");
    for (let i = 0; i < 1200; i++) {
      const again = await dial(site, b.port, "who.example.com", tcp);
      const said = await firstBytes(again);
      again.destroy();
      if (said !== null) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.fail("it is never dialled again");
  });

  it("go the new way once the agent has moved, and streams on the former way go on", async () => {
    const socket = await open();
    const there = await agentHere(site, b.port, "edge-1", "edge-1", {
      who: { host: "127.0.0.1", port: service.port },
    });
    await there.until(/^connected/);
    const next = await open();
    const { localPort } = next;
    await says(next, "by b alone");
    next.end();
    await readAll(next);
    await says(socket, "by a still");
    const { id } = await recordFrom(localPort);
    assert.ok(!a.records().some((one) => (one.event as string) === "forwarded" && one.id === id));
    there.agent.stop();
    await b.record((one) => one.adapter === "tunnel");
    // Back again, since there is another one.
    (await open()).destroy();
    socket.destroy();
  });

  it("say so when one is gone, and find the agent where it comes back", async () => {
    const socket = await open();
    const { localPort } = socket;
    const gone = readAll(socket);
    behind = b.port;
    await a.stop();
    await gone;
    assert.equal((await recordFrom(localPort)).reason, "upstream_refused");
    const next = await dial(site, b.port, "who.example.com", tcp);
    const nextPort = next.localPort;
    const said = await firstBytes(next);
    next.destroy();
    const record = await recordFrom(nextPort);
    // Unless the agent has come back already.
    if (said === null) assert.equal(record.reason, "upstream_unreachable");
    await agent.until(/^lost/);
    for (let i = 0; i < 2400 && agent.said.filter((line) => line.startsWith("connected")).length < 2; i++)
      await new Promise((resolve) => setTimeout(resolve, 25));
    await says(await open(), "by b");
  });

  it("lose nobody while one drains and its agent moves", async () => {
    const tunnels = (): number => b.records().filter((one) => one.adapter === "tunnel").length;
    // The one that had moved has its record.
    const before = tunnels();
    agent.agent.stop();
    // At once, whatever it carries.
    agent.agent.stop();
    await b.record(() => tunnels() > before);
    a = await start("a", { SALLYPORT_LISTEN: `127.0.0.1:${a.port}`, SALLYPORT_DRAIN_TIMEOUT: "30s" });
    behind = a.port;
    const mover = await agentHere(site, balancer.port, "edge-1", "edge-1", {
      who: { host: "127.0.0.1", port: service.port },
    });
    await mover.until(/^connected/);
    const held = await open();
    behind = b.port;
    const exited = new Promise<number | null>((resolve) => a.process.once("exit", resolve));
    if (a.process.pid !== undefined) process.kill(a.process.pid, "SIGTERM");
    let opened = 0;
    for (let moved = false; !moved; opened++) {
      moved = mover.said.filter((line) => line.startsWith("connected")).length > 1;
      (await open()).destroy();
    }
    assert.ok(opened > 1, "some came while the agent was at the router that drains");
    await says(held, "held to its end");
    held.end();
    await readAll(held);
    await says(await open(), "by b now");
    assert.equal(await exited, 0);
  });
});
