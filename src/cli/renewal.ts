import { z } from "zod";
import { certificatesFromPem } from "../authority/pem.ts";
import { type NewRequest, newRequest } from "../enrolment/new-request.ts";
import { parseCertificate } from "../identity/certificate.ts";
import { sameBytes } from "../identity/same-bytes.ts";
import type { ClientPair, RouterAddress } from "../local/link.ts";
import { writeProfile } from "./profile.ts";
import type { RouterApi } from "./router-api.ts";

const issuedAnswer = z.object({
  certificate: z.string(),
  chain: z.array(z.string()),
  serial: z.string(),
  expires: z.string(),
});

/** Throws unless the certificate is for our own key: nothing else would be of use. */
function checkOurs(certificate: string, publicKey: Uint8Array): void {
  const [der] = certificatesFromPem(certificate);
  const parsed = der === undefined ? undefined : parseCertificate(der);
  if (parsed === undefined || "malformed" in parsed || !sameBytes(parsed.spki, publicKey))
    throw new Error("the router answers with a certificate for another key");
}

/**
 * Has a key certified, and keeps both as the profile.
 *
 * @param shown what shows who we are, as members of the request's body; none where the connection's certificate does
 */
export async function keepCertified(
  api: RouterApi,
  { key, csr, publicKey }: NewRequest,
  shown: Readonly<Record<string, string>>,
  folder: string,
  { host, port, ca }: RouterAddress,
): Promise<ClientPair> {
  const issued = await api.ask("POST", "/v1/certificates", issuedAnswer, { csr, ...shown });
  checkOurs(issued.certificate, publicKey);
  const certificate = [issued.certificate, ...issued.chain].map((pem) => `${pem.trimEnd()}\n`).join("");
  writeProfile(folder, { router: `${host}:${port}`, ca, certificate, key });
  return { certificate, key };
}

/** A new certificate for the one that the connection shows. */
export const renew = async (api: RouterApi, folder: string, router: RouterAddress): Promise<void> => {
  await keepCertified(api, await newRequest(), {}, folder, router);
};
