import { joined } from "./joined.ts";
import { sshString, sshUint32, sshUint64 } from "./ssh-data.ts";

/** What a key revocation list of OpenSSH says (PROTOCOL.krl). */
export interface SshRevocations {
  /** Grows with every change. */
  readonly version: bigint;
  /** Seconds since 1970. */
  readonly generated: number;
  readonly comment: string;
  /** Of certificates, whoever signed them; 0 is none that can be revoked. */
  readonly serials: readonly bigint[];
  /** Public keys, as blobs: as they are, and whatever certificates there are for them. */
  readonly keys: readonly Uint8Array[];
}

const magic = 0x5353484b524c0a00n; // "SSHKRL\n\0"
const formatVersion = 1;
const sections = { certificates: 1, explicitKey: 2 } as const;
const serialList = 0x20;

const section = (type: number, data: Uint8Array): Uint8Array =>
  joined([Uint8Array.of(type), sshString(data)]);

const ascending = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

/** An empty authority's key stands for every authority. */
const certificates = (serials: readonly bigint[]): Uint8Array =>
  joined([
    sshString(""),
    sshString(""),
    section(serialList, joined([...new Set(serials)].sort(ascending).map(sshUint64))),
  ]);

/** The list, as `RevokedKeys` of `sshd` and of `ssh` takes it. */
export function sshKrl({ version, generated, comment, serials, keys }: SshRevocations): Uint8Array {
  return joined([
    sshUint64(magic),
    sshUint32(formatVersion),
    sshUint64(version),
    sshUint64(BigInt(generated)),
    sshUint64(0n),
    sshString(""),
    sshString(comment),
    ...(serials.length === 0 ? [] : [section(sections.certificates, certificates(serials))]),
    ...(keys.length === 0 ? [] : [section(sections.explicitKey, joined(keys.map(sshString)))]),
  ]);
}
