import type { Route } from "../../core/route.ts";
import { type Capabilities, capability, extendedCapability, without } from "../../wire/mysql/capabilities.ts";
import type { Greeting } from "../../wire/mysql/greeting.ts";

/** MariaDB's extensions that are known to change nothing in how commands are framed. */
const carriedExtensions = 0b11_1101;

/** What a route's clients are not offered, whatever its upstream can do. */
export function offered(capabilities: Capabilities, { database, upstream }: Route): Capabilities {
  const audited = database?.auditStatements === true;
  const gone =
    // TLS is ours. What is compressed can't be looked into, and the commands must be.
    capability.tls |
    capability.compress |
    capability.zstd |
    capability.reserved |
    (database?.localInfile === true ? 0 : capability.localFiles) |
    (upstream?.credentials === null ? 0 : capability.multiFactor) |
    (audited ? capability.optionalMetadata | capability.queryAttributes : 0);
  const goneExtensions =
    ~carriedExtensions | (audited ? extendedCapability.progress | extendedCapability.cachedMetadata : 0);
  return without(capabilities, gone, goneExtensions);
}

/** What every server has had since MySQL 5.6 and MariaDB 10. */
const neutral = {
  version: "8.0.36-sallyport",
  // CLIENT_LONG_PASSWORD to PLUGIN_AUTH_LENENC_CLIENT_DATA, but for compression, ODBC and local files; no DEPRECATE_EOF.
  flags: 0x003f_f70f & ~capability.localFiles,
  extended: 0,
  charset: 45, // utf8mb4_general_ci
  status: 2, // autocommit
  plugin: "mysql_native_password",
} as const;

const challengeBytes = 20;

/** No zero, which ends it, and no $, which some servers split stored passwords at. */
function challenge(): Uint8Array {
  const bytes = crypto.getRandomValues(new Uint8Array(challengeBytes));
  return bytes.map((byte) => {
    const low = byte & 127;
    return low === 0 || low === 0x24 ? low + 1 : low;
  });
}

/** What upstreams greeted with last: for clients that must be greeted before it is known where they go. */
export class Greetings {
  readonly #last = new WeakMap<Route, Greeting>();

  remember(route: Route, greeting: Greeting): void {
    this.#last.set(route, greeting);
  }

  /** A greeting of our own, as true to the route's upstream as can be known. */
  invent(route: Route | null): Greeting {
    const known = route === null ? undefined : this.#last.get(route);
    const like = known ?? neutral;
    const { flags, extended } = route === null || known === undefined ? like : offered(like, route);
    return {
      ...like,
      flags: (flags | capability.tls) >>> 0,
      extended,
      // The upstream's is not known yet: a number that is nobody's, so that KILL ends nobody else's statement.
      connectionId: 0,
      challenge: challenge(),
    };
  }
}
