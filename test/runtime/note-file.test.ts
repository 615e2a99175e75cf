import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import type { Notable, Note } from "../../src/core/open-notes.ts";
import type { ConnectionRecord } from "../../src/core/record.ts";
import { silentLog } from "../../src/observe/log.ts";
import { NoteFile, takeNotes } from "../../src/runtime/note-file.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-notes-"));
after(() => rmSync(folder, { recursive: true }));

const began = Date.now();

interface Open extends Notable {
  traffic: { bytesIn: number; bytesOut: number };
  more: Partial<ConnectionRecord>;
}

const connection = (id: string, more: Partial<ConnectionRecord> = {}): Open => ({
  traffic: { bytesIn: 0, bytesOut: 0 },
  more,
  cutRecord() {
    return {
      time: new Date(began + 500).toISOString(),
      ...{ id, event: "connection", outcome: "failed", reason: "draining" },
      ...{ source: "192.0.2.1:50000", listener: "192.0.2.9:8443", sni: "a.test", alpn: "sallyport-tcp" },
      ...{ tls: "TLSv1.3", ja4: null, resumed: false, route: "a", adapter: "tcp", upstream: null },
      ...{ database: null, agent: null, software: null, identity: null, logins: null },
      ...{ bytes_in: this.traffic.bytesIn, bytes_out: this.traffic.bytesOut },
      ...{ duration_ms: 500, detail: null },
      ...this.more,
    };
  },
});

/** As one is whose handshake is over. */
function noted(notes: NoteFile, one: Notable): Note {
  const note = notes.note(one);
  note.renew();
  return note;
}

/** As one is whose record is written. */
const recorded = (note: Note): void => note.close(connection("over").cutRecord())();

const identity = (groups: readonly string[]): ConnectionRecord["identity"] => ({
  ...{ subject: "CN=alice", spiffe: null, groups, serial: "01", fingerprint: "aa", expires: "" },
});

let files = 0;
const nextPath = (): string => join(folder, `open-${++files}`);
const take = (path: string): readonly ConnectionRecord[] => takeNotes(path, began + 9000, "cut");

