import { type RevocationReason, revocationReasons } from "../authority/crl.ts";
import { type OpenAuthority, revocationLists } from "../authority/issuer.ts";
import { certificatesFromPem } from "../authority/pem.ts";
import { sshKeyFiles } from "../authority/ssh-authority.ts";
import { sshRevocationList } from "../authority/ssh-revocations.ts";
import { pemOrPath } from "../config/pem.ts";
import { parseCertificate } from "../identity/certificate.ts";
import { sameName } from "../identity/self-issued.ts";
import { files } from "../runtime/files.ts";
import { renewedFrom } from "../runtime/issued-records.ts";
import { exists, writeAtomically } from "../runtime/key-files.ts";
import { addRevoked, addRevokedSshKey, revokedIn, revokedSshKeysIn } from "../runtime/revoked-records.ts";
import { folderOf, open, report } from "./ca-folder.ts";
import { type CliIo, UsageError } from "./command.ts";
import { lifetime, options } from "./options.ts";
import { sshKeyIn } from "./ssh-key-file.ts";

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

/** The same for `sshd`. */
function writeSshList(dir: string, out: string | undefined): string {
  const path = out ?? `${dir}/ssh.krl`;
  for (let listed = -1; ; ) {
    const [certificates, keys] = [revokedIn(dir), revokedSshKeysIn(dir)];
    const count = certificates.length + keys.length;
    if (listed === count) return path;
    writeAtomically(path, sshRevocationList(certificates, keys), false);
    listed = count;
  }
}

/** Whether the authority has keys for SSH, and so there may be SSH certificates to revoke. */
const doesSsh = (dir: string): boolean => Object.values(sshKeyFiles).some((name) => exists(`${dir}/${name}`));

/** `ca ssh-krl`: the list of what was revoked, for `sshd`, made anew. */
export async function sshKrl(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    out: { type: "string" },
    json: { type: "boolean" },
  });
  report(io, flags.json, { ssh_revocation_list: writeSshList(folderOf(flags.dir), flags.out) });
  return 0;
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
    "ssh-key": { type: "string" },
    reason: { type: "string" },
    out: { type: "string" },
    lifetime: { type: "string" },
    json: { type: "boolean" },
  });
  const folder = folderOf(flags.dir);
  const { cert, serial, "ssh-key": sshKey } = flags;
  if ([cert, serial, sshKey].filter((one) => one !== undefined).length !== 1)
    throw new UsageError("which certificate? expected --cert FILE, --serial NUMBER or --ssh-key FILE");
  if (sshKey !== undefined) {
    for (const flag of ["reason", "out", "lifetime"] as const)
      if (flags[flag] !== undefined)
        throw new UsageError(`--${flag} is for X.509 certificates: lists for sshd have none`);
    addRevokedSshKey(folder, sshKeyIn(sshKey, "--ssh-key"));
    report(io, flags.json, { ssh_revocation_list: writeSshList(folder, undefined) });
    return 0;
  }
  const ms = lifetime(flags.lifetime, "--lifetime", listMs, 365 * dayMs);
  const reason = reasonOf(flags.reason);
  const authorities = await open(folder);
  const meant = cert === undefined ? serialOf(serial ?? "") : certificateIn(cert, authorities);
  // Whoever had the one has the others.
  for (const one of [meant, ...(await renewedFrom(folder, meant.serial))])
    addRevoked(folder, { ...one, at: Date.now(), reason });
  const list = { revocation_list: await writeList(folder, flags.out, ms) };
  const sshList = doesSsh(folder) ? { ssh_revocation_list: writeSshList(folder, undefined) } : {};
  report(io, flags.json, { ...list, ...sshList });
  return 0;
}
