import { sshKrl } from "../wire/ssh-krl.ts";
import { type RevokedCertificate, stillListed } from "./crl.ts";

/**
 * The serial number of the SSH certificate that comes with a certificate of that one: its last 64 bits, which are
 * random. So revoking the one revokes the other, and nobody has to remember what belongs together.
 */
export const sshSerialOf = (serial: string): bigint => {
  const last = BigInt.asUintN(64, BigInt(`0x${serial}`));
  // 0 stands for no serial number, and can't be revoked.
  return last === 0n ? 1n : last;
};

/** OpenSSH's list of what an authority revoked. Its number is its time, as that of the other list. */
export const sshRevocationList = (
  revoked: readonly RevokedCertificate[],
  keys: readonly Uint8Array[],
  now = Date.now(),
): Uint8Array =>
  sshKrl({
    version: BigInt(now),
    generated: Math.floor(now / 1000),
    comment: "sallyport",
    serials: stillListed(revoked, now).map(({ serial }) => sshSerialOf(serial)),
    keys,
  });
