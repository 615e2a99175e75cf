import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, beforeEach, describe, it } from "node:test";
import { atEnd } from "../support/at-end.ts";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { startLoad } from "../support/load.ts";
import { missing, program } from "../support/programs.ts";
import {
  createSite,
  environment,
  runtimeName,
  type Site,
  sallyport,
  startRouter,
  type TestRouter,
} from "../support/router.ts";
import { run } from "../support/run.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

const bounded = { timeout: 240_000 };
const [command, ...args] = sallyport;
/** Deno keeps sockets that share a port behind a flag. */
const sharing = runtimeName === "deno" ? [command, "run", "--unstable-net", ...args.slice(1)] : sallyport;
/** As docs/operating.md has it. */
const [setting = ""] = /^sysctl .*$/m.exec(readFileSync("docs/operating.md", "utf8")) ?? [];
const noNamespaces =
  process.getuid?.() === 0 && existsSync("/proc/sys/net/ipv4/tcp_migrate_req")
    ? missing("ip", "nsenter", "unshare")
    : "network namespaces are root's, and need Linux 5.14";

let site: Site;
let service: Upstream;
before(async () => {
  site = await createSite(["localhost", "a.test"]);
  service = await tcpUpstream(echo);
});
after(() => {
  service?.close();
  site?.remove();
});

