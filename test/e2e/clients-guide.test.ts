import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { startKubernetes } from "../support/kubernetes.ts";
import { startMariaDb } from "../support/mariadb.ts";
import { answers, freePort } from "../support/ports.ts";
import { startPostgres } from "../support/postgres.ts";
import { missing } from "../support/programs.ts";
import { startRedis } from "../support/redis.ts";
import { createSite, environment, type Site, sallyport, startRouter } from "../support/router.ts";
import { type Finished, run } from "../support/run.ts";
import { startSshd } from "../support/sshd.ts";
import { echo, httpUpstream, tcpUpstream } from "../support/upstreams.ts";

const guide = readFileSync("docs/clients.md", "utf8");

const [, onMysql = ""] =
  /^```\n(sallyport connect shop[\s\S]*?)^```/m.exec(readFileSync("docs/mysql.md", "utf8")) ?? [];

/** The shell blocks below a heading, up to the next one. */
function blocks(heading: string): readonly string[] {
  const at = guide.indexOf(`\n${heading}\n`);
  assert.ok(at >= 0, heading);
  const [section = ""] = guide.slice(at + heading.length + 1).split(/\n##+ /);
  return [...section.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, block = ""]) => block);
}

const words = sallyport.map((word) => `'${/^(dist|src)\//.test(word) ? resolve(word) : word}'`).join(" ");
const preamble = `sallyport() { ${words} "$@"; }
ssh() { command ssh -F ~/.ssh/config "$@"; }
scp() { command scp -F ~/.ssh/config "$@"; }
`;

