import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, describe, it } from "node:test";
import type { Link } from "../../src/audit/chain.ts";
import { Verifier, type VerifyReport } from "../../src/audit/verify.ts";
import { AuditFile, type Rotation } from "../../src/runtime/audit-file.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-audit-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const sha256Hex = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");
const lockOf = (path: string): string => join(folder, `.${basename(path)}.lock`);
let files = 0;
const newPath = (): string => join(folder, `audit-${++files}.log`);
/** Numbers of lines that a file was found to be cut at. */
const cuts: (readonly [known: number, found: number])[] = [];
const open = async (path: string, rotation: Rotation | null = null, chained = true): Promise<AuditFile> => {
  const cut = (known: Link, found: Link): void => void cuts.push([known.seq, found.seq]);
  const file = new AuditFile({ path, chained, rotation, sha256Hex, cut });
  await file.open();
  return file;
};
const record = (i: number): string =>
  JSON.stringify({ time: new Date().toISOString(), event: "connection", i });
const linesOf = (...paths: readonly string[]): string[] =>
  paths.flatMap((path) => readFileSync(path, "utf8").split("\n").slice(0, -1));

function verified(...paths: readonly string[]): VerifyReport {
  const verifier = new Verifier({ partial: false, restarts: false, first: null, last: null }, sha256Hex);
  const lines = linesOf(...paths);
  for (const [i, line] of lines.entries()) verifier.line(Buffer.from(line), "", i + 1);
  return verifier.end(false, "", lines.length);
}

function isWhole(...paths: readonly string[]): number {
  const { ok, breaks, lines } = verified(...paths);
  assert.ok(ok, JSON.stringify(breaks));
  assert.deepEqual(cuts, []);
  return lines;
}

