import { type Capabilities, capability, has } from "./capabilities.ts";
import { type Command, command } from "./commands.ts";
import { first, fullPacket, headerBytes } from "./packet.ts";
import { Reader } from "./reader.ts";

/** How a command went. */
export interface Result {
  /** The server's error code; `null`: well. */
  readonly error: number | null;
  /** Rows sent, or changed; `null` where the command has none. */
  readonly rows: number | null;
  /** The number that a prepared statement was given. */
  readonly statementId: number | null;
}

const status = { moreResults: 0x0008, cursor: 0x0040 } as const;
const endOfRowsBytes = 9;
/** As much of a packet as has to be seen. */
const seenBytes = 40;
const localFile = 0xfb;

const unanswered: ReadonlySet<number> = new Set([command.quit, command.sendLongData, command.closeStatement]);
const withRows: ReadonlySet<number> = new Set([command.query, 0x0a, command.execute, command.bulkExecute]);
const streams: ReadonlySet<number> = new Set([
  command.binlogDump,
  command.tableDump,
  command.binlogDumpGtid,
  command.clone,
  command.subscribeGroup,
]);

/** Where in an answer the next packet stands. */
type Place =
  | { readonly kind: "beginning" }
  /** Definitions of parameters or columns, `left` more, and then perhaps their end. */
  | { readonly kind: "definitions"; readonly left: number; readonly next: Place | "done" }
  | { readonly kind: "definitionsEnd"; readonly next: Place | "done" }
  | { readonly kind: "rows" };

/** Follows what a server answers, command by command, in no more memory than the commands need that wait. */
export class ResultStream {
  readonly #deprecateEof: boolean;
  readonly #waiting: number[] = [];
  #place: Place = { kind: "beginning" };
  #error: number | null = null;
  #rows: number | null = null;
  #statementId: number | null = null;
  #unbounded = false;

  readonly #seen = new Uint8Array(headerBytes + seenBytes);
  #seenLength = 0;
  #left = 0;
  /** The packet is the rest of one that was as long as a packet can be. */
  #continues = false;
  #length = 0;
  #results: Result[] = [];

  constructor(capabilities: Capabilities) {
    this.#deprecateEof = has(capabilities, capability.deprecateEof);
  }

  /** Commands that are not answered yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** A command went to the server. False where it is never answered. */
  expect({ code }: Command): boolean {
    if (unanswered.has(code)) return false;
    if (streams.has(code)) {
      this.#unbounded = true;
      return false;
    }
    this.#waiting.push(code);
    return true;
  }

