import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import { fileURLToPath } from "node:url";
import { createSite, runtimeName, type Site, startRouter } from "../support/router.ts";
import { echo, tcpUpstream } from "../support/upstreams.ts";

/**
 * What a flood of handshakes does to a client that the router knows. Run by hand:
 *   [SALLYPORT_TEST_RUNTIME=bun SALLYPORT_TEST_COMMAND=…/bun] node dist/test/bench/flood.js [RATE] [SECONDS]
 * The flood comes from many addresses of the loopback, each connection with a whole hello, and leaves at the router's
 * first word.
 */

/** Connections of the flood that may be open at once: this machine's own bound. */
const maxOpen = 4000;
const probeEveryMs = 25;
const tickMs = 10;

/** The hello of a real client, which the router answers with all that it has. */
async function realHello(serverName: string): Promise<Buffer> {
  let heard = (_: Buffer): void => {};
  const hello = new Promise<Buffer>((resolve) => {
    heard = resolve;
  });
  const listening = await tcpUpstream((socket) => void socket.once("data", heard));
  const client = connectTls({ host: "127.0.0.1", port: listening.port, servername: serverName });
  client.on("error", () => {});
  const bytes = await hello;
  client.destroy();
  listening.close();
  return bytes;
}

/** Processor seconds of a process so far (proc(5), in hundredths). */
function cpuOf(pid: number): { user: number; system: number } {
  const [user = 0, system = 0] = readFileSync(`/proc/${pid}/stat`, "utf8")
    .split(" ")
    .slice(13, 15)
    .map(Number);
  return { user: user / 100, system: system / 100 };
}

/** Connects so often a second, for so long. */
async function flood(port: number, rate: number, seconds: number): Promise<void> {
  const hello = await realHello("a.test");
  const count = { begun: 0, answered: 0, closed: 0, failed: 0, skipped: 0 };
  let open = 0;
  const one = (): void => {
    const n = count.begun++;
    const localAddress = `127.${10 + (n % 200)}.${(n >> 3) % 250}.${1 + (n % 250)}`;
    open++;
    const socket = connectTcp({ host: "127.0.0.1", port, localAddress });
    let heard = false;
    socket.on("error", () => count.failed++);
    socket.once("connect", () => socket.write(hello));
    socket.once("data", () => {
      heard = true;
      count.answered++;
      socket.resetAndDestroy();
    });
    socket.once("close", () => {
      open--;
      if (!heard) count.closed++;
    });
  };
  const started = performance.now();
  let due = 0;
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const passed = performance.now() - started;
      for (const until = (Math.min(passed, seconds * 1000) / 1000) * rate; due < until; due++) {
        if (open < maxOpen) one();
        else count.skipped++;
      }
      if (passed < seconds * 1000) return;
      clearInterval(timer);
      resolve();
    }, tickMs);
  });
  process.stdout.write(`${JSON.stringify(count)}\n`);
  process.exit(0);
}

/** Milliseconds from dialling to the first byte back, of one client after the other. */
async function probe(
  site: Site,
  port: number,
  seconds: number,
): Promise<{ times: number[]; failed: number }> {
  const file = (name: string): Buffer => readFileSync(`${site.folder}/${name}`);
  const options = {
    ca: file("ca.crt"),
    cert: file("alice.crt"),
    key: file("alice.key"),
    servername: "a.test",
  };
  const times: number[] = [];
  let failed = 0;
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      const started = performance.now();
      const socket = connectTls({ host: "127.0.0.1", port, ...options });
      socket.setTimeout(10_000, () => socket.destroy());
      socket.once("secureConnect", () => socket.write("x"));
      socket.once("data", () => {
        times.push(performance.now() - started);
        socket.destroy();
      });
      socket.on("error", () => {});
      socket.once("close", (broke) => {
        if (broke || socket.bytesRead === 0) failed++;
        resolve();
      });
    });
  const until = performance.now() + seconds * 1000;
  const running: Promise<void>[] = [];
  while (performance.now() < until) {
    running.push(one());
    await new Promise((resolve) => setTimeout(resolve, probeEveryMs));
  }
  await Promise.all(running);
  return { times, failed };
}

const told = ({ times, failed }: { times: number[]; failed: number }): string => {
  times.sort((a, b) => a - b);
  const at = (part: number): string => (times[Math.floor(part * times.length)] ?? Number.NaN).toFixed(1);
  return `${times.length} served, ${failed} failed, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, most ${at(0.9999)} ms`;
};

async function measure(rate: number, seconds: number): Promise<void> {
  const site = await createSite(["localhost", "a.test"]);
  const upstream = await tcpUpstream(echo);
  const router = await startRouter(site, {
    SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
  });
  try {
    await probe(site, router.port, 3);
    console.log(`${runtimeName}, quiet: ${told(await probe(site, router.port, 6))}`);
    const file = fileURLToPath(import.meta.url);
    const attack = spawn(process.execPath, [file, String(rate), String(seconds), String(router.port)], {
      stdio: ["ignore", "inherit", "inherit"],
    });
    const over = new Promise((resolve) => attack.once("exit", resolve));
    await new Promise((resolve) => setTimeout(resolve, 1000));
    console.log(`${runtimeName}, flood: ${told(await probe(site, router.port, seconds - 2))}`);
    await over;
    const { user, system } = cpuOf(router.process.pid ?? 0);
    console.log(`${runtimeName}, router's processor seconds: ${user} user, ${system} system`);
    const metrics = await (await fetch(`http://127.0.0.1:${router.adminPort}/metrics`)).text();
    console.log(metrics.match(/^sallyport_(limited|connections)_total.*$/gm)?.join("\n"));
  } finally {
    const ended = new Promise((resolve) => router.process.once("exit", resolve));
    router.process.kill("SIGTERM");
    await ended;
    upstream.close();
    site.remove();
  }
}

const [rate = 5000, seconds = 30, port] = process.argv.slice(2).map(Number);
if (port === undefined) await measure(rate, seconds);
else await flood(port, rate, seconds);
