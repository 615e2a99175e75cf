import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, connect as dialTcp } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { connect as dialTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { createSite, everyRuntime, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { block } from "../support/state.ts";
import { connect, cut, disconnect, type Machine, machine } from "./network.ts";

const usage = "Usage, as root: node dist/test/machines/main.js [--routers N] [--rate CONNECTIONS_A_SECOND]";

/**
 * Routers on machines of their own behind a real HAProxy, with a real Redis, under load: Redis is killed and revived,
 * a router is killed, another is cut off from Redis. Prints what failed, and how long everybody took to hear.
 */

const { values } = parseArgs({
  options: { routers: { type: "string", default: "2" }, rate: { type: "string", default: "40" } },
});
const count = Number(values.routers);
const rate = Number(values.rate);
if (!(count >= 2 && count <= 20 && rate > 0)) throw new Error(usage);

const [client, balancer, redis, upstream] = [
  machine("client", 1),
  machine("balancer", 2),
  machine("redis", 3),
  machine("upstream", 4),
];
const gates = Array.from({ length: count }, (_, i) => machine(`gate${i + 1}`, 11 + i));
const all: readonly Machine[] = [client, balancer, redis, upstream, ...gates];
const self = fileURLToPath(import.meta.url);

const mode = process.env.SALLYPORT_TEST_MACHINE;
if (mode === "upstream") {
  createServer((socket) => socket.on("error", () => {}).pipe(socket)).listen(7000, upstream.address);
} else if (mode === "client") {
  await drive();
} else {
  disconnect(all);
  try {
    connect(all);
    const [program = "", ...args] = [...client.there, process.execPath, self, ...process.argv.slice(2)];
    const env = { ...process.env, SALLYPORT_TEST_MACHINE: "client" };
    process.exitCode = spawnSync(program, args, { stdio: "inherit", env }).status ?? 1;
  } finally {
    disconnect(all);
  }
}

function on(
  { there }: Machine,
  command: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): ChildProcess {
  const [program = "", ...args] = [...there, ...command];
  return spawn(program, args, { stdio: "ignore", env });
}

async function answers({ address }: Machine, port: number): Promise<void> {
  for (let i = 0; i < 400; i++) {
    const socket = dialTcp(port, address);
    const there = await Promise.race([
      once(socket, "connect").then(
        () => true,
        () => false,
      ),
      pause(500, false),
    ]);
    socket.on("error", () => {}).destroy();
    if (there) return;
    await pause(25);
  }
  throw new Error(`nothing answers on ${address}:${port}`);
}

/** One connection: there and back. Rejects where it fails. */
function visit(site: Site, to: Machine, as: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const read = (name: string): Buffer => readFileSync(`${site.folder}/${name}`);
    const socket = dialTls({
      ...{ host: to.address, port: 8443, servername: "a.test", ALPNProtocols: ["sallyport-tcp"] },
      ...{ ca: read("ca.crt"), cert: read(`${as}.crt`), key: read(`${as}.key`) },
    });
    const failed = (error: Error): void => {
      clearTimeout(late);
      socket.destroy();
      reject(error);
    };
    const late = setTimeout(() => failed(new Error("late")), 10_000);
    socket.once("error", failed);
    socket.once("close", () => failed(new Error("closed")));
    socket.once("data", () => {
      clearTimeout(late);
      resolve();
      socket.destroy();
    });
    socket.write("hello");
  });
}

function isLetIn(site: Site, to: Machine, as: string): Promise<boolean> {
  return visit(site, to, as).then(
    () => true,
    () => false,
  );
}

/** Milliseconds until it is so. */
async function until(holds: () => Promise<boolean>): Promise<number> {
  const since = performance.now();
  while (!(await holds())) {
    if (performance.now() - since > 60_000) throw new Error(`it never came to ${holds}`);
    await pause(20);
  }
  return Math.round(performance.now() - since);
}

