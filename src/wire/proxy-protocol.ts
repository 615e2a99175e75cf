import { Cursor, more, no, ok, type Parsed } from "./cursor.ts";
import { formatIp, type Ip, parseIp } from "./ip.ts";

/** https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt, sections 2.1 (v1) and 2.2 (v2). */
export interface ProxyHeader {
  readonly version: 1 | 2;
  /** `local`: the sender speaks for itself (health checks); the addresses are the connection's own. */
  readonly command: "proxy" | "local";
  /** `null` for `local` and for address families that are not IP. */
  readonly source: ProxyAddress | null;
  readonly destination: ProxyAddress | null;
  readonly tlvs: readonly Tlv[];
}

export interface ProxyAddress {
  readonly address: string;
  readonly port: number;
}

export interface Tlv {
  readonly type: number;
  readonly value: Uint8Array;
}

export const signatureV2 = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a] as const;
const maxV1 = 107;
/**
 * Of a whole v2 header, read or written; its length field would allow 65,551. nginx reads no more either,
 * and the balancers' own headers stay far below.
 */
const maxV2 = 4096;
const fixedV2 = 16;
const v1Start = "PROXY ";

const malformed = (detail: string): Parsed<never> => no("malformed", detail);

/** Reads a PROXY header of either version. Strict: what HAProxy's specification does not allow is refused. */
export function parseProxyHeader(bytes: Uint8Array): Parsed<ProxyHeader> {
  if (bytes.length === 0) return more(8);
  const isV2 = bytes[0] === signatureV2[0];
  const start = isV2 ? signatureV2 : [...v1Start].map((c) => c.charCodeAt(0));
  for (const [i, byte] of start.entries()) {
    if (i >= bytes.length) return more(start.length);
    if (bytes[i] !== byte) return malformed("no PROXY header");
  }
  return isV2 ? parseV2(bytes) : parseV1(bytes);
}

function parseV1(bytes: Uint8Array): Parsed<ProxyHeader> {
  const window = bytes.subarray(0, maxV1);
  const end = window.indexOf(0x0a);
  if (end < 0)
    return bytes.length >= maxV1 ? no("too_large", "a PROXY v1 line without an end") : more(bytes.length + 1);
  if (bytes[end - 1] !== 0x0d) return malformed("a PROXY v1 line must end with CR LF");
  const line = String.fromCharCode(...bytes.subarray(0, end - 1));
  const used = end + 1;
  const [, family = "", ...fields] = line.split(" ");
  if (family === "UNKNOWN") {
    return ok({ version: 1, command: "local", source: null, destination: null, tlvs: [] }, used);
  }
  const [from = "", to = "", fromPort = "", toPort = "", ...rest] = fields;
  if ((family !== "TCP4" && family !== "TCP6") || rest.length > 0)
    return malformed("a malformed PROXY v1 line");
  const source = v1Address(family, from, fromPort);
  const destination = v1Address(family, to, toPort);
  if (source === null || destination === null) return malformed("a malformed address in a PROXY v1 line");
  return ok({ version: 1, command: "proxy", source, destination, tlvs: [] }, used);
}

