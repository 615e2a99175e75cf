import { certificatesFromPem } from "../authority/pem.ts";
import type { Route } from "../core/route.ts";
import { parseCertificate } from "../identity/certificate.ts";
import { formatName } from "../identity/name.ts";

/** A certificate that the router depends on. */
export interface ExpiringCertificate {
  /** `server`: shown to clients; `anchor`: what their certificates lead to. */
  readonly use: "server" | "anchor";
  /** Where it is from, or whose it is. */
  readonly name: string;
  /** DNS names that it is for. */
  readonly names: readonly string[];
  /** Milliseconds since 1970. */
  readonly notAfter: number;
}

/** The trust anchors of all routes, each once. */
export function anchorsOf(routes: readonly Route[]): readonly ExpiringCertificate[] {
  const bundles = new Set(routes.flatMap(({ anchors }) => anchors));
  const found = new Map<string, ExpiringCertificate>();
  for (const der of [...bundles].flatMap(certificatesFromPem)) {
    const certificate = parseCertificate(Uint8Array.from(der));
    if ("malformed" in certificate) continue;
    const name = formatName(certificate.subjectName);
    const { notAfter } = certificate;
    found.set(`${name} ${notAfter}`, { use: "anchor", name, names: [], notAfter });
  }
  return [...found.values()];
}
