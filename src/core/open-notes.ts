import type { Traffic } from "./live.ts";
import type { ConnectionRecord } from "./record.ts";

/** A connection that is open. */
export interface Notable {
  /** The record that it has if this process ends now. */
  cutRecord(): ConnectionRecord;
  readonly traffic: Traffic;
}

/** What is noted of one connection. */
export interface Note {
  /** More is known of it by now. */
  renew(): void;
  /**
   * The connection is over, and nothing of it is held any more but its record; until that is written, and what this
   * returns is called, the note stands.
   */
  close(record: ConnectionRecord): () => void;
}

/** Keeps what is open where it outlives this process: whoever finds it there writes the records. */
export interface OpenNotes {
  note(connection: Notable): Note;
}
