import { constants, createHash, generateKeyPairSync, privateDecrypt, randomBytes } from "node:crypto";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { capability } from "../../src/wire/mysql/capabilities.ts";
import { greetingPayload } from "../../src/wire/mysql/greeting.ts";
import { parseLogin } from "../../src/wire/mysql/login.ts";
import { errorPayload, mysqlPacket } from "../../src/wire/mysql/packet.ts";

/** Reads and writes packets of any stream, counting them. */
export class PacketSocket {
  socket: Socket;
  sequence: number;
  #buffer = Buffer.alloc(0);
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(socket: Socket, sequence = 0) {
    this.socket = socket;
    this.sequence = sequence;
    socket.on("data", (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#wake?.();
    });
    const ended = (): void => {
      this.#ended = true;
      this.#wake?.();
    };
    socket.on("end", ended);
    socket.on("close", ended);
    socket.on("error", ended);
  }

  /** The next packet; `null` at the end. */
  async read(): Promise<Buffer | null> {
    for (;;) {
      const { length } = this.#buffer;
      const size = length < 4 ? Number.POSITIVE_INFINITY : 4 + this.#buffer.readUIntLE(0, 3);
      if (length >= size) {
        this.sequence = ((this.#buffer[3] ?? 0) + 1) & 255;
        const payload = this.#buffer.subarray(4, size);
        this.#buffer = this.#buffer.subarray(size);
        return payload;
      }
      if (this.#ended) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  write(payload: Uint8Array): void {
    this.socket.write(mysqlPacket(this.sequence, payload));
    this.sequence = (this.sequence + 1) & 255;
  }

  /** What was read and not asked for; the socket is somebody else's from here. */
  detach(): Buffer {
    this.socket.pause();
    for (const event of ["data", "end", "close"]) this.socket.removeAllListeners(event);
    return this.#buffer;
  }
}

export interface Account {
  readonly plugin: "caching_sha2_password" | "mysql_native_password" | "mysql_clear_password" | (string & {});
  readonly password: string;
}

export interface FakeMysql {
  readonly port: number;
  /** Who is remembered by `caching_sha2_password`. */
  readonly remembered: Set<string>;
  /** Everything that logins sent, in the clear or out of TLS: for what must not be there. */
  readonly heard: Buffer[];
  /** Commands of those who are in. */
  readonly commands: Buffer[];
  close(): void;
}

const hash = (name: string, ...parts: readonly Uint8Array[]): Buffer =>
  parts.reduce((sum, part) => sum.update(part), createHash(name)).digest();
const xor = (a: Uint8Array, b: Uint8Array): Buffer =>
  Buffer.from(a.map((byte, i) => byte ^ (b[i % b.length] ?? 0)));
const okay = Uint8Array.of(0, 0, 0, 2, 0, 0, 0);

/**
 * A server with MySQL 8's ways to log in, which there is no real one of here: proofs are checked as a server checks
 * them, against what it stores, so that agreeing with the client by mistake is not to be had.
 */
export async function fakeMysql(
  accounts: Readonly<Record<string, Account>>,
  options: {
    readonly tls?: { readonly cert: string; readonly key: string };
    /** Instead of a greeting. */
    readonly instead?: Uint8Array;
    /** In one piece with the greeting. */
    readonly behind?: Uint8Array;
    readonly flags?: number;
    readonly plugin?: string;
  } = {},
): Promise<FakeMysql> {
  const { publicKey, privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const remembered = new Set<string>();
  const heard: Buffer[] = [];
  const commands: Buffer[] = [];
  const open = new Set<Socket>();

  // TLS over a socket that was read from before: a server of its own, next door.
  const waiting = new Map<number | undefined, (socket: Socket) => void>();
  const secured = createTlsServer({ ...options.tls }, (socket) => {
    socket.on("error", () => {});
    waiting.get(socket.remotePort)?.(socket);
  });
  await new Promise<void>((resolve) => secured.listen(0, "127.0.0.1", resolve));
  const inside = (socket: Socket, head: Buffer): Promise<Socket> =>
    new Promise((resolve) => {
      const inner = connect((secured.address() as AddressInfo).port, "127.0.0.1", () => {
        waiting.set(inner.localPort, resolve);
        inner.write(head);
        socket.pipe(inner).pipe(socket);
      });
      inner.on("error", () => {});
      open.add(inner);
    });

  async function meet(socket: Socket): Promise<void> {
    let packets = new PacketSocket(socket);
    const read = async (): Promise<Buffer> => {
      const payload = await packets.read();
      if (payload === null) throw new Error("gone");
      heard.push(Buffer.from(payload));
      return payload;
    };
    if (options.instead !== undefined) {
      packets.write(options.instead);
      return;
    }
    // Printable: a challenge has no zeros.
    let challenge = Buffer.from(randomBytes(10).toString("hex"));
    const defaultPlugin = options.plugin ?? "caching_sha2_password";
    const greeting = mysqlPacket(
      0,
      greetingPayload({
        version: "8.0.36",
        connectionId: 7,
        challenge,
        flags:
          options.flags ??
          (0x01ff_f7ff & ~capability.compress) | (options.tls === undefined ? 0 : capability.tls),
        extended: 0,
        charset: 255,
        status: 2,
        plugin: defaultPlugin,
      }),
    );
    packets.sequence = 1;
    socket.write(Buffer.concat([greeting, options.behind ?? Buffer.alloc(0)]));
    let payload = await read();
    let secure = false;
    if (payload.length === 32 && options.tls !== undefined) {
      const { sequence } = packets;
      packets = new PacketSocket(await inside(socket, packets.detach()), sequence);
      secure = true;
      const asked = payload.subarray(0, 9);
      payload = await read();
      // MySQL goes by what was said before TLS.
      if (Buffer.compare(asked, payload.subarray(0, 9)) !== 0) throw new Error("said otherwise before TLS");
    }
    const parsed = parseLogin(payload);
    if (parsed.kind !== "ok") throw new Error("no login");
    const { user, plugin } = parsed.value;
    let answer: Buffer = Buffer.from(parsed.value.answer);
    const deny = (): void =>
      packets.write(
        errorPayload({ code: 1045, state: "28000", message: `Access denied for user '${user}'` }),
      );
    const account = accounts[user];
    if (account === undefined) return deny();
    if (plugin !== account.plugin) {
      challenge = Buffer.from(randomBytes(10).toString("hex"));
      packets.write(
        Buffer.concat([Uint8Array.of(0xfe), Buffer.from(`${account.plugin}\0`), challenge, Uint8Array.of(0)]),
      );
      answer = await read();
    }
    const password = Buffer.from(account.password);
    let good = false;
    if (account.plugin === "mysql_native_password") {
      const stored = hash("sha1", hash("sha1", password));
      const once = xor(answer, hash("sha1", challenge, stored));
      good = answer.length === 20 && hash("sha1", once).equals(stored);
    } else if (account.plugin === "caching_sha2_password") {
      const stored = hash("sha256", hash("sha256", password));
      const once = xor(answer, hash("sha256", stored, challenge));
      if (remembered.has(user) && answer.length === 32) {
        good = hash("sha256", once).equals(stored);
        if (good) packets.write(Uint8Array.of(1, 3));
      } else {
        packets.write(Uint8Array.of(1, 4));
        let said = await read();
        if (!secure) {
          if (said.length !== 1 || said[0] !== 2) return deny();
          packets.write(
            Buffer.concat([Uint8Array.of(1), Buffer.from(publicKey.export({ type: "spki", format: "pem" }))]),
          );
          const encrypted = await read();
          const padding = constants.RSA_PKCS1_OAEP_PADDING;
          said = xor(privateDecrypt({ key: privateKey, padding, oaepHash: "sha1" }, encrypted), challenge);
        }
        good = said.equals(Buffer.concat([password, Uint8Array.of(0)]));
        if (good) remembered.add(user);
      }
    } else good = answer.equals(Buffer.concat([password, Uint8Array.of(0)]));
    if (!good) return deny();
    packets.write(okay);
    for (;;) {
      packets.sequence = 0;
      const asked = await packets.read();
      if (asked === null || asked[0] === 1) break;
      commands.push(Buffer.from(asked));
      packets.write(okay);
    }
  }

  const server = createServer((socket) => {
    open.add(socket);
    socket.on("error", () => {});
    meet(socket)
      .catch(() => {})
      .finally(() => socket.end());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    remembered,
    heard,
    commands,
    close: () => {
      server.close();
      secured.close();
      for (const socket of open) socket.destroy();
    },
  };
}
