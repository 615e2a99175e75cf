// What our own steps on a connection's way cost this runtime once they are compiled: run by it, prints CPU time as JSON.
import { Chain, genesis } from "../../src/audit/chain.ts";
import { connectionRecord } from "../../src/core/connection-record.ts";
import { HelloFrom } from "../../src/core/source.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import { type ClientHello, parseClientHello } from "../../src/wire/client-hello.ts";
import { isAlike, ja4 } from "../../src/wire/ja4.ts";
import { clientHello, records } from "../support/client-hello.ts";
import { ownCpuMicroseconds as cpu } from "./accounting.ts";
import { routeTable } from "./route-table.ts";

/** Microseconds of CPU for each, in the order of a connection's way. */
export type StepCosts = Readonly<Record<string, number>>;

const warmUp = 50_000;
const times = 200_000;
const routes = 10;

/** What OpenSSL's clients send, but for the values of keys. */
const helloBytes = records(
  clientHello({
    serverName: "r7.bench.test",
    alpn: ["h2", "http/1.1"],
    extra: [
      [11, [3, 0, 1, 2]],
      [10, [0, 8, 0, 29, 0, 23, 0, 24, 0, 25]],
      [35, []],
      [22, []],
      [23, []],
      [13, [0, 14, 4, 3, 5, 3, 6, 3, 8, 4, 8, 5, 8, 6, 4, 1]],
      [43, [4, 3, 4, 3, 3]],
      [45, [1, 1]],
      [51, [0, 36, 0, 29, 0, 32, ...new Array<number>(32).fill(9)]],
    ],
  }),
);

function hello(): ClientHello {
  const parsed = parseClientHello(helloBytes);
  if (parsed.kind !== "ok") throw new Error(`the hello is ${parsed.kind}`);
  return parsed.value;
}

const [folder = ""] = process.argv.slice(2);
const table = routeTable(routes, folder);
const runtime = await selectRuntime();
const sha256Hex = (data: string | Uint8Array): string => runtime.sha256Hex(data);

const source = { address: "192.0.2.7", port: 50_000 };
const first = hello();
const fingerprint = ja4(first, sha256Hex);
const hit = table.match(new HelloFrom(first, source, null));
if (!hit.ok) throw new Error(hit.detail);
const record = () =>
  connectionRecord({
    id: "0b6f8c1e-6a0f-4d52-9d3e-6f3a2b1c0d9e",
    outcome: "served",
    reason: "ok",
    source,
    listener: "127.0.0.1:443",
    sni: first.serverName,
    ja4: fingerprint,
    hit,
    tls: null,
    session: null,
    identity: null,
    bytesIn: 4711,
    bytesOut: 815,
    since: performance.now(),
    detail: null,
  });
const text = JSON.stringify(record());
const chain = new Chain(genesis, sha256Hex);
const others = [hello(), hello()];

/** Each gives something that depends on what it did, so that nothing of it can be left out. */
const steps: Readonly<Record<string, (i: number) => number>> = {
  "hello read": () => hello().cipherSuites.length,
  "route found": () => (table.match(new HelloFrom(first, source, null)).ok ? 1 : 0),
  "fingerprint, as the last one": (i) => (isAlike(first, others[i & 1] ?? first) ? 1 : 0),
  "fingerprint, made": () => ja4(first, sha256Hex).length,
  "record made": () => record().bytes_in,
  "record in words": () => JSON.stringify(record()).length,
  "line of the chain": () => chain.next(text).length,
};

const costs: Record<string, number> = {};
for (const [name, step] of Object.entries(steps)) {
  let seen = 0;
  for (let i = 0; i < warmUp; i++) seen += step(i);
  const before = cpu();
  for (let i = 0; i < times; i++) seen += step(i);
  costs[name] = (cpu() - before) / times;
  if (seen < times) throw new Error(`${name} did nothing`);
}
console.log(JSON.stringify(costs));
