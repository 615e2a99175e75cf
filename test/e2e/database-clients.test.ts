import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { after, before, describe, it } from "node:test";
import { startMariaDb } from "../support/mariadb.ts";
import { startMongoDb } from "../support/mongodb.ts";
import { freePort } from "../support/ports.ts";
import { startPostgres } from "../support/postgres.ts";
import { missing, program } from "../support/programs.ts";
import { startRedis } from "../support/redis.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { run } from "../support/run.ts";

const python = "/usr/bin/python3";
const goPath = "/usr/share/gocode";
const jars = ["postgresql.jar", "mariadb-java-client.jar"].map((name) => `/usr/share/java/${name}`);
const databases = missing("initdb", "mariadbd", "mysql", "mariadb-install-db", "redis-server");

/** Why tests with these drivers are skipped, if they are. */
const withPython = (driver: string): string | false => {
  if (databases !== false) return databases;
  const found = existsSync(python) && spawnSync(python, ["-c", `import ${driver}`]).status === 0;
  return found ? false : `Python's ${driver} is not installed`;
};
const withGo = ((): string | false => {
  const needed = ["lib/pq", "jackc/pgx/v4", "go-sql-driver/mysql", "gomodule/redigo"];
  const folders = [...needed.map((name) => `github.com/${name}`), "go.mongodb.org/mongo-driver"];
  const absent = folders.filter((name) => !existsSync(`${goPath}/src/${name}`));
  return (
    databases || missing("flock", "go") || (absent.length > 0 ? `not installed: ${absent.join(", ")}` : false)
  );
})();
const withJava =
  databases ||
  missing("flock", "java", "javac") ||
  (jars.every((jar) => existsSync(jar)) ? false : "no JDBC drivers");

/** Compiled once for all runtimes, again where the source is newer: one spec at a time, the others find it done. */
function compiled(source: string, target: string, compile: (into: string) => readonly string[]): string {
  const isThere = (): boolean => existsSync(target) && statSync(target).mtimeMs > statSync(source).mtimeMs;
  if (isThere()) return target;
  const fresh = `${target}-${process.pid}`;
  mkdirSync(dirname(target), { recursive: true });
  const { status, stderr } = spawnSync("flock", [`${target}.lock`, ...compile(fresh)], {
    encoding: "utf8",
    env: { HOME: "/tmp", ...process.env, GO111MODULE: "off", GOPATH: goPath },
  });
  assert.equal(status, 0, stderr);
  if (isThere()) rmSync(fresh, { recursive: true });
  else {
    rmSync(target, { recursive: true, force: true });
    renameSync(fresh, target);
  }
  return target;
}

