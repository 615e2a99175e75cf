import type { Files } from "../config/pem.ts";
import { Authority, type ClientRequest, type Issued } from "./authority.ts";
import { type RevokedCertificate, revocationList } from "./crl.ts";

/** An authority at work: it certifies keys that others made. */
export interface Issuer {
  /** PEM; the chain from the certificate's issuer on; `expires` in ISO 8601. Throws a `SubjectError`. */
  issueClient(
    request: ClientRequest,
    now?: number,
  ): Promise<{ certificate: string; chain: readonly string[]; serial: string; expires: string }>;
  /** Its certificates, PEM, the root last. */
  readonly chain: readonly string[];
  /** What it has revoked, PEM. */
  crl(): Promise<string>;
}

/** How long a list that is asked for is good: whoever asks may ask again. */
const crlMs = 24 * 3_600_000;

const textOf = (files: AuthorityFolder, path: string): string | null => {
  try {
    return files.read(path);
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOENT") return null;
    throw error;
  }
};

/** What is read of an authority's folder. */
export type AuthorityFolder = Pick<Files, "read" | "list" | "isFolder">;

/** The authorities in a folder. */
export interface OpenAuthority {
  readonly issuing: Authority;
  /** Those that issued before: they sign lists of what they revoked as long as they are valid. */
  readonly retired: readonly Authority[];
}

/**
 * Opens `issuing.crt` and `issuing.key` below the root `ca.crt`, or, in a folder without them, the root itself.
 * Throws with words for people where there is none.
 */
export async function openAuthority(directory: string, files: AuthorityFolder): Promise<OpenAuthority> {
  const root = files.read(`${directory}/ca.crt`);
  const cert = textOf(files, `${directory}/issuing.crt`);
  if (cert === null) {
    const issuing = await Authority.open({ cert: root, key: files.read(`${directory}/ca.key`) });
    return { issuing, retired: [] };
  }
  const below = (pair: Issued): Promise<Authority> => Authority.open(pair, { above: [root] });
  const issuing = await below({ cert, key: files.read(`${directory}/issuing.key`) });
  const folder = `${directory}/retired`;
  const names = files.isFolder(folder) ? files.list(folder).filter((name) => name.endsWith(".crt")) : [];
  const retired = await Promise.all(
    names.map((name) =>
      below({
        cert: files.read(`${folder}/${name}`),
        key: files.read(`${folder}/${name.replace(/\.crt$/, ".key")}`),
      }),
    ),
  );
  return {
    issuing,
    retired: retired.filter(({ certificate }) => certificate.notAfter.getTime() > Date.now()),
  };
}

/** A list by each of them, PEM: which of them issued a certificate its number does not say, and they don't repeat. */
export async function revocationLists(
  { issuing, retired }: OpenAuthority,
  revoked: readonly RevokedCertificate[],
  lifetimeMs: number,
): Promise<string> {
  const lists = await Promise.all(
    [issuing, ...retired].map((one) => revocationList(one, revoked, lifetimeMs)),
  );
  return lists.join("");
}

/** @param revoked what the authority revoked, read whenever a list is made */
export function createIssuer(open: OpenAuthority, revoked: () => readonly RevokedCertificate[]): Issuer {
  const { chain } = open.issuing;
  return {
    chain,
    issueClient: async (request, now) => {
      const made = await open.issuing.certify(request, now);
      return {
        certificate: `${made.toString("pem")}\n`,
        chain,
        serial: made.serialNumber,
        expires: made.notAfter.toISOString(),
      };
    },
    crl: () => revocationLists(open, revoked(), crlMs),
  };
}
