/** Not for secrets: it stops at the first difference. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

const decoder = new TextDecoder("latin1");

/** A key for maps that is the bytes themselves, one character each: two can't collide. */
export const bytesKey = (bytes: Uint8Array): string => decoder.decode(bytes);
