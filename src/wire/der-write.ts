/** Writes what `der.ts` reads: an element with the shortest length. */
export function derElement(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const octets: number[] = [];
  if (length >= 0x80)
    for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  const head = octets.length === 0 ? [tag, length] : [tag, 0x80 | octets.length, ...octets];
  const element = new Uint8Array(head.length + length);
  element.set(head);
  let at = head.length;
  for (const part of parts) {
    element.set(part, at);
    at += part.length;
  }
  return element;
}

/** An OBJECT IDENTIFIER from its dotted decimal; arcs may be of any size (ITU-T X.667 makes them of UUIDs). */
export function derOid(text: string): Uint8Array {
  const [first = 0n, second = 0n, ...rest] = text.split(".").map(BigInt);
  const octets = [first * 40n + second, ...rest].flatMap((arc) => {
    const digits = [Number(arc & 0x7fn)];
    for (let left = arc >> 7n; left > 0n; left >>= 7n) digits.unshift(0x80 | Number(left & 0x7fn));
    return digits;
  });
  return derElement(0x06, Uint8Array.from(octets));
}

/** A non-negative INTEGER. */
export function derInteger(value: number): Uint8Array {
  const octets: number[] = [];
  for (let rest = value; rest > 0 || octets.length === 0; rest = Math.floor(rest / 256))
    octets.unshift(rest % 256);
  if ((octets[0] ?? 0) >= 0x80) octets.unshift(0);
  return derElement(0x02, Uint8Array.from(octets));
}

export const derNull: Uint8Array = Uint8Array.of(0x05, 0);
export const derText = (text: string): Uint8Array => derElement(0x0c, new TextEncoder().encode(text));