const routeTo = (port: number) => ({ SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${port}?sni=a.test` });
const exited = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => (child.exitCode === null ? child.once("exit", resolve) : resolve(child.exitCode)));
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A program whose first line says that it is ready; gives that line. */
async function helper(what: readonly [string, ...string[]]): Promise<readonly [ChildProcess, string]> {
  const [name, ...rest] = what;
  const child = spawn(program(name), rest, { stdio: ["ignore", "pipe", "inherit"] });
  atEnd(() => child.kill("SIGKILL"));
  const [line] = (await once(createInterface({ input: child.stdout }), "line")) as [string];
  return [child, line];
}

/** Has a socket that listens as file descriptor 3, as a service manager has, and never accepts. */
const holder = `
use Socket; use POSIX; $| = 1;
socket(my $s, AF_INET, SOCK_STREAM, 0) or die; setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
bind($s, sockaddr_in(0, INADDR_LOOPBACK)) or die; listen($s, 1024) or die;
my ($port) = sockaddr_in(getsockname($s)); POSIX::dup2(fileno($s), 3); print "$port\\n"; sleep 600;`;

/** Becomes the rest of its command line, with that socket handed on (pidfd_open, pidfd_getfd). */
const handOn = (pid: number, name = "SALLYPORT_LISTEN"): string[] => [
  program("perl"),
  "-MPOSIX",
  "-e",
  `my $fd = syscall(438, syscall(434, ${pid}, 0), 3, 0); die "$!" if $fd < 0; POSIX::dup2($fd, 3);
   $ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 1; $ENV{LISTEN_FDNAMES} = "${name}"; exec @ARGV;`,
  "--",
];

/** One router, the next one beside it, then the first one's end, while clients connect without a pause. */
async function relieve(
  begin: () => Promise<TestRouter>,
  load: Awaited<ReturnType<typeof startLoad>>,
): Promise<readonly TestRouter[]> {
  const first = await begin();
  load.begin(first.port);
  while (first.records().length < 20) await pause(25);
  const second = await begin();
  assert.equal(second.port, first.port);
  await pause(300);
  first.process.kill("SIGTERM");
  assert.equal(await exited(first.process), 0);
  const before = second.records().length;
  while (second.records().length < before + 20) await pause(25);
  const { done, failures } = await load.end();
  assert.deepEqual(failures, []);
  assert.ok(done >= 40, String(done));
  await second.stop();
  for (const router of [first, second])
    assert.ok(router.records().some(({ outcome, reason }) => outcome === "served" && reason === "ok"));
  return [first, second];
}

describe("a router that another one relieves at a shared port", bounded, () => {
  it("loses no connection, where the runtime and the kernel can; else it says what to do", {
    skip: noNamespaces,
  }, async () => {
    if (["node", "deno"].includes(runtimeName)) {
      const without = await run(command, [...args, "serve"], {
        env: environment({ SALLYPORT_REUSE_PORT: "on", SALLYPORT_LISTEN: "127.0.0.1:0" }),
        ms: 60_000,
      });
      assert.equal(without.status, 2);
      const takes =
        runtimeName === "node"
          ? /on takes Node 23\.1\.0 or newer, .*LISTEN_FDS/
          : /on takes Deno with --unstable-net/;
      assert.match(without.err, takes);
    }
    if (runtimeName === "node") return;
    const setUp = "ip link set lo up && echo up && exec sleep 600";
    const [space] = await helper(["unshare", "--net", "sh", "-c", setUp]);
    const through = [program("nsenter"), `--net=/proc/${space.pid}/ns/net`];
    const load = await startLoad(site, "a.test", through);
    let port = 0;
    const begin = async (): Promise<TestRouter> => {
      const more = { SALLYPORT_REUSE_PORT: "on", SALLYPORT_LISTEN: `127.0.0.1:${port}` };
      const router = await startRouter(
        site,
        { ...routeTo(load.servicePort), ...more },
        { through, on: sharing },
      );
      const warns = new RegExp(`"level":"warn".*${setting.replaceAll(".", "\\.")}`);
      if (port > 0) assert.doesNotMatch(router.errors(), warns);
      else {
        assert.match(router.errors(), warns);
        const [, name = "", value] = /^sysctl (\S+)=(\d+)$/.exec(setting) ?? [];
        const on = `echo ${value} > /proc/sys/${name.replaceAll(".", "/")}`;
        await run(through[0] ?? "", [...through.slice(1), "sh", "-c", on], { ms: 60_000 });
      }
      port = router.port;
      return router;
    };
    await relieve(begin, load);
    space.kill("SIGKILL");
  });
});

describe("a router at a socket that was opened for it", { ...bounded, skip: missing("perl") }, () => {
  let keeper: ChildProcess;
  let port = 0;
  beforeEach(async () => {
    const [child, line] = await helper(["perl", "-e", holder]);
    keeper = child;
    port = Number(line);
  });
  const start = (env: Readonly<Record<string, string>>, name?: string): Promise<TestRouter> =>
    startRouter(site, env, { through: handOn(keeper.pid ?? 0, name) });

  it("listens there, and loses no connection when another one relieves it", async () => {
    const load = await startLoad(site, "a.test");
    const [first] = await relieve(() => start(routeTo(load.servicePort)), load);
    assert.equal(first?.port, port);
  });

  it("does so with several processes, where the runtime can hand it on; else it says what to do", async () => {
    const load = await startLoad(site, "a.test");
    const begin = () => start({ ...routeTo(load.servicePort), SALLYPORT_WORKERS: "2" });
    if (runtimeName === "deno")
      await assert.rejects(begin(), /LISTEN_FDS: .*expected SALLYPORT_REUSE_PORT=on/);
    else await relieve(begin, load);
  });

  it("needs no name for one alone, and carries as much as elsewhere, both ways", async () => {
    const router = await start(routeTo(service.port), "sallyport.socket");
    assert.equal(router.port, port);
    const socket = await dial(site, router.port, "a.test");
    const block = Buffer.alloc(1 << 20, "0123456789abcdef");
    const total = 24;
    const back = readAll(socket, 60_000);
    for (let i = 0; i < total; i++) if (!socket.write(block)) await once(socket, "drain");
    socket.end();
    const received = await back;
    assert.equal(received.length, total * block.length);
    assert.ok(received.subarray(-block.length).equals(block));
    const { source, bytes_in } = await router.record(({ outcome }) => outcome === "served");
    assert.equal(bytes_in, received.length);
    assert.match(source, /^127\.0\.0\.1:\d+$/);
    assert.ok(!source.endsWith(`:${port}`));
    await router.stop();
  });

  it("has its health checks there, where its name says so", async () => {
    const router = await start(routeTo(service.port), "SALLYPORT_ADMIN_LISTEN");
    assert.equal(router.adminPort, port);
    assert.notEqual(router.port, port);
    assert.equal(await (await fetch(`http://127.0.0.1:${port}/readyz`)).text(), "ready\n");
    await router.stop();
  });

  it("does not start where what it was given is no such socket", async () => {
    const given = `$ENV{LISTEN_PID} = $$; $ENV{LISTEN_FDS} = 1; open(my $f, "<", "/dev/null"); POSIX::dup2(fileno($f), 3); exec @ARGV;`;
    const [perl, ...rest] = [program("perl"), "-MPOSIX", "-e", given, "--", ...sallyport, "serve"];
    const env = environment({ SALLYPORT_LISTEN: "127.0.0.1:0", SALLYPORT_ADMIN_LISTEN: "off" });
    const { status, err } = await run(perl ?? "", rest, { env, ms: 60_000 });
    assert.equal(status, 2, err);
    assert.match(
      err,
      /LISTEN_FDS: the socket for SALLYPORT_LISTEN: file descriptor 3 is no TCP socket that listens/,
    );
  });
});