  /**
   * Takes what the server sends; gives what came of the commands, first come first. `null`: these are no answers.
   */
  push(chunk: Uint8Array): readonly Result[] | null {
    if (this.#unbounded && this.#waiting.length === 0) return [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#seenLength < headerBytes) {
        this.#seen[this.#seenLength++] = chunk[at++] ?? 0;
        if (this.#seenLength < headerBytes) continue;
        const [a = 0, b = 0, c = 0] = this.#seen;
        this.#length = a | (b << 8) | (c << 16);
        this.#left = this.#length;
      } else {
        const part = chunk.subarray(at, at + this.#left);
        const kept = part.subarray(0, this.#seen.length - this.#seenLength);
        this.#seen.set(kept, this.#seenLength);
        this.#seenLength += kept.length;
        this.#left -= part.length;
        at += part.length;
      }
      if (this.#left > 0) continue;
      const continued = this.#continues;
      this.#continues = this.#length === fullPacket;
      const payload = this.#seen.subarray(headerBytes, this.#seenLength);
      this.#seenLength = 0;
      if (!continued && !this.#packet(payload)) return null;
    }
    const results = this.#results;
    this.#results = [];
    return results;
  }

  /** False where the packet fits nowhere. */
  #packet(payload: Uint8Array): boolean {
    const [code] = this.#waiting;
    // Nobody asked: a server that says it shuts down, or that the client was silent for too long.
    if (code === undefined) return true;
    if (payload[0] === first.error) {
      this.#error = (payload[1] ?? 0) | ((payload[2] ?? 0) << 8);
      this.#done();
      return true;
    }
    const place = this.#place;
    if (place.kind === "definitions") {
      const left = place.left - 1;
      if (left > 0) this.#place = { ...place, left };
      else if (this.#deprecateEof) this.#go(place.next);
      else this.#place = { kind: "definitionsEnd", next: place.next };
      return true;
    }
    if (place.kind === "definitionsEnd") {
      if (!this.#endsRows(payload)) return false;
      // Rows are fetched one by one, later.
      if ((this.#statusOfEnd(payload) & status.cursor) !== 0) this.#done();
      else this.#go(place.next);
      return true;
    }
    if (place.kind === "rows") {
      if (this.#endsRows(payload)) this.#resultEnds(this.#statusOfEnd(payload));
      else this.#rows = (this.#rows ?? 0) + 1;
      return true;
    }
    return this.#beginning(code, payload);
  }

  #beginning(code: number, payload: Uint8Array): boolean {
    const [begins] = payload;
    if (code === command.changeUser) {
      if (begins === first.ok) this.#done();
      return true;
    }
    if (code === command.prepare) return this.#prepared(payload);
    if (code === command.fetchRows || code === command.fieldList) {
      if (this.#endsRows(payload)) this.#done();
      else {
        this.#rows = 1;
        this.#place = { kind: "rows" };
      }
      return true;
    }
    if (!withRows.has(code)) {
      this.#done();
      return true;
    }
    if (begins === first.ok) {
      const reader = new Reader(payload, 1);
      this.#rows = (this.#rows ?? 0) + (reader.lengthEncoded() ?? 0);
      reader.lengthEncoded();
      this.#resultEnds(reader.uint(2) ?? 0);
      return true;
    }
    // The client sends the file, and then the server says how it went.
    if (begins === localFile) return true;
    const columns = new Reader(payload).lengthEncoded();
    if (columns === undefined || columns === 0) return false;
    this.#rows ??= 0;
    this.#place = { kind: "definitions", left: columns, next: { kind: "rows" } };
    return true;
  }

  #prepared(payload: Uint8Array): boolean {
    const reader = new Reader(payload, 1);
    const id = reader.uint(4);
    const columns = reader.uint(2);
    const parameters = reader.uint(2);
    if (payload[0] !== first.ok || id === undefined || columns === undefined || parameters === undefined)
      return false;
    this.#statementId = id;
    const definitions = (left: number, next: Place | "done"): Place | "done" =>
      left === 0 ? next : { kind: "definitions", left, next };
    this.#go(definitions(parameters, definitions(columns, "done")));
    return true;
  }

  /** Whether the packet is the end of rows: what begins a long row with this byte fills its packet. */
  #endsRows(payload: Uint8Array): boolean {
    return payload[0] === first.eof && this.#length < (this.#deprecateEof ? fullPacket : endOfRowsBytes);
  }

  #statusOfEnd(payload: Uint8Array): number {
    const reader = new Reader(payload, 1);
    if (this.#deprecateEof) {
      reader.lengthEncoded();
      reader.lengthEncoded();
    } else reader.uint(2);
    return reader.uint(2) ?? 0;
  }

  #resultEnds(flags: number): void {
    if ((flags & status.moreResults) !== 0) this.#place = { kind: "beginning" };
    else this.#done();
  }

  #go(place: Place | "done"): void {
    if (place === "done") this.#done();
    else this.#place = place;
  }

  #done(): void {
    this.#waiting.shift();
    this.#results.push({ error: this.#error, rows: this.#rows, statementId: this.#statementId });
    this.#place = { kind: "beginning" };
    this.#error = null;
    this.#rows = null;
    this.#statementId = null;
  }
}
