import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
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
});
