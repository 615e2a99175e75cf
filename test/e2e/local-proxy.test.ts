import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { after, before, describe, it } from "node:test";
import pg from "pg";
import { client, startProxy, type TestProxy } from "../support/local-proxy.ts";
import { type MariaDb, startMariaDb } from "../support/mariadb.ts";
import { newestLibpq, type Postgres, startPostgres } from "../support/postgres.ts";
import { missing, program } from "../support/programs.ts";
import { type Redis, startRedis } from "../support/redis.ts";
import { createSite, type Site, sallyport, startRouter, type TestRouter } from "../support/router.ts";
import { type Finished, run } from "../support/run.ts";
import { type Sshd, startSshd } from "../support/sshd.ts";
import { httpUpstream, type Upstream } from "../support/upstreams.ts";

const dayMs = 86_400_000;

let site: Site;
before(async () => {
  site = await createSite(["localhost", "*.example.com", "*.ssh.example.com"]);
  site.save("mallory", await site.authority.client({ commonName: "mallory", groups: [] }, dayMs));
});
after(() => site?.remove());

const at = (router: TestRouter): string => `localhost:${router.port}`;

function psql(
  port: number,
  sql: string | readonly string[],
  env: Readonly<Record<string, string>> = {},
  connection = "",
): Promise<Finished> {
  return run(
    program("psql"),
    [
      "--no-psqlrc",
      "--tuples-only",
      "--no-align",
      ...[sql].flat().map((one) => `--command=${one}`),
      `host=localhost port=${port} user=postgres dbname=postgres ${connection}`,
    ],
    { env: { PATH: process.env.PATH, HOME: site.folder, ...env }, ms: 60_000 },
  );
}

