/** An address as bytes, 4 or 16 of them. IPv4-mapped IPv6 is IPv4. */
export type Ip = readonly number[];

export interface Cidr {
  readonly ip: Ip;
  readonly bits: number;
}

const zero = 0x30;
/** As far from the digits as it is. */
const dot = 0x2e - zero;

/** Character by character: every connection's addresses pass here. */
function parseIpv4(text: string): Ip | null {
  const bytes: number[] = [];
  let value = 0;
  let digits = 0;
  for (let i = 0; i <= text.length; i++) {
    const digit = i === text.length ? dot : text.charCodeAt(i) - zero;
    if (digit >= 0 && digit <= 9) {
      // No leading zeroes: some read them as octal.
      if (digits > 0 && value === 0) return null;
      value = value * 10 + digit;
      digits++;
      if (value > 255) return null;
    } else if (digit === dot && digits > 0 && bytes.length < 4) {
      bytes.push(value);
      value = 0;
      digits = 0;
    } else return null;
  }
  return bytes.length === 4 ? bytes : null;
}

function parseGroups(text: string): number[] | null {
  if (text === "") return [];
  const bytes: number[] = [];
  const groups = text.split(":");
  for (const [i, group] of groups.entries()) {
    if (group.includes(".")) {
      const tail = i === groups.length - 1 ? parseIpv4(group) : null;
      if (tail === null) return null;
      bytes.push(...tail);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return null;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

function parseIpv6(text: string): Ip | null {
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const front = parseGroups(halves[0] ?? "");
  const back = halves.length === 2 ? parseGroups(halves[1] ?? "") : [];
  if (front === null || back === null) return null;
  if (halves.length === 1) return front.length === 16 ? front : null;
  // "::" stands for at least one group (RFC 4291 §2.2), and a dotted tail may only stand at the very end.
  if (front.length + back.length > 14 || halves[0]?.includes(".")) return null;
  return [...front, ...new Array<number>(16 - front.length - back.length).fill(0), ...back];
}

const isMapped = (ip: Ip): boolean =>
  ip.slice(0, 10).every((b) => b === 0) && ip[10] === 255 && ip[11] === 255;

/** Reads an IP literal, IPv4 dotted decimal or IPv6 without brackets or zone; `null` when it is none. */
export function parseIp(text: string): Ip | null {
  if (!text.includes(":")) return parseIpv4(text);
  const ip = parseIpv6(text);
  return ip !== null && isMapped(ip) ? ip.slice(12) : ip;
}

/** The canonical text (RFC 5952). */
export function formatIp(ip: Ip): string {
  if (ip.length === 4) return ip.join(".");
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((ip[i] ?? 0) << 8) | (ip[i + 1] ?? 0));
  let [best, bestLength] = [-1, 1];
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (groups[i + length] === 0) length++;
    if (length > bestLength) [best, bestLength] = [i, length];
  }
  const hex = (part: number[]): string => part.map((g) => g.toString(16)).join(":");
  if (best < 0) return hex(groups);
  return `${hex(groups.slice(0, best))}::${hex(groups.slice(best + bestLength))}`;
}

const bitAt = (ip: Ip, bit: number): number => ((ip[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1;

/** Reads `ADDRESS/BITS`, or an address alone; host bits must be zero. `null` when it is none. */
export function parseCidr(text: string): Cidr | null {
  const [address = "", suffix, ...rest] = text.split("/");
  const ip = parseIp(address);
  if (ip === null || rest.length > 0) return null;
  const size = ip.length * 8;
  if (suffix === undefined) return { ip, bits: size };
  if (!/^(0|[1-9]\d{0,2})$/.test(suffix)) return null;
  const bits = Number(suffix);
  if (bits > size) return null;
  for (let bit = bits; bit < size; bit++) if (bitAt(ip, bit) === 1) return null;
  return { ip, bits };
}

export const formatCidr = (cidr: Cidr): string => `${formatIp(cidr.ip)}/${cidr.bits}`;

export function cidrContains(cidr: Cidr, ip: Ip): boolean {
  if (cidr.ip.length !== ip.length) return false;
  for (let bit = 0; bit < cidr.bits; bit++) if (bitAt(cidr.ip, bit) !== bitAt(ip, bit)) return false;
  return true;
}

export const cidrsOverlap = (a: Cidr, b: Cidr): boolean =>
  a.bits <= b.bits ? cidrContains(a, b.ip) : cidrContains(b, a.ip);
