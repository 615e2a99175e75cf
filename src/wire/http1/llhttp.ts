import { code } from "./llhttp-wasm.cjs";

/** Its return codes that are looked at. */
export const paused = 21;

/** What a part of a message is. */
export const kinds = { target: 0, name: 1, value: 2, body: 3 } as const;

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  _initialize?(): void;
  malloc(bytes: number): number;
  llhttp_alloc(type: number): number;
  llhttp_reset(parser: number): void;
  llhttp_resume(parser: number): void;
  llhttp_execute(parser: number, at: number, bytes: number): number;
  llhttp_get_error_pos(parser: number): number;
  llhttp_get_error_reason(parser: number): number;
  llhttp_get_http_major(parser: number): number;
  llhttp_get_http_minor(parser: number): number;
}

/** A parser's `llhttp_t`: what it knows between two runs. */
const stateBytes = 64;
/** What it is given at once. */
export const roomBytes = 64 * 1024;

const requests = 1;
const responses = 2;
/** A message whose body is what `chunkedState` begins with. */
const chunkedHead = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

/**
 * llhttp, the parser of Node itself, in WebAssembly. What a run finds are offsets in its input, which are good until the
 * next run; its memory is its own, and nothing of it is handed out.
 */
class Llhttp {
  /** The parts that the last run found, in order. */
  count = 0;
  readonly kind: number[] = [];
  readonly start: number[] = [];
  readonly length: number[] = [];
  status = 0;
  upgrade = false;
  keepAlive = false;
  complete = false;
  /** How far the last run came. */
  used = 0;

  readonly #exports: Exports;
  readonly #request: number;
  readonly #response: number;
  readonly #chunked: number;
  readonly #room: number;
  readonly #memory: Buffer;
  readonly #chunkedState: Uint8Array;

  constructor() {
    const found =
      (kind: number) =>
      (_parser: number, at: number, bytes: number): number => {
        const i = this.count++;
        this.kind[i] = kind;
        this.start[i] = at - this.#room;
        this.length[i] = bytes;
        return 0;
      };
    let pauses = 0;
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(code), {
      env: {
        wasm_on_message_begin: () => 0,
        wasm_on_status: () => 0,
        wasm_on_url: found(kinds.target),
        wasm_on_header_field: found(kinds.name),
        wasm_on_header_value: found(kinds.value),
        wasm_on_body: found(kinds.body),
        wasm_on_headers_complete: (_parser: number, status: number, upgrade: number, keepAlive: number) => {
          this.status = status;
          this.upgrade = upgrade === 1;
          this.keepAlive = keepAlive === 1;
          this.complete = true;
          return pauses;
        },
        wasm_on_message_complete: () => {
          this.complete = true;
          return paused;
        },
      },
    });
    this.#exports = exports as unknown as Exports;
    this.#exports._initialize?.();
    this.#request = this.#exports.llhttp_alloc(requests);
    this.#response = this.#exports.llhttp_alloc(responses);
    this.#chunked = this.#exports.llhttp_alloc(requests);
    this.#room = this.#exports.malloc(roomBytes);
    // Nothing is allocated in it after this, so that it stays where it is.
    this.#memory = Buffer.from(this.#exports.memory.buffer);
    this.#execute(this.#chunked, Buffer.from(chunkedHead, "latin1"), 0, chunkedHead.length);
    this.#chunkedState = this.#stateOf(this.#chunked).slice();
    pauses = paused;
  }

  #stateOf(parser: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, parser, stateBytes);
  }

  #execute(parser: number, bytes: Uint8Array, from: number, to: number): number {
    this.count = 0;
    this.complete = false;
    this.#memory.set(from === 0 && to === bytes.length ? bytes : bytes.subarray(from, to), this.#room);
    const code = this.#exports.llhttp_execute(parser, this.#room, to - from);
    this.used = code === 0 ? to - from : this.#exports.llhttp_get_error_pos(parser) - this.#room;
    return code;
  }

  /** Reads a request's head from its first byte on. `paused`: all of it was there. */
  requestHead(bytes: Uint8Array, to: number): number {
    this.#exports.llhttp_reset(this.#request);
    return this.#execute(this.#request, bytes, 0, to);
  }

  /** Reads a response's head from its first byte on. `paused`: all of it was there. */
  responseHead(bytes: Uint8Array, to: number): number {
    this.#exports.llhttp_reset(this.#response);
    return this.#execute(this.#response, bytes, 0, to);
  }

  /** What a parser knows before the first byte of a chunked body. */
  chunkedState(): Uint8Array {
    return this.#chunkedState.slice();
  }

  /** Reads on in a chunked body. `paused`: to its end. */
  chunkedBody(state: Uint8Array, bytes: Uint8Array, from: number, to: number): number {
    this.#memory.set(state, this.#chunked);
    const code = this.#execute(this.#chunked, bytes, from, to);
    state.set(this.#stateOf(this.#chunked));
    return code;
  }

  /** A part of the last run's input, one character a byte. */
  text(start: number, end: number): string {
    return this.#memory.toString("latin1", this.#room + start, this.#room + end);
  }

  /** Why the last run of a head failed. */
  reason(of: "request" | "response" | "chunked"): string {
    const parser = of === "request" ? this.#request : of === "response" ? this.#response : this.#chunked;
    const start = this.#exports.llhttp_get_error_reason(parser);
    return this.#memory.toString("latin1", start, this.#memory.indexOf(0, start));
  }
}

let made: Llhttp | undefined;

/** One for all of the process: it is never left in the middle of anything. Made at its first use. */
export function llhttp(): Llhttp {
  made ??= new Llhttp();
  return made;
}
