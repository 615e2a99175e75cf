import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { ca } from "../../src/cli/ca.ts";
import { dial } from "../support/client.ts";
import { startAgent, type TestAgent } from "../support/local-proxy.ts";
import { answers, freePort } from "../support/ports.ts";
import { missing, program } from "../support/programs.ts";
import {
  createSite,
  environment,
  type Site,
  sallyport,
  startRouter,
  type TestRouter,
} from "../support/router.ts";
import { type Finished, run } from "../support/run.ts";
import { noTerminals, type Sshd, startSshd } from "../support/sshd.ts";
import { httpUpstream, type Upstream } from "../support/upstreams.ts";

const page = readFileSync("docs/ssh.md", "utf8");
const block = (kind: string): string => new RegExp(`\`\`\`${kind}\n([^\`]*)\`\`\``).exec(page)?.[1] ?? "";

/** The page's variables, with what can be dialled here in the place of its servers. */
const variables = (server: Sshd): Record<string, string> =>
  Object.fromEntries(
    [...block("sh").matchAll(/^(\w+)='(.*)'$/gm)].map(([, name = "", value = ""]) => [
      name,
      value.replace("{node}.internal:22", `127.0.0.1:${server.port}`),
    ]),
  );

describe("docs/ssh.md", { skip: missing("ssh", "sshd", "ssh-keygen", "scp", "sftp", "openssl") }, () => {
  let site: Site;
  let server: Sshd;
  let web: Upstream;
  let router: TestRouter;
  let agent: TestAgent;
  const at = (name: string): string => `${site.folder}/${name}`;

  before(async () => {
    site = await createSite(["localhost", "*.ssh.example.com", "*.edge.example.com"]);
    chmodSync(site.folder, 0o755);
    // With an issuing authority between root and leaf, as certificates mostly have.
    const authority = async (...args: readonly string[]): Promise<number> =>
      ca.run([args[0] ?? "", "--dir", at("ca"), ...args.slice(1)], { env: {}, out: () => {}, err: () => {} });
    await authority("init");
    for (const [name, ...groups] of [["alice", "operations"], ["mallory"], ["site-1", "edge"]] as const)
      await authority(
        "issue",
        "--cn",
        name,
        ...groups.flatMap((group) => ["--group", group]),
        "--out",
        at(name),
      );
    [server, web] = await Promise.all([
      startSshd(at("sshd")),
      httpUpstream((_, response) => response.end("a web server")),
    ]);
    router = await startRouter(site, {
      ...variables(server),
      SALLYPORT_CLIENT_CA: at("ca/ca.crt"),
      SALLYPORT_ROUTE_DOWN: "ssh://127.0.0.1:1?sni=down.ssh.example.com",
      SALLYPORT_ROUTE_WEB: `ssh://127.0.0.1:${web.port}?sni=web.ssh.example.com`,
    });
    const settings = [
      ...["BatchMode yes", "StrictHostKeyChecking no", "IdentityAgent none", "LogLevel error"],
      // The usual one is dear where one machine has both sides twenty times over.
      "KexAlgorithms curve25519-sha256",
      ...[`IdentityFile ${server.key}`, `UserKnownHostsFile ${at("known")}`],
    ];
    const shown = block("ssh_config")
      .replace("gate.example.com:8443", `127.0.0.1:${router.port}`)
      .replaceAll(/(?:ca|alice)\.(?:crt|key)/g, at("$&"));
    writeFileSync(at("ssh_config"), [...settings, shown].join("\n"));
    agent = await startAgent(site, { router: `localhost:${router.port}`, as: "site-1" }, [
      "--name=site-1",
      `--service=ssh=127.0.0.1:${server.port}`,
    ]);
  });
  after(async () => {
    await agent?.stop();
    await router?.stop();
    web?.close();
    server?.stop();
    site?.remove();
  });

  const openssh = (name: string, args: readonly string[], input: readonly string[] = []): Promise<Finished> =>
    run(program(name), ["-F", at("ssh_config"), ...args], { ms: 60_000, input });
  const ssh = (...args: readonly string[]): Promise<Finished> => openssh("ssh", args);
  const sum = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

  it("a terminal, and the record says with what software", { skip: noTerminals }, async () => {
    const from = router.now();
    const { status, out, err } = await openssh(
      "ssh",
      ["-tt", "one.ssh.example.com", "tty; read word; echo it was $word; exit 7"],
      ["hello\n"],
    );
    assert.equal(status, 7, err);
    assert.match(out, /\/dev\/pts\/\d+\r\n[\s\S]*it was hello\r\n/);
    const record = await router.record(({ route }) => route === "nodes", from);
    assert.deepEqual([record.outcome, record.adapter, record.sni], ["served", "ssh", "one.ssh.example.com"]);
    assert.match(record.software?.client ?? "", /^OpenSSH_/);
    assert.match(record.software?.server ?? "", /^OpenSSH_/);
  });

  it("files, by scp and sftp", async () => {
    const bytes = randomBytes(3_000_000);
    writeFileSync(at("file"), bytes);
    const copied = await openssh("scp", [at("file"), `two.ssh.example.com:${at("copied")}`]);
    assert.equal(copied.status, 0, copied.err);
    assert.equal(sum(readFileSync(at("copied"))), sum(bytes));
    writeFileSync(at("batch"), `get ${at("copied")} ${at("back")}\nput ${at("back")} ${at("put")}\n`);
    const batch = await openssh("sftp", ["-b", at("batch"), "three.ssh.example.com"]);
    assert.equal(batch.status, 0, batch.err);
    for (const name of ["back", "put"]) assert.equal(sum(readFileSync(at(name))), sum(bytes));
  });

  it("ports, in either direction", async () => {
    const [there, back] = [await freePort(), await freePort()];
    const forwarding = spawn(program("ssh"), [
      ...["-F", at("ssh_config"), "-N", "-o", "ExitOnForwardFailure=yes"],
      ...["-L", `127.0.0.1:${there}:127.0.0.1:${web.port}`],
      ...["-R", `127.0.0.1:${back}:127.0.0.1:${web.port}`],
      "four.ssh.example.com",
    ]);
    const gone = new Promise((resolve) => forwarding.once("exit", resolve));
    try {
      for (const port of [there, back]) {
        await answers(port);
        assert.equal(await (await fetch(`http://127.0.0.1:${port}/`)).text(), "a web server");
      }
    } finally {
      forwarding.kill();
      await gone;
    }
  });

  it("many sessions of one ControlMaster are one connection", async () => {
    const shared = ["-o", `ControlPath=${at("master")}`, "five.ssh.example.com"];
    const master = spawn(program("ssh"), ["-F", at("ssh_config"), "-M", "-N", ...shared], {
      stdio: "ignore",
    });
    const gone = new Promise((resolve) => master.once("exit", resolve));
    for (let i = 0; i < 2400 && !existsSync(at("master")); i++)
      await new Promise((next) => setTimeout(next, 25));
    const said = await Promise.all([1, 2, 3, 4, 5].map((i) => ssh(...shared, `echo ${i}`)));
    assert.equal(said.map(({ out }) => out).join(""), "1\n2\n3\n4\n5\n", said.map(({ err }) => err).join(""));
    assert.equal((await ssh("-O", "exit", ...shared)).status, 0);
    await gone;
    const ofMaster = ({ sni }: { sni: string | null }): boolean => sni === "five.ssh.example.com";
    await router.record(ofMaster);
    assert.equal(router.records().filter(ofMaster).length, 1);
  });

  it("many at once", async () => {
    const all = await Promise.all(
      Array.from({ length: 20 }, (_, i) => ssh(`node-${i}.ssh.example.com`, `echo ${i}`)),
    );
    for (const [i, { status, out, err }] of all.entries())
      assert.deepEqual([status, out], [0, `${i}\n`], err);
  });

  it("a machine behind an agent", async () => {
    const { out, err } = await ssh("site-1.edge.example.com", "echo behind NAT");
    assert.equal(out, "behind NAT\n", err);
    const record = await router.record(({ route }) => route === "edge");
    assert.deepEqual([record.upstream, record.outcome], ["site-1/ssh", "served"]);
    assert.match(record.software?.server ?? "", /^OpenSSH_/);
  });

  const refused = [
    ["down.ssh", "whose server is down", "upstream_unreachable", "the server can't be reached"],
    ["web.ssh", "whose server is a web server", "upstream_refused", "no SSH server answers at this name"],
    ["site-2.edge", "whose agent is not there", "upstream_unreachable", "the server can't be reached"],
  ] as const;
  for (const [name, what, reason, sentence] of refused)
    it(`a name ${what}: ssh prints it`, async () => {
      const { status, err } = await ssh("-o", "LogLevel=info", `${name}.example.com`, "true");
      assert.equal(status, 255);
      const record = await router.record(({ sni }) => sni === `${name}.example.com`);
      assert.equal(record.reason, reason);
      // Where the server is stays with the router.
      assert.match(
        err,
        new RegExp(`:7: sallyport: ${sentence} \\(${reason}, connection ${record.id}\\)\r?\n`),
      );
      assert.doesNotMatch(err, /ECONNREFUSED|Broken pipe/);
    });

  it("somebody who is not let in: ssh prints it, through `sallyport proxy ssh` as well", async () => {
    const config = readFileSync(at("ssh_config"), "utf8").replaceAll("/alice.", "/mallory.");
    const ours = sallyport.map((word) => `'${word}'`).join(" ");
    writeFileSync(at("ssh_config-openssl"), config);
    writeFileSync(
      at("ssh_config-ours"),
      config.replace(/ProxyCommand .*/, `ProxyCommand ${ours} proxy ssh -- %h:%p`),
    );
    const env = environment({
      SALLYPORT_ROUTER: `localhost:${router.port}`,
      SALLYPORT_CA: at("ca.crt"),
      SALLYPORT_CLIENT_CERT: at("mallory.crt"),
      SALLYPORT_CLIENT_KEY: at("mallory.key"),
      XDG_CONFIG_HOME: at("profile"),
    });
    for (const name of ["ssh_config-openssl", "ssh_config-ours"]) {
      const from = router.now();
      const { status, err } = await run(program("ssh"), ["-F", at(name), "six.ssh.example.com", "true"], {
        env,
        ms: 60_000,
      });
      assert.equal(status, 255);
      assert.match(
        err,
        /:1: sallyport: no allow rule of route nodes admits CN=mallory \(identity_not_allowed, /,
      );
      const record = await router.record(({ route }) => route === "nodes", from);
      assert.deepEqual([record.outcome, record.reason], ["refused", "identity_not_allowed"]);
      assert.deepEqual([record.upstream, record.software], [null, null]);
    }
  });

  it("a client that speaks something else", async () => {
    const from = router.now();
    const socket = await dial(site, router.port, "seven.ssh.example.com", {
      ALPNProtocols: ["sallyport-ssh"],
    });
    let said = "";
    const told = new Promise<void>((resolve, reject) => {
      socket.on("data", (chunk: Buffer) => {
        said += chunk.toString("latin1");
        if (said.includes("(protocol_error, ")) resolve();
      });
      socket.once("close", () => reject(new Error(`it closed: ${said}`)));
    });
    socket.write("GET / HTTP/1.1\r\n\r\n");
    await told;
    socket.end();
    assert.match(said, /^(?:SSH-2\.0-[^\r\n]+\r\n)[\s\S]*sallyport: the client sent no SSH: it said "GET/);
    const record = await router.record(({ sni }) => sni === "seven.ssh.example.com", from);
    assert.deepEqual([record.outcome, record.reason], ["failed", "protocol_error"]);
    assert.doesNotMatch(server.log(), /GET|Bad protocol/);
  });
});
