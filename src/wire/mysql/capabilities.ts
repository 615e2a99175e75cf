/** Capability flags of MySQL (`CLIENT_…`), as far as anything here depends on them. */
export const capability = {
  /** MariaDB's servers and clients leave it out where they speak its extended capabilities. */
  mysql: 1,
  connectWithDatabase: 1 << 3,
  compress: 1 << 5,
  localFiles: 1 << 7,
  protocol41: 1 << 9,
  tls: 1 << 11,
  secureConnection: 1 << 15,
  pluginAuth: 1 << 19,
  connectAttributes: 1 << 20,
  lengthEncodedAuth: 1 << 21,
  sessionTrack: 1 << 23,
  deprecateEof: 1 << 24,
  optionalMetadata: 1 << 25,
  zstd: 1 << 26,
  queryAttributes: 1 << 27,
  multiFactor: 1 << 28,
  /** `CLIENT_CAPABILITY_EXTENSION`: more flags, of which nothing is known here. */
  reserved: 1 << 29,
} as const;

/** MariaDB's extended capabilities, which stand where MySQL has zeros. */
export const extendedCapability = { progress: 1 << 0, multi: 1 << 1, cachedMetadata: 1 << 4 } as const;

export interface Capabilities {
  /** 32 bits, unsigned. */
  readonly flags: number;
  /** MariaDB's, 32 bits, unsigned; 0 elsewhere. */
  readonly extended: number;
}

export const has = ({ flags }: Capabilities, flag: number): boolean => (flags & flag) !== 0;

export const without = ({ flags, extended }: Capabilities, gone: number, extendedGone = 0): Capabilities => ({
  flags: (flags & ~gone) >>> 0,
  extended: (extended & ~extendedGone) >>> 0,
});

/** What both can do. */
export const shared = (a: Capabilities, b: Capabilities): Capabilities => ({
  flags: (a.flags & b.flags) >>> 0,
  extended: (a.extended & b.extended) >>> 0,
});

/**
 * What changes the form of what is said after the login: a client and a server that don't agree on these don't
 * understand each other.
 */
const forms =
  capability.protocol41 |
  capability.compress |
  capability.sessionTrack |
  capability.deprecateEof |
  capability.optionalMetadata |
  capability.zstd |
  capability.queryAttributes;

/** Whether all that a client counts on after the login is there. */
export const understands = (client: Capabilities, server: Capabilities): boolean =>
  (client.flags & forms & ~server.flags) === 0 && (client.extended & ~server.extended) === 0;