describe("an audit log in a file", () => {
  it("goes on with its chain after a restart", async () => {
    const path = newPath();
    const first = await open(path);
    await first.write([record(1), record(2)]);
    await first.close();
    const second = await open(path);
    assert.equal(second.last?.seq, 2);
    await second.write([record(3)]);
    await second.close();
    assert.equal(isWhole(path), 3);
  });

  it("goes on behind a line that was cut off, and behind one that is longer than what is read at first", async () => {
    const path = newPath();
    const first = await open(path);
    await first.write([record(1), JSON.stringify({ statement: "x".repeat(300_000) })]);
    await first.close();
    const second = await open(path);
    assert.equal(second.last?.seq, 2);
    await second.close();
    appendFileSync(path, '{"time":"2026-');
    const third = await open(path);
    await third.write([record(3)]);
    await third.close();
    assert.equal(isWhole(path), 4);
  });

  it("is put aside when it is large enough, so many times and no more, in one chain", async () => {
    const path = newPath();
    const file = await open(path, { bytes: 1024, ageMs: null, keep: 3 });
    for (let i = 0; i < 40; i++) await file.write([record(i)]);
    await file.close();
    assert.deepEqual(
      [1, 2, 3, 4].map((i) => existsSync(`${path}.${i}`)),
      [true, true, true, false],
    );
    const lines = linesOf(`${path}.3`, `${path}.2`, `${path}.1`, path);
    const verifier = new Verifier({ partial: true, restarts: false, first: null, last: null }, sha256Hex);
    for (const line of lines) verifier.line(Buffer.from(line), "", 1);
    const report = verifier.end(false, "", 1);
    assert.ok(report.ok, JSON.stringify(report.breaks));
    assert.equal(report.last?.seq, 40);
  });

  it("is put aside when it is old enough, counted from its first line, restarts or not", async () => {
    const path = newPath();
    const old = { time: new Date(Date.now() - 7_200_000).toISOString(), event: "connection" };
    writeFileSync(path, `${JSON.stringify(old)}\n`);
    const file = await open(path, { bytes: null, ageMs: 3_600_000, keep: 1 });
    await file.write([record(1)]);
    await file.write([record(2)]);
    await file.close();
    assert.equal(linesOf(`${path}.1`).length, 1);
    assert.equal(isWhole(`${path}.1`, path), 3);
  });

  it("goes on with the chain of the file before, where it begins empty", async () => {
    const path = newPath();
    const first = await open(path);
    await first.write([record(1)]);
    await first.close();
    renameSync(path, `${path}-20261128`);
    const second = await open(path);
    await second.write([record(2)]);
    await second.close();
    assert.equal(isWhole(`${path}-20261128`, path), 2);
  });

  it("leaves a file that was moved away for the one in its place, in one chain", async () => {
    const path = newPath();
    const one = await open(path);
    const other = await open(path);
    await one.write([record(1)]);
    await other.write([record(2)]);
    renameSync(path, `${path}-20261128`);
    await one.write([record(3)]);
    await one.close();
    renameSync(path, `${path}-20261129`);
    writeFileSync(path, "");
    await other.write([record(4)]);
    await other.close();
    assert.equal(isWhole(`${path}-20261128`, `${path}-20261129`, path), 4);
  });

  it("is written to by several at once, put aside under their hands, in one chain with nothing lost", async () => {
    const path = newPath();
    const rotation = { bytes: 4096, ageMs: null, keep: 1000 };
    const writers = await Promise.all(Array.from({ length: 4 }, () => open(path, rotation)));
    await Promise.all(
      writers.map(async (writer, w) => {
        for (let i = 0; i < 25; i++) await writer.write([record(w * 1000 + i), record(w * 1000 + 500 + i)]);
        await writer.close();
      }),
    );
    const aside = readdirSync(folder)
      .filter((name) => join(folder, name).startsWith(`${path}.`))
      .filter((name) => /\.\d+$/.test(name)).length;
    assert.ok(aside > 2, `${aside} files put aside`);
    const paths = Array.from({ length: aside }, (_, i) => `${path}.${aside - i}`);
    assert.equal(isWhole(...paths, path), 200);
  });

  it("breaks the lock of a process that is gone, and waits for one that is not", async () => {
    const path = newPath();
    const file = await open(path);
    // No process has so high a number.
    symlinkSync(`4194999@${hostname()}#1`, lockOf(path));
    await file.write([record(1)]);
    symlinkSync(`${process.pid}@${hostname()}#x`, lockOf(path));
    let done = false;
    const waiting = file.write([record(2)]).then(() => {
      done = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(done, false);
    rmSync(lockOf(path));
    await waiting;
    await file.close();
    assert.equal(isWhole(path), 2);
    assert.equal(existsSync(lockOf(path)), false);
  });

  it("needs no lock where there is no chain and nothing is put aside", async () => {
    const path = newPath();
    symlinkSync(`${process.pid}@${hostname()}#x`, lockOf(path));
    const file = await open(path, null, false);
    await file.write([record(1)]);
    await file.close();
    assert.doesNotMatch(readFileSync(path, "utf8"), /chain|seq/);
  });

  it("shows for good that its end was cut off or changed, while it was written to or between two starts", async () => {
    const doctored: Readonly<Record<string, (lines: readonly string[]) => string>> = {
      "its last lines cut off": (lines) => `${lines.slice(0, -2).join("\n")}\n`,
      "cut in the middle of a line": (lines) => `${lines.slice(0, -2).join("\n")}\n{"time":"2026-`,
      "its last line another one": (lines) => `${lines.join("\n").replace(/"i":3,/, '"i":3333,')}\n`,
      "another one, and half a line behind it": (lines) =>
        `${lines.join("\n").replace(/"i":3,/, '"i":4,')}\n{"time":"2026-`,
    };
    for (const [what, doctor] of Object.entries(doctored)) {
      for (const restarts of [false, true]) {
        const path = newPath();
        let file = await open(path);
        await file.write([record(1), record(2), record(3)]);
        if (restarts) await file.close();
        writeFileSync(path, doctor(linesOf(path)));
        if (restarts) file = await open(path);
        await file.write([record(4)]);
        await file.write([record(5)]);
        await file.close();
        assert.equal(verified(path).ok, false, what);
        assert.deepEqual(cuts.splice(0).length, 1, what);
      }
    }
  });
});
