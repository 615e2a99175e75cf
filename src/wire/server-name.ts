// Matched before lower-casing: a few characters beyond ASCII, U+212A for one, have an ASCII lower case.
const label = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?";
const labels = new RegExp(`^${label}(?:\\.${label})*$`);

/**
 * A DNS name as it is compared: lower case, without its final dot. `null` when it can't name a route:
 * empty, not ASCII, a malformed label, too long, or an IP literal (RFC 6066 §3 forbids them in SNI).
 */
export function normaliseServerName(raw: string): string | null {
  const name = raw.endsWith(".") ? raw.slice(0, -1) : raw;
  if (name.length === 0 || name.length > 253) return null;
  if (!labels.test(name)) return null;
  // A last label of digits alone, or 0x…, makes resolvers read the whole as an IPv4 address.
  const last = name.slice(name.lastIndexOf(".") + 1);
  return /^(\d+|0x[0-9a-f]*)$/i.test(last) ? null : name.toLowerCase();
}
