import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, TLSSocket, type TlsOptions } from "node:tls";
import { BSON } from "mongodb";

export interface MongoDb {
  readonly port: number;
  /** Every command that came, by name, with who was logged in. */
  readonly asked: readonly {
    readonly name: string;
    readonly user: string | null;
    readonly body: BSON.Document;
  }[];
  stop(): void;
}

export interface MongoDbOptions {
  /** Users and passwords. */
  readonly users: Readonly<Record<string, string>>;
  readonly tls?: TlsOptions;
  /** Whether an exchange ends as servers of old end it, with one more round. */
  readonly emptyExchange?: boolean;
  /** A server that does not know the password it is asked about. */
  readonly impostor?: boolean;
}

const iterations = 4096;
const anonymous = new Set([
  "hello",
  "isMaster",
  "ismaster",
  "ping",
  "saslStart",
  "saslContinue",
  "authenticate",
]);

const message = (requestId: number, responseTo: number, body: BSON.Document): Buffer => {
  const document = BSON.serialize(body);
  const bytes = Buffer.alloc(21 + document.length);
  bytes.writeInt32LE(bytes.length, 0);
  bytes.writeInt32LE(requestId, 4);
  bytes.writeInt32LE(responseTo, 8);
  bytes.writeInt32LE(2013, 12);
  bytes.set(document, 21);
  return bytes;
};

const oldReply = (responseTo: number, body: BSON.Document): Buffer => {
  const document = BSON.serialize(body);
  const bytes = Buffer.alloc(36 + document.length);
  bytes.writeInt32LE(bytes.length, 0);
  bytes.writeInt32LE(responseTo, 8);
  bytes.writeInt32LE(1, 12);
  bytes.writeInt32LE(8, 16);
  bytes.writeInt32LE(1, 32);
  bytes.set(document, 36);
  return bytes;
};

/** One message, read by the driver's own BSON library. */
function read(bytes: Buffer): {
  readonly old: boolean;
  readonly flags: number;
  readonly body: BSON.Document;
} {
  const opCode = bytes.readInt32LE(12);
  if (opCode === 2004) {
    const at = bytes.indexOf(0, 20) + 9;
    return { old: true, flags: 0, body: BSON.deserialize(bytes.subarray(at)) };
  }
  if (opCode !== 2013) throw new Error(`opcode ${opCode}`);
  const flags = bytes.readInt32LE(16);
  const end = bytes.length - ((flags & 1) === 0 ? 0 : 4);
  let body: BSON.Document = {};
  for (let at = 20; at < end; ) {
    const kind = bytes[at++];
    const size = bytes.readInt32LE(at);
    const section = bytes.subarray(at, at + size);
    if (kind === 0) body = { ...BSON.deserialize(section), ...body };
    else {
      const nameEnd = section.indexOf(0, 4);
      const documents: BSON.Document[] = [];
      for (let from = nameEnd + 1; from < section.length; from += section.readInt32LE(from))
        documents.push(BSON.deserialize(section.subarray(from, from + section.readInt32LE(from))));
      body[section.subarray(4, nameEnd).toString()] = documents;
    }
    at += size;
  }
  return { old: false, flags, body };
}

