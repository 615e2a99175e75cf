import { appService } from "../local/app-service.ts";
import type { CredentialKeeper } from "../local/credential.ts";
import type { Front } from "../local/fronts/front.ts";
import { mysqlFront } from "../local/fronts/mysql.ts";
import { plainFront } from "../local/fronts/plain.ts";
import { postgresFront } from "../local/fronts/postgres.ts";
import { mongodbFront, redisFront } from "../local/fronts/speaks-first.ts";
import { LocalProxy, type ProxyEvents, type Service } from "../local/proxy.ts";
import { streamService } from "../local/streams.ts";
import type { ListenAddress, TlsConnection, TlsContext } from "../types.ts";
import type { Client } from "./client.ts";
import type { CliIo } from "./command.ts";
import { askRoutes } from "./listed-routes.ts";
import { localCertificate, profileFolder } from "./profile.ts";
import type { Kind, RouteTarget } from "./route-target.ts";

const fronts: Readonly<Record<string, Front>> = {
  postgres: postgresFront,
  mysql: mysqlFront,
  redis: redisFront,
  rediss: redisFront,
  mongodb: mongodbFront,
};

/** Why the router would not serve this target, by its own answer. */
async function whyRefused(client: Client, keeper: CredentialKeeper, target: RouteTarget): Promise<string> {
  const silent = `the router closed the connection to ${target.name} before a word`;
  try {
    const { pair } = await keeper.current();
    const api = client.api(pair);
    try {
      const routes = await askRoutes(api);
      return routes.length === 0
        ? `${silent}: no route admits you`
        : `${silent}: either its upstream did, or it does not admit you; those that do are ${routes.map(({ name }) => name).join(", ")}`;
    } finally {
      api.close();
    }
  } catch (error) {
    return error instanceof Error ? error.message : silent;
  }
}

/** Starts a local proxy to a route. */
export async function startLocalProxy(
  client: Client,
  keeper: CredentialKeeper,
  env: CliIo["env"],
  kind: Kind,
  target: RouteTarget,
  at: ListenAddress,
  events: ProxyEvents,
): Promise<LocalProxy> {
  const { runtime, link, address } = client;
  const dial = async (): Promise<TlsConnection> => {
    const { pair } = await keeper.current();
    return link.dial(target.serverName, target.alpn, pair);
  };
  let service: Service;
  if (kind === "app" || kind === "kube") {
    const authority = address.port === 443 ? target.serverName : `${target.serverName}:${address.port}`;
    service = appService(runtime, { authority, otherPages: kind === "app", dial }, events.failed);
  } else {
    let context: Promise<TlsContext> | undefined;
    const localTls = (): Promise<TlsContext> => {
      context ??= localCertificate(profileFolder(env)).then(({ certificate, key }) =>
        runtime.tlsContext({ cert: certificate, key, clientCas: null, sessionContext: "local" }),
      );
      return context;
    };
    const front = kind === "db" ? (fronts[target.scheme] ?? plainFront) : plainFront;
    service = streamService(
      runtime,
      front,
      { dial, why: () => whyRefused(client, keeper, target) },
      localTls,
    );
  }
  return LocalProxy.start(runtime, at, service, events);
}
