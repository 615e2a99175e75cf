import { formatCidr, parseCidr, parseIp } from "../wire/ip.ts";
import {
  p256Line,
  type SshCertificateContents,
  signedSshCertificate,
  sshCertificateToSign,
  sshCertificateType,
  sshLine,
} from "../wire/ssh-certificate.ts";
import type { SshPublicKey } from "../wire/ssh-public-key.ts";
import { openSshKey, type SshSigningKey } from "./ssh-key.ts";
import { checkDnsName, checkSshPrincipal, checkText, SubjectError } from "./subject.ts";

/** Where the keys are, beside those of the X.509 authority; who never asks for SSH has none. */
export const sshKeyFiles = { user: "ssh-user.key", host: "ssh-host.key" } as const;

/** What a user's certificate can allow, as `sshd` does only by one of these. */
export const sshPermissions = [
  "agent-forwarding",
  "port-forwarding",
  "pty",
  "user-rc",
  "X11-forwarding",
] as const;
export type SshPermission = (typeof sshPermissions)[number];

/** Whom to let in, as whom, until when. */
export interface SshUserRequest {
  /** A random one unless given. */
  readonly serial?: bigint;
  readonly publicKey: SshPublicKey;
  readonly keyId: string;
  /** Users of servers. */
  readonly principals: readonly string[];
  readonly lifetimeMs: number;
  readonly permissions: readonly SshPermission[];
  /** Networks (CIDR) that it may be used from; none: any. */
  readonly sources: readonly string[];
}

export interface SshHostRequest {
  readonly publicKey: SshPublicKey;
  /** DNS names and addresses, as clients are told to connect to them. */
  readonly names: readonly string[];
  readonly lifetimeMs: number;
}

/** So that a machine whose clock runs behind takes a certificate that was just made. */
const clockSkewMs = 5 * 60_000;
/** More is what OpenSSH does not read (SSHKEY_CERT_MAX_PRINCIPALS). */
const maxPrincipals = 256;

const shown = (value: string): string => JSON.stringify(value);

/** Never none: OpenSSH's format has that mean any. */
function atLeastOne(
  values: readonly string[],
  member: SubjectError["member"],
): readonly [string, ...string[]] {
  const [first, ...rest] = values;
  if (first === undefined) throw new SubjectError(member, "expected one at least");
  if (values.length > maxPrincipals) throw new SubjectError(member, `expected ${maxPrincipals} at most`);
  return [first, ...rest];
}

function networks(sources: readonly string[]): Readonly<Record<string, string>> {
  if (sources.length === 0) return {};
  const read = sources.map((text) => {
    const cidr = parseCidr(text);
    if (cidr === null) throw new Error(`${shown(text)} is no network`);
    return formatCidr(cidr);
  });
  return { "source-address": read.join(",") };
}

type Named = Pick<SshCertificateContents, "kind" | "key" | "keyId" | "principals" | "criticalOptions"> & {
  readonly serial?: bigint | undefined;
  readonly extensions: readonly string[];
};

/** Signs SSH certificates: of users or of hosts, with a key for each, so that neither can stand for the other. */
export class SshAuthority {
  readonly #signer: SshSigningKey;

  private constructor(signer: SshSigningKey) {
    this.#signer = signer;
  }

  /** @param pem PKCS #8, ECDSA on P-256; rejects where it is anything else */
  static open = async (pem: string): Promise<SshAuthority> => new SshAuthority(await openSshKey(pem));

  /** Its public key: a line for `TrustedUserCAKeys`, or for known_hosts behind `@cert-authority` and a pattern. */
  publicLine(comment: string): string {
    return p256Line(this.#signer.blob, comment);
  }

  /**
   * A user's certificate, the line of a `-cert.pub` file.
   *
   * @throws SubjectError when something about the user can't stand in one
   */
  async user(request: SshUserRequest, now = Date.now()): Promise<string> {
    const { serial, publicKey, keyId, principals, lifetimeMs, permissions, sources } = request;
    checkText("commonName", keyId);
    for (const principal of principals) checkSshPrincipal(principal);
    const named: Named = {
      kind: "user",
      serial,
      key: publicKey,
      keyId,
      principals: atLeastOne(principals, "principals"),
      criticalOptions: networks(sources),
      extensions: permissions.map((name) => `permit-${name}`),
    };
    return this.#certify(named, lifetimeMs, now);
  }

  /**
   * A host's certificate, the line of a `-cert.pub` file.
   *
   * @throws SubjectError when one of the names can't be one
   */
  async host({ publicKey, names, lifetimeMs }: SshHostRequest, now = Date.now()): Promise<string> {
    // OpenSSH's clients take no wildcards from a certificate.
    for (const name of names) if (parseIp(name) === null) checkDnsName("names", name, false);
    // Clients compare what they were asked for in lower case.
    const principals = atLeastOne(
      names.map((name) => name.toLowerCase()),
      "names",
    );
    const named: Named = {
      kind: "host",
      key: publicKey,
      keyId: principals[0],
      principals,
      criticalOptions: {},
      extensions: [],
    };
    return this.#certify(named, lifetimeMs, now);
  }

  async #certify(named: Named, lifetimeMs: number, now: number): Promise<string> {
    const [random = 0n] = crypto.getRandomValues(new BigUint64Array(1));
    const contents = {
      ...named,
      serial: named.serial ?? random,
      nonce: crypto.getRandomValues(new Uint8Array(32)),
      validAfter: Math.floor((now - clockSkewMs) / 1000),
      validBefore: Math.floor((now + lifetimeMs) / 1000),
    };
    const toSign = sshCertificateToSign(contents, this.#signer.blob);
    const how = { name: "ECDSA", hash: "SHA-256" };
    const signature = await crypto.subtle.sign(how, this.#signer.key, toSign as BufferSource);
    const blob = signedSshCertificate(toSign, new Uint8Array(signature));
    return sshLine(sshCertificateType(named.key.type), blob, named.keyId);
  }
}
