import { normaliseServerName } from "../wire/server-name.ts";
import { chainFrom, type Files, pemOrPath } from "./pem.ts";

/** A server certificate with its key. */
export interface ServerCertificate {
  /** Where it came from: a variable or a file's name without its ending. */
  readonly name: string;
  readonly cert: string;
  readonly key: string;
  /** DNS names it is for, lower case, wildcards included. */
  readonly names: readonly string[];
  readonly notAfter: Date;
}

export interface CertificateStore {
  /** Serves names that no other covers. */
  readonly fallback: ServerCertificate | null;
  readonly all: readonly ServerCertificate[];
  /** By the DNS names they are for, wildcards as they are written. */
  readonly byName: ReadonlyMap<string, ServerCertificate>;
}

/** @param more where two are for one name, the first one serves it, and `fallback` only when none of these does */
export function certificateStore(
  fallback: ServerCertificate | null,
  more: readonly ServerCertificate[],
): CertificateStore {
  const all = fallback === null ? more : [...more, fallback];
  const byName = new Map<string, ServerCertificate>();
  for (const certificate of all) {
    for (const name of certificate.names) if (!byName.has(name)) byName.set(name, certificate);
  }
  return { fallback, all, byName };
}

/** The certificate that is for a DNS name, normalised: exact before a wildcard of one label. */
export const certificateFor = (store: CertificateStore, name: string): ServerCertificate | undefined =>
  store.byName.get(name) ?? store.byName.get(`*${name.slice(name.indexOf("."))}`);

/** The certificate for a server name: exact before wildcard, then the fallback. */
export function selectCertificate(
  store: CertificateStore,
  serverName: string | null,
): ServerCertificate | null {
  const name = serverName === null ? null : normaliseServerName(serverName);
  if (name === null) return store.fallback;
  return certificateFor(store, name) ?? store.fallback;
}

/** Puts a pair together, both PEM. Throws with words for the user; the key's text is in none of them. */
export function pairUp(
  name: string,
  cert: string,
  key: string,
  files: Pick<Files, "inspectPair">,
): ServerCertificate {
  const { names, notAfter, problem } = files.inspectPair(cert, key);
  if (problem !== null) throw new Error(problem);
  return { name, cert, key, names: names.map((dns) => dns.toLowerCase()), notAfter };
}

/** Reads every `NAME.crt` with its `NAME.key`. Throws with words for the user. */
export function readCertificateFolder(folder: string, files: Files): ServerCertificate[] {
  const entries = files.list(folder);
  const names = (ending: string): string[] =>
    entries.filter((entry) => entry.endsWith(ending)).map((entry) => entry.slice(0, -ending.length));
  const [certs, keys] = [names(".crt"), names(".key")];
  for (const name of certs)
    if (!keys.includes(name)) throw new Error(`${name}.crt has no ${name}.key beside it`);
  for (const name of keys)
    if (!certs.includes(name)) throw new Error(`${name}.key has no ${name}.crt beside it`);
  if (certs.length === 0) throw new Error(`${folder} holds no NAME.crt`);
  return certs.sort().map((name) => {
    let reading = `${name}.crt`;
    try {
      const cert = chainFrom(`${folder}/${name}.crt`, files);
      reading = `${name}.key`;
      return pairUp(name, cert, pemOrPath(`${folder}/${name}.key`, files), files);
    } catch (error) {
      throw new Error(`${reading}: ${error instanceof Error ? error.message : String(error)}`);
    }
  });
}