describe("notes of what is open", () => {
  it("give the records of those that have none, and are gone then", () => {
    const path = nextPath();
    const notes = new NoteFile(path, silentLog);
    const [a, b, c] = [connection("a"), connection("b"), connection("c")];
    notes.note(a);
    const ofB = notes.note(b);
    const ofC = notes.note(c);
    recorded(ofB);
    c.more = { identity: identity(["payments"]) };
    ofC.renew();
    // Once it is erased nothing is noted any more, in a place that may be another's.
    ofB.renew();
    recorded(ofB);
    // Nor is its place given away twice.
    for (const id of ["d", "e"]) noted(notes, connection(id));
    notes.stop();
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const found = take(path);
    assert.deepEqual(
      found.map(({ id, identity: who }) => [id, who?.groups ?? null]),
      [
        ["a", null],
        ["d", null],
        ["c", ["payments"]],
        ["e", null],
      ],
    );
    assert.deepEqual(found[0], {
      ...a.cutRecord(),
      time: new Date(began + 9000).toISOString(),
      duration_ms: 9000,
      detail: "cut",
    });
    assert.ok(!existsSync(path) && !existsSync(`${path}.bytes`));
    assert.deepEqual(take(path), [], "a worker that never came so far");
  });

  it("of a process that was killed leave out those who had been served, and no other in their places", async () => {
    const path = nextPath();
    const notes = new NoteFile(path, silentLog);
    const made = Array.from({ length: 200 }, (_, i) => noted(notes, connection(String(i))));
    for (const [i, note] of made.entries()) if (i % 3 > 0) recorded(note);
    // Whatever is written is written by the end of the turn.
    await new Promise((resolve) => setImmediate(resolve));
    for (let i = 0; i < 5; i++) noted(notes, connection(`later ${i}`));
    const found = take(path).map(({ id }) => id);
    notes.stop();
    const open = made.map((_, i) => String(i)).filter((_, i) => i % 3 === 0);
    assert.deepEqual(
      found.toSorted(),
      [...open, ...Array.from({ length: 5 }, (_, i) => `later ${i}`)].toSorted(),
    );
  });

  it("are renewed some at a time, for it keeps everybody waiting, and without those who have gone", async () => {
    const notes = new NoteFile(nextPath(), silentLog, 20);
    let written = 0;
    let atOnce = 0;
    const made = Array.from({ length: 300 }, (_, i) => {
      const one = connection(String(i));
      return noted(notes, {
        traffic: one.traffic,
        cutRecord: () => {
          // A round is over before any promise is.
          if (++written === 301)
            queueMicrotask(() => {
              atOnce = written - 300;
            });
          return one.cutRecord();
        },
      });
    });
    for (const note of made.slice(0, 10)) recorded(note);
    while (written < 590) await new Promise((resolve) => setTimeout(resolve, 10));
    notes.stop();
    assert.equal(atOnce, 200);
    assert.equal(written, 590);
  });

  it("know what was carried, each of its own", async () => {
    const path = nextPath();
    const notes = new NoteFile(path, silentLog, 20);
    const [first, gone, handshaking] = [connection("first"), connection("gone"), connection("handshaking")];
    noted(notes, first);
    const ofGone = noted(notes, gone);
    const ofHandshaking = noted(notes, handshaking);
    first.traffic = { bytesIn: 2 ** 40, bytesOut: 7 };
    gone.traffic = { bytesIn: 600, bytesOut: 600 };
    handshaking.traffic = { bytesIn: 517, bytesOut: 0 };
    while (statSync(`${path}.bytes`).size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    // In a place that was another's.
    recorded(ofGone);
    noted(notes, connection("next"));
    // Bytes of the handshake are none of its payload: what was noted of them does not count any more.
    handshaking.traffic = { bytesIn: 5, bytesOut: 0 };
    ofHandshaking.renew();
    first.traffic = { bytesIn: 2 ** 41, bytesOut: 8 };
    notes.stop();
    assert.deepEqual(
      take(path).map(({ id, bytes_in, bytes_out }) => [id, bytes_in, bytes_out]),
      [
        ["first", 2 ** 40, 7],
        ["next", 0, 0],
        ["handshaking", 5, 0],
      ],
    );
  });

  it("stand until the record is written, and the connection is asked nothing by then", async () => {
    const path = nextPath();
    const notes = new NoteFile(path, silentLog, 20);
    const one = connection("over", { time: new Date(began).toISOString(), duration_ms: 0 });
    const note = noted(notes, one);
    const record: ConnectionRecord = { ...one.cutRecord(), outcome: "served", reason: "ok" };
    const more = { upstream: "192.0.2.3:5432", bytes_in: 600, bytes_out: 700, duration_ms: 300 };
    const written = note.close({ ...record, ...more });
    // Nobody holds it any more.
    one.traffic = { bytesIn: 1, bytesOut: 1 };
    while (statSync(`${path}.bytes`).size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const copies = nextPath();
    for (const end of ["", ".bytes"]) copyFileSync(`${path}${end}`, `${copies}${end}`);
    written();
    await new Promise((resolve) => setImmediate(resolve));
    notes.stop();
    assert.deepEqual(
      take(copies).map(({ id, outcome, reason, upstream, bytes_in, bytes_out, duration_ms }) => [
        ...[id, outcome, reason, upstream, bytes_in, bytes_out, duration_ms],
      ]),
      [["over", "failed", "draining", "192.0.2.3:5432", 600, 700, 9300]],
    );
    assert.deepEqual(take(path), []);
  });

  it("have room for a crowd that comes at once, of whom nothing is known when the next round is due", async () => {
    const path = nextPath();
    const notes = new NoteFile(path, silentLog, 5);
    const written: number[] = [];
    const crowd = Array.from({ length: 200 }, (_, i) => {
      const one = connection(String(i));
      return notes.note({
        traffic: one.traffic,
        cutRecord: () => {
          written.push(statSync(`${path}.bytes`).size);
          return one.cutRecord();
        },
      });
    });
    while (written.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    // The round was due before the first note: it has written a row for each.
    assert.equal(written[0], 200 * 32);
    for (const note of crowd) recorded(note);
    notes.stop();
    assert.deepEqual(take(path), []);
  });

  it("are made after a while of those that say nothing, or wait for their records, and never of those that have gone by then", async () => {
    const path = nextPath();
    const notes = new NoteFile(path, silentLog, 20);
    const [, ofGone] = [notes.note(connection("silent")), notes.note(connection("gone"))];
    recorded(ofGone);
    const refused = connection("refused");
    notes.note(refused).close(refused.cutRecord());
    assert.equal(statSync(path).size, 0);
    while (statSync(path).size === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.deepEqual(
      take(path).map(({ id }) => id),
      ["silent", "refused"],
    );
    notes.stop();
  });

  it("leave out what has no room, and never the connection", () => {
    const path = nextPath();
    const notes = new NoteFile(path, silentLog);
    notes.note(
      connection("many", { identity: identity(Array.from({ length: 200 }, (_, i) => `group-${i}`)) }),
    );
    notes.note(connection("long", { sni: "ä".repeat(5000), identity: identity([]) }));
    notes.note(connection("after"));
    notes.stop();
    const [many, long, next, ...more] = take(path);
    assert.deepEqual([many?.id, many?.identity?.subject, many?.identity?.groups], ["many", "CN=alice", []]);
    assert.deepEqual([long?.id, long?.identity, long?.sni?.length], ["long", null, 255]);
    assert.deepEqual([next?.id, more], ["after", []]);
  });
});
