import { genesis, placeOf } from "./chain.ts";

/** What is wrong, and where. */
export interface Break {
  readonly file: string;
  /** From 1 on. */
  readonly line: number;
  readonly problem: string;
}

export interface VerifyOptions {
  /** The log may begin after its first line: older files are gone. */
  readonly partial: boolean;
  /** What the first line must follow: the hash of the last one of the file before. */
  readonly first: string | null;
  /** A hash that was kept elsewhere: a line must have it. */
  readonly last: string | null;
  /** Chains may begin anew: a collector's file, in which each start of the router begins one. */
  readonly restarts: boolean;
}

export interface VerifyReport {
  readonly ok: boolean;
  readonly lines: number;
  /** At the head, from before there was a chain: only the last of them is vouched for. */
  readonly unchained: number;
  /** Cut off while they were written, and vouched for by the line behind. */
  readonly torn: number;
  readonly first: number | null;
  readonly last: { readonly seq: number; readonly hash: string } | null;
  /** How many lines follow the one whose hash was given. */
  readonly since: number | null;
  /** The first ones, in the order in which they were found. */
  readonly breaks: readonly Break[];
  readonly broken: number;
}

const mostBreaks = 20;

const hex = (hash: string): string => `${hash.slice(0, 12)}…`;

const range = (from: number, to: number): string =>
  from === to ? `line ${from} of the chain is missing` : `lines ${from} to ${to} of the chain are missing`;

/** Goes through the lines of a log in their order. */
export class Verifier {
  readonly #options: VerifyOptions;
  readonly #sha256Hex: (data: Uint8Array) => string;
  readonly #breaks: Break[] = [];
  #broken = 0;
  #lines = 0;
  #unchained = 0;
  #torn = 0;
  #first: number | null = null;
  /** The number of the last line that has one. */
  #seq = 0;
  /** Of the last line. */
  #hash = genesis.hash;
  /** The last line, where it has no place in the chain: whether it may be there, the next one says. */
  #odd: { readonly file: string; readonly line: number } | null = null;
  #since: number | null = null;

  constructor(options: VerifyOptions, sha256Hex: (data: Uint8Array) => string) {
    this.#options = options;
    this.#sha256Hex = sha256Hex;
  }

  /** The next line, without its newline. */
  line(bytes: Uint8Array, file: string, line: number): void {
    this.#lines++;
    const place = placeOf(bytes);
    const hash = this.#sha256Hex(bytes);
    if (place === null) this.#unplaced({ file, line });
    else {
      const problem = this.#first === null ? this.#beginning(place) : this.#following(place);
      if (problem !== null) this.#broke(file, line, problem);
      this.#first ??= place.seq;
      this.#seq = place.seq;
      this.#odd = null;
    }
    this.#hash = hash;
    if (this.#since !== null) this.#since++;
    if (hash === this.#options.last) this.#since = 0;
  }

  /** @param incomplete whether the last line has no newline */
  end(incomplete: boolean, file: string, line: number): VerifyReport {
    const { last } = this.#options;
    if (this.#odd !== null) this.#broke(this.#odd.file, this.#odd.line, "no line of the chain");
    else if (incomplete) this.#broke(file, line, "the last line has no end");
    if (this.#first === null && this.#broken === 0) this.#broke(file, 0, "there is no line with a chain");
    if (last !== null && this.#since === null)
      this.#broke(
        file,
        line,
        `no line has the hash ${hex(last)}: what followed line ${this.#seq} of the chain, if not more, is missing`,
      );
    return {
      ok: this.#broken === 0,
      lines: this.#lines,
      unchained: this.#unchained,
      torn: this.#torn,
      first: this.#first,
      last: this.#first === null ? null : { seq: this.#seq, hash: this.#hash },
      since: this.#since,
      breaks: this.#breaks,
      broken: this.#broken,
    };
  }

  #unplaced(at: { readonly file: string; readonly line: number }): void {
    if (this.#first === null) {
      this.#unchained++;
      return;
    }
    if (this.#odd !== null) this.#broke(this.#odd.file, this.#odd.line, "no line of the chain");
    this.#odd = at;
  }

  #beginning({ seq, chain }: { readonly seq: number; readonly chain: string }): string | null {
    const { first, partial } = this.#options;
    if (first !== null)
      return chain === first ? null : `follows a line with the hash ${hex(chain)}, not ${hex(first)}`;
    if (seq > 1) return partial ? null : `${range(1, seq - 1)}`;
    if (chain === this.#hash) return null;
    return this.#unchained > 0
      ? "the line before was changed"
      : `follows a line with the hash ${hex(chain)}, which is missing`;
  }

  #following({ seq, chain }: { readonly seq: number; readonly chain: string }): string | null {
    if (chain === this.#hash && seq === this.#seq + 1) {
      if (this.#odd !== null) this.#torn++;
      return null;
    }
    if (seq === 1 && chain === genesis.hash)
      return this.#options.restarts && this.#odd === null ? null : "another chain begins here";
    if (seq > this.#seq + 1) return range(this.#seq + 1, seq - 1);
    if (seq <= this.#seq) return `line ${seq} of the chain behind line ${this.#seq}: put in, or out of order`;
    return "does not follow the line before: one of the two was changed";
  }

  #broke(file: string, line: number, problem: string): void {
    this.#broken++;
    if (this.#breaks.length < mostBreaks) this.#breaks.push({ file, line, problem });
  }
}
