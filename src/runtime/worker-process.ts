import { spawn } from "node:child_process";
import { likeThisOne } from "./self-command.ts";

/** Another process of this program that works for this one. */
export interface WorkerProcess {
  readonly pid: number;
  /** Its exit status; 128 and more where a signal ended it. */
  readonly ended: Promise<number>;
  hangUp(): void;
  kill(): void;
}

/** Longer is no line of ours; it is cut. */
const maxLine = 4 << 20;

/** Calls `line` with each whole line; gives what is to be called with the end of it, which is no line. */
function eachLine(
  stream: NodeJS.ReadableStream,
  line: (text: string) => void,
  rest: (text: string) => void,
): void {
  let parts: string[] = [];
  let length = 0;
  const take = (): string => {
    const text = parts.join("");
    parts = [];
    length = 0;
    return text;
  };
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    const pieces = chunk.split("\n");
    for (const [i, piece] of pieces.entries()) {
      parts.push(piece);
      length += piece.length;
      if (i < pieces.length - 1) line(take());
      else if (length > maxLine) rest(take());
    }
  });
  stream.on("end", () => {
    const text = take();
    if (text !== "") rest(text);
  });
  stream.on("error", () => {});
}

/**
 * Starts a process of this program. Rejects where the system starts none.
 *
 * @param inherited file descriptors that it is to have, from 3 on
 * @param input all that it finds in its standard input
 */
export function startWorker(
  args: readonly string[],
  input: string,
  inherited: readonly number[],
  lines: { readonly out: (line: string) => void; readonly error: (line: string) => void },
): Promise<WorkerProcess> {
  const [command = "", ...rest] = [...likeThisOne(), ...args];
  const child = spawn(command, rest, { stdio: ["pipe", "pipe", "pipe", ...inherited] });
  const { stdin, stdout, stderr } = child;
  if (stdin === null || stdout === null || stderr === null) throw new TypeError("no pipes");
  stdin.on("error", () => {});
  stdin.end(input);
  // Half a record is none; half a message may still tell something.
  eachLine(stdout, lines.out, () => {});
  eachLine(stderr, lines.error, lines.error);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("spawn", () => {
      child.off("error", reject);
      child.on("error", () => {});
      resolve({
        pid: child.pid ?? 0,
        ended: new Promise((done) => {
          // Not before its last lines are here.
          child.once("close", (status, signal) => done(status ?? (signal === null ? 1 : 128)));
        }),
        hangUp: () => void child.kill("SIGHUP"),
        kill: () => void child.kill("SIGKILL"),
      });
    });
  });
}
