// What verifying a client certificate costs this runtime: run by it, prints CPU time as JSON.
import { Authority, createAuthority } from "../../src/authority/authority.ts";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import { createClientVerifier, type Presented } from "../../src/identity/verifier.ts";
import { ownCpuMicroseconds as cpu } from "./accounting.ts";

const hourMs = 3_600_000;
const chains = 400;
const cachedRounds = 400_000;

/** A chain that nothing about is known yet: a root, an intermediate and a leaf of its own, P-256. */
async function unknown(): Promise<{ anchor: Uint8Array; presented: Presented }> {
  const rootFiles = await createAuthority("Root", { authoritiesBelow: 1 });
  const root = await Authority.open(rootFiles);
  const issuing = await Authority.open(await root.authority("Issuing"), { above: root.chain });
  const { cert } = await issuing.client({ commonName: "load", groups: ["bench"] }, hourMs);
  const chain = certificatesFromPem(cert);
  const [anchor = new Uint8Array(0)] = certificatesFromPem(rootFiles.cert);
  return { anchor, presented: { leaf: chain[0] ?? new Uint8Array(0), chain: () => chain } };
}

const made = [];
for (let i = 0; i < chains; i++) made.push(await unknown());
const now = Date.now();

const beforeFirst = cpu();
for (const { anchor, presented } of made) await createClientVerifier([anchor]).verify(presented, now);
const first = (cpu() - beforeFirst) / chains;

const [one] = made;
if (one === undefined) throw new RangeError("no chain");
const verifier = createClientVerifier([one.anchor]);
await verifier.verify(one.presented, now);
const beforeCached = cpu();
for (let i = 0; i < cachedRounds; i++) await verifier.verify(one.presented, now);
const cached = (cpu() - beforeCached) / cachedRounds;

console.log(JSON.stringify({ first_us: first, cached_us: cached }));
