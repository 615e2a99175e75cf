import { serveAdmin } from "../admin-listener.ts";
import type { AuditLog } from "../audit/audit-log.ts";
import { orderedElsewhere } from "../certificate-orders.ts";
import type { Config } from "../config/load.ts";
import { ConfigError, cannotListen } from "../errors.ts";
import { type Place, placesOf } from "../front.ts";
import type { Log } from "../observe/log.ts";
import type { Export } from "../otlp/export.ts";
import { inheritedEndpoint } from "../runtime/inherited-socket.ts";
import { privateFolder, removeFolder } from "../runtime/private-folder.ts";
import { sharePort } from "../runtime/shared-ports.ts";
import { onSignals } from "../runtime/signals.ts";
import { ownSocket } from "../runtime/unix-socket.ts";
import { startWorker } from "../runtime/worker-process.ts";
import type { ServiceManager } from "../service-manager/service-manager.ts";
import type { Endpoint, LineSink, Listener, Runtime } from "../types.ts";
import { listenersOf } from "../workers/listeners.ts";
import { Primary, type SharedListener, WorkerFailed } from "../workers/primary.ts";
import { newSecret } from "../workers/secret.ts";
import { RouterSecrets } from "../workers/secrets.ts";
import type { CliIo } from "./command.ts";
import { LeftOpen } from "./left-open.ts";
import { openExport } from "./otlp-export.ts";
import { checkShares, workersOf } from "./worker-count.ts";

async function shareListeners(
  runtime: Runtime,
  config: Config,
  sockets: ReadonlyMap<string, number>,
): Promise<readonly SharedListener[]> {
  const shared: SharedListener[] = [];
  for (const { variable, host, port } of listenersOf(config)) {
    const fd = sockets.get(variable);
    if (fd !== undefined) {
      // Whoever opened it has it open still: there is nothing to close here.
      shared.push({ variable, port: inheritedEndpoint(fd).port, fd, close: () => {} });
      continue;
    }
    try {
      shared.push({ variable, ...(await sharePort(runtime, host, port, config.reusePort)) });
    } catch (error) {
      for (const one of shared) one.close();
      throw new ConfigError([{ name: variable, message: cannotListen(`${host}:${port}`, error) }]);
    }
  }
  return shared;
}

/** The admin listener, which is the primary's alone: it speaks for all workers. */
async function listenForAdmin(
  runtime: Runtime,
  config: Config,
  log: Log,
  primary: Primary,
  place: Place,
  done: AbortSignal,
): Promise<Listener | null> {
  if (config.admin === null) return null;
  const ordered = orderedElsewhere(runtime, config);
  const parts = {
    unready: () => primary.unready(),
    details: (verbose: boolean) => [...primary.details(verbose), ...ordered.notes()],
    challenge: ordered.challenge,
    metrics: () => primary.metrics(),
    connections: config.adminConnections ? () => primary.connections() : null,
  };
  const acceptFailed = (error: Error): void =>
    log.warn("accepting failed; backing off", { error: error.message });
  const { host, port } = config.admin;
  try {
    return await runtime.listen(place("SALLYPORT_ADMIN_LISTEN", { host, port }), {
      connection: serveAdmin(runtime, parts, done),
      acceptFailed,
    });
  } catch (error) {
    const message = cannotListen(`${host}:${port}`, error);
    throw new ConfigError([{ name: "SALLYPORT_ADMIN_LISTEN", message }]);
  }
}

/** What `serve` has made already. */
export interface Serving {
  readonly runtime: Runtime;
  readonly config: Config;
  readonly env: CliIo["env"];
  readonly log: Log;
  readonly logFormat: "json" | "text";
  readonly errors: LineSink;
  readonly audit: AuditLog | null;
  /** Opened for this process, by the variable whose listener each is. */
  readonly sockets: ReadonlyMap<string, number>;
  readonly manager: ServiceManager;
  /** Says that it listens. */
  readonly listening: (addresses: Readonly<Record<string, Endpoint>>, admin: Endpoint | null) => void;
}

/** Runs the router as several processes, until a signal ends it; resolves with the exit status. */
export async function serveWithWorkers(serving: Serving): Promise<number> {
  const { runtime, config, env, log, logFormat, errors, audit, sockets, manager, listening } = serving;
  const workers = workersOf(config);
  checkShares(config, workers);
  const folder = privateFolder();
  const done = new AbortController();
  let admin: Listener | null = null;
  let exported: Export | null = null;
  try {
    const primary = new Primary({
      runtime,
      workers,
      listeners: await shareListeners(runtime, config, sockets),
      secrets: new RouterSecrets(config.jwtKey === null, Date.now()),
      secret: newSecret(),
      folder,
      log,
      logFormat,
      drainMs: config.timeouts.drainMs,
      recording: audit,
      start: async (summons, inherited) => {
        const left = new LeftOpen(summons, config.audit.target);
        const worker = await startWorker(["worker"], JSON.stringify(summons), inherited, {
          out: (line) => {
            left.handed(line);
            audit?.write(line);
          },
          error: (line) => errors.write(line),
        });
        return {
          ...worker,
          ended: worker.ended.then((status) => {
            for (const record of left.records(status)) {
              audit?.write(JSON.stringify(record));
              primary.recorded(record);
            }
            return status;
          }),
        };
      },
      protect: ownSocket,
    });
    admin = await listenForAdmin(
      runtime,
      config,
      log,
      primary,
      placesOf(config.reusePort, sockets),
      done.signal,
    );
    listening(await primary.start(), admin?.address ?? null);
    exported = await openExport(config, env, runtime, log, {
      traces: false,
      metrics: () => primary.counted(),
    });
    await new Promise<void>((resolve) => {
      let draining = false;
      onSignals(["SIGHUP"], () => {
        manager.reloading();
        primary.reload();
        manager.ready("told the workers to read the configuration anew");
      });
      onSignals(["SIGTERM", "SIGINT"], () => {
        const over = draining ? primary.close() : primary.drain();
        if (!draining) {
          manager.stopping(config.timeouts.drainMs);
          // Who has taken over answers there too.
          if (config.reusePort || sockets.has("SALLYPORT_ADMIN_LISTEN")) void admin?.close();
        }
        draining = true;
        void over.then(resolve, resolve);
      });
    });
    return 0;
  } catch (error) {
    // It has said why.
    if (error instanceof WorkerFailed) return error.status;
    throw error;
  } finally {
    done.abort();
    await exported?.close();
    await admin?.close();
    removeFolder(folder);
  }
}
