import { openSync, realpathSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { AuditLog, type AuditWriter } from "../audit/audit-log.ts";
import { Chain, genesis, type Link } from "../audit/chain.ts";
import { SyslogWriter } from "../audit/syslog-writer.ts";
import type { AuditConfig, SyslogReceiver } from "../config/audit.ts";
import { ConfigError } from "../errors.ts";
import type { Log } from "../observe/log.ts";
import { AuditFile } from "../runtime/audit-file.ts";
import { AuditStream } from "../runtime/audit-stream.ts";
import type { Connection, Runtime } from "../types.ts";

const dialMs = 10_000;

function dialled(runtime: Runtime, receiver: SyslogReceiver): () => Promise<Connection> {
  if ("path" in receiver) return () => runtime.dialLocal(receiver.path);
  const { host, port, tls } = receiver;
  const secured = tls === null ? {} : { tls: { serverName: host, verify: true, ...tls } };
  return () => runtime.dial({ host, port, withinMs: dialMs, ...secured });
}

async function writerFor(
  { target, chained, rotation }: AuditConfig,
  runtime: Runtime,
  log: Log,
): Promise<AuditWriter | null> {
  const sha256Hex = (data: string | Uint8Array): string => runtime.sha256Hex(data);
  const chain = (): Chain | null => (chained ? new Chain(genesis, sha256Hex) : null);
  switch (target.to) {
    case "nowhere":
      return null;
    case "stdout":
      return new AuditStream(1, chain());
    case "syslog":
      return new SyslogWriter(
        dialled(runtime, target.receiver),
        { host: hostname(), processId: runtime.processId },
        chain(),
      );
    case "file": {
      const found = statSync(target.path, { throwIfNoEntry: false });
      // A device or a pipe, or what is passed on to us: nothing that could be read again, or put aside.
      const given = /^\/(?:dev|proc)\//.test(target.path);
      if (found !== undefined && !found.isDirectory() && (given || !found.isFile()))
        return new AuditStream(openSync(target.path, "a"), chain());
      // What is put aside is the file, not a link to it.
      const path = found === undefined ? target.path : realpathSync(target.path);
      const cut = (known: Link, found: Link): void =>
        log.error("the audit log does not end as it was left: lines are missing, or were changed", {
          path,
          known: known.seq,
          last: known.hash,
          found: found.seq,
        });
      const file = new AuditFile({ path, chained, rotation, sha256Hex, cut });
      await file.open();
      return file;
    }
  }
}

/** Where audit records go; `null`: nowhere. Rejects with a `ConfigError`. */
export async function openAudit(config: AuditConfig, runtime: Runtime, log: Log): Promise<AuditLog | null> {
  try {
    const writer = await writerFor(config, runtime, log);
    return writer === null ? null : new AuditLog(writer, log);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const folder =
      config.chained || config.rotation !== null ? "; its folder must be writable, too, for the lock" : "";
    throw new ConfigError([
      {
        name: "SALLYPORT_AUDIT_LOG",
        message: `can't be written (${why}): expected -, off or a path${folder}`,
      },
    ]);
  }
}

/** What a worker writes: to a file by itself, and for its primary to write anywhere else. */
export const ofWorker = (config: AuditConfig): AuditConfig =>
  config.target.to === "file" || config.target.to === "nowhere"
    ? config
    : { ...config, target: { to: "stdout" }, chained: false, rotation: null };
