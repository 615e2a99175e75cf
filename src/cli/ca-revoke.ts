import { type RevocationReason, revocationReasons } from "../authority/crl.ts";
import { type OpenAuthority, revocationLists } from "../authority/issuer.ts";
import { certificatesFromPem } from "../authority/pem.ts";
import { pemOrPath } from "../config/pem.ts";
import { parseCertificate } from "../identity/certificate.ts";
import { sameName } from "../identity/self-issued.ts";
import { files } from "../runtime/files.ts";
import { renewedFrom } from "../runtime/issued-records.ts";
import { writeAtomically } from "../runtime/key-files.ts";
import { addRevoked, revokedIn } from "../runtime/revoked-records.ts";
import { folderOf, open, report } from "./ca-folder.ts";
import { type CliIo, UsageError } from "./command.ts";
import { lifetime, options } from "./options.ts";

const dayMs = 24 * 3_600_000;
/** How long a list in a file is good, unless somebody says otherwise. */
export const listMs = 90 * dayMs;

export async function writeList(dir: string, out: string | undefined, ms: number): Promise<string> {
  const path = out ?? `${dir}/ca.crl`;
  const authorities = await open(dir);
  // Somebody else may revoke at the same time: whoever writes last has written all of it.
  for (let listed = -1; listed !== revokedIn(dir).length; ) {
    const revoked = revokedIn(dir);
    writeAtomically(path, await revocationLists(authorities, revoked, ms), false);
    listed = revoked.length;
  }
  return path;
}

/** `ca crl`: the list of what was revoked, made anew. */
export async function crl(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    out: { type: "string" },
    lifetime: { type: "string" },
    json: { type: "boolean" },
  });
  const ms = lifetime(flags.lifetime, "--lifetime", listMs, 365 * dayMs);
  report(io, flags.json, { revocation_list: await writeList(folderOf(flags.dir), flags.out, ms) });
  return 0;
}

interface Meant {
  readonly serial: string;
  readonly expires: number | null;
}

function certificateIn(path: string, { issuing, retired }: OpenAuthority): Meant {
  let der: Uint8Array | undefined;
  try {
    [der] = certificatesFromPem(pemOrPath(path, files));
  } catch (error) {
    throw new UsageError(`--cert ${path} ${error instanceof Error ? error.message : error}`);
  }
  const parsed = der === undefined ? undefined : parseCertificate(der);
  const authorities = [issuing, ...retired].flatMap(({ chain }) => certificatesFromPem(chain[0] ?? ""));
  if (parsed === undefined || "malformed" in parsed)
    throw new UsageError(`--cert ${path} holds no certificate: expected PEM`);
  const ours = authorities.some((own) => {
    const authority = parseCertificate(own);
    return !("malformed" in authority) && sameName(authority.canonicalSubject, parsed.canonicalIssuer);
  });
  if (!ours) throw new UsageError(`--cert ${path} was issued by another authority`);
  return { serial: parsed.serial, expires: parsed.notAfter };
}

function serialOf(text: string): Meant {
  const digits = text
    .toLowerCase()
    .replaceAll(":", "")
    .replace(/^0+(?=.)/, "");
  if (!/^[0-9a-f]{1,40}$/.test(digits))
    throw new UsageError(`--serial ${text} is no serial number: expected hexadecimal`);
  return { serial: digits.length % 2 === 0 ? digits : `0${digits}`, expires: null };
}

function reasonOf(text: string | undefined): RevocationReason {
  const reason = revocationReasons.find((one) => one === (text ?? "privilegeWithdrawn"));
  if (reason === undefined)
    throw new UsageError(`--reason ${text} is none: expected one of ${revocationReasons.join(", ")}`);
  return reason;
}

/** `ca revoke`: a certificate that is to be good no longer, and the list that says so. */
export async function revoke(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    cert: { type: "string" },
    serial: { type: "string" },
    reason: { type: "string" },
    out: { type: "string" },
    lifetime: { type: "string" },
    json: { type: "boolean" },
  });
  const folder = folderOf(flags.dir);
  const { cert, serial } = flags;
  if ((cert === undefined) === (serial === undefined))
    throw new UsageError("which certificate? expected --cert FILE or --serial NUMBER");
  const ms = lifetime(flags.lifetime, "--lifetime", listMs, 365 * dayMs);
  const reason = reasonOf(flags.reason);
  const authorities = await open(folder);
  const meant = cert === undefined ? serialOf(serial ?? "") : certificateIn(cert, authorities);
  // Whoever had the one has the others.
  for (const one of [meant, ...(await renewedFrom(folder, meant.serial))])
    addRevoked(folder, { ...one, at: Date.now(), reason });
  report(io, flags.json, { revocation_list: await writeList(folder, flags.out, ms) });
  return 0;
}
