import { openSync, readFileSync, rmSync, writeSync } from "node:fs";
import type { Traffic } from "../core/live.ts";
import type { Notable, Note, OpenNotes } from "../core/open-notes.ts";
import type { ConnectionRecord } from "../core/record.ts";
import { Link, Ring } from "../core/ring.ts";
import type { Log } from "../observe/log.ts";

/** For one connection. Two are a page of memory: what is written there at once is there whole, or not at all. */
const placeBytes = 2048;
/** How often it is noted what connections have carried, and what more is known of new ones. */
const renewEveryMs = 2000;
/** What waits so long for a first word is noted without one. */
const silentMs = 100;
/** Of those at a time, for a crowd of half-open ones must not keep everybody waiting. */
const writtenAtOnce = 200;
/** Of a place, in the file of what was carried: whose it is, bytes in, bytes out; and whose note there is erased. */
const numbers = 4;
const erasedAt = 3;
const longestName = 255;

/** Beside the notes. */
const trafficOf = (path: string): string => `${path}.bytes`;

const emptyLine = Uint8Array.of(0x0a);

/** A line, whether or not it has room: what is longer than a place is seen to be. */
const lineRoom = Buffer.alloc(placeBytes + 4);

/** Shorter records, in turn, where one has no room. */
const shorter: readonly ((record: ConnectionRecord) => ConnectionRecord)[] = [
  (record) => record,
  (record) => ({
    ...record,
    identity: record.identity === null ? null : { ...record.identity, groups: [] },
    logins: null,
  }),
  (record) => ({
    ...record,
    ...{ sni: record.sni?.slice(0, longestName) ?? null, identity: null, logins: null },
    ...{ upstream: null, database: null, agent: null, software: null },
  }),
];

/**
 * Which connections are open, in a file: a killed process can't write any more, and what it has written stays. Each is
 * noted when more is known of it, which is when its handshake is over, or after a while without. Some twenty microseconds
 * for each connection; nothing is ever waited for.
 */
export class NoteFile implements OpenNotes {
  readonly #log: Log;
  readonly #notes: number;
  readonly #traffic: number;
  readonly #places: (PlacedNote | undefined)[] = [];
  readonly #free: number[] = [];
  /** What the second file says, a row for each place. */
  #rows = new Float64Array(numbers * 64);
  /** Places whose notes were erased since the last write, from and up to where they are. */
  #erasedFrom = Number.POSITIVE_INFINITY;
  #erasedTo = 0;
  #numbers = 0;
  /** Those of which nothing is noted yet. */
  readonly #silent = new Ring<PlacedNote>();
  #waiting: ReturnType<typeof setTimeout> | undefined;
  /** Those that were noted since the last round, and have not gone. */
  readonly #fresh = new Ring<PlacedNote>();
  #failed = false;
  readonly #rounds: ReturnType<typeof setInterval>;

  /** Throws where no file can be made. */
  constructor(path: string, log: Log, everyMs = renewEveryMs) {
    this.#log = log;
    this.#notes = openSync(path, "w", 0o600);
    this.#traffic = openSync(trafficOf(path), "w", 0o600);
    this.#rounds = setInterval(() => this.#round(), everyMs);
  }

  note(connection: Notable): Note {
    const note = new PlacedNote(this, connection, this.#free.pop() ?? this.#anotherPlace());
    this.#places[note.place] = note;
    this.#silent.add(note);
    this.#waiting ??= setTimeout(() => this.#writeSilent(), silentMs);
    return note;
  }

  /** What is noted stays: the process ends. */
  stop(): void {
    clearInterval(this.#rounds);
    clearTimeout(this.#waiting);
    for (const note of this.#silent.values()) this.write(note);
    this.#putErased();
  }

  #writeSilent(): void {
    this.#waiting = undefined;
    for (let left = writtenAtOnce; left > 0; left--) {
      const note = this.#silent.first;
      if (note === undefined) return;
      this.write(note);
    }
    this.#waiting = setTimeout(() => this.#writeSilent(), silentMs);
  }

  /** Has it say what is known by now. */
  write(note: PlacedNote): void {
    if (note.number === 0) {
      note.unlink();
      this.#fresh.add(note);
    }
    note.number = ++this.#numbers;
    const record = note.connection.cutRecord();
    for (const shorten of shorter) {
      const length = lineRoom.write(`${note.number} ${JSON.stringify(shorten(record))}\n`);
      if (length > placeBytes) continue;
      this.#put(this.#notes, lineRoom, length, note.place * placeBytes);
      return;
    }
    // Nor may what stood there before be taken for another's.
    this.#put(this.#notes, emptyLine, 1, note.place * placeBytes);
  }

  /**
   * Gives its place away. Records are written many at a time, and their notes erased by one write behind them: whoever
   * reads both leaves out what has a record.
   */
  erase(note: PlacedNote): void {
    const { place, number } = note;
    note.unlink();
    this.#places[place] = undefined;
    this.#free.push(place);
    if (number === 0) return;
    this.#row(place)[erasedAt] = number;
    if (this.#erasedTo === 0) queueMicrotask(() => this.#putErased());
    this.#erasedFrom = Math.min(this.#erasedFrom, place);
    this.#erasedTo = Math.max(this.#erasedTo, place + 1);
  }

  /** One that nobody had before, and its row: all are written together, whether or not anything is noted in them. */
  #anotherPlace(): number {
    const place = this.#places.length;
    if (this.#rows.length < (place + 1) * numbers) {
      const more = new Float64Array(2 * (place + 1) * numbers);
      more.set(this.#rows);
      this.#rows = more;
    }
    return place;
  }

  #row(place: number): Float64Array {
    return this.#rows.subarray(place * numbers, (place + 1) * numbers);
  }

  #putErased(): void {
    if (this.#erasedTo > 0) this.#putRows(this.#erasedFrom, this.#erasedTo);
    this.#erasedFrom = Number.POSITIVE_INFINITY;
    this.#erasedTo = 0;
  }

  #putRows(from: number, to: number): void {
    const { buffer, BYTES_PER_ELEMENT } = this.#rows;
    const at = from * numbers * BYTES_PER_ELEMENT;
    const length = (to - from) * numbers * BYTES_PER_ELEMENT;
    this.#put(this.#traffic, new Uint8Array(buffer, at, length), length, at);
  }

  #round(): void {
    for (let left = writtenAtOnce; left > 0; left--) {
      const note = this.#fresh.first;
      if (note === undefined) break;
      note.unlink();
      note.renew();
    }
    for (const [place, note] of this.#places.entries()) {
      if (note === undefined || note.number === 0) continue;
      const { bytesIn, bytesOut } = note.connection.traffic;
      this.#row(place).set([note.number, bytesIn, bytesOut]);
    }
    if (this.#places.length > 0) this.#putRows(0, this.#places.length);
  }

  #put(file: number, bytes: Uint8Array, length: number, at: number): void {
    try {
      writeSync(file, bytes, 0, length, at);
    } catch (error) {
      if (!this.#failed)
        this.#log.warn("open connections can't be noted: if this process is killed they have no record", {
          error: error instanceof Error ? error.message : String(error),
        });
      this.#failed = true;
    }
  }
}