describe("a local proxy for Postgres", { skip: missing("psql", "initdb", "pgbench") }, () => {
  let postgres: Postgres;
  let router: TestRouter;
  let proxy: TestProxy;
  const routes = (): Record<string, string> => ({
    SALLYPORT_ROUTE_ORDERS: `postgres://127.0.0.1:${postgres.port}?sni=orders.example.com&allow=cn:alice`,
  });
  before(async () => {
    postgres = await startPostgres("installed");
    router = await startRouter(site, routes());
    proxy = await startProxy(site, { router: at(router) }, ["db", "orders"]);
  });
  after(async () => {
    await proxy?.stop();
    await router?.stop();
    postgres?.stop();
  });

  for (const mode of ["disable", "allow", "prefer", "require"]) {
    it(`answers psql with sslmode=${mode}`, async () => {
      const { out, err } = await psql(proxy.port, ["\\conninfo", "select 6 * 7"], {}, `sslmode=${mode}`);
      assert.match(out, /42\n$/, err);
      assert.equal(/SSL connection/.test(out), mode === "prefer" || mode === "require", out);
    });
  }

  it("has a certificate of its own that clients may come to trust", async () => {
    const own = `${site.folder}/config/sallyport/local.crt`;
    assert.equal(statSync(own.replace(".crt", ".key")).mode & 0o777, 0o600);
    const trusting = await psql(proxy.port, "select 1", {}, `sslmode=verify-full sslrootcert=${own}`);
    assert.equal(trusting.out, "1\n", trusting.err);
    const wary = await psql(
      proxy.port,
      "select 1",
      {},
      `sslmode=verify-full sslrootcert=${site.folder}/ca.crt`,
    );
    assert.match(wary.err, /certificate verify failed/);
  });

  it("answers a client that begins with TLS", {
    skip: newestLibpq === undefined ? "no libpq that begins with TLS" : false,
  }, async () => {
    const { out, err } = await psql(
      proxy.port,
      "select 1",
      { LD_LIBRARY_PATH: newestLibpq ?? "" },
      "sslmode=require sslnegotiation=direct",
    );
    assert.equal(out, "1\n", err);
  });

  it("is recorded at the router as whose certificate it shows", async () => {
    await psql(proxy.port, "select 1");
    const record = await router.record((one) => one.route === "orders");
    assert.equal(record.identity?.subject, "CN=alice,OU=payments");
    assert.equal(record.alpn, "sallyport-postgres");
  });

  it("cancels a query on Ctrl-C", async () => {
    for (const mode of ["disable", "require"]) {
      const child = spawn(
        program("psql"),
        [
          "-X",
          "-c",
          "select pg_sleep(60)",
          `host=localhost port=${proxy.port} user=postgres sslmode=${mode}`,
        ],
        { stdio: ["ignore", "ignore", "pipe"] },
      );
      let err = "";
      child.stderr.on("data", (chunk) => {
        err += chunk;
      });
      const gone = new Promise((resolve) => child.once("close", resolve));
      for (let i = 0; i < 600; i++) {
        const { out } = await psql(
          postgres.port,
          "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)'",
        );
        if (out === "1\n") break;
      }
      child.kill("SIGINT");
      await gone;
      assert.match(err, /canceling statement due to user request/);
    }
  });

  it("carries 200 sessions at once", async () => {
    const sessions = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        // With TLS as far as the proxy, and without.
        const ssl = i % 2 === 0 ? { rejectUnauthorized: false } : false;
        const session = new pg.Client({ host: "localhost", port: proxy.port, user: "postgres", ssl });
        await session.connect();
        return session;
      }),
    );
    const answers = await Promise.all(sessions.map((session, i) => session.query(`select ${i} as n`)));
    assert.deepEqual(
      answers.map(({ rows: [row] }) => row.n),
      Array.from({ length: 200 }, (_, i) => i),
    );
    await Promise.all(sessions.map((session) => session.end()));
  });

  it("tells psql why, in Postgres's own words, where the router does not admit it", async () => {
    const other = await startProxy(site, { router: at(router), as: "mallory" }, [
      "db",
      "orders.example.com",
      "--protocol",
      "postgres",
    ]);
    try {
      for (const mode of ["disable", "require"]) {
        const { status, err } = await psql(other.port, "select 1", {}, `sslmode=${mode}`);
        assert.equal(status, 2);
        assert.match(err, /FATAL: {2}sallyport: refused \(identity_not_allowed\): no allow rule/);
      }
    } finally {
      await other.stop();
    }
  });

  it("goes on when the router was killed under load and came back", async () => {
    const own = await startRouter(site, routes());
    const listen = `127.0.0.1:${own.port}`;
    const through = await startProxy(site, { router: at(own) }, ["db", "orders"]);
    let back: TestRouter | undefined;
    try {
      const script = `${site.folder}/script.sql`;
      writeFileSync(script, "select pg_sleep(0.005);\n");
      const bench = run(program("pgbench"), ["-n", "-c", "8", "-T", "120", "-f", script], {
        env: {
          PATH: process.env.PATH,
          PGHOST: "localhost",
          PGPORT: String(through.port),
          PGUSER: "postgres",
          PGDATABASE: "postgres",
        },
        ms: 150_000,
      });
      const busy = "select count(*) from pg_stat_activity where query like '%pg_sleep(0.005)%'";
      for (let i = 0; i < 600 && Number((await psql(postgres.port, busy)).out) < 8; i++);
      await own.stop();
      const { err } = await bench;
      assert.match(err, /perhaps the backend died/);
      const meanwhile = await psql(through.port, "select 1");
      assert.match(meanwhile.err, /FATAL: {2}sallyport: localhost:\d+: /);
      back = await startRouter(site, { ...routes(), SALLYPORT_LISTEN: listen });
      const { out, err: again } = await psql(through.port, "select 1");
      assert.equal(out, "1\n", again);
    } finally {
      await through.stop();
      await back?.stop();
      await own.stop();
    }
  });

  it("connect starts psql, gives it its arguments and ends with its status", async () => {
    const good = await client(site, { router: at(router) }, [
      "connect",
      "orders",
      "--",
      "-XtAU",
      "postgres",
      "-c",
      "select 'it''s' || ' here'",
    ]);
    assert.deepEqual([good.status, good.out], [0, "it's here\n"], good.err);
    const bad = await client(
      site,
      { router: at(router) },
      ["connect", "orders", "--", "-XU", "postgres", "-v", "ON_ERROR_STOP=1", "-f", "-"],
      { input: ["select nothing;\n"] },
    );
    assert.equal(bad.status, 3, bad.err);
    const fed = await client(site, { router: at(router) }, ["connect", "orders", "--", "-XtAU", "postgres"], {
      input: ["select 11 * 11;\n"],
    });
    assert.deepEqual([fed.status, fed.out], [0, "121\n"], fed.err);
  });

  it("connect leads to the route whatever libpq is told elsewhere", async () => {
    const env = {
      PGHOSTADDR: "192.0.2.1",
      PGSERVICE: "elsewhere",
      PGSERVICEFILE: `${site.folder}/services`,
      PGSSLNEGOTIATION: "direct",
      PGSSLROOTCERT: "system",
    };
    writeFileSync(env.PGSERVICEFILE, "[elsewhere]\nhost=192.0.2.1\nport=1\nconnect_timeout=2\n");
    const args = ["connect", "orders", "--", "-XtAU", "postgres", "-c", "select 'the route'"];
    const { out, err } = await client(site, { router: at(router), env }, args);
    assert.equal(out, "the route\n", err);
  });

  it("connect leaves Ctrl-C to psql, and both end together", async () => {
    const [command, ...first] = sallyport;
    const child = spawn(
      command,
      [...first, "connect", "orders", "--", "-XtAU", "postgres", "-c", "select pg_sleep(61)"],
      {
        env: {
          ...process.env,
          XDG_CONFIG_HOME: `${site.folder}/config`,
          SALLYPORT_ROUTER: at(router),
          SALLYPORT_CA: `${site.folder}/ca.crt`,
          SALLYPORT_CLIENT_CERT: `${site.folder}/alice.crt`,
          SALLYPORT_CLIENT_KEY: `${site.folder}/alice.key`,
        },
        stdio: ["ignore", "ignore", "pipe"],
        detached: true,
      },
    );
    let err = "";
    child.stderr.on("data", (chunk) => {
      err += chunk;
    });
    const gone = new Promise<number | null>((resolve) => child.once("close", resolve));
    const asked = "select count(*) from pg_stat_activity where query = 'select pg_sleep(61)'";
    for (let i = 0; i < 2400 && (await psql(postgres.port, asked)).out !== "1\n"; i++)
      await new Promise((resolve) => setTimeout(resolve, 25));
    // As a terminal does: to everything in front.
    process.kill(-(child.pid ?? 0), "SIGINT");
    assert.equal(await gone, 1, err);
    assert.match(err, /canceling statement due to user request/);
  });

  it("listens on a Unix socket of its owner's alone", async () => {
    const folder = `${site.folder}/unix`;
    mkdirSync(folder);
    const path = `${folder}/.s.PGSQL.5432`;
    const unix = await startProxy(site, { router: at(router) }, ["db", "orders", "--unix", path]);
    try {
      assert.equal(statSync(path).mode & 0o777, 0o600);
      const { out, err } = await run(program("psql"), ["-XtAc", "select 1", `host=${folder} user=postgres`]);
      assert.equal(out, "1\n", err);
      const second = await client(site, { router: at(router) }, ["proxy", "db", "orders", "--unix", path]);
      assert.equal(second.status, 1);
      assert.match(second.err, /in use/);
      unix.process.kill("SIGKILL");
      await new Promise((resolve) => unix.process.once("exit", resolve));
      const third = await startProxy(site, { router: at(router) }, ["db", "orders", "--unix", path]);
      assert.equal(await third.stop(), 0);
    } finally {
      await unix.stop();
    }
  });
});

