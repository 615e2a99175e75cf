import { certificatesFromPem } from "../authority/pem.ts";
import { parseCertificate } from "../identity/certificate.ts";
import { identityOf } from "../identity/identity.ts";
import type { ClientPair } from "../local/link.ts";
import { printable } from "../observe/printable.ts";
import { files } from "../runtime/files.ts";
import { clientFlags, clientPair, clientUsage } from "./client-options.ts";
import type { Command } from "./command.ts";
import { options } from "./options.ts";
import { profileFolder, readProfile } from "./profile.ts";

/** Who a client certificate says its holder is, and whether it is good now. */
export interface CertificateStatus {
  /** In date, with its own key beside it. Whether the router takes it, the router knows. */
  readonly valid: boolean;
  /** Why not, in words. */
  readonly problem: string | null;
  readonly router: string | null;
  readonly subject: string;
  readonly spiffe: string | null;
  readonly groups: readonly string[];
  readonly serial: string;
  readonly fingerprint: string;
  /** ISO 8601. */
  readonly expires: string;
}

export async function describeCertificate(
  { certificate, key }: ClientPair,
  router: string | null,
  now: number,
): Promise<CertificateStatus> {
  const [der] = certificatesFromPem(certificate);
  const parsed = der === undefined ? undefined : parseCertificate(der);
  if (parsed === undefined || "malformed" in parsed)
    throw new Error("the client certificate can't be read: log in again");
  const { subject, spiffe, groups, serial, fingerprint, expires } = await identityOf(parsed);
  const problem =
    now > parsed.notAfter
      ? `expired at ${expires}`
      : now < parsed.notBefore
        ? `not valid before ${new Date(parsed.notBefore).toISOString()}`
        : files.inspectPair(certificate, key).problem;
  return { valid: problem === null, problem, router, subject, spiffe, groups, serial, fingerprint, expires };
}

/** For people. */
export function statusLines(status: CertificateStatus): string[] {
  const { subject, spiffe, groups, serial, expires, router, problem } = status;
  return [
    `you      ${subject}`,
    ...(groups.length === 0 ? [] : [`groups   ${groups.join(", ")}`]),
    ...(spiffe === null ? [] : [`spiffe   ${spiffe}`]),
    `serial   ${serial}`,
    problem === null ? `until    ${expires}` : `problem  ${problem}`,
    ...(router === null ? [] : [`router   ${router}`]),
  ].map(printable);
}

export const status: Command = {
  usage: `Usage: sallyport status [--json]

Shows who the client certificate says you are and until when. Exits with 1 where there is
none, or it is not valid now. Nothing is sent anywhere.

${clientUsage}`,

  async run(args, io) {
    const flags = options(args, { ...clientFlags, json: { type: "boolean" } });
    const pair = clientPair(flags, io.env);
    if (pair === null) {
      if (flags.json === true) io.out(JSON.stringify({ valid: false, problem: "there is no certificate" }));
      else io.err('there is no certificate: get one with "sallyport login"');
      return 1;
    }
    const { router } = readProfile(profileFolder(io.env));
    const found = await describeCertificate(pair, router, Date.now());
    for (const line of flags.json === true ? [JSON.stringify(found)] : statusLines(found)) io.out(line);
    return found.valid ? 0 : 1;
  },
};