/**
 * What is kept of a connection until its record is written, which is a while: all that is behind one, kept for so long,
 * is carried along by every collection of young memory in between, and grows old there.
 */
class Over implements Notable {
  readonly #record: ConnectionRecord;

  constructor(record: ConnectionRecord) {
    this.#record = record;
  }

  cutRecord(): ConnectionRecord {
    return { ...this.#record, outcome: "failed", reason: "draining", detail: null };
  }

  get traffic(): Traffic {
    const { bytes_in: bytesIn, bytes_out: bytesOut } = this.#record;
    return { bytesIn, bytesOut };
  }
}

/** The note of one connection, in its place. */
class PlacedNote extends Link implements Note {
  connection: Notable;
  readonly place: number;
  /** 0: nothing is written. Another one whenever it is: what was carried, and that it is erased, counts for that alone. */
  number = 0;
  readonly #file: NoteFile;
  #erased = false;

  constructor(file: NoteFile, connection: Notable, place: number) {
    super();
    this.#file = file;
    this.connection = connection;
    this.place = place;
  }

  renew(): void {
    if (!this.#erased) this.#file.write(this);
  }

  close(record: ConnectionRecord): () => void {
    this.connection = new Over(record);
    return () => this.#erase();
  }

  #erase(): void {
    if (this.#erased) return;
    this.#erased = true;
    this.#file.erase(this);
  }
}

const bytesAt = (path: string): Buffer => {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
};

const parsed = (text: string): ConnectionRecord | null => {
  try {
    return JSON.parse(text) as ConnectionRecord;
  } catch {
    return null;
  }
};

/** `null` where nothing was noted since the note itself; `erased` where that is. */
function carried(traffic: Float64Array, place: number, number: number): Traffic | "erased" | null {
  const row = traffic.subarray(place * numbers, (place + 1) * numbers);
  if (row[erasedAt] === number) return "erased";
  const [whose, bytesIn = 0, bytesOut = 0] = row;
  return whose === number ? { bytesIn, bytesOut } : null;
}

/**
 * The records of what was open when a process ended that wrote such a file, and takes the file away.
 *
 * @param now milliseconds since 1970
 */
export function takeNotes(path: string, now: number, detail: string): readonly ConnectionRecord[] {
  const notes = bytesAt(path);
  const bytes = bytesAt(trafficOf(path));
  const whole = bytes.length - (bytes.length % Float64Array.BYTES_PER_ELEMENT);
  const traffic = new Float64Array(new Uint8Array(bytes.subarray(0, whole)).buffer);
  const found: ConnectionRecord[] = [];
  for (let place = 0; place * placeBytes < notes.length; place++) {
    const [line = ""] = notes.toString("utf8", place * placeBytes, (place + 1) * placeBytes).split("\n", 1);
    const [, number, text] = /^(\d+) (\{.*\})$/.exec(line) ?? [];
    if (number === undefined || text === undefined) continue;
    const record = parsed(text);
    if (record === null) continue;
    const since = carried(traffic, place, Number(number));
    if (since === "erased") continue;
    found.push({
      ...record,
      time: new Date(now).toISOString(),
      bytes_in: since?.bytesIn ?? record.bytes_in,
      bytes_out: since?.bytesOut ?? record.bytes_out,
      duration_ms: Math.max(0, now - Date.parse(record.time) + record.duration_ms),
      detail,
    });
  }
  for (const one of [path, trafficOf(path)]) rmSync(one, { force: true });
  return found;
}
