import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { schemes } from "../../src/adapters/registry.ts";
import { ca } from "../../src/cli/ca.ts";
import { loadConfig } from "../../src/config/load.ts";
import { files } from "../../src/runtime/files.ts";
import { dial, readAll } from "../support/client.ts";
import { startAgent } from "../support/local-proxy.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { httpUpstream, tcpUpstream } from "../support/upstreams.ts";

const blocks = [...readFileSync("docs/tunnels.md", "utf8").matchAll(/```sh\n([\s\S]*?)```/g)].map(
  ([, block = ""]) => block,
);
const sentence =
  /`SALLYPORT_AGENT_NAME=(\S+)`, `SALLYPORT_SERVICE_(\S+)=(\S+)`/.exec(
    readFileSync("docs/tunnels.md", "utf8"),
  ) ?? [];

describe("docs/tunnels.md", () => {
  let site: Site;
  let router: TestRouter;
  before(async () => {
    site = await createSite(["localhost", "panel.example.com", "*.ssh.example.com"]);
    const { authority } = site;
    const dayMs = 86_400_000;
    site.save("edge", await authority.client({ commonName: "branch", groups: ["edge"] }, dayMs));
    site.save("olga", await authority.client({ commonName: "olga", groups: ["operators"] }, dayMs));
    const exports = [...(blocks[0] ?? "").matchAll(/^export (\w+)='(.*)'$/gm)];
    assert.deepEqual(
      exports.map(([, name]) => name),
      ["SALLYPORT_TUNNEL_ALLOW", "SALLYPORT_ROUTE_SHELL", "SALLYPORT_ROUTE_PANEL"],
    );
    router = await startRouter(
      site,
      Object.fromEntries(exports.map(([, name = "", value = ""]) => [name, value])),
    );
  });
  after(async () => {
    await router?.stop();
    site?.remove();
  });

  it("publishes what its command says, and its variables", async () => {
    const banner = "SSH-2.0-Example\r\n";
    const ssh = await tcpUpstream((socket) => socket.once("data", () => socket.end(banner)));
    const web = await httpUpstream((_, response) => response.end("a panel"));
    const [, line = ""] = /^sallyport agent (.*)$/m.exec(blocks[1] ?? "") ?? [];
    const args = line
      .split(" ")
      .map((arg) => arg.replace("127.0.0.1:22", `127.0.0.1:${ssh.port}`).replace(":3000", `:${web.port}`));
    assert.deepEqual(args.slice(0, 2), ["--name", "edge-1"]);
    const options = { router: `localhost:${router.port}`, as: "edge" };
    const [, name = "", service = "", address = ""] = sentence;
    const [first] = await Promise.all([
      startAgent(site, options, args),
      startAgent(
        site,
        {
          ...options,
          env: {
            SALLYPORT_AGENT_NAME: name,
            [`SALLYPORT_SERVICE_${service}`]: address.replace(":22", `:${ssh.port}`),
          },
        },
        [],
      ),
    ]);
    const panel = await dial(site, router.port, "panel.example.com", { ALPNProtocols: ["http/1.1"] });
    panel.write("GET / HTTP/1.1\r\nHost: panel.example.com\r\nConnection: close\r\n\r\n");
    assert.match((await readAll(panel)).toString(), /a panel$/);
    first.process.kill("SIGKILL");
    await router.record((one) => one.adapter === "tunnel");
    for (const [as, answer] of [
      ["olga", banner],
      ["alice", ""],
    ] as const) {
      const shell = await dial(site, router.port, "edge-1.ssh.example.com", {
        as,
        ALPNProtocols: ["sallyport-ssh"],
      });
      shell.write("SSH-2.0-Client\r\n");
      const said = (await readAll(shell)).toString();
      if (as === "olga") assert.ok(said.startsWith(answer), said);
      else assert.ok(!said.includes(banner), said);
    }
  });

  it("has routers know each other by what its commands make", async () => {
    const folder = `${site.folder}/routers`;
    mkdirSync(folder);
    const ours = (words: string): string[] =>
      words.split(" ").map((word) => word.replace(/^(ca|router-1)$/, `${folder}/$1`));
    const [command, settings] = blocks.slice(-2);
    const [, words = ""] = /^sallyport ca (.*)$/m.exec(command ?? "") ?? [];
    assert.deepEqual(words.split(" ")[0], "router");
    const io = { env: {}, out: () => {}, err: () => {} };
    assert.equal(await ca.run(["init", "--dir", `${folder}/ca`], io), 0);
    // Of that name it is also called.
    const args = ours(words.replace("--cn router-1", "--cn=router-1"));
    assert.equal(await ca.run(args, io), 0);
    const exports = [...(settings ?? "").matchAll(/^export (\w+)='(.*)'$/gm)].map(
      ([, name = "", value = ""]) => [name, value.replace(/^router-1\./, `${folder}/router-1.`)],
    );
    const gate = ["server", "--dir", `${folder}/ca`, "--name", "gate.example.com", "--out", `${folder}/gate`];
    assert.equal(await ca.run(gate, io), 0);
    const { peers, peerAddress, table } = loadConfig(
      {
        SALLYPORT_HOST: "gate.example.com",
        SALLYPORT_CERT: `${folder}/gate.crt`,
        SALLYPORT_KEY: `${folder}/gate.key`,
        SALLYPORT_CLIENT_CA: `${folder}/ca/ca.crt`,
        ...(Object.fromEntries(exports) as Record<string, string>),
      },
      schemes,
      files,
    );
    assert.equal(peerAddress, "10.0.0.1:8443");
    assert.deepEqual(peers, [{ address: "10.0.0.2:8443" }]);
    assert.ok(table.routes.some(({ adapter }) => adapter === "peer"));
  });
});
