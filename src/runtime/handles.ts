import { getSystemErrorName } from "node:util";
import { atLeast } from "./at-least.ts";

/**
 * What `node:net` stands on: the handles of libuv's streams, without its sockets and their streams around them. They
 * are Node's own affair, and what they do when they are used in another way than `node:net` uses them is to end the
 * process; so they are used on releases alone that the specs ran on, and where everything is there that is looked for.
 */
export interface StreamHandle {
  /** The connection whose handle it is, for the functions below: one for all. */
  connection?: HandleOwner | undefined;
  /** Called with the read's result in `streamBaseState`; gives where the next read is to go, if not to the same place. */
  onread: ((this: StreamHandle) => Uint8Array | undefined) | null;
  /** Where reads go. Only a pointer is kept: whoever calls this has to keep the buffer. */
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  /** Not zero: it failed, and how. Otherwise the state says whether the request will be told. */
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  writev(request: WriteRequest, parts: readonly Uint8Array[], allBytes: true): number;
  shutdown(request: ShutdownRequest): number;
}

/** A TCP socket; of a Unix socket's the names are missing. */
export interface SocketHandle extends StreamHandle {
  close(closed?: () => void): void;
  /** Closes with a TCP reset. */
  reset?(closed?: () => void): number;
  getpeername?(into: SocketName): number;
  getsockname?(into: SocketName): number;
  setNoDelay?(on: boolean): number;
  /** @param afterSeconds of silence */
  setKeepAlive?(on: boolean, afterSeconds: number): number;
  connect(request: ConnectRequest, address: string, port: number): number;
  connect6(request: ConnectRequest, address: string, port: number): number;
}

/** TLS over a socket's handle. */
export interface TlsHandle extends StreamHandle {
  receive(bytes: Uint8Array): void;
  setVerifyMode(request: boolean, refuse: boolean): void;
  setALPNProtocols(protocols: Uint8Array): void;
  onhandshakestart: (this: TlsHandle) => void;
  onhandshakedone: (this: TlsHandle) => void;
  onerror: (this: TlsHandle, error: Error) => void;
  getProtocol(): string | null;
  getALPNNegotiatedProtocol(): string | false | null;
  isSessionReused(): boolean;
  getPeerX509Certificate(): CertificateHandle | undefined;
  destroySSL(): void;
  /** Whom this one needs for as long as it lives. */
  beneath?: SocketHandle;
  context?: object;
}

export interface CertificateHandle {
  raw(): Uint8Array;
  getIssuerCert(): CertificateHandle | undefined;
}

export interface SocketName {
  address?: string;
  port?: number;
}

/** What a handle tells its connection. */
export interface HandleOwner {
  /** The state says what was read. */
  arrived(): Uint8Array | undefined;
  wrote(request: WriteRequest, status: number): void;
  shut(): void;
}

export interface WriteRequest {
  oncomplete: (this: WriteRequest, status: number) => void;
  connection: HandleOwner | null;
  /** Kept until it is done: the handle has pointers alone. */
  bytes: Uint8Array | readonly Uint8Array[] | null;
}

export interface ShutdownRequest {
  oncomplete: (this: ShutdownRequest, status: number) => void;
  connection: HandleOwner | null;
}

export interface ConnectRequest {
  oncomplete: (this: ConnectRequest, status: number) => void;
  dial: { connected(status: number, address: string): void } | undefined;
  address: string;
}

type Make<T> = new () => T;

/** What there is of it in this process. */
export interface Handles {
  readonly Socket: new (type: number) => SocketHandle;
  readonly socketType: number;
  readonly ConnectRequest: Make<ConnectRequest>;
  readonly WriteRequest: Make<WriteRequest>;
  readonly ShutdownRequest: Make<ShutdownRequest>;
  /** Of the last read and the last write. */
  readonly state: Int32Array;
  readonly readResult: number;
  readonly wroteLater: number;
  /** What a read says where the peer has ended. */
  readonly endOfFile: number;
  secure(beneath: SocketHandle, context: unknown, server: true, hasWrites: false): TlsHandle;
}

/** Of Node, that the specs ran on: from the first, before the second. */
const known = ["20.0.0", "27.0.0"] as const;

/** `process.binding` is the way there, and says that it is deprecated where a flag asks for such words. */
function bindings(...names: string[]): Record<string, unknown>[] {
  const { binding, noDeprecation } = process as unknown as {
    binding(name: string): Record<string, unknown>;
    noDeprecation?: boolean;
  };
  process.noDeprecation = true;
  try {
    return names.map((name) => binding(name));
  } finally {
    process.noDeprecation = noDeprecation ?? false;
  }
}

/** `null` where anything is not as expected: `node:net` and `node:tls` are used then. */
export function findHandles(): Handles | null {
  const [first, untried] = known;
  const { node } = process.versions;
  if (!atLeast(node, first) || atLeast(node, untried)) return null;
  try {
    const [tcp = {}, stream = {}, tls = {}, uv = {}] = bindings("tcp_wrap", "stream_wrap", "tls_wrap", "uv");
    const { SOCKET } = tcp.constants as { SOCKET?: unknown };
    const { streamBaseState: state, kReadBytesOrError, kLastWriteWasAsync } = stream;
    const made = [tcp.TCP, tcp.TCPConnectWrap, stream.WriteWrap, stream.ShutdownWrap, tls.TLSWrap, tls.wrap];
    const numbers = [SOCKET, kReadBytesOrError, kLastWriteWasAsync, uv.UV_EOF];
    const methods = (of: unknown, names: readonly string[]): boolean =>
      names.every(
        (name) => typeof (of as { prototype: Record<string, unknown> }).prototype[name] === "function",
      );
    const whole =
      made.every((each) => typeof each === "function") &&
      numbers.every((each) => typeof each === "number") &&
      state instanceof Int32Array &&
      methods(tcp.TCP, [...ofStreams, ...ofSockets]) &&
      methods(tls.TLSWrap, [...ofStreams, ...ofTls]);
    if (!whole) return null;
    return {
      Socket: tcp.TCP as Handles["Socket"],
      socketType: SOCKET as number,
      ConnectRequest: tcp.TCPConnectWrap as Handles["ConnectRequest"],
      WriteRequest: stream.WriteWrap as Handles["WriteRequest"],
      ShutdownRequest: stream.ShutdownWrap as Handles["ShutdownRequest"],
      state: state as Int32Array,
      readResult: kReadBytesOrError as number,
      wroteLater: kLastWriteWasAsync as number,
      endOfFile: uv.UV_EOF as number,
      secure: tls.wrap as Handles["secure"],
    };
  } catch {
    // With `--permission` there is no way there.
    return null;
  }
}

const ofStreams = ["useUserBuffer", "readStart", "readStop", "writeBuffer", "writev", "shutdown"];
const ofSockets = [
  "close",
  "reset",
  "getpeername",
  "getsockname",
  "setNoDelay",
  "setKeepAlive",
  "connect",
  "connect6",
];
const ofTls = [
  "receive",
  "setVerifyMode",
  "setALPNProtocols",
  "getProtocol",
  "getALPNNegotiatedProtocol",
  "isSessionReused",
  "getPeerX509Certificate",
  "destroySSL",
];

/** An error as `node:net` has it. */
export function systemError(call: string, status: number, where = ""): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`${call} ${code}${where}`), { code, errno: status, syscall: call });
}
