import type { Files } from "../config/pem.ts";

/** Files that remember what was read of them, so that somebody can tell when that is no longer what is there. */
export class SeenFiles implements Files {
  readonly isFolder: Files["isFolder"];
  readonly readBytes: Files["readBytes"];
  readonly inspectCertificate: Files["inspectCertificate"];
  readonly inspectPair: Files["inspectPair"];
  readonly #files: Files;
  /** What each was before it was read; `null`: not there. */
  readonly #seen = new Map<string, string | null>();

  constructor(files: Files) {
    this.#files = files;
    this.isFolder = files.isFolder;
    this.readBytes = files.readBytes;
    this.inspectCertificate = files.inspectCertificate;
    this.inspectPair = files.inspectPair;
  }

  read(path: string): string {
    this.#see(path);
    return this.#files.read(path);
  }

  list(folder: string): string[] {
    this.#see(folder);
    return this.#files.list(folder);
  }

  stamp(path: string): string | null {
    return this.#files.stamp(path);
  }

  /** Everything is read anew from here on. */
  forget(): void {
    this.#seen.clear();
  }

  /** The paths that are not what was read any more, each with what it is now. */
  changed(): ReadonlyMap<string, string | null> {
    const changed = new Map<string, string | null>();
    for (const [path, before] of this.#seen) {
      const now = this.#files.stamp(path);
      if (now !== before) changed.set(path, now);
    }
    return changed;
  }

  /** The first time counts: what it is later may be something that nobody read. */
  #see(path: string): void {
    if (this.#seen.has(path)) return;
    // A folder's stamp says all that is in it.
    const folder = path.slice(0, path.lastIndexOf("/"));
    if (!this.#seen.has(folder)) this.#seen.set(path, this.#files.stamp(path));
  }
}
