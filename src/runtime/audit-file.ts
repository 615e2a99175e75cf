import {
  closeSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { AuditWriter } from "../audit/audit-log.ts";
import { Chain, genesis, goesOn, type Link, lastLink } from "../audit/chain.ts";
import { whileLocked } from "./file-lock.ts";

/** When a file is put aside for a new one, and how many of those are kept. */
export interface Rotation {
  /** `null`: at no size. */
  readonly bytes: number | null;
  /** Milliseconds since its first line; `null`: at no age. */
  readonly ageMs: number | null;
  readonly keep: number;
}

export interface AuditFileOptions {
  readonly path: string;
  readonly chained: boolean;
  readonly rotation: Rotation | null;
  readonly sha256Hex: (data: string | Uint8Array) => string;
  /** The file does not end with the line that was known to be its last, nor behind it. */
  readonly cut: (known: Link, found: Link) => void;
}

const tailBytes = 4 * 1024;
/** Links are dear to make on some file systems: one says it for many lines. */
const noteAfterMs = 1000;
/** No line of ours is longer. */
const maxTail = 8 << 20;

/** Hidden, so that `audit.log*` is the log alone. */
const beside = (path: string, what: string): string => join(dirname(path), `.${basename(path)}.${what}`);

/** A symbolic link, which is read and replaced whole, and leads nowhere: what the last line of the log is. */
const noteAt = (path: string): string => beside(path, "chain");

function readNote(path: string): Link | null {
  try {
    const [, seq, hash = ""] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(readlinkSync(path)) ?? [];
    return seq === undefined ? null : { seq: Number(seq), hash };
  } catch {
    return null;
  }
}

function writeNote(path: string, { seq, hash }: Link): void {
  const fresh = `${path}.new`;
  try {
    rmSync(fresh, { force: true });
    symlinkSync(`${seq}:${hash}`, fresh);
    renameSync(fresh, path);
  } catch {
    // Without it a chain begins anew where the log was moved away, and the router restarted, with no line in between.
  }
}

function readAt(handle: number, from: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  while (at < length) {
    const read = readSync(handle, bytes, at, length - at, from + at);
    if (read === 0) break;
    at += read;
  }
  return bytes.subarray(0, at);
}

/**
 * Lines of a file that other processes may write to as well, one after the other: workers, and the router that takes
 * the place of this one. All go on with one chain, whoever wrote its last line, and a file that was moved away is left
 * for the one that is in its place.
 */
export class AuditFile implements AuditWriter {
  readonly #options: AuditFileOptions;
  readonly #chain: Chain | null;
  readonly #lock: string;
  #handle: number | null = null;
  /** How long the file was when we wrote to it last: longer, and somebody else has written since. */
  #size = 0;
  /** Milliseconds since 1970 of the first line. */
  #since = 0;
  /** The last line has no end: whoever wrote it was cut off. */
  #torn = false;
  #noting: ReturnType<typeof setTimeout> | undefined;

  constructor(options: AuditFileOptions) {
    this.#options = options;
    this.#lock = beside(options.path, "lock");
    this.#chain = options.chained ? new Chain(genesis, options.sha256Hex) : null;
  }

  /** Throws where it can't be written. */
  open(): Promise<void> {
    return this.#alone(() => this.#settle());
  }

  get last(): Link | null {
    return this.#chain?.last ?? null;
  }

  write(records: readonly string[]): Promise<void> {
    return this.#alone(() => {
      this.#settle();
      if (this.#isDue()) this.#rotate();
      this.#append(records);
    });
  }

  async close(): Promise<void> {
    if (this.#noting !== undefined) await this.#note().catch(() => {});
    if (this.#handle !== null) closeSync(this.#handle);
    this.#handle = null;
  }

  async #alone(work: () => void): Promise<void> {
    const { chained, rotation } = this.#options;
    // Whole lines at the end of a file need nobody's leave.
    if (!chained && rotation === null) work();
    else await whileLocked(this.#lock, work);
  }

  /** Makes sure that the file is the one at the path, and that its last line is known. */
  #settle(): void {
    const { path } = this.#options;
    if (this.#handle !== null) {
      const own = fstatSync(this.#handle);
      if (own.size !== this.#size) this.#readEnd(this.#handle, own.size);
      const found = statSync(path, { throwIfNoEntry: false });
      if (found?.ino === own.ino && found.dev === own.dev) return;
      closeSync(this.#handle);
      this.#handle = null;
    }
    this.#handle = openSync(path, "a+", 0o640);
    const { size } = fstatSync(this.#handle);
    if (this.#chain !== null) {
      // Whoever wrote last has said so; where the file is empty, somebody moved the one before it away.
      const noted = readNote(noteAt(path));
      if (noted !== null && noted.seq > this.#chain.last.seq) this.#chain.last = noted;
    }
    this.#torn = false;
    this.#size = 0;
    this.#since = Date.now();
    if (size > 0) this.#readEnd(this.#handle, size);
  }

  #readEnd(handle: number, size: number): void {
    this.#size = size;
    this.#since = this.#options.rotation?.ageMs == null ? 0 : firstTime(handle, size);
    this.#torn = size > 0 && readAt(handle, size - 1, 1)[0] !== 0x0a;
    if (this.#chain === null) return;
    for (let length = tailBytes; ; length *= 4) {
      const from = Math.max(0, size - length);
      let end = readAt(handle, from, size - from);
      // What is before the first newline is half a line.
      if (from > 0) end = end.subarray(end.indexOf(0x0a) + 1);
      const link = lastLink(end, this.#options.sha256Hex);
      if (from > 0 && length < maxTail && (link === null || link.seq === 0)) continue;
      // An empty file follows what was known; so does one that was cut, so that the gap shows for good.
      if (link !== null && goesOn(link, this.#chain.last)) this.#chain.last = link;
      else if (link !== null) this.#options.cut(this.#chain.last, link);
      return;
    }
  }

  #append(records: readonly string[]): void {
    const handle = this.#handle;
    if (handle === null) throw new TypeError("not open");
    const before = this.#chain?.last;
    const lines = records.map((record) => `${this.#chain?.next(record) ?? record}\n`);
    let bytes: Uint8Array = Buffer.from((this.#torn ? "\n" : "") + lines.join(""));
    const { length } = bytes;
    try {
      while (bytes.length > 0) bytes = bytes.subarray(writeSync(handle, bytes));
    } catch (error) {
      if (this.#chain !== null && before !== undefined) this.#chain.last = before;
      // All of them or none: a line that is cut would never be finished.
      if (bytes.length < length) ftruncateSync(handle, this.#size);
      throw error;
    }
    this.#size += length;
    this.#torn = false;
    if (this.#chain !== null)
      this.#noting ??= setTimeout(() => void this.#note().catch(() => {}), noteAfterMs);
  }

  /** Says what the last line is, unless somebody else has said more. */
  async #note(): Promise<void> {
    clearTimeout(this.#noting);
    this.#noting = undefined;
    await this.#alone(() => {
      const path = noteAt(this.#options.path);
      const last = this.#chain?.last ?? genesis;
      if (last.seq > (readNote(path)?.seq ?? 0)) writeNote(path, last);
    });
  }

  #isDue(): boolean {
    const { rotation } = this.#options;
    if (rotation === null || this.#size === 0) return false;
    const { bytes, ageMs } = rotation;
    return (bytes !== null && this.#size >= bytes) || (ageMs !== null && Date.now() - this.#since >= ageMs);
  }

  /** The file becomes `PATH.1`, that one `PATH.2`, and so on; what is over the number goes. */
  #rotate(): void {
    const { path, rotation } = this.#options;
    const keep = rotation?.keep ?? 1;
    const exists = (name: string): boolean => statSync(name, { throwIfNoEntry: false }) !== undefined;
    if (exists(`${path}.${keep}`)) unlinkSync(`${path}.${keep}`);
    for (let i = keep - 1; i > 0; i--)
      if (exists(`${path}.${i}`)) renameSync(`${path}.${i}`, `${path}.${i + 1}`);
    renameSync(path, `${path}.1`);
    this.#settle();
  }
}

/** When the first line was written; now, where it does not say. */
function firstTime(handle: number, size: number): number {
  const [, time = ""] =
    /^\{"time":"([^"]+)"/.exec(new TextDecoder().decode(readAt(handle, 0, Math.min(size, 64)))) ?? [];
  const ms = Date.parse(time);
  return Number.isNaN(ms) ? Date.now() : ms;
}
