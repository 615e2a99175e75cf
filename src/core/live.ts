/** Payload bytes. */
export interface Traffic {
  /** From clients. */
  readonly bytesIn: number;
  /** To clients. */
  readonly bytesOut: number;
}

/** A connection that is open. */
export interface LiveConnection extends Traffic {
  /** Its id in the audit log. */
  readonly id: string;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** `null` before it has one. */
  readonly route: string | null;
  /** `address:port` of the client. */
  readonly source: string;
  /** As the client wrote it. */
  readonly sni: string | null;
  /** The subject of the client's certificate, once that is verified. */
  readonly subject: string | null;
}
