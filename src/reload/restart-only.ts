import type { Config } from "../config/load.ts";
import type { ConfigProblem } from "../errors.ts";

/** What is made once, at start, by the variable that asks for it. */
const fixed: Readonly<Record<string, (config: Config) => unknown>> = {
  SALLYPORT_LISTEN: ({ listen }) => listen,
  SALLYPORT_ADMIN_LISTEN: ({ admin }) => admin,
  SALLYPORT_CONNECT_LISTEN: ({ connect }) => connect,
  SALLYPORT_MAX_CONNECTIONS: ({ caps }) => caps,
  SALLYPORT_CONNECTION_RATE_PER_SOURCE: ({ limits }) => limits,
  SALLYPORT_TUNNEL_ALLOW: ({ tunnel }) => tunnel,
  SALLYPORT_PEERS: ({ peers }) => peers,
  SALLYPORT_PEER_ADDRESS: ({ peerAddress }) => peerAddress,
  SALLYPORT_ADMIN_ALLOW: ({ adminAllow }) => adminAllow,
  SALLYPORT_CRL_RULE: ({ revocation }) => revocation,
  SALLYPORT_CLIENT_PROFILE: ({ profile }) => profile,
  SALLYPORT_GROUPS: ({ groups }) => groups,
  SALLYPORT_LOG_LEVEL: ({ log }) => log,
  SALLYPORT_AUDIT_LOG: ({ audit }) => audit,
  SALLYPORT_WORKERS: ({ workers }) => workers,
  SALLYPORT_STATE_URL: ({ state }) => state && { ...state, secret: null, tls: state.tls !== null },
  SALLYPORT_STATE_SECRET: ({ state }) => state?.secret,
  SALLYPORT_STATE_CA: ({ state }) => state?.tls,
};

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
  for (const [name, part] of Object.entries(fixed)) {
    if (JSON.stringify(part(config)) !== JSON.stringify(part(before)))
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
