import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";

/** True when something is there already. */
export const exists = (path: string): boolean => existsSync(path);

/** Removes a folder and all that is in it, if it is there. */
export const removeFolder = (path: string): void => rmSync(path, { recursive: true, force: true });

/** Writes a file whole or not at all; `secret` ones are readable by their owner alone from the first byte. */
export function writeAtomically(path: string, contents: string, secret: boolean): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  // Of one that a crash left behind nobody is in the way: in a container every process is number 1.
  const temporary = `${path}.${crypto.randomUUID()}.new`;
  const mode = secret ? 0o600 : 0o644;
  const file = openSync(temporary, "wx", mode);
  try {
    writeFileSync(file, contents);
    // On the disk before it has its name: a power cut leaves the former one, or this, and no half.
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  chmodSync(temporary, mode);
  renameSync(temporary, path);
}
