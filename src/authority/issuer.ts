import { files } from "../runtime/files.ts";
import type { Person } from "./authority.ts";
import { importSigningKey } from "./authority.ts";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  X509CrlGenerator,
} from "./x509.ts";

export interface Limits {
  readonly sources?: readonly string[];
  readonly routes?: readonly string[];
}
export interface ClientRequest {
  readonly publicKey: Uint8Array;
  readonly person: Person;
  readonly lifetimeMs: number;
  readonly limits?: Limits;
}
export interface Issuer {
  issueClient(
    request: ClientRequest,
    now?: number,
  ): Promise<{ certificate: string; chain: readonly string[]; serial: string; expires: string }>;
  readonly chain: readonly string[];
  crl(): Promise<string>;
}
export async function openIssuer(directory: string): Promise<Issuer> {
  const certificate = new X509Certificate(files.read(`${directory}/ca.crt`));
  const key = await importSigningKey(files.read(`${directory}/ca.key`));
  const signingAlgorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const rdns = (type: string, values: readonly string[]) =>
    values.map((utf8String) => ({ [type]: [{ utf8String }] }));
  return {
    chain: [certificate.toString("pem")],
    issueClient: async ({ publicKey, person, lifetimeMs, limits }, now = Date.now()) => {
      if (limits !== undefined) throw new Error("limits wait for the authority");
      const spki = new PublicKey(publicKey as BufferSource);
      const { commonName, organization, groups = [], emails = [], dnsNames = [], uris = [] } = person;
      const sans = [
        ...emails.map((value) => ({ type: "email" as const, value })),
        ...dnsNames.map((value) => ({ type: "dns" as const, value })),
        ...uris.map((value) => ({ type: "url" as const, value })),
      ];
      const extensions: Extension[] = [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
        await SubjectKeyIdentifierExtension.create(spki),
        await AuthorityKeyIdentifierExtension.create(certificate),
      ];
      if (sans.length > 0) extensions.push(new SubjectAlternativeNameExtension(sans, false));
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
      const serial = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
      const made = await X509CertificateGenerator.create({
        serialNumber: serial,
        subject: new Name([
          ...rdns("O", organization === undefined ? [] : [organization]),
          ...rdns("OU", groups),
          ...rdns("CN", [commonName]),
        ]),
        issuer: certificate.subjectName,
        notBefore: new Date(now - 300_000),
        notAfter: new Date(now + lifetimeMs),
        publicKey: spki,
        signingKey: key,
        signingAlgorithm,
        extensions,
      });
      return {
        certificate: `${made.toString("pem")}\n`,
        chain: [certificate.toString("pem")],
        serial,
        expires: made.notAfter.toISOString(),
      };
    },
    crl: async () => {
      const list = await X509CrlGenerator.create({
        issuer: certificate.subjectName,
        thisUpdate: new Date(),
        nextUpdate: new Date(Date.now() + 3_600_000),
        entries: [],
        signingKey: key,
        signingAlgorithm,
      });
      return list.toString("pem");
    },
  };
}
