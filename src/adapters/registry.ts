import type { SchemeInfo } from "../config/scheme.ts";
import type { Adapter } from "../core/session.ts";
import { httpAdapter, kubernetesAdapter } from "./http/index.ts";
import { relayAdapter } from "./relay.ts";

/** Every protocol there is. A new one is a folder beside this file and an entry in each list. */
export const adapters: readonly Adapter[] = [
  ...["tls", "tcp", "postgres", "mysql", "redis", "mongodb", "ssh"].map(relayAdapter),
  httpAdapter,
  kubernetesAdapter,
];

const base = {
  terminates: true,
  takesNoAlpn: false,
  defaultPort: null,
  upstreamTls: true,
  defaultUpstreamTls: "off",
} as const;
const http = {
  ...base,
  adapter: "http",
  takesNoAlpn: true,
  defaultAlpn: ["h2", "http/1.1", "sallyport-http"],
} as const;
const redis = { ...base, adapter: "redis", defaultPort: 6379, defaultAlpn: ["sallyport-redis"] } as const;
/** TLS that begins inside the protocol, or none at all, is not what the router's dial speaks. */
const noUpstreamTls = { ...base, upstreamTls: false } as const;

export const schemes: readonly SchemeInfo[] = [
  { ...base, scheme: "tls", adapter: "tls", terminates: false, defaultPort: 443, defaultAlpn: null },
  { ...base, scheme: "tcp", adapter: "tcp", defaultAlpn: ["sallyport-tcp"] },
  { ...http, scheme: "http", defaultPort: 80 },
  { ...http, scheme: "https", defaultPort: 443, defaultUpstreamTls: "verify" },
  { ...http, scheme: "h2c", defaultPort: 80 },
  {
    ...http,
    scheme: "kubernetes",
    adapter: "kubernetes",
    defaultPort: 6443,
    defaultAlpn: ["h2", "http/1.1", "sallyport-kubernetes"],
    defaultUpstreamTls: "verify",
  },
  {
    ...noUpstreamTls,
    scheme: "postgres",
    adapter: "postgres",
    defaultPort: 5432,
    defaultAlpn: ["postgresql", "sallyport-postgres"],
  },
  {
    ...noUpstreamTls,
    scheme: "mysql",
    adapter: "mysql",
    defaultPort: 3306,
    defaultAlpn: ["sallyport-mysql"],
  },
  { ...redis, scheme: "redis" },
  { ...redis, scheme: "rediss", defaultUpstreamTls: "verify" },
  { ...base, scheme: "mongodb", adapter: "mongodb", defaultPort: 27017, defaultAlpn: ["sallyport-mongodb"] },
  { ...noUpstreamTls, scheme: "ssh", adapter: "ssh", defaultPort: 22, defaultAlpn: ["sallyport-ssh"] },
];
