import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { LeftOpen, openNotesPath } from "../../src/cli/left-open.ts";
import type { AuditTarget } from "../../src/config/audit.ts";
import type { ConnectionRecord } from "../../src/core/record.ts";
import { silentLog } from "../../src/observe/log.ts";
import { NoteFile } from "../../src/runtime/note-file.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-left-"));
after(() => rmSync(folder, { recursive: true }));

const line = (id: string, event = "connection"): string =>
  JSON.stringify({ time: new Date().toISOString(), id, event, source: "192.0.2.1:1" });

let workers = 0;
/** A worker that was killed with these connections open, and recorded these lines before. */
function killed(target: AuditTarget, open: readonly string[], handed: readonly string[] = []) {
  const summons = { folder, socket: "", secret: "", number: ++workers };
  const left = new LeftOpen(summons, target);
  for (const one of handed) left.handed(one);
  const notes = new NoteFile(openNotesPath(summons), silentLog);
  for (const id of open)
    notes.note({
      cutRecord: () => JSON.parse(line(id)) as ConnectionRecord,
      traffic: { bytesIn: 0, bytesOut: 0 },
    });
  notes.stop();
  return left.records(137);
}

describe("what a killed worker leaves open", () => {
  const path = join(folder, "audit.log");

  it("is recorded, with the worker's end", () => {
    const found = killed({ to: "file", path }, ["a", "b"]);
    assert.deepEqual(
      found.map(({ id }) => id),
      ["a", "b"],
    );
    assert.match(found[0]?.detail ?? "", /^worker 1 ended with status 137 while it was open/);
  });

  it("is recorded once, should its own record have been its last word", () => {
    writeFileSync(path, `${line("a")}\n${line("b", "statement")}\n`);
    writeFileSync(`${path}.1`, `${line("x")}\n`);
    const ids = killed({ to: "file", path }, ["a", "b", "c", "x"]).map(({ id }) => id);
    assert.deepEqual(ids, ["b", "c"], "what went on in a connection is no record of it");
    const handed = [line("a"), line("b", "request")];
    for (const target of [{ to: "stdout" }, { to: "syslog", receiver: { path: "/nowhere" } }] as const)
      assert.deepEqual(
        killed(target, ["a", "b", "c"], handed).map(({ id }) => id),
        ["b", "c"],
      );
  });

  it("is recorded where what is written can't be read again", () => {
    assert.equal(killed({ to: "file", path: "/dev/null" }, ["a"]).length, 1);
  });

  it("is remembered of the last lines that were handed over, not of all", () => {
    const handed = ["early", ...Array.from({ length: 3000 }, (_, i) => `late-${i}`)].map((id) => line(id));
    const ids = killed({ to: "stdout" }, ["early", "late-2999", "late-2500"], handed).map(({ id }) => id);
    assert.deepEqual(ids, ["early"]);
  });
});
