import { readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { connect } from "node:tls";
import { concat, expandLabel, RecordKey } from "../../src/self-test/key-schedule.ts";
import { atEnd } from "./at-end.ts";
import type { Site } from "./router.ts";

const nothing = new Uint8Array(0);

/** A client whose handshake was by the rules, and that writes records of its own behind it (RFC 8446 §5.2). */
export interface RecordWriter {
  readonly socket: Socket;
  /** One record, sealed; not sent yet. `type` is what it is inside. */
  seal(type: number, content: Uint8Array): Promise<Uint8Array>;
  /** Our keys become the next ones, as they have to behind a KeyUpdate (RFC 8446 §7.2). */
  nextKeys(): Promise<void>;
  /** Resolves when so many bytes of payload have come from the server; `false` where it ended before. */
  heard(count: number): Promise<boolean>;
  /** Resolves when the server has ended. */
  readonly over: Promise<void>;
}

/** With the certificate `alice`, TLS 1.3 and the one cipher suite that we can seal records for. */
export async function recordWriter(site: Site, port: number, serverName: string): Promise<RecordWriter> {
  const socket = connectTcp({ host: "127.0.0.1", port, noDelay: true });
  atEnd(() => socket.destroy());
  const over = new Promise<void>((resolve) => {
    for (const event of ["end", "close"]) socket.once(event, () => resolve());
  });
  // Records of ours go out beside this stream, which must not mind.
  const through = new Duplex({
    read: () => {},
    write: (chunk: Uint8Array, _encoding, done) => void socket.write(chunk, () => done()),
  });
  socket.on("data", (chunk) => through.push(chunk));
  socket.on("error", () => {});
  const file = (name: string): Buffer => readFileSync(`${site.folder}/${name}`);
  const tls = connect({
    socket: through,
    servername: serverName,
    minVersion: "TLSv1.3",
    ciphers: "TLS_AES_128_GCM_SHA256",
    ca: file("ca.crt"),
    cert: file("alice.crt"),
    key: file("alice.key"),
  });
  let secret: Uint8Array<ArrayBuffer> = nothing;
  tls.on("keylog", (line) => {
    const [label, , value = ""] = line.toString().trim().split(" ");
    if (label === "CLIENT_TRAFFIC_SECRET_0") secret = Uint8Array.from(Buffer.from(value, "hex"));
  });
  await new Promise<void>((resolve, reject) => {
    tls.once("error", reject);
    tls.once("secureConnect", () => resolve());
  });
  tls.on("error", () => {});
  let bytes = 0;
  let wake = (): void => {};
  tls.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    wake();
  });
  let key = await RecordKey.from(secret);
  return {
    socket,
    over,
    seal: (type, content) => key.seal(type, content),
    nextKeys: async () => {
      secret = await expandLabel(secret, "traffic upd", nothing, 32);
      key = await RecordKey.from(secret);
    },
    heard: async (count) => {
      let ended = false;
      void over.then(() => {
        ended = true;
        wake();
      });
      while (bytes < count && !ended)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      return bytes >= count;
    },
  };
}

/** Many records as one piece, each made when its turn comes. */
export async function allOf(count: number, make: (i: number) => Promise<Uint8Array>): Promise<Uint8Array> {
  const records: Uint8Array[] = [];
  for (let i = 0; i < count; i++) records.push(await make(i));
  return concat(...records);
}
