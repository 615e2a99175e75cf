import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { chmodSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { dial } from "../support/client.ts";
import { newestLibpq, type Postgres, startPostgres } from "../support/postgres.ts";
import { missing, program } from "../support/programs.ts";
import { type Redis, startRedis } from "../support/redis.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { run } from "../support/run.ts";
import { type Sshd, startSshd } from "../support/sshd.ts";
import { tcpUpstream, tlsUpstream, type Upstream } from "../support/upstreams.ts";

let site: Site;
before(async () => {
  site = await createSite(["localhost", "pg.test", "pgtls.test", "redis.test", "ssh.test", "bulk.test"]);
});
after(() => site?.remove());

describe("psql", {
  skip: missing("psql", "initdb") || (newestLibpq === undefined ? "no libpq that begins with TLS" : false),
}, () => {
  let plain: Postgres;
  let secure: Postgres;
  let router: TestRouter;
  before(async () => {
    plain = await startPostgres("installed");
    secure = await startPostgres("newest", {
      cert: `${site.folder}/server.crt`,
      key: `${site.folder}/server.key`,
    });
    router = await startRouter(site, {
      SALLYPORT_ROUTE_PG: `tcp://127.0.0.1:${plain.port}?sni=pg.test&alpn=postgresql`,
      SALLYPORT_ROUTE_PGTLS: `tls://127.0.0.1:${secure.port}?sni=pgtls.test`,
    });
  });
  after(async () => {
    await router?.stop();
    plain?.stop();
    secure?.stop();
  });

  const psql = (host: string, as: string | null, sql: string) => {
    const certificate =
      as === null ? "" : ` sslcert=${site.folder}/${as}.crt sslkey=${site.folder}/${as}.key`;
    const connection = `host=${host} hostaddr=127.0.0.1 port=${router.port} user=postgres dbname=postgres sslnegotiation=direct sslmode=verify-full sslrootcert=${site.folder}/ca.crt${certificate}`;
    return run(
      program("psql"),
      ["--no-psqlrc", "--tuples-only", "--no-align", "--command", sql, connection],
      {
        env: { PATH: process.env.PATH, HOME: site.folder, LD_LIBRARY_PATH: newestLibpq },
      },
    );
  };

  it("reaches Postgres through a tcp route with ALPN postgresql", async () => {
    const { out, err } = await psql("pg.test", "alice", "select 6 * 7");
    assert.equal(out, "42\n", err);
    const record = await router.record((one) => one.route === "pg");
    assert.deepEqual(
      [record.outcome, record.alpn, record.identity?.subject],
      ["served", "postgresql", "CN=alice,OU=payments"],
    );
  });

  it("reaches Postgres through a tls route, which keeps its own TLS", async () => {
    const { out, err } = await psql(
      "pgtls.test",
      null,
      "select ssl from pg_stat_ssl where pid = pg_backend_pid()",
    );
    assert.equal(out, "t\n", err);
  });

  it("carries a large result whole", async () => {
    const { out } = await psql(
      "pg.test",
      "alice",
      "select md5(string_agg(repeat('x', 1000), '')), repeat('y', 20000000) from generate_series(1, 1000)",
    );
    assert.equal(out.length, 32 + 1 + 20_000_000 + 1);
  });

  it("is refused without a certificate", async () => {
    assert.notEqual((await psql("pg.test", null, "select 1")).status, 0);
  });
});

describe("redis-cli", { skip: missing("redis-server", "redis-cli") }, () => {
  let server: Redis;
  let router: TestRouter;
  before(async () => {
    server = await startRedis(site.folder);
    router = await startRouter(site, {
      SALLYPORT_ROUTE_REDIS: `tcp://127.0.0.1:${server.port}?sni=redis.test`,
    });
  });
  after(async () => {
    await router?.stop();
    server?.stop();
  });

  it("talks TLS with SNI straight to the port", async () => {
    const { out, err } = await run(program("redis-cli"), [
      "-h",
      "127.0.0.1",
      "-p",
      String(router.port),
      "--tls",
      "--sni",
      "redis.test",
      "--cacert",
      `${site.folder}/ca.crt`,
      "--cert",
      `${site.folder}/alice.crt`,
      "--key",
      `${site.folder}/alice.key`,
      "ECHO",
      "hello",
    ]);
    assert.equal(out.trim(), "hello", err);
  });
});

describe("OpenSSH", { skip: missing("ssh", "sshd", "ssh-keygen", "openssl") }, () => {
  let server: Sshd;
  let router: TestRouter;
  before(async () => {
    server = await startSshd(`${site.folder}/ssh`);
    chmodSync(site.folder, 0o755);
    router = await startRouter(site, { SALLYPORT_ROUTE_SSH: `tcp://127.0.0.1:${server.port}?sni=ssh.test` });
  });
  after(async () => {
    await router?.stop();
    server?.stop();
  });

  it("goes through a tcp route with openssl as its ProxyCommand", async () => {
    const through = `${program("openssl")} s_client -quiet -connect 127.0.0.1:${router.port} -servername ssh.test -alpn sallyport-tcp -CAfile ${site.folder}/ca.crt -verify_return_error -cert ${site.folder}/alice.crt -key ${site.folder}/alice.key`;
    const { out, err } = await run(program("ssh"), [
      "-F",
      "none",
      "-i",
      `${site.folder}/ssh/user`,
      "-o",
      `ProxyCommand=${through}`,
      "-o",
      "StrictHostKeyChecking=no",
      "-o",
      `UserKnownHostsFile=${site.folder}/ssh/known`,
      "-o",
      "BatchMode=yes",
      "ssh.test",
      "echo through the gate; head -c 5000000 /dev/zero | sha256sum",
    ]);
    assert.match(out, /^through the gate\n/, err);
    assert.ok(out.includes(createHash("sha256").update(Buffer.alloc(5_000_000)).digest("hex")));
  });
});

/** Bytes that no two places of which look alike, the same again from the same seed. */
function* bytesFrom(seed: string, length: number): Generator<Buffer> {
  const block = Buffer.alloc(1 << 20);
  for (let at = 0; at < block.length; at += 64)
    createHash("sha512").update(`${seed}${at}`).digest().copy(block, at);
  for (let sent = 0, i = 0; sent < length; sent += block.length, i++) {
    const chunk = Buffer.from(block.subarray(0, Math.min(block.length, length - sent)));
    chunk.writeUInt32BE(i, 0);
    yield chunk;
  }
}

const size = 256 << 20;

describe("256 MiB", () => {
  let router: TestRouter;
  let plain: Upstream;
  let secure: Upstream;
  const sums = new Map<string, string>();
  before(async () => {
    const sum = (seed: string): string => {
      const hash = createHash("sha256");
      for (const chunk of bytesFrom(seed, size)) hash.update(chunk);
      return hash.digest("hex");
    };
    for (const seed of ["up", "down"]) sums.set(seed, sum(seed));
    // Takes everything until the client's end, answers with its checksum, then sends as much back.
    const serve = (socket: import("node:net").Socket): void => {
      socket.on("error", () => {});
      const hash = createHash("sha256");
      socket.on("data", (chunk) => hash.update(chunk));
      socket.on("end", () => {
        socket.write(`${hash.digest("hex")}\n`);
        const chunks = bytesFrom("down", size);
        const push = (): void => {
          for (;;) {
            const { done, value } = chunks.next();
            if (done === true) return void socket.end();
            if (!socket.write(value)) return void socket.once("drain", push);
          }
        };
        push();
      });
    };
    plain = await tcpUpstream(serve);
    secure = await tlsUpstream(await site.authority.server(["pgtls.test"], 86_400_000), serve);
    router = await startRouter(site, {
      SALLYPORT_ROUTE_TERM: `tcp://127.0.0.1:${plain.port}?sni=bulk.test`,
      SALLYPORT_ROUTE_PASS: `tls://127.0.0.1:${secure.port}?sni=pgtls.test`,
    });
  });
  after(async () => {
    await router?.stop();
    plain?.close();
    secure?.close();
  });

  for (const [name, what] of [
    ["bulk.test", "terminated"],
    ["pgtls.test", "passed through"],
  ] as const) {
    it(`up, half-closed, and as many down: whole, ${what}`, async () => {
      const socket = await dial(site, router.port, name);
      const hash = createHash("sha256");
      let head = "";
      const over = new Promise<void>((resolve, reject) => {
        socket.on("data", (chunk: Buffer) => {
          let rest = chunk;
          if (!head.endsWith("\n")) {
            const end = chunk.indexOf(10);
            head += chunk.subarray(0, end < 0 ? chunk.length : end + 1).toString();
            rest = end < 0 ? Buffer.alloc(0) : chunk.subarray(end + 1);
          }
          hash.update(rest);
        });
        socket.once("end", resolve);
        socket.once("error", reject);
      });
      for (const chunk of bytesFrom("up", size)) {
        if (!socket.write(chunk)) await new Promise((resolve) => socket.once("drain", resolve));
      }
      socket.end();
      await over;
      socket.destroy();
      assert.equal(head.trim(), sums.get("up"));
      assert.equal(hash.digest("hex"), sums.get("down"));
    });
  }
});
