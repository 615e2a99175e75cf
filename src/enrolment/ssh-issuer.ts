import type { SshAuthority } from "../authority/ssh-authority.ts";
import { sshSerialOf } from "../authority/ssh-revocations.ts";
import type { SshPublicKey } from "../wire/ssh-public-key.ts";
import type { Grant } from "./grant.ts";
import { sshPrincipals } from "./ssh-principals.ts";
import type { Template } from "./template.ts";

/** What SSH certificates are made with. */
export interface SshIssuer {
  readonly users: SshAuthority;
  /** The public key that signs hosts' certificates, a line. */
  readonly hosts: string;
  readonly principals: readonly Template[];
}

/** What the answer has of SSH. */
export interface IssuedSsh {
  readonly ssh_certificate: string;
  readonly ssh_host_authority: string;
  readonly ssh_principals: readonly string[];
}

/** The certificate that it comes with. */
export interface Beside {
  /** Hexadecimal. */
  readonly serial: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
}

/**
 * An SSH certificate for the holder of another certificate, no longer than that one and revoked with it; `null` where there is none to
 * be had: who has no principals, and who is limited to sources or routes, which `sshd` behind the router can't tell.
 */
export async function issueSsh(
  { users, hosts, principals }: SshIssuer,
  publicKey: SshPublicKey,
  { person, limits }: Pick<Grant, "person" | "limits">,
  { serial, expires }: Beside,
  now: number,
): Promise<IssuedSsh | null> {
  const names = sshPrincipals(principals, person);
  if (names.length === 0 || limits !== undefined) return null;
  const certificate = await users.user(
    {
      serial: sshSerialOf(serial),
      publicKey,
      keyId: person.commonName,
      principals: names,
      lifetimeMs: expires - now,
      permissions: ["pty", "port-forwarding"],
      sources: [],
    },
    now,
  );
  return { ssh_certificate: certificate, ssh_host_authority: hosts, ssh_principals: names };
}
