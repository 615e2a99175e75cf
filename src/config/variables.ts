import { profiles } from "../identity/profile.ts";
import { crlRules } from "../identity/revocation/lists.ts";
import { acmeVariables } from "./acme-variables.ts";
import { rotation } from "./audit.ts";
import {
  address,
  allowRules,
  auditFiles,
  bandwidth,
  certificateLifetime,
  cidrs,
  count,
  delay,
  dialAddress,
  dialAddresses,
  duration,
  grace,
  groupSources,
  listenPort,
  loginLifetime,
  memory,
  oneOf,
  rate,
  responder,
  sshPrincipals,
  text,
  tunnelRules,
  workers,
} from "./values.ts";
import { type Variable, variable } from "./variable.ts";

/** Where a scheme's listener is in listener mode `separate`: the registry has the default too. */
const separatePort = (scheme: string, fallback: number) =>
  variable(
    listenPort,
    null,
    `the port of the listener for \`${scheme}\` routes in listener mode \`separate\`; ${fallback} unless set`,
  );

/** Every variable of `serve`, but for the routes: what it takes, what it is when unset, what it means. */
export const variables = {
  SALLYPORT_LISTEN: variable(address, "0.0.0.0:8443", "the one port"),
  SALLYPORT_ADMIN_LISTEN: variable(
    text,
    "127.0.0.1:8080",
    "plain HTTP for load balancers and operators: `/healthz`, `/readyz`, `/metrics`, `/connections`; `off` for none",
  ),
  SALLYPORT_ADMIN_CONNECTIONS: variable(
    oneOf("local", "off"),
    "local",
    "who may see there which connections are open (`sallyport top`): `local`, programs on the router's machine; `off`, nobody",
  ),
  SALLYPORT_HOST: variable(
    text,
    "localhost",
    "the router's own name: its web page, API and connection upgrade",
  ),
  SALLYPORT_CERT: variable(
    text,
    null,
    "server certificate chain, PEM or a path; also serves names that no other certificate covers",
  ),
  SALLYPORT_KEY: variable(text, null, "its private key, PEM or a path"),
  SALLYPORT_CERT_DIR: variable(
    text,
    null,
    "a folder with more of them, `NAME.crt` and `NAME.key`, picked by SNI (exact before wildcard)",
  ),
  SALLYPORT_CLIENT_CA: variable(
    text,
    null,
    "trust anchors for client certificates, PEM or a path; a route may have its own (`client_ca=`)",
  ),
  SALLYPORT_ALLOW: variable(
    allowRules,
    null,
    "who may on routes that require a certificate and have no `allow=` of their own: rules as there, `;` between them, any of which will do",
  ),
  SALLYPORT_ADMIN_ALLOW: variable(
    allowRules,
    null,
    "who may see what the router does for others: the status page at `SALLYPORT_HOST`, and agents in `sallyport routes` and `/v1/routes`; a rule as in `allow`, `;` between several, any of which will do; nobody may unless set",
  ),
  SALLYPORT_GROUPS: variable(
    groupSources,
    "ou,extension",
    "where a client certificate has its holder's groups: `ou`, `o`, `extension` (written by `sallyport ca`), or a URI such as `uri:spiffe://example.com/group/{group}`; several: comma",
  ),
  SALLYPORT_CLIENT_PROFILE: variable(
    oneOf(...profiles),
    "private",
    "what client certificates are held to beside validity: `private`, nothing; `rfc5280`, what that document has authorities write; `webpki`, what public authorities must",
  ),
  SALLYPORT_CRL: variable(
    text,
    null,
    "revocation lists, PEM or DER: paths of files or folders and URLs, with commas between them; watched; a route may have its own (`crl=`)",
  ),
  SALLYPORT_CRL_RULE: variable(
    oneOf(...crlRules),
    "hard",
    "where revocation can't be told: `soft` lets in, `hard` refuses if the issuer has a list but no current one, `all` if it has none either",
  ),
  SALLYPORT_OCSP: variable(
    oneOf("off", "soft", "hard"),
    "off",
    "asks the responder that a client certificate names: without a good answer `soft` lets in, `hard` refuses",
  ),
  SALLYPORT_OCSP_URL: variable(responder, null, "asked instead of the responder that a certificate names"),
  SALLYPORT_DENY: variable(
    text,
    null,
    "a file of denied certificates, watched: a serial number, or a SHA-256 of certificate or public key, a line",
  ),
  SALLYPORT_EXPIRY_GRACE: variable(
    grace,
    "30s",
    "how long an open connection may outlive its client's certificate; `off`: as long as it likes",
  ),
  SALLYPORT_AUTHORITY: variable(
    text,
    null,
    "the folder of an authority (`sallyport ca init`) from which people and machines get certificates over the API",
  ),
  SALLYPORT_CERTIFICATE_LIFETIME: variable(
    certificateLifetime,
    "8h",
    "of those certificates, `5m` to `24h`; a join token and a provider may have their own",
  ),
  SALLYPORT_RENEWAL_SPAN: variable(
    delay,
    "24h",
    "how long they can be renewed, from when their holder showed a token: then it takes another; a token and a provider may have their own. `0s`: not at all",
  ),
  SALLYPORT_SSH_PRINCIPALS: variable(
    sshPrincipals,
    "{cn},group:{group}",
    "the principals of SSH certificates, which come with those certificates once `sallyport ca ssh` has made their keys: names with `{cn}`, `{group}` or `{email}` in them; `off`: none are issued",
  ),
  SALLYPORT_CERTIFICATES_PER_SOURCE: variable(
    count,
    "60",
    "requests for a certificate a minute from one source (IPv6: one /64), refused ones included",
  ),
  SALLYPORT_CERTIFICATES_PER_IDENTITY: variable(count, "10", "certificates a minute for one identity"),
  SALLYPORT_JWT_KEY: variable(
    text,
    null,
    "private keys, PEM (PKCS #8) or a path, of the assertions for HTTP upstreams: P-256, Ed25519 or RSA; the first signs, the public halves of all are at `/.well-known/jwks.json`. If unset: made at every start and every day",
  ),
  SALLYPORT_LOGIN_LIFETIME: variable(
    loginLifetime,
    "1h",
    "how long a browser stays signed in on routes with `login=`, `1m` to `1h`, and never past the end of its ID token",
  ),
  SALLYPORT_HOST_LOGIN: variable(
    text,
    null,
    "`oidc`, or `oidc:NAME`: browsers without a certificate may sign in at the router's own pages too, as with `login=` on a route",
  ),
  SALLYPORT_LISTENER_MODE: variable(
    oneOf("multiplex", "separate"),
    "multiplex",
    "`multiplex`: the one port, plus a listener for each route that names its own `port=`; `separate`: also one listener a protocol for old clients and firewalls, which serves the routes of that scheme alone, its ALPN implied",
  ),
  SALLYPORT_PORT_SSH: separatePort("ssh", 3023),
  SALLYPORT_PORT_TUNNEL: variable(
    listenPort,
    null,
    "the port of the listener for agents in listener mode `separate`; 3024 unless set",
  ),
  SALLYPORT_PORT_KUBERNETES: separatePort("kubernetes", 3026),
  SALLYPORT_PORT_MYSQL: separatePort("mysql", 3036),
  SALLYPORT_PORT_POSTGRES: separatePort("postgres", 5432),
  SALLYPORT_PORT_REDIS: separatePort("redis", 6379),
  SALLYPORT_PORT_MONGODB: separatePort("mongodb", 27017),
  SALLYPORT_ROUTES_FILE: variable(
    text,
    null,
    "the path of a file with more routes, watched: a line `NAME=URL` for each, NAME as after `SALLYPORT_ROUTE_`; `#` begins a comment",
  ),
  SALLYPORT_PROXY_PROTOCOL: variable(
    oneOf("off", "optional", "required"),
    "off",
    "a PROXY header (v1 or v2) in front of TLS: `required`, `optional` or `off`",
  ),
  SALLYPORT_PROXY_PROTOCOL_FROM: variable(
    cidrs,
    null,
    "networks whose PROXY headers are believed; from elsewhere one is refused",
  ),
  SALLYPORT_CONNECT_LISTEN: variable(
    text,
    "off",
    "plain HTTP for balancers that end TLS and can't speak it to us: the connection upgrade at `/.well-known/sallyport/connect` and `/healthz`, nothing else; an address, or `off`",
  ),
  SALLYPORT_FORWARDED_FROM: variable(
    cidrs,
    null,
    "networks of the balancers whose `X-Forwarded-For` on a connection upgrade is believed",
  ),
  SALLYPORT_HANDSHAKE_TIMEOUT: variable(
    duration,
    "10s",
    "from accepting a connection to its finished handshake",
  ),
  SALLYPORT_CONNECT_TIMEOUT: variable(
    duration,
    "10s",
    "for dialling an upstream, its TLS handshake included",
  ),
  SALLYPORT_IDLE_TIMEOUT: variable(duration, "1h", "without a byte either way"),
  SALLYPORT_HALF_CLOSE_TIMEOUT: variable(
    duration,
    "60s",
    "without a byte once one side has closed its sending half",
  ),
  SALLYPORT_DRAIN_TIMEOUT: variable(duration, "5m", "from SIGTERM to forced close"),
  SALLYPORT_DRAIN_DELAY: variable(delay, "15s", "unready but still accepting, before the listener closes"),
  SALLYPORT_MAX_CONNECTIONS: variable(
    count,
    "10000",
    "open connections in all; fewer where the process may not open two files for each",
  ),
  SALLYPORT_MAX_CONNECTIONS_PER_SOURCE: variable(count, "1000", "open connections from one source address"),
  SALLYPORT_MAX_CONNECTIONS_PER_IDENTITY: variable(count, "500", "open connections of one identity"),
  SALLYPORT_MAX_HANDSHAKES: variable(
    count,
    "1000",
    "connections that have not finished their handshake, of sources without a verified one in the last hour",
  ),
  SALLYPORT_MAX_MEMORY: variable(
    memory,
    "auto",
    "memory from which on new connections are refused, such as `2GiB`, of all workers together; `auto`: 80 % of what the machine has or the control group may have; `off`: no bound",
  ),
  SALLYPORT_CONNECTION_RATE_PER_SOURCE: variable(
    rate,
    "off",
    "new connections of one source (IPv6: one /64), such as `100/s` or `6000/m,burst=200`; `off`: as many as come",
  ),
  SALLYPORT_CONNECTION_RATE_PER_IDENTITY: variable(rate, "off", "the same of one identity"),
  SALLYPORT_BANDWIDTH_PER_SOURCE: variable(
    bandwidth,
    "off",
    "what all connections of one source (IPv6: one /64) carry together each way, such as `50MiB/s`; `off`: as much as there is",
  ),
  SALLYPORT_BANDWIDTH_PER_IDENTITY: variable(bandwidth, "off", "the same of one identity"),
  SALLYPORT_WORKERS: variable(
    workers,
    "1",
    "processes that share the port, `1` to `256`; `auto`: one a core",
  ),
  SALLYPORT_REUSE_PORT: variable(
    oneOf("off", "on"),
    "off",
    "`on`: the listeners may be shared with another router on this machine, which takes over while this one drains",
  ),
  SALLYPORT_STATE_URL: variable(
    text,
    "memory:",
    "state that several routers share: `redis://user:password@host:port/database` of a Redis or Valkey, `rediss://` over TLS; `memory:` for a router alone",
  ),
  SALLYPORT_STATE_SECRET: variable(
    text,
    null,
    "seals the shared state, the same at every router: 256 random bits in base64 or hexadecimal (`openssl rand -base64 32`), or a path of them; required with `redis://`",
  ),
  SALLYPORT_STATE_CA: variable(
    text,
    null,
    "trust anchors for a `rediss://` server, PEM or a path; the system's unless set",
  ),
  ...acmeVariables,
  SALLYPORT_TUNNEL_ALLOW: variable(
    tunnelRules,
    null,
    "who may publish agents of which name: `NAME=RULE`, RULE as in `allow`, `*` in NAME for one or more characters, `;` between them, any of which will do; nobody may unless set",
  ),
  SALLYPORT_TUNNEL_MAX_AGENTS: variable(count, "1000", "agents that are connected at once"),
  SALLYPORT_TUNNEL_MAX_STREAMS: variable(
    count,
    "2000",
    "streams that are open at once on one agent's connection",
  ),
  SALLYPORT_PEER_ALLOW: variable(
    allowRules,
    null,
    "which certificates are those of other routers, which may use the agents that are connected to this one, and whose agents it uses: rules as in `allow`, `;` between them, any of which will do; nobody is one unless set",
  ),
  SALLYPORT_PEER_CERT: variable(
    text,
    null,
    "the certificate that this router shows others, chain, PEM or a path: for client and server, `SALLYPORT_HOST` among its names (`sallyport ca router`)",
  ),
  SALLYPORT_PEER_KEY: variable(text, null, "its private key, PEM or a path"),
  SALLYPORT_PEER_CA: variable(
    text,
    null,
    "trust anchors for other routers' certificates, PEM or a path; `SALLYPORT_CLIENT_CA` unless set",
  ),
  SALLYPORT_PEER_ADDRESS: variable(
    dialAddress,
    null,
    "where other routers reach this one, which is told to them: `host:port` of its own, not a balancer's",
  ),
  SALLYPORT_PEERS: variable(
    dialAddresses,
    null,
    "where other routers are, `host:port` with commas between them, each of which is asked for an agent that is not connected here",
  ),
  SALLYPORT_LOG_FORMAT: variable(
    oneOf("json", "text"),
    null,
    "operator's log on standard error: `json`, or `text` (the default on a terminal)",
  ),
  SALLYPORT_LOG_LEVEL: variable(
    oneOf("debug", "info", "warn", "error"),
    "info",
    "the least level that is logged",
  ),
  SALLYPORT_AUDIT_LOG: variable(
    text,
    "-",
    "one JSON line a connection, and one a request for a certificate: `-` for standard output, a path, a syslog receiver (`syslog+tcp://HOST:PORT`, `syslog+tls://HOST:PORT?ca=FILE`, `syslog+unix:/PATH`), or `off`",
  ),
  SALLYPORT_AUDIT_CHAIN: variable(
    oneOf("on", "off"),
    null,
    "whether each line carries its number and the hash of the one before, for `sallyport audit verify`; `on` for a path unless set, `off` elsewhere",
  ),
  SALLYPORT_AUDIT_ROTATE: variable(
    rotation,
    "off",
    "when the audit log's file is put aside as `PATH.1`: a size such as `100MiB`, an age such as `24h`, or both with a comma between; `off` for never",
  ),
  SALLYPORT_AUDIT_KEEP: variable(
    auditFiles,
    "10",
    "how many files that were put aside are kept, `1` to `1000`",
  ),
  SALLYPORT_OTLP: variable(
    oneOf("off", "traces", "metrics", "all"),
    "off",
    "what is exported by OpenTelemetry's protocol, OTLP over HTTP: `traces`, `metrics` or `all`; where to, and how, the standard variables `OTEL_*` say",
  ),
  SALLYPORT_AUDIT_FULL: variable(
    oneOf("continue", "refuse"),
    "continue",
    "what happens once so many records wait that some would be lost, for a disk is full or a receiver away: `continue` serves on, `refuse` takes no new connection until they are written",
  ),
} as const;

export type VariableName = keyof typeof variables;
export type Values = {
  readonly [K in VariableName]: (typeof variables)[K] extends Variable<infer T> ? T | null : never;
};

export const routePrefix = "SALLYPORT_ROUTE_";
export const providerPrefix = "SALLYPORT_OIDC_";

/** Read by the client commands, so a shell that has them may run `serve` too. */
export const clientVariables: readonly string[] = [
  "SALLYPORT_ROUTER",
  "SALLYPORT_CA",
  "SALLYPORT_CLIENT_CERT",
  "SALLYPORT_CLIENT_KEY",
  "SALLYPORT_TUNNEL",
  "SALLYPORT_AGENT_NAME",
];
export const clientPrefix = "SALLYPORT_SERVICE_";
