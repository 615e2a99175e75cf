import type { Issuer } from "./issuer.ts";
import { keyPem, newKeys } from "./keys.ts";

/** A certificate, its chain behind it, and its key: PEM. */
interface Minted {
  readonly cert: string;
  readonly key: string;
}

/** Long enough for clocks that differ: it is shown once, to one upstream, at the beginning of a session. */
const lifetimeMs = 3_600_000;
/** A new one from then on. */
const goodForMs = lifetimeMs / 2;
/** Users of upstreams are few; a peer that asks for many must not fill the memory. */
const maxKept = 1000;

/**
 * Makes client certificates for users of upstreams, whom the router logs in: the user is the common name, as
 * Postgres, MySQL and Redis read it. Keys stay in memory.
 */
export function minting(issuer: Issuer): (user: string) => Promise<Minted> {
  const kept = new Map<string, { readonly made: Promise<Minted>; readonly at: number }>();
  const mint = async (user: string): Promise<Minted> => {
    const keys = await newKeys("ecdsa");
    const publicKey = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
    const { certificate, chain } = await issuer.issueClient({
      publicKey,
      person: { commonName: user },
      lifetimeMs,
      // Of no use at a router: it is for upstreams alone.
      limits: { routes: [] },
    });
    // The root is for the upstream to have.
    return { cert: [certificate, ...chain.slice(0, -1)].join(""), key: await keyPem(keys.privateKey) };
  };
  return (user) => {
    const known = kept.get(user);
    if (known !== undefined && Date.now() - known.at < goodForMs) return known.made;
    const made = mint(user);
    const entry = { made, at: Date.now() };
    kept.set(user, entry);
    made.catch(() => {
      if (kept.get(user) === entry) kept.delete(user);
    });
    for (const oldest of kept.keys()) {
      if (kept.size <= maxKept) break;
      kept.delete(oldest);
    }
    return made;
  };
}
