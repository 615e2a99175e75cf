import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";

/** True when something is there already. */
export const exists = (path: string): boolean => existsSync(path);

/** Removes a file, or a folder and all that is in it, if it is there. */
export const removeAll = (path: string): void => rmSync(path, { recursive: true, force: true });

export interface FileToWrite {
  readonly path: string;
  readonly contents: string | Uint8Array;
  /** Readable by its owner alone, from the first byte. */
  readonly secret: boolean;
}

/** Writes it beside where it is to be, and says where. */
function prepare({ path, contents, secret }: FileToWrite): string {
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
  return temporary;
}

/** Writes each file whole or not at all, and none before all of them can be: a full disk leaves what was there. */
export function writeTogether(...all: readonly FileToWrite[]): void {
  const prepared: (readonly [temporary: string, path: string])[] = [];
  try {
    for (const file of all) prepared.push([prepare(file), file.path]);
  } catch (error) {
    for (const [temporary] of prepared) rmSync(temporary, { force: true });
    throw error;
  }
  for (const [temporary, path] of prepared) renameSync(temporary, path);
}

/** Writes one file whole or not at all. */
export const writeAtomically = (path: string, contents: string | Uint8Array, secret: boolean): void =>
  writeTogether({ path, contents, secret });

/** Writes a secret unless something is there already: then that stays. */
export function writeOnce(path: string, contents: string): void {
  const temporary = prepare({ path, contents, secret: true });
  try {
    // Unlike renaming, it replaces nothing.
    linkSync(temporary, path);
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "EEXIST") throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
}