describe("drivers of other languages, with TLS and a certificate of their own and no password", () => {
  let site: Site;
  let router: TestRouter;
  const ports = { postgres: 0, mysql: 0, redis: 0, mongodb: 0 };
  const stops: (() => void)[] = [];

  before(async () => {
    if (databases !== false) return;
    site = await createSite(["localhost"]);
    const at = (name: string): string => `${site.folder}/${name}`;
    writeFileSync(
      at("alice.pem"),
      readFileSync(at("alice.crt"), "utf8") + readFileSync(at("alice.key"), "utf8"),
    );
    const [postgres, mysql, redis, mongodb] = await Promise.all([
      startPostgres("installed"),
      startMariaDb(),
      startRedis(site.folder),
      startMongoDb({ users: { app: "app-secret" } }),
    ]);
    stops.push(...[postgres, mysql, redis, mongodb].map((one) => () => one.stop()));
    const { status, stderr } = spawnSync(
      program("mysql"),
      [
        "--no-defaults",
        `--socket=${mysql.socket}`,
        "-uroot",
        "-e",
        "create user app@'127.0.0.1' identified by 'app-secret'",
      ],
      { encoding: "utf8" },
    );
    assert.equal(status, 0, stderr);
    spawnSync(program("psql"), [
      ...["-h", "127.0.0.1", "-p", String(postgres.port), "-U", "postgres", "-c", "create user app"],
    ]);
    spawnSync(program("redis-cli"), [
      "-p",
      String(redis.port),
      "acl",
      "setuser",
      "app",
      "on",
      ">app-secret",
      "+@all",
      "~*",
    ]);
    for (const name of Object.keys(ports) as (keyof typeof ports)[]) ports[name] = await freePort();
    const route = (scheme: keyof typeof ports, port: number): string =>
      `${scheme}://app:app-secret@127.0.0.1:${port}?port=${ports[scheme]}`;
    router = await startRouter(site, {
      SALLYPORT_ROUTE_P: route("postgres", postgres.port),
      SALLYPORT_ROUTE_M: route("mysql", mysql.port),
      SALLYPORT_ROUTE_R: route("redis", redis.port),
      SALLYPORT_ROUTE_D: route("mongodb", mongodb.port),
    });
  });
  after(async () => {
    await router?.stop();
    for (const stop of stops) stop();
    site?.remove();
  });

  const says = async (command: string, args: readonly string[]): Promise<void> => {
    const { out, err } = await run(command, args, { ms: 60_000 });
    assert.equal(out, "app\n", err);
  };

  for (const [driver, scheme] of [
    ["psycopg2", "postgres"],
    ["psycopg", "postgres"],
    ["pymysql", "mysql"],
    ["redis", "redis"],
    ["pymongo", "mongodb"],
  ] as const)
    it(`Python: ${driver}`, { skip: withPython(driver) }, () =>
      says(python, ["test/clients/clients.py", driver, String(ports[scheme]), site.folder]),
    );

  it("Go: pgx, pq, mysql, redigo, mongo-driver", { skip: withGo }, async () => {
    const source = "test/clients/clients.go";
    const binary = compiled(source, "dist/clients/go", (into) => ["go", "build", "-o", into, source]);
    for (const [driver, scheme] of [
      ["pgx", "postgres"],
      ["pq", "postgres"],
      ["mysql", "mysql"],
      ["redigo", "redis"],
      ["mongo", "mongodb"],
    ] as const)
      await says(binary, [driver, String(ports[scheme]), site.folder]);
  });

  it("JDBC: Postgres's driver and MariaDB's", { skip: withJava }, async () => {
    const source = "test/clients/Clients.java";
    const classes = compiled(source, "dist/clients/classes", (into) => ["javac", "-d", into, source]);
    const at = (name: string): string => `${site.folder}/${name}`;
    for (const args of [
      ["pkcs8", "-topk8", "-nocrypt", "-in", at("alice.key"), "-outform", "DER", "-out", at("alice.pk8")],
      [
        "pkcs12",
        "-export",
        "-in",
        at("alice.crt"),
        "-inkey",
        at("alice.key"),
        "-passout",
        "pass:changeit",
        "-out",
        at("alice.p12"),
      ],
    ])
      assert.equal(spawnSync("openssl", args).status, 0);
    const java = (url: string, question: string): Promise<void> =>
      says("java", [
        "-XX:TieredStopAtLevel=1",
        "-cp",
        [classes, ...jars].join(":"),
        "Clients",
        url,
        question,
      ]);
    const { postgres, mysql } = ports;
    await Promise.all([
      java(
        `jdbc:postgresql://localhost:${postgres}/postgres?user=app&sslmode=verify-full&sslrootcert=${at("ca.crt")}&sslcert=${at("alice.crt")}&sslkey=${at("alice.pk8")}`,
        "select current_user",
      ),
      java(
        `jdbc:mariadb://localhost:${mysql}/?user=app&useSsl=true&serverSslCert=${at("ca.crt")}&keyStore=${at("alice.p12")}&keyStorePassword=changeit`,
        "select substring_index(current_user(), '@', 1)",
      ),
    ]);
  });
});
