import { schemes } from "../adapters/registry.ts";
import { openAt } from "../admin-listener.ts";
import { type Config, loadConfig } from "../config/load.ts";
import { createLog } from "../observe/log.ts";
import { Reloader } from "../reload/reloader.ts";
import { SeenFiles } from "../reload/seen-files.ts";
import { files, lineSink } from "../runtime/files.ts";
import { NoteFile } from "../runtime/note-file.ts";
import { removeFolder } from "../runtime/private-folder.ts";
import { selectRuntime } from "../runtime/select.ts";
import { onSignals } from "../runtime/signals.ts";
import { allOfStdin } from "../runtime/stdio.ts";
import { selfTest } from "../self-test/self-test.ts";
import { startServer } from "../server.ts";
import { type Ending, Member } from "../workers/member.ts";
import { summons } from "../workers/messages.ts";
import { ofWorker, openAudit } from "./audit-sink.ts";
import { type Command, UsageError } from "./command.ts";
import { openNotesPath } from "./left-open.ts";
import { options } from "./options.ts";
import { openExport } from "./otlp-export.ts";
import { checkShares } from "./worker-count.ts";

const byServe = 'sallyport worker is started by "sallyport serve" alone, with SALLYPORT_WORKERS above 1';

async function summoned(): Promise<ReturnType<typeof summons.parse>> {
  try {
    return summons.parse(JSON.parse(await allOfStdin(16 * 1024)));
  } catch {
    throw new UsageError(byServe);
  }
}

/** One of the processes of a router, which its primary starts. */
export const worker: Command = {
  usage: `Usage: none. ${byServe}.`,

  async run(args, io) {
    options(args, {});
    // A terminal, and service managers, send them to all processes; the primary says what comes of it.
    onSignals(["SIGTERM", "SIGINT"], () => {});
    let reloader: Reloader | null = null;
    onSignals(["SIGHUP"], () => void reloader?.now("SIGHUP"));
    const asked = await summoned();
    const seen = new SeenFiles(files);
    const read = (): Config => loadConfig(io.env, schemes, seen);
    const config = read();
    const runtime = await selectRuntime();
    const member = await Member.join(runtime, asked);
    const words: Ending[] = [];
    let listen = (_: Ending): void => {};
    member.onEnd((how) => {
      words.push(how);
      listen(how);
    });
    const errors = lineSink(2);
    const log = createLog(errors, member.welcome.log, config.log.level, { worker: asked.number });
    const audit = await openAudit(ofWorker(config.audit), runtime, log);
    await selfTest(runtime, files);
    const notes = audit === null ? null : new NoteFile(openNotesPath(asked), log);
    const exported = await openExport(config, io.env, runtime, log, { traces: true, metrics: null });
    const server = await startServer(
      runtime,
      config,
      log,
      (record, written) => audit?.write(JSON.stringify(record), written),
      seen,
      member,
      { recording: audit, traces: exported.traces, notes },
    );
    const readAgain = (): Config => {
      const found = read();
      checkShares(found, member.welcome.workers);
      return found;
    };
    reloader = new Reloader(seen, (why) => server.reload(why, readAgain));
    void server.ready.then(() =>
      member.ready(
        server.listeners,
        () => server.metrics().snapshot(),
        () => openAt(server.router),
      ),
    );

    const last = await new Promise<Ending>((resolve) => {
      listen = (how) => {
        reloader?.stop();
        const over = how === "drain" ? server.drain() : server.close();
        void over.finally(() => resolve(how));
      };
      for (const how of words) listen(how);
    });
    member.leave();
    await Promise.all([audit?.close(), exported.close()]);
    notes?.stop();
    if (last === "abandoned") {
      log.error("the primary process is gone: stopped");
      removeFolder(asked.folder);
    }
    await errors.close();
    return last === "abandoned" ? 1 : 0;
  },
};
