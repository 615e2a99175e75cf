import type { SchemeInfo } from "../config/scheme.ts";
import type { Adapter } from "../core/session.ts";
import { httpAdapter } from "./http/index.ts";
import { kubernetesAdapter } from "./http/kubernetes/index.ts";
import { mongodbAdapter } from "./mongodb/index.ts";
import { mysqlAdapter } from "./mysql/index.ts";
import { type PostgresNeeds, postgresAdapter } from "./postgres/index.ts";
import { redisAdapter } from "./redis/index.ts";
import { relayAdapter } from "./relay.ts";
import { sshAdapter } from "./ssh/index.ts";

/**
 * Every protocol there is, for one router: what an adapter remembers of its connections is that router's. A new one is
 * a folder beside this file and an entry in each list.
 */
export const createAdapters = (needs: PostgresNeeds): readonly Adapter[] => [
  ...["tls", "tcp"].map(relayAdapter),
  httpAdapter,
  kubernetesAdapter,
  postgresAdapter(needs),
  redisAdapter(),
  mongodbAdapter(),
  mysqlAdapter(),
  sshAdapter(),
];

const base = {
  terminates: true,
  takesNoAlpn: false,
  defaultPort: null,
  upstreamTls: "first",
  defaultUpstreamTls: "off",
  database: false,
  saysPassword: false,
  http: false,
  separatePort: null,
} as const;
const http = {
  ...base,
  adapter: "http",
  http: true,
  takesNoAlpn: true,
  defaultAlpn: ["h2", "http/1.1", "sallyport-http"],
} as const;
const database = { ...base, database: true } as const;
const redis = {
  ...database,
  adapter: "redis",
  saysPassword: true,
  defaultPort: 6379,
  defaultAlpn: ["sallyport-redis"],
} as const;

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
    separatePort: 3026,
  },
  {
    ...database,
    scheme: "postgres",
    adapter: "postgres",
    defaultPort: 5432,
    defaultAlpn: ["postgresql", "sallyport-postgres"],
    upstreamTls: "inside",
    separatePort: 5432,
  },
  {
    ...database,
    scheme: "mysql",
    adapter: "mysql",
    defaultPort: 3306,
    defaultAlpn: ["sallyport-mysql"],
    upstreamTls: "inside",
    separatePort: 3036,
  },
  { ...redis, scheme: "redis", separatePort: 6379 },
  { ...redis, scheme: "rediss", defaultUpstreamTls: "verify" },
  {
    ...database,
    scheme: "mongodb",
    adapter: "mongodb",
    defaultPort: 27017,
    defaultAlpn: ["sallyport-mongodb"],
    separatePort: 27017,
  },
  {
    ...base,
    scheme: "ssh",
    adapter: "ssh",
    defaultPort: 22,
    defaultAlpn: ["sallyport-ssh"],
    upstreamTls: "none",
    separatePort: 3023,
  },
];
