import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { ca } from "../../src/cli/ca.ts";
import type { CertificateRecord } from "../../src/enrolment/record.ts";
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
import { type Sshd, startSshd } from "../support/sshd.ts";

const page = readFileSync("docs/ssh-certificates.md", "utf8");
const section = page.slice(page.indexOf("## With `login`"));
const host = "node1.ssh.example.com";

describe("login brings an SSH certificate", {
  skip: missing("ssh", "sshd", "ssh-keygen", "curl", "bash"),
}, () => {
  let site: Site;
  let server: Sshd;
  let router: TestRouter;
  const at = (name: string): string => join(site.folder, name);
  const kept = (name: string): string => at(`config/sallyport/${name}`);

  async function authority(...args: readonly string[]): Promise<string> {
    const lines: string[] = [];
    const io = { env: {}, out: (line: string) => void lines.push(line), err: () => {} };
    assert.equal(await ca.run(args, io), 0);
    return `${lines.join("\n")}\n`;
  }
  const token = (...args: readonly string[]): Promise<string> =>
    authority("token", "--dir", at("ca"), ...args);

  async function client(...args: readonly string[]): Promise<string> {
    const [command, ...first] = sallyport;
    const env = environment({
      XDG_CONFIG_HOME: at("config"),
      SALLYPORT_ROUTER: `localhost:${router.port}`,
      SALLYPORT_CA: at("ca.crt"),
    });
    const { status, out, err } = await run(command, [...first, ...args], { env, ms: 60_000 });
    assert.equal(status, 0, err);
    return out;
  }
  const logIn = async (...args: readonly string[]) =>
    client("login", "--token", (await token(...args)).trim());
  const ssh = (...args: readonly string[]): Promise<Finished> => {
    const settings = ["BatchMode=yes", "StrictHostKeyChecking=yes", "IdentityAgent=none"];
    const options = settings.flatMap((setting) => ["-o", setting]);
    return run(program("ssh"), ["-F", at("ssh_config"), ...options, ...args], {
      env: environment({ XDG_CONFIG_HOME: at("config") }),
      ms: 60_000,
    });
  };
  const keygen = async (...args: readonly string[]): Promise<string> =>
    (await run(program("ssh-keygen"), args)).out;

  before(async () => {
    site = await createSite(["localhost", "*.ssh.example.com"]);
    const { folder } = site;
    await authority("init", "--dir", at("ca"));
    await keygen("-q", "-t", "ed25519", "-N", "", "-f", at("host_key"));
    await authority("ssh-host", "--dir", at("ca"), "--public-key", at("host_key.pub"), "--name", host);
    mkdirSync(at("principals"));
    writeFileSync(at("revoked-keys"), "");
    writeFileSync(at(`principals/${userInfo().username}`), "group:ops\n");
    server = await startSshd(at("sshd"), [
      `TrustedUserCAKeys ${folder}/users.pub`,
      "AuthorizedKeysFile none",
      ...(/```sshd_config\n([^`]*)```/.exec(section)?.[1] ?? "")
        .replaceAll("/etc/ssh", folder)
        .trim()
        .split("\n"),
      `RevokedKeys ${folder}/revoked-keys`,
      `HostKey ${folder}/host_key`,
      `HostCertificate ${folder}/host_key-cert.pub`,
    ]);
    router = await startRouter(site, {
      SALLYPORT_CLIENT_CA: at("ca/ca.crt"),
      SALLYPORT_AUTHORITY: at("ca"),
      SALLYPORT_ROUTE_NODES: `ssh://127.0.0.1:${server.port}?sni={node}.ssh.example.com`,
    });
  });
  after(async () => {
    await router?.stop();
    server?.stop();
    site?.remove();
  });

  const recorded = async (name: string): Promise<CertificateRecord> =>
    (await router.record((record) => {
      const one = record as unknown as CertificateRecord;
      return one.event === "certificate" && one.identity?.name === name;
    })) as unknown as CertificateRecord;

  it("but not before the authority has keys for that", async () => {
    await logIn("--cn", "early", "--group", "ops");
    assert.ok(!existsSync(kept("ssh-cert.pub")) && !existsSync(kept("ssh")));
    assert.equal((await recorded("early")).ssh_principals, null);
  });

  it("with which ssh gets to a host by name, and no key or fingerprint is known there or here", async () => {
    writeFileSync(at("users.pub"), await authority("ssh", "--dir", at("ca"), "--for", "sshd"));
    await logIn("--cn", "alice", "--group", "ops", "--lifetime", "30m");
    assert.equal(statSync(kept("ssh")).mode & 0o777, 0o600);
    assert.deepEqual((await recorded("alice")).ssh_principals, ["alice", "group:ops"]);
    const said = await keygen("-L", "-f", kept("ssh-cert.pub"));
    assert.match(said, /Key ID: "alice"/);
    assert.match(said, /Principals:\s+alice\n\s+group:ops\n/);
    const [, to = ""] = /Valid: from \S+ to (\S+)/.exec(said) ?? [];
    const expires = new X509Certificate(readFileSync(kept("client.crt"))).validTo;
    assert.ok(Date.parse(to) <= Date.parse(expires), `${to} ${expires}`);
    const snippet = await client("config", "ssh");
    const shown = (/```\n([^`]*)```/.exec(section)?.[1] ?? "").replaceAll(
      "/home/alice/.config",
      at("config"),
    );
    const lines = (text: string): string[] =>
      text.split("\n").filter((line) => !/^#|ProxyCommand/.test(line));
    assert.deepEqual(lines(snippet), lines(shown), "as the page shows it");
    writeFileSync(at("ssh_config"), snippet);
    const { status, out, err } = await ssh(host, "echo in");
    assert.deepEqual([status, out], [0, "in\n"], err);
  });

  it("which is renewed with the other, for the same key", async () => {
    const [key, former] = ["ssh", "ssh-cert.pub"].map((name) => readFileSync(kept(name), "utf8"));
    await client("login", "--renew");
    assert.equal(readFileSync(kept("ssh"), "utf8"), key);
    assert.notEqual(readFileSync(kept("ssh-cert.pub"), "utf8"), former);
    const { status, err } = await ssh(host, "true");
    assert.equal(status, 0, err);
  });

  it("that is revoked with the other, where sshd gets the list as the page has it", async () => {
    for (const name of ["ssh", "ssh-cert.pub", "client.crt"]) copyFileSync(kept(name), at(`lost-${name}`));
    const config = readFileSync(at("ssh_config"), "utf8");
    const lost = config
      .replace(kept("ssh-cert.pub"), at("lost-ssh-cert.pub"))
      .replace(kept("ssh"), at("lost-ssh"));
    writeFileSync(at("ssh_config-lost"), lost);
    await logIn("--cn", "carol", "--group", "ops");
    await authority("revoke", "--dir", at("ca"), "--cert", at("lost-client.crt"));
    const [, script = ""] = /```sh\n([^`]*curl[^`]*)```/.exec(page) ?? [];
    const here = script
      .replace("/etc/ssh", site.folder)
      .replace("sallyport-ca.crt", "ca.crt")
      .replace("gate.example.com:8443", `localhost:${router.port}`);
    const fetched = await run("bash", ["-euc", here]);
    assert.equal(fetched.status, 0, fetched.err);
    const refused = await ssh("-F", at("ssh_config-lost"), host, "true");
    assert.equal(refused.status, 255);
    assert.match(refused.err, /Permission denied/);
    assert.match(server.log(), /revoked by file/);
    assert.equal((await ssh(host, "true")).status, 0, "carol's is good");
  });

  it("that is refused where the group is another", async () => {
    await logIn("--cn", "mallory", "--group", "payments");
    const { status, err } = await ssh(host, "true");
    assert.equal(status, 255);
    assert.match(err, /Permission denied/);
  });
});
