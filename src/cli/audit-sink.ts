import { ConfigError } from "../errors.ts";
import { lineSink } from "../runtime/files.ts";
import type { LineSink } from "../types.ts";

/** Where audit records go: `-` standard output, `off` nowhere, or a path. Throws a `ConfigError`. */
export function openAudit(target: string): LineSink | null {
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
