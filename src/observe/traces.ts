import type { ConnectionRecord, RequestRecord, StatementRecord } from "../core/record.ts";

/** When a connection got how far, in milliseconds since 1970; `null` where it did not. */
export interface Phases {
  readonly began: number;
  /** The hello was read. */
  readonly hello: number | null;
  /** TLS was up. */
  readonly handshake: number | null;
  /** The client's certificate was verified, and admitted. */
  readonly verified: number | null;
  /** The adapter had it. */
  readonly served: number | null;
}

/** Told of every connection as it goes. */
export interface ConnectionTraces {
  /** @param at milliseconds since 1970 */
  began(id: string, at: number): void;
  /** An upstream was dialled for it, for so many milliseconds. */
  dialled(
    id: string,
    server: string,
    ms: number,
    failure: { readonly reason: string; readonly message: string } | null,
  ): void;
  recorded(record: StatementRecord | RequestRecord): void;
  ended(record: ConnectionRecord, phases: Phases): void;
}
