import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import type { Turn } from "../acme/store.ts";
import { writeOnce } from "./key-files.ts";

/** How often whoever has the turn says so. */
const beatMs = 5000;
/** Without a word of it for as long, its holder is taken for dead. */
const silenceMs = 60_000;

/** Turns by a file that is there while somebody has one, in a folder that machines with other clocks may share. */
export class Turns {
  readonly #path: string;
  readonly #silenceMs: number;
  /** What the file was when it was last another: its age is ours to measure, for clocks differ. */
  #seen = { state: "", since: 0 };

  constructor(path: string, silence = silenceMs) {
    this.#path = path;
    this.#silenceMs = silence;
  }

  /** `null` while somebody else has it. Throws where no file can be made. */
  take(): Turn | null {
    const id = crypto.randomUUID();
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    if (!this.#make(id)) {
      if (!this.#isDead() || !this.#remove() || !this.#make(id)) return null;
    }
    const beat = setInterval(() => {
      const now = new Date();
      try {
        if (this.#holder() === id) utimesSync(this.#path, now, now);
      } catch {
        // Whoever took it away has the turn now, which `holds` says.
      }
    }, beatMs);
    const path = this.#path;
    const holder = (): string | null => this.#holder();
    return {
      get holds() {
        return holder() === id;
      },
      release: () => {
        clearInterval(beat);
        if (holder() === id) rmSync(path, { force: true });
      },
    };
  }

  /** Of those who make one file, one does. */
  #make(id: string): boolean {
    try {
      const file = openSync(this.#path, "wx", 0o600);
      try {
        writeSync(file, id);
      } finally {
        closeSync(file);
      }
      return true;
    } catch (error) {
      if ((error as { readonly code?: unknown }).code === "EEXIST") return false;
      throw error;
    }
  }

  #holder(): string | null {
    try {
      return readFileSync(this.#path, "utf8");
    } catch {
      return null;
    }
  }

  #state(): string {
    try {
      return `${this.#holder()} ${statSync(this.#path).mtimeMs}`;
    } catch {
      return "";
    }
  }

  #isDead(): boolean {
    const state = this.#state();
    const now = performance.now();
    if (state !== this.#seen.state) this.#seen = { state, since: now };
    return now - this.#seen.since >= this.#silenceMs;
  }

  /** Takes a dead holder's file away; puts it back where it was another's by then. */
  #remove(): boolean {
    const dead = this.#holder();
    const aside = `${this.#path}.${crypto.randomUUID()}`;
    try {
      renameSync(this.#path, aside);
    } catch {
      return false;
    }
    const taken = readFileSync(aside, "utf8");
    rmSync(aside, { force: true });
    if (taken === dead) return true;
    writeOnce(this.#path, taken);
    return false;
  }
}
