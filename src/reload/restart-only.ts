import type { Config } from "../config/load.ts";
import type { ConfigProblem } from "../errors.ts";

/** What is made once, at start, and by which variable. */
const fixed = {
  listen: "SALLYPORT_LISTEN",
  admin: "SALLYPORT_ADMIN_LISTEN",
  connect: "SALLYPORT_CONNECT_LISTEN",
  caps: "SALLYPORT_MAX_CONNECTIONS",
  limits: "SALLYPORT_CONNECTION_RATE_PER_SOURCE",
  tunnel: "SALLYPORT_TUNNEL_ALLOW",
  peers: "SALLYPORT_PEERS",
  peerAddress: "SALLYPORT_PEER_ADDRESS",
  adminAllow: "SALLYPORT_ADMIN_ALLOW",
  revocation: "SALLYPORT_CRL_RULE",
  profile: "SALLYPORT_CLIENT_PROFILE",
  groups: "SALLYPORT_GROUPS",
  log: "SALLYPORT_LOG_LEVEL",
  audit: "SALLYPORT_AUDIT_LOG",
  workers: "SALLYPORT_WORKERS",
  state: "SALLYPORT_STATE_URL",
} as const satisfies Partial<Record<keyof Config, string>>;

interface Listening {
  readonly key: string;
  readonly name: string;
  readonly port: number;
}

const listenersOf = ({ table, separate }: Config): readonly Listening[] => [
  ...table.routes.flatMap(({ name, variable, port }) =>
    port === null ? [] : [{ key: `route ${name} ${port}`, name: variable, port }],
  ),
  ...separate.map(({ adapter, variable, port }) => ({ key: `${adapter} ${port}`, name: variable, port })),
];

const needsRestart = "takes a restart";

/** What is different from `before` in a way that a router that runs can't take up. */
export function restartOnly(config: Config, before: Config): readonly ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [key, name] of Object.entries(fixed) as [keyof typeof fixed, string][]) {
    if (JSON.stringify(config[key]) !== JSON.stringify(before[key]))
      problems.push({ name, message: `is another than at the start, which ${needsRestart}` });
  }
  const [now, then] = [listenersOf(config), listenersOf(before)];
  for (const { key, name, port } of now) {
    if (!then.some((one) => one.key === key))
      problems.push({ name, message: `listening on port ${port} too ${needsRestart}` });
  }
  for (const { key, name, port } of then) {
    if (!now.some((one) => one.key === key))
      problems.push({ name, message: `listening on port ${port} no longer ${needsRestart}` });
  }
  return problems;
}