describe("docs/clients.md", {
  skip: missing(
    ...["bash", "psql", "initdb", "mysql", "mariadbd", "mariadb-install-db", "redis-server", "redis-cli"],
    ...["curl", "ssh", "sshd", "ssh-keygen", "scp", "kubectl", "tar"],
  ),
}, () => {
  let site: Site;
  let home: string;
  let env: NodeJS.ProcessEnv;
  let identity: string;
  const stops: (() => unknown)[] = [];

  before(async () => {
    site = await createSite(["localhost", "*.example.com", "*.ssh.example.com"]);
    stops.push(() => site.remove());
    chmodSync(site.folder, 0o755);
    home = `${site.folder}/home`;
    mkdirSync(home);
    const [postgres, mariadb, redis, sshd, api, web, greeter] = await Promise.all([
      startPostgres("installed"),
      startMariaDb(),
      startRedis(site.folder),
      startSshd(`${site.folder}/ssh`),
      startKubernetes(site),
      httpUpstream((_, response) => response.end("Hello from a web app\n")),
      tcpUpstream(echo),
    ]);
    stops.unshift(() => {
      for (const one of [postgres, mariadb, redis, sshd, api]) one.stop();
      for (const one of [web, greeter]) one.close();
    });
    identity = sshd.key;
    const router = await startRouter(site, {
      SALLYPORT_ROUTE_ORDERS: `postgres://127.0.0.1:${postgres.port}?sni=orders.example.com`,
      SALLYPORT_ROUTE_SHOP: `mysql://127.0.0.1:${mariadb.port}?sni=shop.example.com`,
      SALLYPORT_ROUTE_CACHE: `redis://127.0.0.1:${redis.port}?sni=cache.example.com`,
      SALLYPORT_ROUTE_WEB: `http://127.0.0.1:${web.port}?sni=web.example.com`,
      SALLYPORT_ROUTE_GREETER: `tcp://127.0.0.1:${greeter.port}?sni=greeter.example.com`,
      SALLYPORT_ROUTE_NODES: `ssh://127.0.0.1:${sshd.port}?sni={node}.ssh.example.com`,
      SALLYPORT_ROUTE_PROD: `kubernetes://localhost:${api.port}?sni=kube.example.com&upstream_ca=${encodeURIComponent(`${site.folder}/ca.crt`)}`,
    });
    stops.unshift(() => router.stop());
    env = environment({
      HOME: home,
      XDG_CONFIG_HOME: `${home}/.config`,
      KUBECONFIG: "",
      MYSQL_PWD: "secret",
      SALLYPORT_ROUTER: `localhost:${router.port}`,
      SALLYPORT_CA: `${site.folder}/ca.crt`,
      SALLYPORT_CLIENT_CERT: `${site.folder}/alice.crt`,
      SALLYPORT_CLIENT_KEY: `${site.folder}/alice.key`,
    });
  });
  after(async () => {
    for (const stop of stops) await stop();
  });

  const bash = (script: string): Promise<Finished> =>
    run("bash", ["-euc", preamble + script], { cwd: home, env, ms: 60_000 });

  /** Starts the first of two blocks, which stays, and gives what the second one prints. */
  async function beside(first: string, second: string): Promise<Finished> {
    const written = /--port (\d+)/.exec(first)?.[1];
    const port = written === undefined ? null : await freePort();
    const here = (text: string): string =>
      port === null ? text : text.replaceAll(written ?? "", String(port));
    const child = spawn("bash", ["-euc", preamble + here(first)], {
      cwd: home,
      env,
      stdio: ["ignore", "ignore", "inherit"],
      detached: true,
    });
    try {
      if (port !== null) await answers(port);
      // A kubeconfig names the port, so it is written once the proxy listens.
      const [, file = ""] = /--unix (\S+)/.exec(first) ?? /KUBECONFIG=~\/(\S+)/.exec(second) ?? [];
      for (let i = 0; i < 2400 && !existsSync(`${home}/${file}`); i++)
        await new Promise((next) => setTimeout(next, 25));
      return await bash(here(second));
    } finally {
      const gone = new Promise((next) => child.once("exit", next));
      process.kill(-(child.pid ?? 0), "SIGTERM");
      await gone;
    }
  }

  for (const [heading, expected] of [
    ["### Postgres", / 42\n/],
    ["### MySQL and MariaDB", /\n42\n$/],
    ["### Redis and MongoDB", /^PONG\n$/],
    ["### A web app", /^Hello from a web app\n$/],
    ["### Anything else", /^hello\n$/],
    ["### A Unix socket", / 42\n/],
  ] as const)
    it(`${heading.slice(4)}: a local proxy, and its client`, async () => {
      const [first = "", second = ""] = blocks(heading);
      const { status, out, err } = await beside(first, second);
      assert.match(out, expected, err);
      assert.equal(status, 0, err);
    });

  it("docs/mysql.md's two ways through the one port", async () => {
    const [connect = "", proxy = ""] = onMysql.split("\n");
    const { out, err } = await bash(
      `printf '[client]\\nuser=alice\\n' > .my.cnf\necho 'select 6 * 7' | ${connect}`,
    );
    assert.match(out, /\n42\n$/, err);
    const [, query = ""] = blocks("### MySQL and MariaDB");
    const beside3306 = await beside(proxy, query.replace("3307", "3306"));
    assert.match(beside3306.out, /\n42\n$/, beside3306.err);
  });

  it("connect", async () => {
    const [block = ""] = blocks("## connect");
    const { out, err } = await bash(block);
    assert.match(out, / 42\n[\s\S]*\nPONG\n[\s\S]*web-0/, err);
  });

  it("ssh", async () => {
    const [first = "", second = ""] = blocks("## ssh");
    assert.equal((await bash(first)).status, 0);
    appendFileSync(
      `${home}/.ssh/config`,
      `  IdentityFile ${identity}\n  StrictHostKeyChecking no\n  UserKnownHostsFile ${home}/known\n  BatchMode yes\n`,
    );
    const { status, out, err } = await bash(second);
    assert.equal(status, 0, err);
    assert.match(out, /load average/);
  });

  it("kubectl, by itself and through a local proxy", async () => {
    const [write = "", use = "", first = "", second = ""] = blocks("## kubectl");
    const straight = await bash(write + use);
    assert.match(straight.out, /web-0/, straight.err);
    const beside8002 = await beside(first, second);
    assert.match(beside8002.out, /web-0/, beside8002.err);
  });
});
