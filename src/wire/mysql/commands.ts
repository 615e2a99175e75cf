import { fullPacket, headerBytes, mysqlPacket } from "./packet.ts";

/** What clients ask for, by the first byte ("Command Phase"). */
export const command = {
  quit: 0x01,
  useDatabase: 0x02,
  query: 0x03,
  fieldList: 0x04,
  binlogDump: 0x12,
  tableDump: 0x13,
  changeUser: 0x11,
  registerReplica: 0x15,
  prepare: 0x16,
  execute: 0x17,
  sendLongData: 0x18,
  closeStatement: 0x19,
  fetchRows: 0x1c,
  binlogDumpGtid: 0x1e,
  clone: 0x20,
  subscribeGroup: 0x21,
  bulkExecute: 0xfa,
} as const;

export interface Command {
  readonly code: number;
  /** The payload, its first byte the code, as far as it is kept. */
  readonly payload: Uint8Array;
}

export interface CommandRules {
  /** Commands that are held until they are there in full, and judged. */
  readonly judged: ReadonlySet<number>;
  /** What goes to the server in a judged command's place; `null`: itself. */
  judge(payload: Uint8Array): Uint8Array | null;
  /** How much of each command is told; 0: none is told. */
  readonly told: number;
  /** Whether the server may ask for files, whose contents look like commands now and then. */
  readonly files: boolean;
}

/** More than a sensible command among those that are judged has. */
const maxJudged = 64 * 1024;
const nothing = new Uint8Array(0);

/**
 * Follows what a client sends once it is logged in, and lets through what it may say. Only packets numbered 0 are
 * commands: servers take a command of any other number for a broken stream.
 */
export class CommandStream {
  readonly #rules: CommandRules;
  /** The beginning of a packet that is not decided on. */
  #held: Uint8Array = nothing;
  /** What is missing of the packet that is passing. */
  #left = 0;
  /** The packet goes on in another. */
  #continues = false;
  /** The number of the packet before, and whether it had something in it. */
  #sequence = 0;
  #filled = false;
  #telling: { readonly parts: Uint8Array[]; size: number } | undefined;
  #told: Command[] = [];

  constructor(rules: CommandRules) {
    this.#rules = rules;
  }

  /**
   * Takes the next bytes; gives what is to be sent of them (views on the input where it can) and which commands have
   * come. `null`: a judged command is too long to be one.
   */
  push(
    chunk: Uint8Array,
  ): { readonly pass: readonly Uint8Array[]; readonly commands: readonly Command[] } | null {
    const bytes = this.#held.length === 0 ? chunk : joined(this.#held, chunk);
    const pass: Uint8Array[] = [];
    let from = 0;
    let at = 0;
    while (at < bytes.length) {
      if (this.#left > 0) {
        const part = bytes.subarray(at, at + this.#left);
        at += part.length;
        this.#passed(part);
        continue;
      }
      const left = bytes.length - at;
      if (left < headerBytes) break;
      const length = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16);
      const sequence = bytes[at + 3] ?? 0;
      const begins = this.#begins(sequence);
      if (begins && length > 0) {
        if (left === headerBytes) break;
        const code = bytes[at + headerBytes] ?? 0;
        if (this.#rules.judged.has(code)) {
          if (length > maxJudged) return null;
          const end = at + headerBytes + length;
          if (bytes.length < end) break;
          const payload = bytes.subarray(at + headerBytes, end);
          const instead = this.#rules.judge(payload);
          if (instead !== null) {
            pass.push(bytes.subarray(from, at), mysqlPacket(0, instead));
            from = end;
          }
          at = end;
          this.#sequence = 0;
          this.#filled = true;
          if (this.#rules.told > 0) this.#told.push({ code, payload: payload.slice(0, this.#rules.told) });
          continue;
        }
        if (this.#rules.told > 0) this.#telling = { parts: [], size: 0 };
      }
      at += headerBytes;
      this.#left = length;
      this.#continues = length === fullPacket;
      this.#sequence = sequence;
      this.#filled = length > 0;
      if (length === 0) this.#tell();
    }
    if (at > from) pass.push(bytes.subarray(from, at));
    // A copy: what was read may be a view on a buffer that is read into again.
    this.#held = at < bytes.length ? bytes.slice(at) : nothing;
    const commands = this.#told;
    this.#told = [];
    return { pass, commands };
  }

  /** Whether a packet with this number begins a command. */
  #begins(sequence: number): boolean {
    if (this.#continues || sequence !== 0) return false;
    // Numbers start over within a long file, which ends with an empty packet.
    return !(this.#rules.files && this.#sequence === 255 && this.#filled);
  }

  #passed(part: Uint8Array): void {
    this.#left -= part.length;
    const telling = this.#telling;
    if (telling === undefined) return;
    const kept = part.slice(0, this.#rules.told - telling.size);
    telling.parts.push(kept);
    telling.size += kept.length;
    if (telling.size >= this.#rules.told || (this.#left === 0 && !this.#continues)) this.#tell();
  }

  #tell(): void {
    const telling = this.#telling;
    this.#telling = undefined;
    if (telling === undefined) return;
    const payload = joined(...telling.parts);
    this.#told.push({ code: payload[0] ?? 0, payload });
  }
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
