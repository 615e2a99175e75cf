import { openSync, readFileSync, rmSync, writeSync } from "node:fs";
import type { Traffic } from "../core/live.ts";
import type { Notable, Note, OpenNotes } from "../core/open-notes.ts";
import type { ConnectionRecord } from "../core/record.ts";
import type { Log } from "../observe/log.ts";

/** For one connection. Two are a page of memory: what is written there at once is there whole, or not at all. */
const placeBytes = 2048;
/** How often it is noted what connections have carried, and what more is known of new ones. */
const renewEveryMs = 2000;
/** Of those at a time, for a crowd of half-open ones must not keep everybody waiting. */
const renewedAtOnce = 200;
/** Of a place, in the file of what was carried: whose it is, bytes in, bytes out; and none, so that no place is in two pages. */
const numbers = 4;
const longestName = 255;
/** An empty line. */
const erased = Uint8Array.of(0x0a);

/** Beside the notes. */
const trafficOf = (path: string): string => `${path}.bytes`;

interface Noted {
  readonly connection: Notable;
  /** Another one whenever it is written: what was carried counts for that alone. */
  number: number;
}

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
 * Which connections are open, in a file: a killed process can't write any more, and what it has written stays. A few
 * microseconds for each connection; nothing is ever waited for.
 */
export class NoteFile implements OpenNotes {
  readonly #log: Log;
  readonly #notes: number;
  readonly #traffic: number;
  readonly #places: (Noted | undefined)[] = [];
  readonly #free: number[] = [];
  #numbers = 0;
  /** Those that came since the last round, and have not gone. */
  readonly #fresh = new Set<Note>();
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
    const place = this.#free.pop() ?? this.#places.length;
    const noted: Noted = { connection, number: 0 };
    this.#places[place] = noted;
    const note: Note = {
      renew: () => {
        if (this.#places[place] === noted) this.#write(place, noted);
      },
      erase: () => {
        if (this.#places[place] !== noted) return;
        this.#fresh.delete(note);
        this.#places[place] = undefined;
        this.#free.push(place);
        this.#put(this.#notes, erased, place * placeBytes);
      },
    };
    this.#write(place, noted);
    this.#fresh.add(note);
    return note;
  }

  /** What is noted stays: the process ends. */
  stop(): void {
    clearInterval(this.#rounds);
  }

  #write(place: number, noted: Noted): void {
    noted.number = ++this.#numbers;
    const record = noted.connection.cutRecord();
    for (const shorten of shorter) {
      const line = Buffer.from(`${noted.number} ${JSON.stringify(shorten(record))}\n`);
      if (line.length > placeBytes) continue;
      this.#put(this.#notes, line, place * placeBytes);
      return;
    }
  }

  #round(): void {
    let left = renewedAtOnce;
    for (const note of this.#fresh) {
      if (left-- === 0) break;
      this.#fresh.delete(note);
      note.renew();
    }
    const all = new Float64Array(this.#places.length * numbers);
    for (const [place, noted] of this.#places.entries()) {
      if (noted === undefined) continue;
      const { bytesIn, bytesOut } = noted.connection.traffic;
      all.set([noted.number, bytesIn, bytesOut], place * numbers);
    }
    this.#put(this.#traffic, new Uint8Array(all.buffer), 0);
  }

  #put(file: number, bytes: Uint8Array, at: number): void {
    try {
      writeSync(file, bytes, 0, bytes.length, at);
    } catch (error) {
      if (!this.#failed)
        this.#log.warn("open connections can't be noted: if this process is killed they have no record", {
          error: error instanceof Error ? error.message : String(error),
        });
      this.#failed = true;
    }
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

/** `null` where nothing was noted since the note itself. */
function carried(traffic: Float64Array, place: number, number: number): Traffic | null {
  const [whose, bytesIn = 0, bytesOut = 0] = traffic.subarray(place * numbers, (place + 1) * numbers);
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
