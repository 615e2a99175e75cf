import { chmodSync, existsSync, mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** True when something is there already. */
export const exists = (path: string): boolean => existsSync(path);

/** Writes a file whole or not at all; `secret` ones are readable by their owner alone from the first byte. */
export function writeAtomically(path: string, contents: string, secret: boolean): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  // Of one that a crash left behind nobody is in the way: in a container every process is number 1.
  const temporary = `${path}.${crypto.randomUUID()}.new`;
  const mode = secret ? 0o600 : 0o644;
  writeFileSync(temporary, contents, { mode, flag: "wx" });
  chmodSync(temporary, mode);
  renameSync(temporary, path);
}
