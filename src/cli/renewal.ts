import { z } from "zod";
import { certificatesFromPem } from "../authority/pem.ts";
import { type NewRequest, newRequest } from "../enrolment/new-request.ts";
import { newSshRequest } from "../enrolment/ssh-request.ts";
import { parseCertificate } from "../identity/certificate.ts";
import { sameBytes } from "../identity/same-bytes.ts";
import type { ClientPair, RouterAddress } from "../local/link.ts";
import { isSshCertificateFor } from "../wire/ssh-certificate.ts";
import { parseSshPublicKey } from "../wire/ssh-public-key.ts";
import { type SshProfile, sshKeyOf, writeProfile } from "./profile.ts";
import type { RouterApi } from "./router-api.ts";

const issuedAnswer = z.object({
  certificate: z.string(),
  chain: z.array(z.string()),
  serial: z.string(),
  expires: z.string(),
  ssh_certificate: z.string().max(65_536).optional(),
  ssh_host_authority: z.string().max(4096).optional(),
});

/** Throws unless the certificate is for our own key: nothing else would be of use. */
function checkOurs(certificate: string, publicKey: Uint8Array): void {
  const [der] = certificatesFromPem(certificate);
  const parsed = der === undefined ? undefined : parseCertificate(der);
  if (parsed === undefined || "malformed" in parsed || !sameBytes(parsed.spki, publicKey))
    throw new Error("the router answers with a certificate for another key");
}

/** What of the answer is for SSH; `null` where there is nothing. Throws unless it is for our own key. */
function sshOf(answer: z.output<typeof issuedAnswer>, key: string, publicLine: string): SshProfile | null {
  const { ssh_certificate: certificate, ssh_host_authority: hosts } = answer;
  if (certificate === undefined || hosts === undefined) return null;
  const own = parseSshPublicKey(publicLine);
  // Both end up in files that OpenSSH reads line by line.
  if ("problem" in own || !isSshCertificateFor(certificate, own))
    throw new Error("the router answers with an SSH certificate for another key");
  if ("problem" in parseSshPublicKey(hosts))
    throw new Error("the router answers with something else than the key of an SSH authority");
  const hostAuthority = hosts.trim().split(" ").slice(0, 2).join(" ");
  return { key, publicKey: publicLine, certificate, hostAuthority };
}

/**
 * Has a key certified, and keeps both as the profile.
 *
 * @param formerSshKey to be certified again: `ssh` may have read it while the certificate is renewed
 * @param shown what shows who we are, as members of the request's body; none where the connection's certificate does
 */
export async function keepCertified(
  api: RouterApi,
  { key, csr, publicKey }: NewRequest,
  shown: Readonly<Record<string, string>>,
  folder: string,
  { host, port, ca }: RouterAddress,
  formerSshKey: string | null = null,
): Promise<ClientPair> {
  const ssh = await newSshRequest(formerSshKey, publicKey);
  const asked = { csr, ...shown, ssh: ssh.request };
  const issued = await api.ask("POST", "/v1/certificates", issuedAnswer, asked);
  checkOurs(issued.certificate, publicKey);
  const certificate = [issued.certificate, ...issued.chain].map((pem) => `${pem.trimEnd()}\n`).join("");
  const profile = { router: `${host}:${port}`, ca, certificate, key };
  writeProfile(folder, profile, sshOf(issued, ssh.key, ssh.request.public_key));
  return { certificate, key };
}

/** A new certificate for the one that the connection shows. */
export const renew = async (api: RouterApi, folder: string, router: RouterAddress): Promise<void> => {
  await keepCertified(api, await newRequest(), {}, folder, router, sshKeyOf(folder));
};
