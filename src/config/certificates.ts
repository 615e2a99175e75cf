import { normaliseServerName } from "../wire/server-name.ts";
import { certificatesIn, type Files, pemOrPath } from "./pem.ts";

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
}

const covers = (certificate: ServerCertificate, name: string): boolean => certificate.names.includes(name);

/** The certificate for a server name: exact before wildcard, then the fallback. */
export function selectCertificate(
  store: CertificateStore,
  serverName: string | null,
): ServerCertificate | null {
  const name = serverName === null ? null : normaliseServerName(serverName);
  if (name === null) return store.fallback;
  const wildcard = `*${name.slice(name.indexOf("."))}`;
  return (
    store.all.find((certificate) => covers(certificate, name)) ??
    store.all.find((certificate) => covers(certificate, wildcard)) ??
    store.fallback
  );
}

/** Reads one pair. Throws with words for the user; the key's text is in none of them. */
export function readPair(name: string, certValue: string, keyValue: string, files: Files): ServerCertificate {
  const cert = pemOrPath(certValue, files);
  const key = pemOrPath(keyValue, files);
  if (certificatesIn(cert).length === 0)
    throw new Error("holds no certificate: expected a PEM chain, leaf first");
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
    try {
      return readPair(name, `${folder}/${name}.crt`, `${folder}/${name}.key`, files);
    } catch (error) {
      throw new Error(`${name}.crt: ${error instanceof Error ? error.message : String(error)}`);
    }
  });
}
