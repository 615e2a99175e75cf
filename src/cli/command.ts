/** What a command reads and writes beside files: so that tests can run one in-process. */
export interface CliIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A line to standard output. */
  out(line: string): void;
  /** A line to standard error. */
  err(line: string): void;
}

export interface Command {
  /** The whole help text. */
  readonly usage: string;
  /** Resolves with the exit status: 0 done, 1 failed at run time, 2 bad usage or configuration. */
  run(args: readonly string[], io: CliIo): Promise<number>;
}

/** Bad usage: printed with the command's help at hand; exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
