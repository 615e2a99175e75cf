import { readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { connect, createSecureContext, type TLSSocket } from "node:tls";

/** The load client, in a process of its own: does one piece of work and says how it went. */
interface Job {
  readonly work: string;
  /** Those of several servers take turns. */
  readonly ports: readonly number[];
  readonly serverName: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly count: number;
  readonly parallel: number;
  /** For work that has a time rather than an end: from when to when connections count, milliseconds since 1970. */
  readonly from?: number;
  readonly to?: number;
  /** Through a local proxy, which makes TLS of it. */
  readonly plain?: boolean;
}

const job = JSON.parse(process.argv[2] ?? "{}") as Job;
// The same suite and group for every subject: what is compared is the servers, not their taste.
const context = createSecureContext({
  ca: readFileSync(job.ca),
  cert: readFileSync(job.cert),
  key: readFileSync(job.key),
  minVersion: "TLSv1.3",
  ciphers: "TLS_AES_256_GCM_SHA384",
  ecdhCurve: "X25519",
});

let opened = 0;

const nextPort = (): number => job.ports[opened++ % job.ports.length] ?? 0;

function open(session?: Buffer): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: "127.0.0.1",
      port: nextPort(),
      servername: job.serverName,
      secureContext: context,
      ...(session === undefined ? {} : { session }),
    });
    socket.setNoDelay(true);
    socket.once("error", reject);
    socket.once("close", () => reject(new Error("closed during the handshake")));
    socket.once("secureConnect", () => resolve(socket));
  });
}

/** For bulk: TLS, or to a local proxy. */
function openBulk(): Promise<Socket> {
  if (job.plain !== true) return open();
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host: "127.0.0.1", port: nextPort(), noDelay: true });
    socket.once("error", reject);
    socket.once("connect", () => resolve(socket));
  });
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => socket.once("close", () => resolve()));

const answer = (socket: Socket): Promise<string> =>
  new Promise((resolve, reject) => {
    const tooEarly = (): void => reject(new Error("closed before an answer"));
    socket.once("close", tooEarly);
    socket.once("data", (chunk) => {
      socket.off("close", tooEarly);
      resolve(String(chunk));
    });
  });

const inParallel = (task: () => Promise<void>): Promise<unknown> =>
  Promise.all(Array.from({ length: job.parallel }, task));

/** One request and its answer, then an orderly close. */
async function once(session?: Buffer): Promise<{ reused: boolean; next: Buffer | undefined }> {
  const socket = await open(session);
  let next: Buffer | undefined;
  // TLS 1.3 sends tickets after the handshake, on a resumed connection too.
  socket.on("session", (ticket) => {
    next = ticket;
  });
  const reused = socket.isSessionReused();
  socket.write("E\nx");
  await answer(socket);
  const gone = closed(socket);
  socket.end();
  await gone;
  return { reused, next };
}

async function many(): Promise<void> {
  let left = job.count;
  await inParallel(async () => {
    while (left-- > 0) await once();
  });
}

/** One after another until the time is over; says how many of them ended in it. */
async function during(): Promise<void> {
  const { from = 0, to = 0 } = job;
  let ended = 0;
  await inParallel(async () => {
    while (Date.now() < to) {
      await once();
      const now = Date.now();
      if (now >= from && now < to) ended++;
    }
  });
  console.log(ended);
}

/** Each connection resumes with the newest ticket: a server may take each of them only once (RFC 8446 §8.1). */
async function resumed(): Promise<void> {
  let left = job.count;
  let reused = 0;
  await inParallel(async () => {
    let { next: ticket } = await once();
    while (left-- > 0) {
      const visit = await once(ticket);
      if (visit.reused) reused++;
      ticket = visit.next ?? ticket;
    }
  });
  if (reused < job.count * 0.99) throw new Error(`only ${reused} of ${job.count} were resumed`);
}

async function down(): Promise<void> {
  const socket = await openBulk();
  let left = job.count;
  socket.on("data", (chunk) => {
    left -= chunk.length;
  });
  socket.write(`D ${job.count}\n`);
  await closed(socket);
  if (left !== 0) throw new Error(`${left} bytes are missing`);
}

async function up(): Promise<void> {
  const socket = await openBulk();
  const block = Buffer.alloc(256 * 1024, 0x62);
  socket.write(`U ${job.count}\n`);
  const said = answer(socket);
  for (let left = job.count; left > 0; left -= block.length) {
    if (!socket.write(left < block.length ? block.subarray(0, left) : block)) {
      await new Promise((resolve) => socket.once("drain", resolve));
    }
  }
  if ((await said) !== "ok\n") throw new Error("no answer to the upload");
  socket.end();
  await closed(socket);
}

async function roundTrips(): Promise<void> {
  await inParallel(async () => {
    const socket = await open();
    socket.write("E\n");
    for (let left = job.count; left > 0; left--) {
      const said = answer(socket);
      socket.write("x");
      await said;
    }
    const gone = closed(socket);
    socket.end();
    await gone;
  });
}

async function idle(): Promise<void> {
  const sockets: TLSSocket[] = [];
  let left = job.count;
  await inParallel(async () => {
    while (left-- > 0) {
      const socket = await open();
      const said = answer(socket);
      socket.write("E\nx");
      await said;
      sockets.push(socket);
    }
  });
  process.stdout.write("open\n");
  // Held until the benchmark has looked.
  await new Promise((resolve) => process.stdin.once("data", resolve));
  for (const socket of sockets) socket.destroy();
  process.stdin.destroy();
}

const jobs: Readonly<Record<string, () => Promise<void>>> = {
  many,
  during,
  resumed,
  down,
  up,
  "round-trips": roundTrips,
  idle,
};
const run = jobs[job.work];
if (run === undefined) throw new Error(`no such work: ${job.work}`);
await run();
