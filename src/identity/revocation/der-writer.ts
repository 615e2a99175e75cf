/** The little DER that is written here: lengths below 65,536. */
export function derElement(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  const element = new Uint8Array(head.length + length);
  element.set(head);
  let at = head.length;
  for (const part of parts) {
    element.set(part, at);
    at += part.length;
  }
  return element;
}

/** AlgorithmIdentifier of SHA-1 with NULL parameters, as responders expect it. */
export const sha1Algorithm = Uint8Array.of(0x30, 9, 0x06, 5, 0x2b, 14, 3, 2, 26, 5, 0);
