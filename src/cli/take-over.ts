import type { Config } from "../config/load.ts";
import { ConfigError } from "../errors.ts";
import type { Log } from "../observe/log.ts";
import { inheritedEndpoint } from "../runtime/inherited-socket.ts";
import { waitingConnectionsMove, whyNoSharing } from "../runtime/shared-ports.ts";
import { monotonicMicros, notifyServiceManager } from "../runtime/systemd-notify.ts";
import { inheritedSockets } from "../service-manager/listen-fds.ts";
import { ServiceManager } from "../service-manager/service-manager.ts";
import type { Runtime } from "../types.ts";
import { listenersOf } from "../workers/listeners.ts";
import type { CliIo } from "./command.ts";
import { workersOf } from "./worker-count.ts";

/**
 * The sockets that were opened for this process, by the variable whose listener each is. Throws a `ConfigError` where
 * they are of no use here, or a port that was to be shared can't be.
 */
export function openedSockets(
  env: CliIo["env"],
  config: Config,
  runtime: Runtime,
  log: Log,
): ReadonlyMap<string, number> {
  const listeners = [
    ...listenersOf(config).map(({ variable }) => variable),
    ...(config.admin === null ? [] : ["SALLYPORT_ADMIN_LISTEN"]),
  ];
  const sockets = inheritedSockets(env, runtime.processId, listeners);
  for (const [variable, fd] of sockets) {
    try {
      inheritedEndpoint(fd);
    } catch (error) {
      const message = `the socket for ${variable}: ${error instanceof Error ? error.message : String(error)}`;
      throw new ConfigError([{ name: "LISTEN_FDS", message }]);
    }
  }
  if (sockets.size > 0 && runtime.name === "deno" && workersOf(config) > 1) {
    // Handing one to a process makes it a blocking one for all that have it (2.9.6): accepting stops whole routers then.
    const message = "Deno can't hand sockets on to workers: expected SALLYPORT_REUSE_PORT=on in their place";
    throw new ConfigError([{ name: "LISTEN_FDS", message }]);
  }
  if (config.reusePort) {
    const why = whyNoSharing(runtime);
    if (why !== null) {
      const message = `on ${why}; sockets of the service manager's (LISTEN_FDS) do everywhere on Linux`;
      throw new ConfigError([{ name: "SALLYPORT_REUSE_PORT", message }]);
    }
    if (!waitingConnectionsMove())
      log.warn(
        "SALLYPORT_REUSE_PORT is on, and net.ipv4.tcp_migrate_req is not: connections that wait when this router ends are lost; sysctl net.ipv4.tcp_migrate_req=1",
      );
  }
  return sockets;
}

/** Whoever started this process, where it wants to hear how it is. */
export const serviceManager = (env: CliIo["env"], runtime: Runtime, log: Log): ServiceManager =>
  new ServiceManager(env, runtime.processId, {
    send: notifyServiceManager,
    monotonicMicros,
    failed: ({ message }) =>
      log.warn("the service manager can't be told how things are (systemd-notify)", { error: message }),
  });
