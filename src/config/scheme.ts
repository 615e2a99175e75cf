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
  /** Whether the upstream may speak TLS from its first byte on. */
  readonly upstreamTls: boolean;
  readonly defaultUpstreamTls: "off" | "verify";
}
