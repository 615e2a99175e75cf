const mebibyte = 1024 * 1024;

/** One piece of work, the same for every subject. */
export interface Work {
  readonly name: string;
  readonly what: string;
  /** What the load client is told to do. */
  readonly job: "many" | "resumed" | "down" | "up" | "round-trips" | "idle";
  /** What is compared: CPU seconds, bytes of memory a connection, or late memory through early memory. */
  readonly unit: "seconds" | "bytes" | "growth";
  /** Through the route that passes TLS through, or through the one that terminates it. */
  readonly pass: boolean;
  /** Connections, bytes, or round trips on each connection. */
  readonly count: number;
  /** Connections at a time. */
  readonly parallel: number;
  /** How many times the same is done before, uncounted: what is compared is servers that have run for a while. */
  readonly warmUp?: number;
  /** Idle connections that are open meanwhile, and were before. */
  readonly beside?: number;
}

/**
 * Everything that can be asked for by name.
 *
 * @param size bytes of the bulk transfers
 * @param cold whether nothing is done before what is measured: most of it is then a compiler's work
 */
export function allWorks(size: number, cold = false): readonly Work[] {
  const warmUp = (times: number): { readonly warmUp?: number } => (cold ? {} : { warmUp: times });
  const bulk = `${size / mebibyte} MiB`;
  const seconds = { unit: "seconds", parallel: 8 } as const;
  const handshakes = { ...seconds, count: 2000, ...warmUp(16) } as const;
  const transfer = { unit: "seconds", parallel: 1, count: size } as const;
  const trips = { ...seconds, job: "round-trips", count: 5000, ...warmUp(1) } as const;
  return [
    {
      name: "full-handshake",
      what: "full mTLS handshake, terminated",
      job: "many",
      pass: false,
      ...handshakes,
    },
    { name: "resumed", what: "resumed handshake, terminated", job: "resumed", pass: false, ...handshakes },
    { name: "down-term", what: `${bulk} down, terminated`, job: "down", pass: false, ...transfer },
    { name: "up-term", what: `${bulk} up, terminated`, job: "up", pass: false, ...transfer },
    { name: "new-pass", what: "new connection, passed through", job: "many", pass: true, ...handshakes },
    { name: "down-pass", what: `${bulk} down, passed through`, job: "down", pass: true, ...transfer },
    { name: "up-pass", what: `${bulk} up, passed through`, job: "up", pass: true, ...transfer },
    { name: "trips-term", what: "1-byte round trips, terminated", pass: false, ...trips },
    { name: "trips-pass", what: "1-byte round trips, passed through", pass: true, ...trips },
    {
      name: "idle-memory",
      what: "memory an idle terminated connection",
      job: "idle",
      unit: "bytes",
      pass: false,
      count: 2000,
      parallel: 50,
    },
    ...[100, 5000, 9500].map((beside) => ({
      name: `open-${beside}`,
      what: `full mTLS handshake while ${beside} connections are open`,
      job: "many" as const,
      pass: false,
      ...handshakes,
      beside,
    })),
    {
      name: "memory-growth",
      what: "memory after 50,000 handshakes / after 10,000",
      job: "many",
      unit: "growth",
      pass: false,
      count: 10_000,
      parallel: 8,
    },
  ];
}

/** What runs when nothing is named: the growth of memory, and thousands of open connections, take minutes a subject. */
export const byDefault = (work: Work): boolean => work.unit !== "growth" && work.beside === undefined;
