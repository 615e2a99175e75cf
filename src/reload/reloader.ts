import type { SeenFiles } from "./seen-files.ts";

/** How often files are looked at. A change is taken up once it is the same at two looks in a row. */
const lookEveryMs = 1000;

/** Reads the configuration again when it is asked to, or a file that was read is not what it was. */
export class Reloader {
  readonly #files: SeenFiles;
  readonly #reload: (why: string) => Promise<void>;
  readonly #timer: ReturnType<typeof setInterval>;
  /** What was different at the last look. */
  #unsettled = "";
  #running: Promise<void> | undefined;
  #again: string | undefined;

  /** @param reload reads through `files`; never rejects */
  constructor(files: SeenFiles, reload: (why: string) => Promise<void>) {
    this.#files = files;
    this.#reload = reload;
    this.#timer = setInterval(() => this.#look(), lookEveryMs);
  }

  /** At once, or as soon as the reload that is under way is over: one for all who ask meanwhile. */
  now(why: string): Promise<void> {
    if (this.#running !== undefined) {
      this.#again = why;
      return this.#running;
    }
    this.#running = this.#run(why).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #run(why: string): Promise<void> {
    for (let next: string | undefined = why; next !== undefined; next = this.#again) {
      this.#again = undefined;
      this.#unsettled = "";
      this.#files.forget();
      await this.#reload(next);
    }
  }

  /** Who writes one file may be about to write another, or the rest of it. */
  #look(): void {
    if (this.#running !== undefined) return;
    const changed = this.#files.changed();
    const now = JSON.stringify([...changed]);
    const settled = now === this.#unsettled;
    this.#unsettled = now;
    if (changed.size > 0 && settled) void this.now([...changed.keys()].join(" "));
  }
}
