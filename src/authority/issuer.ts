import type { Files } from "../config/pem.ts";
import { Authority, type ClientRequest } from "./authority.ts";
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

const textOf = (files: Pick<Files, "read">, path: string): string | null => {
  try {
    return files.read(path);
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOENT") return null;
    throw error;
  }
};

/**
 * The authority in a folder that issues: `issuing.crt` and `issuing.key` below the root `ca.crt`, or, in a
 * folder without them, the root itself. Throws with words for people where there is none.
 */
export async function openAuthority(directory: string, files: Pick<Files, "read">): Promise<Authority> {
  const root = files.read(`${directory}/ca.crt`);
  const cert = textOf(files, `${directory}/issuing.crt`);
  if (cert === null) return Authority.open({ cert: root, key: files.read(`${directory}/ca.key`) });
  return Authority.open({ cert, key: files.read(`${directory}/issuing.key`) }, { above: [root] });
}

/** @param revoked what the authority revoked, read whenever a list is made */
export function createIssuer(authority: Authority, revoked: () => readonly RevokedCertificate[]): Issuer {
  const { chain } = authority;
  return {
    chain,
    issueClient: async (request, now) => {
      const made = await authority.certify(request, now);
      return {
        certificate: `${made.toString("pem")}\n`,
        chain,
        serial: made.serialNumber,
        expires: made.notAfter.toISOString(),
      };
    },
    crl: () => revocationList(authority, revoked(), crlMs),
  };
}