function v1Address(family: string, address: string, port: string): ProxyAddress | null {
  const ip = parseIp(address);
  if (ip === null || address.includes(":") !== (family === "TCP6")) return null;
  if (!/^(0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65535) return null;
  return { address: formatIp(ip), port: Number(port) };
}

function parseV2(bytes: Uint8Array): Parsed<ProxyHeader> {
  if (bytes.length < fixedV2) return more(fixedV2);
  const cursor = new Cursor(bytes, signatureV2.length);
  const versionCommand = cursor.u8() ?? 0;
  const familyProtocol = cursor.u8() ?? 0;
  const length = cursor.u16() ?? 0;
  if (versionCommand >> 4 !== 2) return malformed("an unknown PROXY version");
  const command = versionCommand & 0x0f;
  if (command > 1) return malformed("an unknown PROXY v2 command");
  if (familyProtocol >> 4 > 3 || (familyProtocol & 0x0f) > 2)
    return malformed("an unknown PROXY v2 address family");
  const used = fixedV2 + length;
  if (used > maxV2) return no("too_large", `a PROXY v2 header of more than ${maxV2} bytes`);
  if (bytes.length < used) return more(used);
  // The sender speaks for itself: the rest is to be skipped, whatever it is (section 2.2).
  if (command === 0)
    return ok({ version: 2, command: "local", source: null, destination: null, tlvs: [] }, used);
  if ((familyProtocol & 0x0f) === datagram) return malformed("a PROXY v2 header of a datagram, on a stream");
  const header = bytes.subarray(0, used);
  const block = new Cursor(header, fixedV2);
  const addresses = v2Addresses(block, familyProtocol);
  if (addresses === undefined) return malformed("the PROXY v2 addresses are cut short");
  const tlvs = parseTlvs(block);
  if (tlvs === undefined) return malformed("a PROXY v2 TLV is cut short");
  for (const { type, value } of tlvs) {
    if (type === tlvType.crc32c && !checksumHolds(header, value))
      return malformed("the PROXY v2 checksum is wrong");
    if (type === tlvType.ssl && parseSslTlv(value) === null)
      return malformed("a malformed PP2_TYPE_SSL (section 2.2.6)");
  }
  return ok({ version: 2, command: "proxy", ...addresses, tlvs }, used);
}

interface Addresses {
  readonly source: ProxyAddress | null;
  readonly destination: ProxyAddress | null;
}

const unspecified = 0;
const datagram = 2;

function v2Addresses(block: Cursor, familyProtocol: number): Addresses | undefined {
  const family = familyProtocol >> 4;
  if (family === unspecified) return { source: null, destination: null };
  // Unix socket paths say nothing about an IP source.
  if (family === 3) return block.bytes(216) === undefined ? undefined : { source: null, destination: null };
  const size = family === 1 ? 4 : 16;
  const from = block.bytes(size);
  const to = block.bytes(size);
  const fromPort = block.u16();
  const toPort = block.u16();
  if (from === undefined || to === undefined || fromPort === undefined || toPort === undefined)
    return undefined;
  // An unspecified transport: the addresses are to be skipped (section 2.2).
  if ((familyProtocol & 0x0f) === unspecified) return { source: null, destination: null };
  return {
    source: { address: addressText(from), port: fromPort },
    destination: { address: addressText(to), port: toPort },
  };
}

/** Through the text form, so that IPv4-mapped IPv6 comes out as IPv4. */
function addressText(bytes: Uint8Array): string {
  const ip = parseIp(formatIp([...bytes]));
  return formatIp(ip ?? [...bytes]);
}

function parseTlvs(block: Cursor): Tlv[] | undefined {
  const tlvs: Tlv[] = [];
  while (!block.done) {
    const type = block.u8();
    const value = block.vector(2);
    if (type === undefined || value === undefined) return undefined;
    tlvs.push({ type, value });
  }
  return tlvs;
}

/** What `PP2_TYPE_SSL` (0x20) says of the client's TLS (section 2.2.6). */
export interface SslTlv {
  /** The client came over TLS. */
  readonly overTls: boolean;
  /** It gave a certificate on this connection, or at least when the session began. */
  readonly certificateOnConnection: boolean;
  readonly certificateInSession: boolean;
  /** It gave one, and that was verified. */
  readonly verified: boolean;
  /** Version (0x21), common name (0x22), cipher (0x23) and so on. */
  readonly tlvs: readonly Tlv[];
}

/** Reads the value of a `PP2_TYPE_SSL`; `null` when it is malformed. */
export function parseSslTlv(value: Uint8Array): SslTlv | null {
  const cursor = new Cursor(value);
  const client = cursor.u8();
  const verify = cursor.u32();
  if (client === undefined || verify === undefined) return null;
  const tlvs = parseTlvs(cursor);
  if (tlvs === undefined) return null;
  return {
    overTls: (client & clientUsedTls) !== 0,
    certificateOnConnection: (client & certificateOnConnection) !== 0,
    certificateInSession: (client & certificateInSession) !== 0,
    // Zero is also what a sender writes that saw no certificate at all.
    verified: verify === 0 && (client & (certificateOnConnection | certificateInSession)) !== 0,
    tlvs,
  };
}

const clientUsedTls = 0x01;
const certificateOnConnection = 0x02;
const certificateInSession = 0x04;

const tlvType = { alpn: 0x01, authority: 0x02, crc32c: 0x03, ssl: 0x20 } as const;
const sslType = { version: 0x21, commonName: 0x22, clientCertificate: 0x28 } as const;

/** CRC-32C (RFC 3309) of the header with the checksum's own bytes as zero. */
function checksumHolds(header: Uint8Array, sum: Uint8Array): boolean {
  if (sum.length !== 4) return false;
  const hole = sum.byteOffset - header.byteOffset;
  let crc = 0xffffffff;
  for (const [i, byte] of header.entries()) {
    crc ^= i >= hole && i < hole + 4 ? 0 : byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0 === new Cursor(sum).u32();
}

/** What is told to an upstream about the client, beside the addresses. */
export interface ProxyFacts {
  readonly source: ProxyAddress;
  readonly destination: ProxyAddress;
  readonly alpn: string | null;
  /** The name asked for in SNI. */
  readonly authority: string | null;
  /** `null` when TLS was not terminated here. */
  readonly tls: {
    /** `TLSv1.3`. */
    readonly version: string;
    readonly resumed: boolean;
    /** Of the verified client certificate, if there was one. */
    readonly commonName: string | null;
    /** The client's, verified, in DER; `null` when it gave none. */
    readonly certificate: Uint8Array | null;
  } | null;
}

/** Both addresses in one family: IPv4 becomes IPv4-mapped IPv6 beside an IPv6 peer. */
function sameFamily(facts: ProxyFacts): { from: Ip; to: Ip } | null {
  const from = parseIp(facts.source.address);
  const to = parseIp(facts.destination.address);
  if (from === null || to === null) return null;
  if (from.length === to.length) return { from, to };
  const wide = (ip: Ip): Ip => (ip.length === 16 ? ip : [...new Array<number>(10).fill(0), 255, 255, ...ip]);
  return { from: wide(from), to: wide(to) };
}

export function encodeProxyV1(facts: ProxyFacts): Uint8Array {
  const pair = sameFamily(facts);
  const line =
    pair === null
      ? "PROXY UNKNOWN\r\n"
      : `PROXY ${pair.from.length === 4 ? "TCP4" : "TCP6"} ${formatIp(pair.from)} ${formatIp(pair.to)} ${facts.source.port} ${facts.destination.port}\r\n`;
  return new TextEncoder().encode(line);
}

/** A TLV block that leaves out what does not fit; `room` counts what may still be written. */
class TlvWriter {
  readonly bytes: number[] = [];
  #room: number;

  constructor(room: number) {
    this.#room = room;
  }

  get room(): number {
    return this.#room;
  }

  put(...bytes: readonly number[]): void {
    this.bytes.push(...bytes);
    this.#room -= bytes.length;
  }

  add(type: number, value: Uint8Array): void {
    if (tlvHead + value.length <= this.#room) this.put(type, ...u16(value.length), ...value);
  }
}

const tlvHead = 3;
const u16 = (value: number): number[] => [value >> 8, value & 0xff];
const utf8 = (value: string): Uint8Array => new TextEncoder().encode(value);
const bytewise = (value: string): Uint8Array => Uint8Array.from(value, (c) => c.charCodeAt(0));

/**
 * A v2 header of at most 4,096 bytes with ALPN, authority and what is known of the client's TLS. A fact
 * that would not fit is left out: first of all the certificate, which only very large ones are.
 */
export function encodeProxyV2(facts: ProxyFacts): Uint8Array {
  const pair = sameFamily(facts);
  const body = new TlvWriter(maxV2 - fixedV2);
  if (pair !== null)
    body.put(...pair.from, ...pair.to, ...u16(facts.source.port), ...u16(facts.destination.port));
  if (facts.alpn !== null) body.add(tlvType.alpn, bytewise(facts.alpn));
  if (facts.authority !== null) body.add(tlvType.authority, utf8(facts.authority));
  if (facts.tls !== null) body.add(tlvType.ssl, sslTlv(facts.tls, body.room - tlvHead));
  const family = pair === null ? 0 : pair.from.length === 4 ? 1 : 2;
  const stream = 1;
  return Uint8Array.from([
    ...signatureV2,
    0x21,
    pair === null ? unspecified : (family << 4) | stream,
    ...u16(body.bytes.length),
    ...body.bytes,
  ]);
}

function sslTlv(tls: NonNullable<ProxyFacts["tls"]>, room: number): Uint8Array {
  const value = new TlvWriter(room);
  const given = tls.certificate !== null;
  const onConnection = given && !tls.resumed;
  value.put(
    clientUsedTls | (onConnection ? certificateOnConnection : 0) | (given ? certificateInSession : 0),
  );
  // `verify`: zero only for a certificate that was given and verified.
  value.put(0, 0, 0, given ? 0 : 1);
  value.add(sslType.version, utf8(tls.version));
  if (tls.commonName !== null) value.add(sslType.commonName, utf8(tls.commonName));
  if (tls.certificate !== null) value.add(sslType.clientCertificate, tls.certificate);
  return Uint8Array.from(value.bytes);
}
