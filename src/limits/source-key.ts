import { formatIp, parseIp } from "../wire/ip.ts";

/** Who counts as one source: an IPv4 address, or the /64 that anybody with IPv6 has at least. */
export function sourceKey(address: string): string {
  if (!address.includes(":")) return address;
  const ip = parseIp(address);
  return ip === null || ip.length === 4 ? address : formatIp([...ip.slice(0, 8), ...new Array(8).fill(0)]);
}
