import { Refusal } from "../errors.ts";
import type { Log } from "../observe/log.ts";
import type { ListFiles } from "../revocation/read-lists.ts";

/** How often a file is looked at, at most. */
const lookEveryMs = 1000;

/** A bearer token in a text, white space around it aside (RFC 6750 §2.1). Throws, and never repeats what it was given. */
export function bearerToken(text: string): string {
  const token = text.trim();
  if (/^[A-Za-z0-9._~+/-]+=*$/.test(token)) return token;
  throw new Error(
    token === ""
      ? "is empty: expected a bearer token"
      : "is no bearer token: it holds characters that none has",
  );
}

interface Known {
  token: string | null;
  stamp: string | null;
  lookedAt: number;
}

/** Tokens in files that somebody else replaces before they run out, as a kubelet does with a service account's. */
export class TokenFiles {
  readonly #files: Pick<ListFiles, "readBytes" | "stamp">;
  readonly #log: Log;
  readonly #known = new Map<string, Known>();

  constructor(files: Pick<ListFiles, "readBytes" | "stamp">, log: Log) {
    this.#files = files;
    this.#log = log;
  }

  /**
   * What is in the file now. Where that can't be read, what was in it last.
   *
   * @param now milliseconds on any clock that does not go back
   * @throws Refusal where nothing was ever in it
   */
  token(path: string, now: number): string {
    const known = this.#known.get(path) ?? { token: null, stamp: null, lookedAt: Number.NEGATIVE_INFINITY };
    this.#known.set(path, known);
    if (now - known.lookedAt >= lookEveryMs) {
      known.lookedAt = now;
      this.#look(path, known);
    }
    if (known.token !== null) return known.token;
    throw new Refusal("upstream_refused", `there is no token in ${path}`);
  }

  #look(path: string, known: Known): void {
    const stamp = this.#files.stamp(path);
    if (stamp === known.stamp && known.token !== null) return;
    try {
      known.token = bearerToken(new TextDecoder().decode(this.#files.readBytes(path)));
    } catch (error) {
      // What a runtime says of a file may repeat what is in it.
      const problem = error instanceof Error && !("code" in error) ? error.message : "reading failed";
      if (stamp !== known.stamp)
        this.#log.error("the token can't be read; what it last was still counts", { path, problem });
    }
    known.stamp = stamp;
  }
}
