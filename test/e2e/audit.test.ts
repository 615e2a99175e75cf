import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { atEnd } from "../support/at-end.ts";
import { dial, firstBytes } from "../support/client.ts";
import { freePort } from "../support/ports.ts";
import {
  createSite,
  environment,
  type Site,
  sallyport,
  startRouter,
  type TestRouter,
} from "../support/router.ts";
import { type Finished, run } from "../support/run.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

let site: Site;
let upstream: Upstream;
let paths = 0;

before(async () => {
  site = await createSite(["localhost", "a.test"]);
  upstream = await tcpUpstream(echo);
});
after(() => {
  upstream?.close();
  site?.remove();
});

const newPath = (): string => join(site.folder, `log-${++paths}`);
const serving = (more: Readonly<Record<string, string>>) =>
  startRouter(site, { SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`, ...more });

/** A connection that is served, and over. */
async function visit(router: TestRouter): Promise<void> {
  const socket = await dial(site, router.port, "a.test", { ALPNProtocols: ["sallyport-tcp"] });
  socket.write("hello");
  assert.equal((await firstBytes(socket))?.toString(), "hello");
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.end();
  await closed;
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 2400; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`it never came to ${what}`);
}

const linesIn = (path: string): string[] =>
  existsSync(path) ? readFileSync(path, "utf8").split("\n").slice(0, -1) : [];

const verify = (...args: readonly string[]): Promise<Finished> =>
  run(sallyport[0], [...sallyport.slice(1), "audit", "verify", ...args], { env: environment({}) });

async function ended(router: TestRouter): Promise<void> {
  const exit = new Promise((resolve) => router.process.once("exit", resolve));
  router.process.kill("SIGTERM");
  await exit;
}

async function metric(router: TestRouter, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${router.adminPort}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1] ?? Number.NaN);
}

interface Receiver {
  readonly port: number;
  readonly messages: () => string[];
  /** Nobody can connect, and who is connected is cut off. */
  down(): Promise<void>;
  up(): Promise<void>;
}

/** A syslog receiver that reads frames by their lengths alone. */
async function receiver(make: (accept: (socket: Socket) => void) => Server): Promise<Receiver> {
  let received = Buffer.alloc(0);
  const sockets = new Set<Socket>();
  let server: Server;
  const port = await freePort();
  const up = async (): Promise<void> => {
    server = make((socket) => {
      sockets.add(socket);
      socket.on("data", (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
      });
      socket.on("error", () => {});
    });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  };
  const down = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  await up();
  atEnd(down);
  const messages = (): string[] => {
    const found: string[] = [];
    for (let at = 0; at < received.length; ) {
      const space = received.indexOf(" ", at);
      const length = Number(received.subarray(at, space).toString());
      assert.ok(space > at && length > 0, "octets are counted");
      if (space + 1 + length > received.length) break;
      found.push(received.subarray(space + 1, space + 1 + length).toString());
      at = space + 1 + length;
    }
    return found;
  };
  return { port, messages, down, up };
}

describe("the audit log", () => {
  it("is one chain over files that are put aside, moved away, and a restart; and verify says so", async () => {
    const path = newPath();
    const env = { SALLYPORT_AUDIT_LOG: path, SALLYPORT_AUDIT_ROTATE: "1KiB,24h", SALLYPORT_AUDIT_KEEP: "20" };
    const router = await serving(env);
    for (let i = 0; i < 4; i++) {
      await visit(router);
      // Each in a turn of its own, so that the file is looked at between them.
      await until("a record", () =>
        existsSync(`${path}.${i}`) || i === 0 ? linesIn(path).length > 0 : true,
      );
    }
    await until("two files put aside", async () => {
      await visit(router);
      return existsSync(`${path}.2`);
    });
    // As logrotate does.
    renameSync(path, `${path}-moved`);
    writeFileSync(path, "");
    router.process.kill("SIGHUP");
    await visit(router);
    await until("a record in the new file", () => linesIn(path).length > 0);
    await ended(router);
    const anchors = router
      .errors()
      .split("\n")
      .filter((line) => line.includes('"audit chain"'));
    const { last, seq } = JSON.parse(anchors.at(-1) ?? "{}") as { last: string; seq: number };

    const again = await serving(env);
    await visit(again);
    await ended(again);

    const files = Array.from({ length: 20 }, (_, i) => `${path}.${i + 1}`).filter((file) => existsSync(file));
    const all = [path, `${path}-moved`, ...files];
    const whole = await verify(...all, "--last", last, "--json");
    assert.equal(whole.status, 0, whole.out + whole.err);
    const report = JSON.parse(whole.out) as {
      ok: boolean;
      lines: number;
      last: { seq: number };
      since: number;
    };
    assert.deepEqual([report.ok, report.last.seq, report.since], [true, report.lines, report.lines - seq]);
    assert.equal(all.flatMap(linesIn).length, report.lines);

    // The command as docs/observability.md has it.
    const words = /^sallyport (audit verify audit\.log\*)$/m.exec(
      readFileSync("docs/observability.md", "utf8"),
    )?.[1];
    const program = sallyport.map((word) => `'${word}'`).join(" ");
    const script = `${program} ${words?.replace("audit.log*", `'${path}'*`)}`;
    assert.equal((await run("sh", ["-c", script], { env: environment({}) })).status, 0, script);

    const oldest = files.at(-1) ?? "";
    const without = await verify(...all.filter((file) => file !== oldest));
    assert.equal(without.status, 1);
    assert.match(without.out, /broken: 1 place.*\n.*:1: lines? 1 .*missing/);
    assert.equal((await verify(...all.filter((file) => file !== oldest), "--partial")).status, 0);

    const text = readFileSync(oldest, "utf8");
    writeFileSync(oldest, text.replace('"alice', '"mallo'));
    const changed = await verify(...all);
    assert.equal(changed.status, text.includes('"alice') ? 1 : 0);
    writeFileSync(oldest, text.replace(/"bytes_in":\d+/, '"bytes_in":0'));
    const edited = await verify(...all);
    assert.equal(edited.status, 1, edited.out);
    assert.match(edited.out, /does not follow the line before: one of the two was changed/);
    assert.equal((await verify()).status, 2);
    assert.equal((await verify(path, "--last", "abc")).status, 2);
    assert.equal((await verify(newPath())).status, 1);
  });

  it("is one chain whichever worker writes, to a path and to standard output", async () => {
    const path = newPath();
    const router = await serving({ SALLYPORT_AUDIT_LOG: path, SALLYPORT_WORKERS: "2" });
    await Promise.all(Array.from({ length: 12 }, () => visit(router)));
    await until("twelve records", () => linesIn(path).length === 12);
    await ended(router);
    const { status, out } = await verify(path);
    assert.equal(status, 0, out);

    const piped = newPath();
    const through = await startRouter(
      site,
      {
        SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
        SALLYPORT_AUDIT_LOG: "-",
        SALLYPORT_AUDIT_CHAIN: "on",
        SALLYPORT_WORKERS: "2",
        OUT: piped,
      },
      { through: ["sh", "-c", 'exec "$@" > "$OUT"', "sh"] },
    );
    await Promise.all(Array.from({ length: 12 }, () => visit(through)));
    await until("twelve records", () => linesIn(piped).length === 12);
    await ended(through);
    const second = await verify(piped);
    assert.equal(second.status, 0, second.out);
  });

  it("goes to a syslog receiver over TCP, waits while that is away, and follows one chain", async () => {
    const log = await receiver((accept) => createServer(accept));
    const router = await serving({
      SALLYPORT_AUDIT_LOG: `syslog+tcp://127.0.0.1:${log.port}`,
      SALLYPORT_AUDIT_CHAIN: "on",
      SALLYPORT_WORKERS: "2",
    });
    await visit(router);
    await until("a message", () => log.messages().length === 1);
    assert.match(log.messages()[0] ?? "", /^<110>1 \S+ \S+ sallyport \d+ connection - \{"time"/);
    await log.down();
    await visit(router);
    await visit(router);
    await until("records that wait", async () => (await metric(router, "sallyport_audit_waiting")) === 2);
    await log.up();
    await until("all messages", () => log.messages().length >= 3);
    await ended(router);
    const collected = newPath();
    writeFileSync(
      collected,
      log
        .messages()
        .map((message) => `${message.slice(message.indexOf("{"))}\n`)
        .join(""),
    );
    const { status, out } = await verify(collected);
    assert.equal(status, 0, out);
  });

  it("goes to a syslog receiver over TLS, whose certificate must be right", async () => {
    const options = {
      cert: readFileSync(`${site.folder}/server.crt`),
      key: readFileSync(`${site.folder}/server.key`),
    };
    const log = await receiver((accept) => createTlsServer(options, accept).on("tlsClientError", () => {}));
    const at = (ca: string): string => `syslog+tls://localhost:${log.port}?ca=${encodeURIComponent(ca)}`;
    const router = await serving({ SALLYPORT_AUDIT_LOG: at(`${site.folder}/ca.crt`) });
    await visit(router);
    await until("a message", () => log.messages().length === 1);
    await ended(router);
    const other = await createSite(["localhost"]);
    const refusing = await serving({ SALLYPORT_AUDIT_LOG: at(`${other.folder}/ca.crt`) });
    await visit(refusing);
    await until("a failure", () => refusing.errors().includes("audit records can't be written"));
    assert.equal(log.messages().length, 1);
    await refusing.stop();
    other.remove();
  });

  it("may be full: connections are served all the same, and what is to be lost is counted", async () => {
    const router = await serving({ SALLYPORT_AUDIT_LOG: "/dev/full" });
    await visit(router);
    await until("a failure", () => router.errors().includes("audit records can't be written"));
    await visit(router);
    assert.equal(await metric(router, "sallyport_audit_waiting"), 2);
    assert.equal(await metric(router, "sallyport_audit_lost_total"), 0);
    await ended(router);
    assert.match(router.errors(), /"audit records are lost","lost":2/);
  });

  it("keeps nobody waiting where its reader does not read", async () => {
    // A pipe takes 64 KiB, and nobody reads.
    const { SALLYPORT_AUDIT_LOG: _, ...env } = environment({
      SALLYPORT_LISTEN: "127.0.0.1:0",
      SALLYPORT_ADMIN_LISTEN: "off",
      SALLYPORT_DRAIN_DELAY: "0s",
      SALLYPORT_CERT: join(site.folder, "server.crt"),
      SALLYPORT_KEY: join(site.folder, "server.key"),
      SALLYPORT_LOG_FORMAT: "json",
    });
    const child = spawn(sallyport[0], [...sallyport.slice(1), "serve"], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    atEnd(() => child.kill("SIGKILL"));
    child.stdout.pause();
    let said = "";
    child.stderr.on("data", (chunk: Buffer) => {
      said += chunk;
    });
    await until("a router", () => said.includes('"listening"'));
    const port = Number(/"address":"127\.0\.0\.1:(\d+)"/.exec(said)?.[1]);
    const refused = async (): Promise<void> => {
      const socket = new (await import("node:net")).Socket();
      socket.on("error", () => {});
      await new Promise<void>((resolve) => {
        socket.once("close", () => resolve());
        socket.connect(port, "127.0.0.1", () => socket.end("GET / HTTP/1.1\r\n\r\n"));
        socket.resume();
      });
    };
    // Each record has some 500 bytes.
    for (let i = 0; i < 20; i++) await Promise.all(Array.from({ length: 25 }, refused));
    const exit = new Promise((resolve) => child.once("exit", resolve));
    child.stdout.resume();
    child.kill("SIGTERM");
    await exit;
  });
});