async function drive(): Promise<void> {
  const site = await createSite(["localhost", "a.test"]);
  const day = 86_400_000;
  const people = ["mallory", "dave", "erin", "frank"];
  for (const who of people) site.save(who, await site.authority.client({ commonName: who }, day));
  const serialOf = new Map<string, string>();
  const { X509Certificate } = await import("node:crypto");
  for (const who of people)
    serialOf.set(who, new X509Certificate(readFileSync(`${site.folder}/${who}.crt`)).serialNumber);
  const denied = gates.map(() => new Set<string>());
  const deny = (gate: number, who: string): void => {
    denied[gate]?.add(serialOf.get(who) ?? "");
    writeFileSync(`${site.folder}/deny-${gate}`, [...(denied[gate] ?? []), ""].join("\n"));
  };
  for (const gate of gates.keys()) writeFileSync(`${site.folder}/deny-${gate}`, "");
  const children: ChildProcess[] = [];
  const routers: TestRouter[] = [];
  try {
    const startRedis = (): ChildProcess =>
      on(redis, [
        "redis-server",
        "--bind",
        redis.address,
        "--protected-mode",
        "no",
        "--save",
        "",
        "--dir",
        site.folder,
      ]);
    let server = startRedis();
    children.push(
      on(upstream, [process.execPath, self], { ...process.env, SALLYPORT_TEST_MACHINE: "upstream" }),
    );
    await Promise.all([answers(redis, 6379), answers(upstream, 7000)]);
    for (const [i, gate] of gates.entries()) {
      const runtime = everyRuntime[i % everyRuntime.length];
      routers.push(
        await startRouter(
          site,
          {
            SALLYPORT_LISTEN: `${gate.address}:8443`,
            SALLYPORT_ADMIN_LISTEN: `${gate.address}:8080`,
            SALLYPORT_PROXY_PROTOCOL: "optional",
            SALLYPORT_PROXY_PROTOCOL_FROM: `${balancer.address}/32`,
            SALLYPORT_ROUTE_A: `tcp://${upstream.address}:7000?sni=a.test`,
            SALLYPORT_DENY: `${site.folder}/deny-${i}`,
            SALLYPORT_STATE_URL: `redis://${redis.address}:6379`,
            SALLYPORT_STATE_SECRET: Buffer.alloc(32, 9).toString("base64"),
          },
          { through: gate.there, on: runtime?.command ?? [] },
        ),
      );
    }
    const config = block("several-machines.md", "haproxy")
      .replace(":443", `${balancer.address}:8443`)
      .replace(/^ *server gate\d .*\n/gm, "");
    const servers = gates.map(
      ({ name, address }) => `  server ${name} ${address}:8443 send-proxy-v2 check port 8080 inter 500ms`,
    );
    const limits = "defaults\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n";
    writeFileSync(`${site.folder}/haproxy.cfg`, `${limits}${config}${servers.join("\n")}\n`);
    children.push(on(balancer, ["haproxy", "-db", "-f", `${site.folder}/haproxy.cfg`]));
    await answers(balancer, 8443);

    const up = async (which: readonly Machine[], is: boolean): Promise<boolean> => {
      const texts = await Promise.all(
        which.map(({ address }) => fetch(`http://${address}:8080/metrics`).then((answer) => answer.text())),
      );
      return texts.every((text) => text.includes(`\nsallyport_state_up ${is ? 1 : 0}\n`));
    };
    const refusedAt = (which: readonly Machine[], who: string): Promise<number> =>
      until(async () => (await Promise.all(which.map((one) => isLetIn(site, one, who)))).every((is) => !is));

    const figures: Record<string, unknown> = {
      routers: count,
      runtimes: everyRuntime.map(({ name }) => name),
    };
    const load = { phase: "quiet", made: 0, failed: new Map<string, number>() };
    const under: Promise<void>[] = [];
    const timer = setInterval(() => {
      load.made++;
      const { phase } = load;
      const failed = (error: Error): void => {
        const what = `${phase}: ${error.message}`;
        load.failed.set(what, (load.failed.get(what) ?? 0) + 1);
      };
      under.push(visit(site, balancer, "alice").catch(failed));
    }, 1000 / rate);
    const phase = (name: string): void => {
      load.phase = name;
      console.log(`== ${name}`);
    };

    await until(() => up(gates, true));
    phase("deny at one");
    deny(0, "mallory");
    figures.deniedEverywhereMs = await refusedAt(gates, "mallory");

    phase("Redis killed");
    server.kill("SIGKILL");
    figures.noticedKilledMs = await until(() => up(gates, false));
    deny(1, "dave");
    await refusedAt(gates.slice(1, 2), "dave");
    await pause(2000);
    figures.deniedStaysDenied = !(await isLetIn(site, gates[0] ?? client, "mallory"));
    phase("Redis revived");
    server = startRedis();
    children.push(server);
    await answers(redis, 6379);
    figures.connectedAgainMs = await until(() => up(gates, true));
    figures.caughtUpMs = await refusedAt(gates, "dave");

    phase("partition");
    const apart = gates.at(-1) ?? client;
    const others = gates.slice(0, -1);
    const broken = cut(apart, redis);
    figures.noticedCutMs = await until(() => up([apart], false));
    deny(0, "erin");
    deny(count - 1, "frank");
    figures.deniedOnThatSideMs = await refusedAt(others, "erin");
    await refusedAt([apart], "frank");
    figures.otherSideKnowsNothing =
      (await isLetIn(site, apart, "erin")) && (await isLetIn(site, gates[0] ?? client, "frank"));
    broken.mend();
    figures.mendedMs = await until(() => up(gates, true));
    figures.bothSidesKnowMs = Math.max(await refusedAt(gates, "erin"), await refusedAt(gates, "frank"));

    phase("router killed");
    routers[0]?.process.kill("SIGKILL");
    await pause(4000);
    phase("after");
    await pause(1000);
    clearInterval(timer);
    await Promise.all(under);
    figures.connections = load.made;
    figures.failed = Object.fromEntries(load.failed);
    console.log(JSON.stringify(figures, null, 2));
  } finally {
    for (const child of children) child.kill("SIGKILL");
    for (const router of routers) router.process.kill("SIGKILL");
    site.remove();
  }
  // Redis and the routers are processes of `ip`, which are gone with it.
  process.exit();
}