describe("a service manager", { ...bounded, skip: missing("perl", "systemd-notify") }, () => {
  it("hears when the router is ready, that it lives, reads its configuration anew, and ends", async () => {
    const path = join(site.folder, "notify");
    const listen = `
use Socket; $| = 1; my $path = "${path}";
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die; bind($s, pack_sockaddr_un($path)) or die "$!"; print "up\\n";
while (defined recv($s, my $said, 4096, 0)) { $said =~ s/\\n/ /g; print "$said\\n"; }`;
    const child = spawn(program("perl"), ["-e", listen], { stdio: ["ignore", "pipe", "inherit"] });
    atEnd(() => child.kill("SIGKILL"));
    const heard: string[] = [];
    createInterface({ input: child.stdout }).on("line", (line) => heard.push(line));
    const hears = async (words: RegExp): Promise<string> => {
      for (let i = 0; i < 2400; i++) {
        const found = heard.find((line) => words.test(line));
        if (found !== undefined) return found;
        await pause(25);
      }
      throw new Error(`never heard ${words}: ${heard.join(" | ")}`);
    };
    await hears(/^up/);
    const router = await startRouter(site, {
      ...routeTo(service.port),
      NOTIFY_SOCKET: path,
      SALLYPORT_DRAIN_TIMEOUT: "7s",
      WATCHDOG_USEC: "600000",
    });
    assert.match(await hears(/READY=1/), /STATUS=ready at 127\.0\.0\.1:\d+/);
    await hears(/WATCHDOG=1/);
    heard.length = 0;
    router.process.kill("SIGHUP");
    const reloading = await hears(/RELOADING=1/);
    const micros = Number(/MONOTONIC_USEC=(\d+)/.exec(reloading)?.[1]);
    const { stdout } = spawn(program("perl"), ["-MTime::HiRes", "-e", "print Time::HiRes::clock_gettime(1)"]);
    const now = Number((await once(stdout, "data"))[0]) * 1e6;
    assert.ok(Math.abs(now - micros) < 30e6, `${micros}, and it is ${now}`);
    await hears(/READY=1/);
    router.process.kill("SIGTERM");
    assert.equal(await exited(router.process), 0);
    assert.match(await hears(/STOPPING=1/), /EXTEND_TIMEOUT_USEC=37000000/);
    child.kill("SIGKILL");
  });

  it("that is not there costs a line of the log, and nothing else", async () => {
    const router = await startRouter(site, { ...routeTo(service.port), NOTIFY_SOCKET: "/nowhere/notify" });
    while (!/"level":"warn".*systemd-notify/.test(router.errors())) await pause(25);
    const socket = await dial(site, router.port, "a.test");
    socket.write("x");
    assert.equal(String(await firstBytes(socket)), "x");
    socket.destroy();
    await router.stop();
  });
});
