import { connectionRoom } from "./core/admission.ts";
import type { Log } from "./observe/log.ts";
import { openFiles } from "./runtime/open-files.ts";

/** The configured cap, or what the process may open, whichever is less. */
export function roomFor(connections: number, processes: number, log: Log): number {
  const files = openFiles();
  const room = files === null ? connections : connectionRoom(files);
  if (room * processes >= connections) return Math.min(room, connections);
  log.info("SALLYPORT_MAX_CONNECTIONS is more than this process may have open; raise its limit (ulimit -n)", {
    configured: connections,
    room,
    open_files: files?.limit,
  });
  return room;
}
