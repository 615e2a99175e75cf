import { schemes } from "../adapters/registry.ts";
import { loadConfig } from "../config/load.ts";
import { ConfigError } from "../errors.ts";
import { createLog } from "../observe/log.ts";
import { files, isTerminal, lineSink } from "../runtime/files.ts";
import { selectRuntime } from "../runtime/select.ts";
import { onSignals } from "../runtime/signals.ts";
import { selfTest } from "../self-test/self-test.ts";
import { startServer } from "../server.ts";
import type { LineSink } from "../types.ts";
import type { Command } from "./command.ts";
import { options } from "./options.ts";

function openAudit(target: string): LineSink | null {
  if (target === "off") return null;
  try {
    return lineSink(target === "-" ? 1 : target);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ConfigError([
      { name: "SALLYPORT_AUDIT_LOG", message: `can't be written (${why}): expected -, off or a path` },
    ]);
  }
}

export const serve: Command = {
  name: "serve",
  summary: "run the router from the environment",
  usage: `Usage: sallyport serve

Runs the router. It is configured by SALLYPORT_* environment variables alone:
docs/configuration.md lists them, and "sallyport check" tells whether they are right.

SIGTERM or SIGINT drains; a second one ends at once.`,

  async run(args, io) {
    options(args, {});
    const config = loadConfig(io.env, schemes, files);
    const runtime = await selectRuntime();
    const errors = lineSink(2);
    const log = createLog(errors, config.log.format ?? (isTerminal(2) ? "text" : "json"), config.log.level);
    for (const warning of config.warnings) log.warn(warning);
    const audit = openAudit(config.audit);

    await selfTest(runtime, files);
    const server = await startServer(
      runtime,
      config,
      log,
      (record) => audit?.write(JSON.stringify(record)),
      files,
    );
    log.info("listening", {
      address: `${server.address.address}:${server.address.port}`,
      admin: server.admin === null ? "off" : `${server.admin.address}:${server.admin.port}`,
      ...(server.connect === null ? {} : { connect: `${server.connect.address}:${server.connect.port}` }),
      ...Object.fromEntries(
        Object.entries(server.separate).map(([name, { address, port }]) => [name, `${address}:${port}`]),
      ),
      routes: config.table.routes.length,
      runtime: `${runtime.name} ${runtime.version}`,
    });

    await new Promise<void>((resolve) => {
      let draining = false;
      onSignals(["SIGTERM", "SIGINT"], () => {
        if (draining) {
          server.close().then(resolve, resolve);
          return;
        }
        draining = true;
        server.drain().then(resolve, resolve);
      });
    });
    log.info("stopped");
    await audit?.close();
    await errors.close();
    return 0;
  },
};
