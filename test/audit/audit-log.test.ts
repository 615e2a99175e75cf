import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AuditLog, type AuditWriter } from "../../src/audit/audit-log.ts";
import { syslogFrame } from "../../src/audit/syslog.ts";
import { SyslogWriter } from "../../src/audit/syslog-writer.ts";
import { silentLog } from "../../src/observe/log.ts";

class Writer implements AuditWriter {
  readonly lines: string[] = [];
  last = null;
  failures = 0;
  readonly stuck: boolean;

  constructor(stuck = false) {
    this.stuck = stuck;
  }

  async write(records: readonly string[]): Promise<void> {
    if (this.stuck) await new Promise(() => {});
    if (this.failures-- > 0) throw new Error("the disk is full");
    this.lines.push(...records);
  }

  async close(): Promise<void> {}
}

describe("audit records on their way", () => {
  it("are written in their order, at the end too", async () => {
    const writer = new Writer();
    const log = new AuditLog(writer, silentLog);
    for (let i = 0; i < 2000; i++) log.write(String(i));
    await log.close();
    assert.deepEqual(
      writer.lines,
      Array.from({ length: 2000 }, (_, i) => String(i)),
    );
  });

  it("are said to be written once they are, and not before", async () => {
    const writer = new Writer();
    writer.failures = 1;
    const log = new AuditLog(writer, silentLog);
    const seen: (readonly string[])[] = [];
    for (const record of ["a", "b"]) log.write(record, () => seen.push([record, ...writer.lines]));
    while (log.waiting > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await log.close();
    assert.deepEqual(seen, [
      ["a", "a", "b"],
      ["b", "a", "b"],
    ]);
  });

  it("are written more seldom where many come at a time", async () => {
    const writer = new Writer();
    const log = new AuditLog(writer, silentLog);
    const written = async (): Promise<void> => {
      while (log.waiting > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    };
    const all = Array.from({ length: 20 }, (_, i) => String(i));
    for (const record of all) log.write(record);
    await written();
    assert.deepEqual(writer.lines, all);
    const started = performance.now();
    log.write("after many");
    await written();
    // A timer may be a fraction of a millisecond early.
    assert.ok(performance.now() - started > 98);
    await log.close();
  });

  it("wait for others again that came while some were written", async () => {
    const writer = new Writer();
    const log = new AuditLog(writer, silentLog);
    const written: (readonly string[])[] = [];
    writer.write = async (records) => {
      written.push(records);
      if (written.length > 1) return;
      log.write("b");
      setImmediate(() => log.write("c"));
    };
    log.write("a");
    while (log.waiting > 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await log.close();
    assert.deepEqual(written, [["a"], ["b", "c"]]);
  });

  it("wait while they can't be written, each once", async () => {
    const writer = new Writer();
    writer.failures = 2;
    const said: string[] = [];
    const say = (message: string): void => void said.push(message);
    const log = new AuditLog(writer, { debug: say, info: say, warn: say, error: say });
    log.write("a");
    await new Promise((resolve) => setTimeout(resolve, 60));
    log.write("b");
    while (log.waiting > 0) await new Promise((resolve) => setTimeout(resolve, 10));
    await log.close();
    assert.deepEqual(writer.lines, ["a", "b"]);
    assert.deepEqual(said, ["audit records can't be written: they wait", "audit records are written again"]);
  });

  it("are bounded: what is more is lost, and counted", async () => {
    const log = new AuditLog(new Writer(true), silentLog);
    assert.equal(log.full, false);
    for (let i = 0; i < 15_000; i++) log.write("{}");
    assert.equal(log.full, true);
    for (let i = 0; i < 15_000; i++) log.write("{}");
    assert.deepEqual([log.waiting, log.lost], [20_000, 10_000]);
    let told = 0;
    log.write("{}", () => told++);
    assert.equal(told, 1, "nobody is to wait for what is lost");
    const large = new AuditLog(new Writer(true), silentLog);
    for (let i = 0; i < 100; i++) large.write("x".repeat(1 << 20));
    assert.deepEqual([large.waiting, large.lost], [64, 36]);
    // A writer that never comes back keeps nobody for ever.
    await Promise.all([log.close(), large.close()]);
  });
});

describe("syslog", () => {
  const sender = { host: "gate 1.example.com", processId: 7 };
  const line = JSON.stringify({
    time: "2026-11-28T12:00:00.000Z",
    event: "connection",
    outcome: "served",
    sni: "ü",
  });

  it("is a message of RFC 5424 behind its length in octets", () => {
    const message = `<110>1 2026-11-28T12:00:00.000Z gate1.example.com sallyport 7 connection - ${line}`;
    const frame = Buffer.from(syslogFrame(line, sender)).toString();
    assert.equal(frame, `${Buffer.byteLength(message)} ${message}`);
  });

  it("has what was not served as a notice, and no field that would begin another", () => {
    const odd = JSON.stringify({ time: "now\n<1>1", event: "a b\u0000c", outcome: "refused" });
    assert.match(
      Buffer.from(syslogFrame(odd, sender)).toString(),
      /^\d+ <109>1 now<1>1 gate1\S+ sallyport 7 abc - \{/,
    );
    assert.match(Buffer.from(syslogFrame("{}", sender)).toString(), /^\d+ <110>1 undefined /);
  });

  it("goes on with the frames that it could not send, as they were", async () => {
    const taken: string[] = [];
    let broken = true;
    const connection = () =>
      ({
        read: () => new Promise<null>(() => {}),
        write: async (bytes: Uint8Array) => {
          if (broken) throw new Error("gone");
          taken.push(Buffer.from(bytes).toString());
        },
        abort: () => {},
      }) as never;
    let n = 0;
    const chain = {
      last: { seq: 0, hash: "" },
      next: (record: string) => `${record.slice(0, -1)},"n":${++n}}`,
    };
    const writer = new SyslogWriter(async () => connection(), sender, chain as never);
    const batch = ['{"event":"a"}'];
    await assert.rejects(writer.write(batch), /gone/);
    broken = false;
    await writer.write(batch);
    await writer.write(['{"event":"b"}']);
    assert.match(taken.join("\n"), /"event":"a","n":1}[\s\S]*"event":"b","n":2}$/);
  });
});
