import { certificatesFromPem } from "../authority/pem.ts";
import { parseCertificate } from "../identity/certificate.ts";
import type { ListFiles } from "../revocation/read-lists.ts";

/** Where the configuration's files come from. Synchronous: it is read once, before anything listens. */
export interface Files extends ListFiles {
  /** Throws when there is no such file, or it can't be read. */
  read(path: string): string;
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

/** The system's code alone: its message repeats the path, and that may be a key which lost its first line. */
function reasonOf(error: unknown): string {
  const { code } = error as { readonly code?: unknown };
  if (code === "ENOENT") return "no such file";
  if (code === "EACCES") return "permission denied";
  return typeof code === "string" ? code : "reading failed";
}

/** PEM text as it stands, or the contents of the file at that path. Throws with words for the user. */
export function pemOrPath(value: string, files: Files): string {
  if (value.trimStart().startsWith("-----BEGIN")) return value.replaceAll("\\n", "\n");
  return textAt(value, files, "PEM text or the path of a PEM file");
}

/** The contents of the file at that path. Throws with words for the user. */
export function textAt(path: string, files: Files, expected: string): string {
  try {
    return files.read(path);
  } catch (error) {
    throw new Error(`can't be read (${reasonOf(error)}): expected ${expected}`);
  }
}

function certificatesFrom(value: string, files: Files, missing: string): { text: string; found: string[] } {
  const text = pemOrPath(value, files);
  const found = certificatesIn(text);
  if (found.length === 0) throw new Error(missing);
  for (const pem of found) {
    const problem = files.inspectCertificate(pem);
    if (problem !== null) throw new Error(`holds a certificate that can't be read: ${problem}`);
  }
  return { text, found };
}

/** Trust anchors: PEM text or a path, one certificate at least. Throws with words for the user. */
export const anchorsFrom = (value: string, files: Files): string[] =>
  certificatesFrom(value, files, "holds no certificate: expected PEM text or the path of a PEM file").found;

/** Trust anchors for client certificates, which our own verifier must be able to read too. */
export function clientAnchorsFrom(value: string, files: Files): string[] {
  const found = anchorsFrom(value, files);
  for (const der of found.flatMap(certificatesFromPem)) {
    const parsed = parseCertificate(der);
    if ("malformed" in parsed) throw new Error(`holds a certificate that can't be read: ${parsed.malformed}`);
  }
  return found;
}

/** A certificate chain, leaf first: PEM text or a path. Throws with words for the user. */
export const chainFrom = (value: string, files: Files): string =>
  certificatesFrom(value, files, "holds no certificate: expected a PEM chain, leaf first").text;
