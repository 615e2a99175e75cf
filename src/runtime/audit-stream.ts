import { write } from "node:fs";
import type { AuditWriter } from "../audit/audit-log.ts";
import type { Chain, Link } from "../audit/chain.ts";

/** For a reader that is slow, where the pipe says so rather than keep us. */
const againMs = 5;

const writeSome = (handle: number, bytes: Uint8Array): Promise<number> =>
  new Promise((resolve, reject) => {
    write(handle, bytes, 0, bytes.length, null, (error, written) => {
      if (error === null) resolve(written);
      else if (error.code === "EAGAIN") setTimeout(resolve, againMs, 0);
      else reject(error);
    });
  });

/** Lines to standard output, or to a device or a pipe: whoever reads there may be slow, and keeps nobody waiting. */
export class AuditStream implements AuditWriter {
  readonly #handle: number;
  readonly #chain: Chain | null;
  #batch: readonly string[] = [];
  #rest: Uint8Array = new Uint8Array(0);

  constructor(handle: number, chain: Chain | null) {
    this.#handle = handle;
    this.#chain = chain;
  }

  get last(): Link | null {
    return this.#chain?.last ?? null;
  }

  async write(records: readonly string[]): Promise<void> {
    if (records !== this.#batch) {
      this.#batch = records;
      this.#rest = Buffer.from(records.map((record) => `${this.#chain?.next(record) ?? record}\n`).join(""));
    }
    while (this.#rest.length > 0) {
      this.#rest = this.#rest.subarray(await writeSome(this.#handle, this.#rest));
    }
  }

  async close(): Promise<void> {}
}
