import type { SchemeInfo } from "../config/scheme.ts";
import type { Adapter } from "../core/session.ts";
import { httpAdapter } from "./http/index.ts";
import { relayAdapter } from "./relay.ts";

/** Every protocol there is. A new one is a folder beside this file and an entry in each list. */
export const adapters: readonly Adapter[] = [relayAdapter("tls"), relayAdapter("tcp"), httpAdapter];

const base = { terminates: true, takesNoAlpn: false, defaultPort: null, defaultUpstreamTls: "off" } as const;
const http = { ...base, adapter: "http", takesNoAlpn: true, defaultAlpn: ["h2", "http/1.1"] } as const;

export const schemes: readonly SchemeInfo[] = [
  { ...base, scheme: "tls", adapter: "tls", terminates: false, defaultPort: 443, defaultAlpn: null },
  { ...base, scheme: "tcp", adapter: "tcp", defaultAlpn: ["sallyport-tcp"] },
  { ...http, scheme: "http", defaultPort: 80 },
  { ...http, scheme: "https", defaultPort: 443, defaultUpstreamTls: "verify" },
  { ...http, scheme: "h2c", defaultPort: 80 },
];
