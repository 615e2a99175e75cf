import { parseCertificate } from "../identity/certificate.ts";
import { oids } from "../identity/oids.ts";
import { isFor } from "../identity/peer-name.ts";

const purposes = [
  [oids.serverAuth, "serverAuth"],
  [oids.clientAuth, "clientAuth"],
] as const;

/**
 * Why no router can have this certificate; `null`: one can. A router shows the same one whether it dials or is dialled,
 * so it is for both purposes and for the name that all of them have: no certificate of a person or a machine is.
 *
 * @param der the certificate
 * @param host `SALLYPORT_HOST`
 */
export function noRouters(der: Uint8Array, host: string): string | null {
  const certificate = parseCertificate(Uint8Array.from(der));
  if ("malformed" in certificate) return `it is malformed: ${certificate.malformed}`;
  const { extendedKeyUsage } = certificate;
  for (const [oid, name] of purposes) {
    if (extendedKeyUsage?.includes(oid) !== true) return `it is not for ${name}`;
  }
  return isFor(certificate, { type: "dns", value: host }) ? null : `it is not for ${host}`;
}
