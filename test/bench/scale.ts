// What many routes, or many revoked certificates, cost this runtime: run by it, prints CPU time and memory as JSON.
import { readFileSync } from "node:fs";
import { parseCrl } from "../../src/identity/revocation/crl.ts";
import { derElement, derInteger, derOid, derText } from "../../src/wire/der-write.ts";
import { ownCpuMicroseconds as cpu } from "./accounting.ts";
import { routeTable } from "./route-table.ts";

/** One size, and what it costs: to be read, microseconds each; to be looked into, microseconds; memory, bytes each. */
export interface Step {
  readonly count: number;
  readonly read_us: number;
  readonly look_us: number;
  readonly bytes: number;
}

const looks = 400_000;
/** A list holds no more. */
const perList = 500_000;

const resident = (): number =>
  Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? 0) * 1024;

function measured<T>(count: number, read: () => T, look: (from: T, i: number) => boolean): Step {
  const [memory, began] = [resident(), cpu()];
  const made = read();
  const readIn = cpu() - began;
  const bytes = resident() - memory;
  let found = 0;
  for (let i = 0; i < looks / 10; i++) if (look(made, i)) found++;
  const before = cpu();
  for (let i = 0; i < looks; i++) if (look(made, i)) found++;
  const spent = cpu() - before;
  // Every other look is for something that is not there.
  if (found !== (looks + looks / 10) / 2) throw new Error(`found ${found}`);
  return { count, read_us: readIn / count, look_us: spent / looks, bytes: bytes / count };
}

function routes(count: number, folder: string): Step {
  const source = [127, 0, 0, 1];
  const alpn = ["h2", "http/1.1"];
  // Made before: what a name costs to put together is not what a match costs.
  const names = Array.from({ length: 4096 }, (_, i) =>
    i % 2 === 0 ? `r${(i * 7919) % count}.bench.test` : `x${i}.bench.test`,
  );
  return measured(
    count,
    () => routeTable(count, folder),
    (table, i) => table.match({ serverName: names[i % names.length] ?? "", alpn, source, own: null }).ok,
  );
}

const serialBytes = 16;

/** Entries of one length, written where they belong: whatever else were made for them would be counted as theirs. */
function entries(count: number): Buffer {
  const time = derElement(0x17, new TextEncoder().encode("300101000000Z"));
  const one = derElement(0x30, derElement(0x02, new Uint8Array(serialBytes)), time);
  const all = Buffer.alloc(count * one.length);
  for (let at = 0; at < all.length; at += one.length) {
    all.set(one, at);
    for (let i = 0; i < serialBytes; i += 4)
      all.writeUInt32BE(Math.floor(Math.random() * 2 ** 32), at + 4 + i);
    // Positive, and in its shortest form.
    all[at + 4] = ((all[at + 4] ?? 0) & 0x3f) | 0x40;
  }
  return all;
}

/** A list that is whole but for its signature, which reading it does not look at. */
function list(content: Uint8Array): Uint8Array {
  const time = derElement(0x17, new TextEncoder().encode("300101000000Z"));
  const algorithm = derElement(0x30, derOid("1.2.840.10045.4.3.2"));
  const issuer = derElement(0x30, derElement(0x31, derElement(0x30, derOid("2.5.4.3"), derText("Bench"))));
  const signed = derElement(0x30, derInteger(1), algorithm, issuer, time, time, derElement(0x30, content));
  return derElement(0x30, signed, algorithm, derElement(0x03, Uint8Array.of(0, 1)));
}

function revocations(count: number): Step {
  const contents: Buffer[] = [];
  for (let left = count; left > 0; left -= perList) contents.push(entries(Math.min(left, perList)));
  const names = Array.from({ length: 4096 }, (_, i) => {
    const content = contents[i % contents.length] ?? Buffer.alloc(0);
    const size = content.length / Math.min(count, perList);
    const at = ((i * 7919) % Math.min(count, perList)) * size + 4;
    const name = content.subarray(at, at + serialBytes).toString("hex");
    return i % 4 < 2 ? name : name.replace(/^./, "3");
  });
  return measured(
    count,
    () =>
      contents.splice(0).map((content) => {
        const crl = parseCrl(list(content));
        if ("malformed" in crl) throw new Error(crl.malformed);
        return crl;
      }),
    (crls, i) => crls.some(({ revoked }) => revoked.has(names[i % names.length] ?? "")),
  );
}

const [what, count = "", folder = ""] = process.argv.slice(2);
console.log(JSON.stringify(what === "routes" ? routes(Number(count), folder) : revocations(Number(count))));
