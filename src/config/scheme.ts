/** What the configuration needs to know of a URL scheme; the adapters' registry says it. */
export interface SchemeInfo {
  readonly scheme: string;
  readonly adapter: string;
  /** `null`: the route must name a port. */
  readonly defaultPort: number | null;
  /** `null`: whatever no other route of the name serves. */
  readonly defaultAlpn: readonly string[] | null;
  /** False where TLS passes through untouched. */
  readonly terminates: boolean;
  /** A hello without ALPN comes to this scheme's route even if its name has others. */
  readonly takesNoAlpn: boolean;
  /** Where the upstream's TLS begins: with the first byte, inside the protocol, or nowhere. */
  readonly upstreamTls: "first" | "inside" | "none";
  readonly defaultUpstreamTls: "off" | "verify";
  /** Whether its adapter knows of users, databases and statements, and logs in at the upstream. */
  readonly database: boolean;
  /** Whether a password can only be told its upstream as it stands. */
  readonly saysPassword: boolean;
  /** Whether its adapter speaks HTTP to the upstream, which may then be several servers. */
  readonly http: boolean;
  /** Its listener's port in listener mode `separate`; `null`: it has none. */
  readonly separatePort: number | null;
}
