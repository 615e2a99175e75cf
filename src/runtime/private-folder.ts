import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new folder that its owner alone may look into (mode 0700): for sockets between processes of one program. */
export const privateFolder = (): string => mkdtempSync(join(tmpdir(), "sallyport-"));

export const removeFolder = (path: string): void => rmSync(path, { recursive: true, force: true });
