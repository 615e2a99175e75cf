const idBytes = 16;
const pool = new Uint8Array(1024 * idBytes);
let used = pool.length;

const twoDigits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/**
 * A random UUID (RFC 9562 §5.4). As `crypto.randomUUID` gives it on Node it is not in one piece, and the JSON of a record
 * with such a text in it takes three times as long.
 */
export function connectionId(): string {
  if (used === pool.length) {
    crypto.getRandomValues(pool);
    used = 0;
  }
  const at = used;
  used += idBytes;
  const hex = (i: number): string => twoDigits[pool[at + i] ?? 0] ?? "";
  const with4 = twoDigits[0x40 | ((pool[at + 6] ?? 0) & 0x0f)] ?? "";
  const withVariant = twoDigits[0x80 | ((pool[at + 8] ?? 0) & 0x3f)] ?? "";
  return [
    hex(0) + hex(1) + hex(2) + hex(3),
    hex(4) + hex(5),
    with4 + hex(7),
    withVariant + hex(9),
    hex(10) + hex(11) + hex(12) + hex(13) + hex(14) + hex(15),
  ].join("-");
}