const hmac = (key: Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();

/** The server's part of SCRAM-SHA-256, written against `node:crypto` so that it shares nothing with ours. */
class Scram {
  readonly user: string;
  #password: string;
  #first: string;
  #serverFirst = "";
  #nonce = "";
  #salt = randomBytes(24);
  done = false;

  constructor(payload: Buffer, users: Readonly<Record<string, string>>) {
    this.#first = payload.toString().slice(3);
    const { user = "", nonce = "" } =
      /^n,,n=(?<user>[^,]*),r=(?<nonce>.+)$/.exec(payload.toString())?.groups ?? {};
    this.user = user.replaceAll("=2C", ",").replaceAll("=3D", "=");
    this.#password = users[this.user] ?? randomBytes(8).toString("hex");
    this.#nonce = nonce + randomBytes(18).toString("base64");
  }

  serverFirst(): string {
    this.#serverFirst = `r=${this.#nonce},s=${this.#salt.toString("base64")},i=${iterations}`;
    return this.#serverFirst;
  }

  /** The server's signature, or `null` where the proof is wrong. */
  final(payload: Buffer): string | null {
    const [binding, nonce, proof = ""] = payload.toString().split(",");
    if (binding !== "c=biws" || nonce !== `r=${this.#nonce}` || !proof.startsWith("p=")) return null;
    const salted = pbkdf2Sync(this.#password, this.#salt, iterations, 32, "sha256");
    const auth = `${this.#first},${this.#serverFirst},${binding},${nonce}`;
    const clientKey = hmac(salted, "Client Key");
    const stored = createHash("sha256").update(clientKey).digest();
    const signature = hmac(stored, auth);
    const key = Buffer.from(
      Buffer.from(proof.slice(2), "base64").map((byte, i) => byte ^ (signature[i] ?? 0)),
    );
    if (key.length !== 32 || !timingSafeEqual(createHash("sha256").update(key).digest(), stored)) return null;
    this.done = true;
    return `v=${hmac(hmac(salted, "Server Key"), auth).toString("base64")}`;
  }
}

const failed = (code: number, codeName: string, errmsg: string): BSON.Document => ({
  ok: 0,
  code,
  codeName,
  errmsg,
});

/**
 * As much of a server as drivers need: no MongoDB is to be had where these tests run. It speaks OP_MSG and OP_QUERY by
 * the driver's own BSON library, takes nothing but hello without a login, and keeps documents in memory.
 */
export async function startMongoDb(options: MongoDbOptions): Promise<MongoDb> {
  const asked: { name: string; user: string | null; body: BSON.Document }[] = [];
  const kept = new Map<string, BSON.Document[]>();
  const sockets = new Set<Socket>();

  const serve = (socket: Socket): void => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    let user: string | null = null;
    let scram: Scram | null = null;
    let pending: Buffer = Buffer.alloc(0);
    let ids = 1000;

    const sasl = (body: BSON.Document): BSON.Document => {
      const payload = Buffer.from((body.payload as BSON.Binary | undefined)?.buffer ?? []);
      if (body.saslStart !== undefined) {
        if (body.mechanism !== "SCRAM-SHA-256") return failed(2, "BadValue", "no such mechanism");
        scram = new Scram(payload, options.users);
        return {
          conversationId: 7,
          done: false,
          payload: new BSON.Binary(Buffer.from(scram.serverFirst())),
          ok: 1,
        };
      }
      if (scram === null) return failed(17, "ProtocolError", "no exchange is under way");
      if (scram.done && payload.length === 0) {
        user = scram.user;
        return { conversationId: 7, done: true, payload: new BSON.Binary(Buffer.alloc(0)), ok: 1 };
      }
      const signature = scram.final(payload);
      if (signature === null) return failed(18, "AuthenticationFailed", "Authentication failed.");
      const done = options.emptyExchange !== true;
      if (done) user = scram.user;
      const text = options.impostor === true ? `v=${randomBytes(32).toString("base64")}` : signature;
      return { conversationId: 7, done, payload: new BSON.Binary(Buffer.from(text)), ok: 1 };
    };

    const run = (body: BSON.Document): BSON.Document => {
      const [name = ""] = Object.keys(body);
      asked.push({ name, user, body });
      if (!anonymous.has(name) && user === null)
        return failed(13, "Unauthorized", `Command ${name} requires authentication`);
      const space = `${body.$db}.${body[name]}`;
      const documents = kept.get(space) ?? [];
      switch (name) {
        case "hello":
        case "isMaster":
        case "ismaster":
          return {
            helloOk: true,
            isWritablePrimary: true,
            ismaster: true,
            maxBsonObjectSize: 16_777_216,
            maxMessageSizeBytes: 48_000_000,
            maxWriteBatchSize: 100_000,
            localTime: new Date(),
            logicalSessionTimeoutMinutes: 30,
            minWireVersion: 0,
            maxWireVersion: 25,
            ...(body.compression === undefined ? {} : { compression: body.compression }),
            ...(body.saslSupportedMechs === undefined ? {} : { saslSupportedMechs: ["SCRAM-SHA-256"] }),
            ...(body.speculativeAuthenticate === undefined
              ? {}
              : { speculativeAuthenticate: sasl(body.speculativeAuthenticate as BSON.Document) }),
            ok: 1,
          };
        case "saslStart":
        case "saslContinue":
          return sasl(body);
        case "authenticate": {
          const peer = socket instanceof TLSSocket ? socket.getPeerCertificate().subject?.CN : undefined;
          if (body.mechanism !== "MONGODB-X509" || body.$db !== "$external" || typeof peer !== "string")
            return failed(18, "AuthenticationFailed", "no certificate");
          user = `CN=${peer}`;
          return { dbname: "$external", user, ok: 1 };
        }
        case "connectionStatus":
          return { authInfo: { authenticatedUsers: [{ user, db: "admin" }] }, ok: 1 };
        case "insert":
          kept.set(space, [...documents, ...(body.documents as BSON.Document[])]);
          return { n: (body.documents as BSON.Document[]).length, ok: 1 };
        case "find":
          return { cursor: { id: BSON.Long.ZERO, ns: space, firstBatch: documents }, ok: 1 };
        case "aggregate":
          return { cursor: { id: BSON.Long.ZERO, ns: space, firstBatch: [{ n: documents.length }] }, ok: 1 };
        case "ping":
        case "endSessions":
        case "buildInfo":
          return { ok: 1 };
        default:
          return failed(59, "CommandNotFound", `no such command: '${name}'`);
      }
    };

    socket.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      while (pending.length >= 16 && pending.length >= pending.readInt32LE(0)) {
        const length = pending.readInt32LE(0);
        const bytes = pending.subarray(0, length);
        pending = pending.subarray(length);
        try {
          const { old, flags, body } = read(bytes);
          const answer = run(body);
          const requestId = bytes.readInt32LE(4);
          if ((flags & 2) === 0)
            socket.write(old ? oldReply(requestId, answer) : message(ids++, requestId, answer));
        } catch {
          socket.destroy();
        }
      }
    });
  };

  const server: Server =
    options.tls === undefined ? createServer(serve) : createTlsServer(options.tls, (socket) => serve(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    asked,
    stop: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
