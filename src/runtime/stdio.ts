import type { Connection, Endpoint } from "../types.ts";

const nowhere: Endpoint = { address: "", port: 0 };

/** All of standard input, as text. Rejects where it is longer. */
export async function allOfStdin(maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > maxBytes) throw new Error(`more than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** Standard input and output as a connection, for programs that start us in place of one. */
export class StdioConnection implements Connection {
  readonly remote = nowhere;
  readonly local = nowhere;
  readonly closed: Promise<void>;
  bytesRead = 0;
  bytesWritten = 0;

  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #pending: Uint8Array[] = [];
  #settle = (): void => {};

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    this.#chunks = process.stdin.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>;
    // Whoever reads us is gone: what is said to nobody is no fault.
    process.stdout.on("error", () => this.abort());
  }

  async read(): Promise<Uint8Array | null> {
    const waiting = this.#pending.shift();
    if (waiting !== undefined) return waiting;
    const { done, value } = await this.#chunks.next();
    if (done === true) return null;
    this.bytesRead += value.length;
    return value;
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#pending.unshift(bytes);
  }

  write(bytes: Uint8Array): Promise<void> {
    this.bytesWritten += bytes.length;
    return new Promise((resolve, reject) => {
      process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  /** Standard output closes with the process, which has nothing more to do once this is called. */
  closeWrite(): Promise<void> {
    this.#settle();
    return Promise.resolve();
  }

  abort(): void {
    this.#settle();
  }
}
