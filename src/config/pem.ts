/** Where the configuration's files come from. Synchronous: it is read once, before anything listens. */
export interface Files {
  /** Throws when there is no such file, or it can't be read. */
  read(path: string): string;
  /** File names in a folder. Throws likewise. */
  list(folder: string): string[];
  /** The names a certificate is for, its end, and what is wrong with the pair (`null`: nothing). */
  inspectPair(
    cert: string,
    key: string,
  ): { readonly names: readonly string[]; readonly notAfter: Date; readonly problem: string | null };
  /** What is wrong with a PEM certificate, or `null`. */
  inspectCertificate(pem: string): string | null;
}

const block = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/** The certificates in a PEM text, one text each. */
export const certificatesIn = (pem: string): string[] => [...pem.matchAll(block)].map(([text]) => text);

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** PEM text as it stands, or the contents of the file at that path. Throws with words for the user. */
export function pemOrPath(value: string, files: Files): string {
  if (value.trimStart().startsWith("-----BEGIN")) return value.replaceAll("\\n", "\n");
  try {
    return files.read(value);
  } catch (error) {
    throw new Error(`can't be read (${reasonOf(error)}): expected PEM text or the path of a PEM file`);
  }
}

/** Trust anchors: PEM text or a path, one certificate at least. Throws with words for the user. */
export function anchorsFrom(value: string, files: Files): string[] {
  const found = certificatesIn(pemOrPath(value, files));
  if (found.length === 0)
    throw new Error("holds no certificate: expected PEM text or the path of a PEM file");
  for (const pem of found) {
    const problem = files.inspectCertificate(pem);
    if (problem !== null) throw new Error(`holds a certificate that can't be read: ${problem}`);
  }
  return found;
}
