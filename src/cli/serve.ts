import { schemes } from "../adapters/registry.ts";
import { type Config, loadConfig } from "../config/load.ts";
import { createLog } from "../observe/log.ts";
import { Reloader } from "../reload/reloader.ts";
import { SeenFiles } from "../reload/seen-files.ts";
import { files, isTerminal, lineSink } from "../runtime/files.ts";
import { selectRuntime } from "../runtime/select.ts";
import { onSignals } from "../runtime/signals.ts";
import type { Endpoint } from "../types.ts";
import { openAudit } from "./audit-sink.ts";
import type { Command } from "./command.ts";
import { options } from "./options.ts";
import { openExport } from "./otlp-export.ts";
import { openedSockets, serviceManager } from "./take-over.ts";
import { workersOf } from "./worker-count.ts";

const at = ({ address, port }: Endpoint): string => `${address}:${port}`;

export const serve: Command = {
  usage: `Usage: sallyport serve

Runs the router. It is configured by SALLYPORT_* environment variables alone:
docs/configuration.md lists them, and "sallyport check" tells whether they are right.

SIGHUP reads the files that they name anew, as does a change in one of them: docs/operating.md
says what that does. SIGTERM or SIGINT drains; a second one ends at once.`,

  async run(args, io) {
    options(args, {});
    const seen = new SeenFiles(files);
    const read = (): Config => loadConfig(io.env, schemes, seen);
    const config = read();
    const runtime = await selectRuntime();
    const errors = lineSink(2);
    const logFormat = config.log.format ?? (isTerminal(2) ? "text" : "json");
    const log = createLog(errors, logFormat, config.log.level);
    for (const warning of config.warnings) log.warn(warning);
    const sockets = openedSockets(io.env, config, runtime, log);
    const manager = serviceManager(io.env, runtime, log);
    const audit = await openAudit(config.audit, runtime, log);

    const workers = workersOf(config);
    const separate = new Map(config.separate.map(({ adapter, variable }) => [variable, adapter]));
    const listening = (addresses: Readonly<Record<string, Endpoint>>, admin: Endpoint | null): void => {
      const { SALLYPORT_LISTEN: address, SALLYPORT_CONNECT_LISTEN: connect, ...others } = addresses;
      log.info("listening", {
        address: address === undefined ? "" : at(address),
        admin: admin === null ? "off" : at(admin),
        ...(connect === undefined ? {} : { connect: at(connect) }),
        ...Object.fromEntries(
          Object.entries(others).flatMap(([variable, one]) => {
            const adapter = separate.get(variable);
            return adapter === undefined ? [] : [[adapter, at(one)]];
          }),
        ),
        routes: config.table.routes.length,
        ...(workers === 1 ? {} : { workers }),
        runtime: `${runtime.name} ${runtime.version}`,
      });
      manager.ready(address === undefined ? "ready" : `ready at ${at(address)}`);
    };
    const end = async (status: number): Promise<number> => {
      log.info("stopped");
      await manager.close();
      await audit?.close();
      await errors.close();
      return status;
    };
    // Of the two ways to serve the other is not loaded.
    if (workers > 1) {
      const { serveWithWorkers } = await import("./serve-workers.ts");
      return end(
        await serveWithWorkers({
          runtime,
          config,
          env: io.env,
          log,
          logFormat,
          errors,
          audit,
          sockets,
          manager,
          listening,
        }),
      );
    }

    const [{ selfTest }, { startServer }] = await Promise.all([
      import("../self-test/self-test.ts"),
      import("../server.ts"),
    ]);
    await selfTest(runtime, files);
    const exported = await openExport(config, io.env, runtime, log, {
      traces: true,
      metrics: () => server.metrics(),
    });
    const server = await startServer(
      runtime,
      config,
      log,
      (record) => audit?.write(JSON.stringify(record)),
      seen,
      null,
      { recording: audit, traces: exported.traces, notes: null },
      sockets,
    );
    const reloader = new Reloader(seen, (why) => server.reload(why, read));
    onSignals(["SIGHUP"], () => {
      manager.reloading();
      void reloader.now("SIGHUP").finally(() => manager.ready("read the configuration anew"));
    });
    listening(server.listeners, server.admin);

    await new Promise<void>((resolve) => {
      let draining = false;
      onSignals(["SIGTERM", "SIGINT"], () => {
        reloader.stop();
        if (draining) {
          server.close().then(resolve, resolve);
          return;
        }
        draining = true;
        manager.stopping(config.timeouts.drainMs);
        server.drain().then(resolve, resolve);
      });
    });
    await exported.close();
    return end(0);
  },
};
