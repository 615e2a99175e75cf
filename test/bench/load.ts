import { readFileSync } from "node:fs";
import { connect, createSecureContext, type TLSSocket } from "node:tls";

/** The load client, in a process of its own: does one piece of work and says how it went. */
interface Job {
  readonly work: string;
  readonly port: number;
  readonly serverName: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly count: number;
  readonly parallel: number;
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

function open(session?: Buffer): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: "127.0.0.1",
      port: job.port,
      servername: job.serverName,
      secureContext: context,
      ...(session === undefined ? {} : { session }),
    });
    socket.setNoDelay(true);
    socket.once("error", reject);
    socket.once("secureConnect", () => resolve(socket));
  });
}

const closed = (socket: TLSSocket): Promise<void> =>
  new Promise((resolve) => socket.once("close", () => resolve()));

/** One request and its answer, then an orderly close. */
async function once(session?: Buffer): Promise<boolean> {
  const socket = await open(session);
  const reused = socket.isSessionReused();
  socket.write("E\nx");
  await new Promise<void>((resolve, reject) => {
    socket.once("data", () => resolve());
    socket.once("close", () => reject(new Error("closed before an answer")));
  });
  const gone = closed(socket);
  socket.end();
  await gone;
  return reused;
}

async function many(session?: Buffer): Promise<number> {
  let left = job.count;
  let reused = 0;
  await Promise.all(
    Array.from({ length: job.parallel }, async () => {
      while (left-- > 0) if (await once(session)) reused++;
    }),
  );
  return reused;
}

async function firstSession(): Promise<Buffer> {
  const socket = await open();
  const session = new Promise<Buffer>((resolve) => socket.once("session", resolve));
  socket.write("E\nx");
  const ticket = await session;
  socket.end();
  await closed(socket);
  return ticket;
}

async function down(): Promise<void> {
  const socket = await open();
  let left = job.count;
  socket.on("data", (chunk) => {
    left -= chunk.length;
  });
  socket.write(`D ${job.count}\n`);
  await closed(socket);
  if (left !== 0) throw new Error(`${left} bytes are missing`);
}

async function up(): Promise<void> {
  const socket = await open();
  const block = Buffer.alloc(256 * 1024, 0x62);
  socket.write(`U ${job.count}\n`);
  const answer = new Promise<string>((resolve) => socket.once("data", (chunk) => resolve(chunk.toString())));
  for (let left = job.count; left > 0; left -= block.length) {
    if (!socket.write(left < block.length ? block.subarray(0, left) : block)) {
      await new Promise((resolve) => socket.once("drain", resolve));
    }
  }
  if ((await answer) !== "ok\n") throw new Error("no answer to the upload");
  socket.end();
  await closed(socket);
}

async function roundTrips(): Promise<void> {
  await Promise.all(
    Array.from({ length: job.parallel }, async () => {
      const socket = await open();
      socket.write("E\n");
      let left = job.count;
      await new Promise<void>((resolve) => {
        socket.on("data", () => {
          if (--left > 0) socket.write("x");
          else resolve();
        });
        socket.write("x");
      });
      const gone = closed(socket);
      socket.end();
      await gone;
    }),
  );
}

async function idle(): Promise<void> {
  const sockets: TLSSocket[] = [];
  for (let i = 0; i < job.count; i += 50) {
    const batch = await Promise.all(Array.from({ length: 50 }, () => open()));
    for (const socket of batch) {
      socket.write("E\nx");
      await new Promise((resolve) => socket.once("data", resolve));
      sockets.push(socket);
    }
  }
  process.stdout.write("open\n");
  // Held until the benchmark has looked.
  await new Promise((resolve) => process.stdin.once("data", resolve));
  for (const socket of sockets) socket.destroy();
  process.stdin.destroy();
}

switch (job.work) {
  case "many":
    await many();
    break;
  case "resumed": {
    const reused = await many(await firstSession());
    if (reused < job.count * 0.99) throw new Error(`only ${reused} of ${job.count} were resumed`);
    break;
  }
  case "down":
    await down();
    break;
  case "up":
    await up();
    break;
  case "round-trips":
    await roundTrips();
    break;
  case "idle":
    await idle();
    break;
  default:
    throw new Error(`no such work: ${job.work}`);
}
