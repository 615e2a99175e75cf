import { type Cidr, cidrContains, parseIp } from "../wire/ip.ts";

/** An entry of X-Forwarded-For: an address, with a port behind it from some balancers. */
function addressOf(entry: string): string | null {
  const text = entry.trim();
  if (parseIp(text) !== null) return text;
  const [, bracketed, ipv4] = /^(?:\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|([\d.]+):\d{1,5})$/.exec(text) ?? [];
  const address = bracketed ?? ipv4 ?? "";
  return parseIp(address) === null ? null : address;
}

/**
 * The client's address by X-Forwarded-For. Each balancer appends whom it was called by, so the list is read from
 * its end for as long as those who wrote it are believed; what stands before that, the client made up.
 *
 * @param peer who sent the request
 * @param trusted whose word is taken
 * @returns `null` where an entry that counts is no address
 */
export function forwardedFor(value: string | null, peer: string, trusted: readonly Cidr[]): string | null {
  const entries = value?.split(",") ?? [];
  let client = peer;
  for (const entry of entries.reverse()) {
    const ip = parseIp(client);
    if (ip === null || !trusted.some((cidr) => cidrContains(cidr, ip))) break;
    const address = addressOf(entry);
    if (address === null) return null;
    client = address;
  }
  return client;
}