describe("a local proxy whose port is taken", () => {
  it("says so", async () => {
    const router = await startRouter(site, {});
    const args = ["proxy", "tcp", "a.example.com", "--alpn", "sallyport-tcp", "--port", String(router.port)];
    const { status, err } = await client(site, { router: at(router) }, args);
    assert.equal(status, 1);
    assert.match(err, /can't listen on 127\.0\.0\.1:\d+: another program listens there/);
    await router.stop();
  });
});

describe("a router that is not what was expected", () => {
  it("is said with what to do", async () => {
    const router = await startRouter(site, {});
    const other = await createSite(["localhost"]);
    try {
      const untrusted = { router: at(router), env: { SALLYPORT_CA: `${other.folder}/ca.crt` } };
      for (const args of [["routes"], ["proxy", "ssh", "a.example.com:22"]]) {
        const { status, err } = await client(site, untrusted, args);
        assert.equal(status, 1);
        assert.match(err, /certificate.*name its authority with --ca \(SALLYPORT_CA\)$/m);
      }
      const { status, err } = await client(site, { router: `127.0.0.1:${router.port}` }, ["routes"]);
      assert.equal(status, 2);
      assert.match(err, /SALLYPORT_ROUTER "127\.0\.0\.1:\d+": expected a name/);
    } finally {
      await router.stop();
      other.remove();
    }
  });
});

describe("a local proxy for MariaDB", {
  skip: missing("mysql", "mariadbd", "mariadb-install-db"),
}, () => {
  let plain: MariaDb;
  let secure: MariaDb;
  let router: TestRouter;
  before(async () => {
    chmodSync(site.folder, 0o755);
    chmodSync(`${site.folder}/server.key`, 0o644);
    plain = await startMariaDb();
    secure = await startMariaDb([
      `--ssl-cert=${site.folder}/server.crt`,
      `--ssl-key=${site.folder}/server.key`,
    ]);
    router = await startRouter(site, {
      SALLYPORT_ROUTE_SHOP: `mysql://127.0.0.1:${plain.port}?sni=shop.example.com`,
      SALLYPORT_ROUTE_VAULT: `mysql://127.0.0.1:${secure.port}?sni=vault.example.com`,
    });
  });
  after(async () => {
    await router?.stop();
    plain?.stop();
    secure?.stop();
  });

  const mysql = (port: number, sql: string, ...more: readonly string[]): Promise<Finished> =>
    run(program("mysql"), [
      "--no-defaults",
      "--protocol=tcp",
      "-h127.0.0.1",
      `-P${port}`,
      "-ualice",
      "-psecret",
      "-N",
      ...more,
      "-e",
      sql,
    ]);

  it("answers clients with TLS and without, whether the server has it or not", async () => {
    for (const route of ["shop", "vault"]) {
      const proxy = await startProxy(site, { router: at(router) }, ["db", route]);
      try {
        for (const flag of ["--skip-ssl", "--ssl"]) {
          const { out, err } = await mysql(proxy.port, "select repeat('x', 300000); select 6 * 7; \\s", flag);
          assert.match(out, /^x{300000}\n42\n/, `${route} ${flag} ${err}`);
          assert.equal(/SSL:\s+Cipher in use/.test(out), flag === "--ssl", out.slice(300_000));
        }
        const denied = await mysql(proxy.port, "select 1", "--ssl", "-pwrong");
        assert.match(denied.err, /Access denied for user 'alice'/);
      } finally {
        await proxy.stop();
      }
    }
  });

  it("connect starts mysql, with an options file if there is one", async () => {
    const file = `${site.folder}/my.cnf`;
    writeFileSync(file, "[client]\nuser=alice\npassword=secret\nhost=192.0.2.1\n");
    const args = ["connect", "shop", "--", `--defaults-file=${file}`, "-N", "-e", "select 6 * 7"];
    const { status, out, err } = await client(site, { router: at(router) }, args);
    assert.deepEqual([status, out], [0, "42\n"], err);
  });

  it("tells the client why in MySQL's own words", async () => {
    const proxy = await startProxy(site, { router: at(router) }, ["db", "shop"]);
    try {
      await router.stop();
      const { err } = await mysql(proxy.port, "select 1");
      assert.match(err, /1105.*sallyport: localhost:\d+: /);
    } finally {
      await proxy.stop();
    }
  });
});

describe("a local proxy for Redis", { skip: missing("redis-server", "redis-cli") }, () => {
  let redis: Redis;
  let router: TestRouter;
  let proxy: TestProxy;
  before(async () => {
    redis = await startRedis(site.folder);
    router = await startRouter(site, {
      SALLYPORT_ROUTE_CACHE: `redis://127.0.0.1:${redis.port}?sni=cache.example.com`,
    });
    proxy = await startProxy(site, { router: at(router) }, ["db", "cache"]);
  });
  after(async () => {
    await proxy?.stop();
    await router?.stop();
    redis?.stop();
  });
  const cli = (...args: readonly string[]): Promise<Finished> =>
    run(program("redis-cli"), ["-p", String(proxy.port), ...args]);

  it("answers redis-cli with TLS and without", async () => {
    assert.equal((await cli("set", "colour", "blue")).out, "OK\n");
    const own = `${site.folder}/config/sallyport/local.crt`;
    const { out, err } = await cli("--tls", "--cacert", own, "--sni", "localhost", "get", "colour");
    assert.equal(out, "blue\n", err);
    assert.equal((await cli("--tls", "--insecure", "ping")).out, "PONG\n");
  });

  it("connect starts redis-cli", async () => {
    const { out } = await client(site, { router: at(router) }, ["connect", "cache", "--", "get", "colour"]);
    assert.equal(out, "blue\n");
  });

  it("tells redis-cli why in its own words", async () => {
    await router.stop();
    const { out, err } = await cli("ping");
    assert.match(out + err, /ERR sallyport: localhost:\d+: /);
  });
});

describe("a local proxy for a web app", () => {
  let web: Upstream;
  let router: TestRouter;
  let proxy: TestProxy;
  before(async () => {
    web = await httpUpstream((incoming, response) => {
      if (incoming.url === "/away") {
        response.writeHead(302, { location: `https://${incoming.headers.host}/here?x=1` }).end();
      } else response.end(JSON.stringify({ url: incoming.url, headers: incoming.headers }));
    });
    router = await startRouter(site, {
      SALLYPORT_ROUTE_WEB: `http://127.0.0.1:${web.port}?sni=web.example.com`,
    });
    proxy = await startProxy(site, { router: at(router) }, ["app", "web"]);
  });
  after(async () => {
    await proxy?.stop();
    await router?.stop();
    web?.close();
  });

  const ask = (
    path: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<{ status: number | undefined; headers: NodeJS.Dict<string | string[]>; text: string }> =>
    new Promise((resolve, reject) => {
      request({ host: "127.0.0.1", port: proxy.port, path, headers }, (response) => {
        let text = "";
        response.on("data", (chunk) => {
          text += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
      })
        .on("error", reject)
        .end();
    });

  it("is asked for under its own name, and comes back under the proxy's", async () => {
    const here = `http://localhost:${proxy.port}`;
    const seen = await ask("/page?q=1", {
      host: `localhost:${proxy.port}`,
      origin: here,
      referer: `${here}/from`,
    });
    const { url, headers } = JSON.parse(seen.text) as { url: string; headers: Record<string, string> };
    const there = `web.example.com:${router.port}`;
    assert.deepEqual(
      [url, headers.host, headers.origin, headers.referer],
      ["/page?q=1", there, `https://${there}`, `https://${there}/from`],
    );
    const away = await ask("/away", { host: `localhost:${proxy.port}` });
    assert.deepEqual([away.status, away.headers.location], [302, `${here}/here?x=1`]);
  });

  it("tells the app of a page elsewhere as what it is", async () => {
    const seen = await ask("/", { host: `localhost:${proxy.port}`, origin: "https://evil.example" });
    assert.equal(
      (JSON.parse(seen.text) as { headers: Record<string, string> }).headers.origin,
      "https://evil.example",
    );
  });

  it("does not answer to a name that somebody else gave our address", async () => {
    const { status, text } = await ask("/", { host: `evil.example:${proxy.port}` });
    assert.equal(status, 421);
    assert.match(text, /local proxy/);
  });
});

describe("OpenSSH", { skip: missing("ssh", "sshd", "ssh-keygen", "scp", "sftp", "rsync", "git") }, () => {
  let server: Sshd;
  let router: TestRouter;
  let config: string;
  before(async () => {
    chmodSync(site.folder, 0o755);
    server = await startSshd(`${site.folder}/ssh`);
    router = await startRouter(site, {
      SALLYPORT_ROUTE_NODES: `ssh://127.0.0.1:${server.port}?sni={node}.ssh.example.com`,
    });
    const snippet = await client(site, { router: at(router) }, ["config", "ssh"]);
    assert.equal(snippet.status, 0, snippet.err);
    config = `${site.folder}/ssh_config`;
    writeFileSync(
      config,
      `${snippet.out}  IdentityFile ${server.key}\n  StrictHostKeyChecking no\n  UserKnownHostsFile ${site.folder}/known\n  BatchMode yes\n  LogLevel ERROR\n`,
    );
  });
  after(async () => {
    await router?.stop();
    server?.stop();
  });
  const using = ["-F", "CONFIG"];
  const ssh = (name: string, ...args: readonly string[]): Promise<Finished> =>
    run(program(name), [...using.map((word) => (word === "CONFIG" ? config : word)), ...args], {
      ms: 60_000,
    });
  const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, i) => (i * 7 + (i >> 8)) & 255));
  const sum = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

  it("reaches a node by name, with its exit status", async () => {
    const { status, out, err } = await ssh("ssh", "node1.ssh.example.com", "echo over there; exit 7");
    assert.deepEqual([status, out], [7, "over there\n"], err);
    const record = await router.record((one) => one.route === "nodes");
    assert.deepEqual([record.sni, record.alpn], ["node1.ssh.example.com", "sallyport-ssh"]);
  });

  it("copies with scp, sftp and rsync", async () => {
    writeFileSync(`${site.folder}/up`, bytes);
    const there = `${site.folder}/there`;
    assert.equal((await ssh("scp", `${site.folder}/up`, `node1.ssh.example.com:${there}`)).status, 0);
    assert.equal(sum(readFileSync(there)), sum(bytes));
    const back = await ssh("sftp", `node1.ssh.example.com:${there}`, `${site.folder}/back`);
    assert.equal(back.status, 0, back.err);
    assert.equal(sum(readFileSync(`${site.folder}/back`)), sum(bytes));
    const synced = await run(
      program("rsync"),
      ["-e", `${program("ssh")} -F ${config}`, `${site.folder}/up`, `node2.ssh.example.com:${there}-2`],
      { ms: 60_000 },
    );
    assert.equal(synced.status, 0, synced.err);
    assert.equal(sum(readFileSync(`${there}-2`)), sum(bytes));
  });

  it("clones with git", async () => {
    const origin = `${site.folder}/origin`;
    const env = {
      ...process.env,
      GIT_SSH_COMMAND: `${program("ssh")} -F ${config}`,
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_AUTHOR_NAME: "a",
      GIT_AUTHOR_EMAIL: "a@b",
      GIT_COMMITTER_NAME: "a",
      GIT_COMMITTER_EMAIL: "a@b",
    };
    await run(program("git"), ["init", "-q", origin], { env });
    await run(program("git"), ["-C", origin, "commit", "-q", "--allow-empty", "-m", "first"], { env });
    const cloned = await run(
      program("git"),
      ["clone", "-q", `node1.ssh.example.com:${origin}`, `${site.folder}/clone`],
      { env, ms: 60_000 },
    );
    assert.equal(cloned.status, 0, cloned.err);
  });

  it("connect starts ssh", async () => {
    const { status, out, err } = await client(site, { router: at(router) }, [
      "connect",
      "node9.ssh.example.com",
      "--",
      "-F",
      "none",
      "-o",
      "BatchMode=yes",
      "-o",
      "StrictHostKeyChecking=no",
      "-o",
      `UserKnownHostsFile=${site.folder}/known`,
      "-i",
      server.key,
      "echo hello",
    ]);
    assert.deepEqual([status, out], [0, "hello\n"], err);
  });

  it("says what is wrong where the host is none of the router's", async () => {
    const { status, err } = await client(site, { router: at(router) }, [
      "proxy",
      "ssh",
      "node1.example.org:22",
    ]);
    assert.equal(status, 1);
    assert.match(err, /^sallyport: /);
  });
});
