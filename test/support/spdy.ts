import { constants, createDeflate, createInflate, type Deflate, type Inflate } from "node:zlib";
import { spdyDictionary as dictionary } from "./spdy-dictionary.ts";

/** A stream that the client opened. */
export interface SpdyStream {
  readonly headers: Readonly<Record<string, string>>;
  onData: (chunk: Buffer) => void;
  onEnd: () => void;
  write(chunk: Buffer): void;
  end(): void;
}

const types = { synStream: 1, synReply: 2, rstStream: 3, ping: 6 } as const;

/** Pushes bytes through a compressor whose state lives on, and gives what comes out. */
function through(engine: Inflate | Deflate, bytes: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    const take = (part: Buffer): void => void parts.push(part);
    engine.on("data", take);
    engine.once("error", reject);
    engine.write(bytes);
    engine.flush(constants.Z_SYNC_FLUSH, () => {
      engine.off("data", take);
      engine.off("error", reject);
      resolve(Buffer.concat(parts));
    });
  });
}

/**
 * As much of a SPDY/3.1 server as kubectl's port-forward, exec and attach need: they use streams alone, and no flow
 * control.
 */
export class SpdyServer {
  readonly #send: (bytes: Buffer) => void;
  readonly #onStream: (stream: SpdyStream) => void;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #inflate = createInflate({ dictionary });
  readonly #deflate = createDeflate({ dictionary });
  #buffer = Buffer.alloc(0);
  #work: Promise<void> = Promise.resolve();

  constructor(send: (bytes: Buffer) => void, onStream: (stream: SpdyStream) => void) {
    this.#send = send;
    this.#onStream = onStream;
  }

  take(bytes: Uint8Array): void {
    this.#buffer = Buffer.concat([this.#buffer, bytes]);
    while (this.#buffer.length >= 8) {
      const size = 8 + this.#buffer.readUIntBE(5, 3);
      if (this.#buffer.length < size) return;
      const frame = this.#buffer.subarray(0, size);
      this.#buffer = this.#buffer.subarray(size);
      // Header blocks are read one after the other, and data not before the block in front of it.
      this.#work = this.#work.then(() => this.#frame(frame));
    }
  }

  async #frame(frame: Buffer): Promise<void> {
    const body = frame.subarray(8);
    const final = ((frame[4] ?? 0) & 1) !== 0;
    if (((frame[0] ?? 0) & 0x80) === 0) {
      const stream = this.#streams.get(frame.readUInt32BE(0));
      if (body.length > 0) stream?.onData(body);
      if (final) stream?.onEnd();
      return;
    }
    const type = frame.readUInt16BE(2);
    if (type === types.ping) this.#send(frame);
    if (type === types.rstStream) this.#streams.get(body.readUInt32BE(0))?.onEnd();
    if (type !== types.synStream) return;
    const id = body.readUInt32BE(0);
    const stream = this.#open(id, await this.#headers(body.subarray(10)));
    const reply = await through(this.#deflate, Buffer.alloc(4));
    const header = Buffer.from([0x80, 3, 0, types.synReply, 0, 0, 0, 0, 0, 0, 0, 0]);
    header.writeUIntBE(4 + reply.length, 5, 3);
    header.writeUInt32BE(id, 8);
    this.#send(Buffer.concat([header, reply]));
    this.#onStream(stream);
    if (final) stream.onEnd();
  }

  #open(id: number, headers: Readonly<Record<string, string>>): SpdyStream {
    const data = (chunk: Buffer, flags: number): void => {
      const header = Buffer.alloc(8);
      header.writeUInt32BE(id, 0);
      header[4] = flags;
      header.writeUIntBE(chunk.length, 5, 3);
      this.#send(Buffer.concat([header, chunk]));
    };
    const stream: SpdyStream = {
      headers,
      onData: () => {},
      onEnd: () => {},
      write: (chunk) => data(chunk, 0),
      end: () => data(Buffer.alloc(0), 1),
    };
    this.#streams.set(id, stream);
    return stream;
  }

  async #headers(block: Buffer): Promise<Record<string, string>> {
    const plain = await through(this.#inflate, block);
    const headers: Record<string, string> = {};
    let at = 4;
    const text = (): string => {
      const length = plain.readUInt32BE(at);
      at += 4 + length;
      return plain.toString("latin1", at - length, at);
    };
    for (let left = plain.readUInt32BE(0); left > 0; left--) headers[text()] = text();
    return headers;
  }
}
