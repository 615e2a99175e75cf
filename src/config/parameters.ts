interface Parameter {
  readonly meaning: string;
  /** May stand several times. */
  readonly many?: boolean;
  /** Refused on routes that pass TLS through. */
  readonly terminatedOnly?: boolean;
  /** Refused where the adapter knows nothing of databases. */
  readonly databaseOnly?: boolean;
  /** Refused where the adapter speaks no HTTP. */
  readonly httpOnly?: boolean;
  /** Refused on all other schemes. */
  readonly onlyOn?: readonly string[];
}

/** Every parameter of a route's URL; the reference table is made from this. */
export const parameters: Readonly<Record<string, Parameter>> = {
  sni: {
    meaning:
      "names: exact (`a.example.com`), wildcard of one label (`*.example.com`), or a capture (`{node}.apps.example.com`) usable in the upstream's host and `upstream_sni`; several: comma",
    many: true,
  },
  alpn: { meaning: "protocol ids, instead of the scheme's own; several: comma", many: true },
  client: { meaning: "client certificate: `required` (default), `optional` or `none`", terminatedOnly: true },
  client_ca: {
    meaning: "this route's own trust anchors for client certificates, PEM or a path",
    terminatedOnly: true,
  },
  crl: {
    meaning: "this route's own revocation lists, as `SALLYPORT_CRL` has them",
    terminatedOnly: true,
  },
  expiry_grace: { meaning: "instead of `SALLYPORT_EXPIRY_GRACE`", terminatedOnly: true },
  allow: {
    meaning:
      "who may: `cn:` `o:` `ou:` `dns:` `email:` `uri:` `group:` and a value in which `*` stands for part of a label or path segment; several `allow`: any of them, comma inside one: all of them",
    many: true,
    terminatedOnly: true,
  },
  login: {
    meaning:
      "`oidc`: browsers without a certificate sign in at the provider of `SALLYPORT_OIDC_*`; `oidc:NAME` where several have a client. Needs `client=optional` or `client=none`",
    onlyOn: ["http", "https", "h2c"],
  },
  source: { meaning: "networks (CIDR) that may; several: comma", many: true },
  port: { meaning: "a listener of the route's own, beside the one port; `sni` may then be left out" },
  send_proxy: {
    meaning:
      "a PROXY header to the upstream: `v1`, or `v2` with ALPN, name, TLS version and client certificate",
  },
  upstream_tls: {
    meaning:
      "`off`, `verify` (default for `https`, `kubernetes` and `rediss`) or `insecure`; not on `ssh` routes",
    terminatedOnly: true,
  },
  upstream_ca: {
    meaning: "trust anchors for the upstream's certificate, PEM or a path; default the system's",
    terminatedOnly: true,
  },
  upstream_cert: {
    meaning:
      "client certificate chain shown to the upstream, PEM or a path; on database routes also `authority`: one made for the database user by `SALLYPORT_AUTHORITY`",
    terminatedOnly: true,
  },
  upstream_key: { meaning: "its private key, PEM or a path", terminatedOnly: true },
  upstream_sni: {
    meaning: "name sent to and verified of the upstream; default its host",
    terminatedOnly: true,
  },
  db_user: {
    meaning:
      "database users that may be asked for: `*` stands for one or more characters, `{cn}` `{o}` `{ou}` `{dns}` `{email}` `{uri}` `{group}` for what the client's certificate says, and what `sni` captures for itself; several: comma",
    many: true,
    databaseOnly: true,
  },
  db_name: { meaning: "the same for databases", many: true, databaseOnly: true },
  audit: {
    meaning:
      "a line in the audit log for each statement (`statements`; `off` unless given) or, on `kubernetes` routes, for each request (`requests`, unless `off` is given)",
    onlyOn: ["postgres", "mysql", "redis", "rediss", "mongodb", "kubernetes"],
  },
  replication: {
    meaning:
      "`allow`: clients may ask for a stream of changes, as replicas and backup tools do; `refuse` unless given",
    onlyOn: ["postgres", "mysql"],
  },
  local_infile: {
    meaning:
      "`allow`: `LOAD DATA LOCAL`, by which the server asks the client for files; `refuse` unless given",
    onlyOn: ["mysql"],
  },
  startup_options: {
    meaning:
      "`refuse`: clients may not set server parameters with `options` as they connect; `allow` unless given",
    onlyOn: ["postgres"],
  },
  upstream_token: {
    meaning:
      "the bearer token by which the API server knows the router; who asks, it is told by impersonation",
    onlyOn: ["kubernetes"],
  },
  upstream_token_file: {
    meaning: "a file with the token in it, read again when it changes",
    onlyOn: ["kubernetes"],
  },
  kube_user: {
    meaning:
      "the user that the API server is asked to act as: `{cn}` `{email}` … for what the client's certificate says, text as it stands; several: the first that the certificate has; `{cn},{email},{uri}` unless given",
    many: true,
    onlyOn: ["kubernetes"],
  },
  kube_groups: {
    meaning: "its groups, in the same form, or `off`; several: all of them; `{group}` unless given",
    many: true,
    onlyOn: ["kubernetes"],
  },
  kube_uid: { meaning: "its UID, in the same form", onlyOn: ["kubernetes"] },
  kube_extra: {
    meaning: "more about it: `NAME=VALUE`, the value in the same form; several: comma",
    many: true,
    onlyOn: ["kubernetes"],
  },
  kube_as: {
    meaning:
      "whom clients may ask to act as instead (`kubectl --as`): `user:deploy,group:ops` is a user and the groups that may be asked for with it, `*` and `{cn}` … as in `db_user`; several `kube_as`: any of them; nobody unless given",
    many: true,
    onlyOn: ["kubernetes"],
  },
  answer_timeout: {
    meaning:
      "from the end of a request to the head of its answer, then 504; as long as `idle_timeout` unless given",
    httpOnly: true,
  },
  max_requests: {
    meaning:
      "requests under way at each server of the upstream; as many more wait for `SALLYPORT_CONNECT_TIMEOUT`, then 503; 1024 unless given",
    httpOnly: true,
  },
  via: {
    meaning:
      "an agent's name, in which captures may stand: the upstream's host is then a service that this agent publishes, and has no port",
  },
  idle_timeout: { meaning: "instead of `SALLYPORT_IDLE_TIMEOUT`" },
  session_timeout: { meaning: "how long a connection may last in all; as long as it likes unless given" },
  max_connections: { meaning: "open connections on this route" },
};
