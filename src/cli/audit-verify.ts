import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { parseArgs } from "node:util";
import { placeOf } from "../audit/chain.ts";
import { Verifier, type VerifyReport } from "../audit/verify.ts";
import { printable } from "../observe/printable.ts";
import { type Command, UsageError } from "./command.ts";

const sha256Hex = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

/** Longer is no line of an audit log. */
const maxLine = 64 << 20;

/** The lines of a file, and whether each has its end. */
async function* linesOf(
  file: string,
): AsyncGenerator<{ readonly bytes: Uint8Array; readonly whole: boolean }> {
  const source: AsyncIterable<Uint8Array> = file === "-" ? process.stdin : createReadStream(file);
  let kept: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of source) {
    let from = 0;
    for (let to = chunk.indexOf(0x0a); to >= 0; to = chunk.indexOf(0x0a, from)) {
      kept.push(chunk.subarray(from, to));
      yield { bytes: Buffer.concat(kept), whole: true };
      kept = [];
      length = 0;
      from = to + 1;
    }
    if (from === chunk.length) continue;
    kept.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > maxLine) throw new Error(`${file}: a line of more than ${maxLine} bytes`);
  }
  if (kept.length > 0) yield { bytes: Buffer.concat(kept), whole: false };
}

/** The number that a file's first line of a chain has; one without any goes first. */
async function beginningOf(file: string): Promise<number> {
  if (file === "-") return 0;
  for await (const { bytes } of linesOf(file)) {
    const place = placeOf(bytes);
    if (place !== null) return place.seq;
  }
  return 0;
}

function hashFlag(value: string | undefined, flag: string): string | null {
  if (value === undefined) return null;
  if (!/^[0-9a-f]{64}$/i.test(value))
    throw new UsageError(`${flag}: expected a SHA-256 in hexadecimal, 64 digits`);
  return value.toLowerCase();
}

function inWords(report: VerifyReport, files: number): string[] {
  const { lines, first, last, since, torn, unchained, breaks, broken } = report;
  const words: string[] = [];
  if (report.ok && last !== null) {
    words.push(
      `whole: lines ${first} to ${last.seq} of the chain, in ${files} file${files === 1 ? "" : "s"}`,
    );
    words.push(`last hash: ${last.hash}`);
  } else words.push(`broken: ${broken} place${broken === 1 ? "" : "s"} in ${lines} lines`);
  for (const { file, line, problem } of breaks) words.push(`${printable(file)}:${line}: ${problem}`);
  if (broken > breaks.length) words.push(`and ${broken - breaks.length} more`);
  if (since !== null) words.push(`${since} line${since === 1 ? "" : "s"} since the hash that was given`);
  if (torn > 0)
    words.push(
      `${torn} line${torn === 1 ? "" : "s"} cut off while being written, each vouched for by the next`,
    );
  if (unchained > 0)
    words.push(
      `${unchained} line${unchained === 1 ? "" : "s"} from before there was a chain, of which it vouches for the last`,
    );
  return words;
}

export const auditVerify: Command = {
  usage: `Usage: sallyport audit verify FILE... [--last HASH] [--first HASH] [--partial] [--restarts] [--json]

Says whether an audit log is as it was written: every line carries the SHA-256 of the one
before. Give it all files of the log, in any order; - is standard input. Exit status 1 where a
line was changed, removed, put in or moved.

  --last HASH    a line must have this hash: what the router's own log ("audit chain") or an
                 earlier run of this command said. Without it nobody can tell whether lines
                 at the end are missing
  --first HASH   the log may begin later: behind the line with this hash, the last one of a
                 file that is gone
  --partial      the log may begin anywhere
  --restarts     chains may begin anew, as at every start of a router that writes to standard
                 output or to syslog
  --json         the findings as JSON`,

  async run(args, io) {
    let parsed: ReturnType<typeof parse>;
    try {
      parsed = parse(args);
    } catch (error) {
      throw new UsageError(error instanceof Error ? error.message : String(error));
    }
    const { values, positionals } = parsed;
    if (positionals.length === 0) throw new UsageError("FILE is missing");
    const { partial = false, restarts = false } = values;
    const first = hashFlag(values.first, "--first");
    const last = hashFlag(values.last, "--last");
    const beginnings = await Promise.all(
      positionals.map(async (file) => ({ file, seq: await beginningOf(file) })),
    );
    const files = beginnings.sort((a, b) => a.seq - b.seq).map(({ file }) => file);
    const verifier = new Verifier({ partial, restarts, first, last }, sha256Hex);
    let at = { file: files[0] ?? "", line: 0, whole: true };
    for (const file of files) {
      let line = 0;
      for await (const { bytes, whole } of linesOf(file)) {
        at = { file, line: ++line, whole };
        verifier.line(bytes, file, line);
      }
    }
    const report = verifier.end(!at.whole, at.file, at.line);
    if (values.json === true) io.out(JSON.stringify({ ...report, files }));
    else for (const line of inWords(report, files.length)) io.out(line);
    return report.ok ? 0 : 1;
  },
};

const parse = (args: readonly string[]) =>
  parseArgs({
    args: [...args],
    allowPositionals: true,
    strict: true,
    options: {
      last: { type: "string" },
      first: { type: "string" },
      partial: { type: "boolean" },
      restarts: { type: "boolean" },
      json: { type: "boolean" },
    },
  });
