import { existsSync, readFileSync } from "node:fs";

/** Third-party vectors, which stand beside the checkout where there are any. */
const folder = "../shared/vectors";

/** The parsed file, or a reason to skip. */
export function vectors<T>(name: string): { data: T; skip: false } | { data: null; skip: string } {
  const path = `${folder}/${name}`;
  if (!existsSync(path)) return { data: null, skip: `${path} is not there` };
  return { data: JSON.parse(readFileSync(path, "utf8")) as T, skip: false };
}

export const fromHex = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, "hex"));
