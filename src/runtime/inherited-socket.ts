import { readFileSync, readlinkSync } from "node:fs";
import type { Endpoint } from "../types.ts";
import { endpoint } from "./endpoint.ts";

const listening = "0A";

/** An address as the kernel prints it: words of four bytes in the machine's order, which is little-endian wherever we run. */
function addressOf(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) =>
    (word.match(/../g) ?? []).reverse().map((byte) => Number.parseInt(byte, 16)),
  );
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}

/** Where a socket listens that this process inherited. Throws where it is no TCP socket that does. */
export function inheritedEndpoint(fd: number): Endpoint {
  const what = `file descriptor ${fd}`;
  let link: string;
  try {
    link = readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    throw new Error(`${what} is not open`);
  }
  const [, inode] = /^socket:\[(\d+)\]$/.exec(link) ?? [];
  for (const table of ["tcp", "tcp6"]) {
    let lines: string[];
    try {
      lines = readFileSync(`/proc/self/net/${table}`, "utf8").split("\n");
    } catch {
      // A kernel without IPv6.
      continue;
    }
    for (const line of lines) {
      const fields = line.trim().split(/\s+/);
      if (inode === undefined || fields[9] !== inode || fields[3] !== listening) continue;
      const [address = "", port = ""] = (fields[1] ?? "").split(":");
      return endpoint(addressOf(address), Number.parseInt(port, 16));
    }
  }
  throw new Error(`${what} is no TCP socket that listens`);
}
