import type { Connection } from "../types.ts";
import { joined } from "../wire/joined.ts";
import type { AuditWriter } from "./audit-log.ts";
import type { Chain, Link } from "./chain.ts";
import { type SyslogSender, syslogFrame } from "./syslog.ts";

/** A receiver that takes nothing for so long is as good as gone. */
const writeMs = 10_000;

/**
 * Audit lines to a syslog receiver. The protocol has no receipts: what was on its way when a connection broke is sent
 * again, and may be there twice.
 */
export class SyslogWriter implements AuditWriter {
  readonly #dial: () => Promise<Connection>;
  readonly #sender: SyslogSender;
  readonly #chain: Chain | null;
  #connection: Connection | null = null;
  #batch: readonly string[] = [];
  #frames: Uint8Array = new Uint8Array(0);

  constructor(dial: () => Promise<Connection>, sender: SyslogSender, chain: Chain | null) {
    this.#dial = dial;
    this.#sender = sender;
    this.#chain = chain;
  }

  get last(): Link | null {
    return this.#chain?.last ?? null;
  }

  async write(records: readonly string[]): Promise<void> {
    if (records !== this.#batch) {
      this.#batch = records;
      this.#frames = joined(
        records.map((record) => syslogFrame(this.#chain?.next(record) ?? record, this.#sender)),
      );
    }
    const connection = this.#connection ?? (await this.#connect());
    let late: ReturnType<typeof setTimeout> | undefined;
    const stuck = new Promise<never>((_, reject) => {
      late = setTimeout(() => reject(new Error("the syslog receiver takes nothing")), writeMs);
    });
    try {
      await Promise.race([connection.write(this.#frames), stuck]);
    } catch (error) {
      this.#connection = null;
      connection.abort();
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  async close(): Promise<void> {
    await this.#connection?.closeWrite().catch(() => {});
    this.#connection?.abort();
  }

  async #connect(): Promise<Connection> {
    const connection = await this.#dial();
    this.#connection = connection;
    const gone = (): void => {
      if (this.#connection === connection) this.#connection = null;
      connection.abort();
    };
    // A receiver says nothing: what it says is its end, which nobody would notice who only writes.
    void (async () => {
      while ((await connection.read()) !== null);
    })().then(gone, gone);
    return connection;
  }
}
