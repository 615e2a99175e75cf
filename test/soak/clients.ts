import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import type { Site } from "../support/router.ts";
import type { Ledger } from "./ledger.ts";

/** What all clients of a soak share. */
export interface Field {
  readonly site: Site;
  readonly port: number;
  readonly ledger: Ledger;
  readonly over: () => boolean;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const patienceMs = 20_000;
const retries = 3;

/** One connection, from hello to end: what comes back must be what was sent. */
function exchange(field: Field, serverName: string, alpn: string, sent: Buffer): Promise<void> {
  const { site, port } = field;
  const began = Date.now();
  return new Promise((resolve, reject) => {
    const raw = connectTcp({ host: "127.0.0.1", port, allowHalfOpen: true });
    const hash = createHash("sha256");
    let length = 0;
    let localPort = 0;
    let over = false;
    const done = (error: Error | null): void => {
      if (over) return;
      over = true;
      clearTimeout(late);
      raw.destroy();
      const cut = error !== null;
      if (localPort > 0) field.ledger.made(localPort, { kind: serverName, began, ended: Date.now(), cut });
      if (error === null) resolve();
      else reject(new Error(`from port ${localPort}: ${error.message}`));
    };
    const late = setTimeout(
      () => done(new Error(`nothing for ${patienceMs} ms after ${length} bytes`)),
      patienceMs,
    );
    raw.once("connect", () => {
      localPort = raw.localPort ?? 0;
    });
    raw.once("error", done);
    const socket: TLSSocket = connect({
      socket: raw,
      servername: serverName,
      ALPNProtocols: [alpn],
      ca: readFileSync(`${site.folder}/ca.crt`),
      cert: readFileSync(`${site.folder}/alice.crt`),
      key: readFileSync(`${site.folder}/alice.key`),
    });
    socket.once("secureConnect", () => socket.end(sent));
    socket.on("data", (chunk: Buffer) => {
      length += chunk.length;
      hash.update(chunk);
    });
    socket.once("error", done);
    socket.once("end", () => {
      const same = hash.digest("hex") === createHash("sha256").update(sent).digest("hex");
      done(same ? null : new Error(`${length} bytes of ${sent.length} came back, or others`));
    });
    socket.once("close", () => done(new Error(`closed after ${length} bytes of ${sent.length}`)));
  });
}

/** A request that may be made again: only where a worker was killed does that excuse the first attempt. */
async function request(field: Field, what: string, make: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const began = Date.now();
    try {
      return await make();
    } catch (error) {
      if (field.ledger.killedIn(began, Date.now()) && attempt <= retries) {
        await pause(200);
        continue;
      }
      field.ledger.failed(`${what}, attempt ${attempt}: ${error instanceof Error ? error.message : error}`);
      return;
    }
  }
}

/** Ever new connections with a few bytes each. */
export async function handshakes(field: Field): Promise<void> {
  while (!field.over()) {
    await request(field, "a handshake", () =>
      exchange(field, "echo.test", "sallyport-tcp", randomBytes(1 + Math.floor(Math.random() * 2000))),
    );
    await pause(100);
  }
}

/** Megabytes both ways. */
export async function bulk(field: Field): Promise<void> {
  while (!field.over()) {
    await request(field, "bulk", () =>
      exchange(field, "echo.test", "sallyport-tcp", randomBytes(4 * 1024 * 1024)),
    );
    await pause(1000);
  }
}

/** Says something now and then on one connection, for as long as that is there. */
export async function idler(field: Field): Promise<void> {
  const { site, port, ledger } = field;
  while (!field.over()) {
    const began = Date.now();
    const raw = connectTcp({ host: "127.0.0.1", port });
    raw.once("error", () => {});
    const socket = connect({
      socket: raw,
      servername: "echo.test",
      ALPNProtocols: ["sallyport-tcp"],
      ca: readFileSync(`${site.folder}/ca.crt`),
      cert: readFileSync(`${site.folder}/alice.crt`),
      key: readFileSync(`${site.folder}/alice.key`),
    });
    const localPort = await new Promise<number>((resolve) => {
      raw.once("connect", () => resolve(raw.localPort ?? 0));
      raw.once("close", () => resolve(0));
    });
    let why = "";
    socket.on("error", (error) => {
      why = error.message;
    });
    const closed = new Promise<boolean>((resolve) => socket.once("close", () => resolve(true)));
    let gone = false;
    while (!gone && !field.over()) {
      socket.write("still here");
      socket.resume();
      gone = await Promise.race([closed, pause(3000).then(() => false)]);
    }
    const ended = Date.now();
    if (localPort > 0) ledger.made(localPort, { kind: "idle", began, ended, cut: gone });
    if (gone && !ledger.killedIn(ended - patienceMs, ended))
      ledger.failed(`an idle connection was closed: ${why}`);
    if (!gone) socket.end();
    await Promise.race([closed, pause(5000)]);
    raw.destroy();
    if (gone) await pause(200);
  }
}

type Odd = (raw: Socket) => void;
const hello = Buffer.from("1603010200010001fc0303", "hex");

/** What clients that mean no good, or are gone, do to a connection. */
const oddities: Readonly<Record<string, Odd>> = {
  "says nothing": () => {},
  "half a hello": (raw) => raw.write(hello),
  "not TLS": (raw) => raw.write("GET / HTTP/1.1\r\n\r\n"),
  "reset in the hello": (raw) => raw.write(hello, () => setTimeout(() => raw.resetAndDestroy(), 20)),
  "closed at once": (raw) => raw.end(),
};

/** Longer than a router waits for a handshake here. */
export const oddMs = 5000;

export async function oddClients(field: Field): Promise<void> {
  for (let i = 0; !field.over(); i++) {
    const names = Object.keys(oddities);
    const name = names[i % names.length] ?? "";
    const raw = connectTcp({ host: "127.0.0.1", port: field.port });
    raw.on("error", () => {});
    raw.on("data", () => {});
    const began = Date.now();
    raw.once("connect", () => {
      const localPort = raw.localPort ?? 0;
      oddities[name]?.(raw);
      setTimeout(() => {
        raw.destroy();
        field.ledger.made(localPort, {
          kind: name,
          began,
          ended: Date.now(),
          cut: false,
          reset: name.startsWith("reset"),
        });
      }, oddMs);
    });
    await pause(150);
  }
}
