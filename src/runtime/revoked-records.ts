import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type RevokedCertificate, revocationReasons } from "../authority/crl.ts";
import { sshLine } from "../wire/ssh-certificate.ts";
import { parseSshPublicKey, type SshPublicKey, sshKeyBlob } from "../wire/ssh-public-key.ts";
import { writeAtomically } from "./key-files.ts";

const record = z.strictObject({
  at: z.int(),
  reason: z.enum(revocationReasons),
  expires: z.int().nullable(),
});

const folderOf = (authority: string): string => join(authority, "revoked");

function namesIn(authority: string): string[] {
  try {
    return readdirSync(folderOf(authority));
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOENT") return [];
    throw error;
  }
}

/** What an authority revoked: a file each, so that two who revoke at once are not in each other's way. */
export function revokedIn(authority: string): RevokedCertificate[] {
  return namesIn(authority).flatMap((name) => {
    const [, serial] = /^([0-9a-f]{1,64})\.json$/.exec(name) ?? [];
    if (serial === undefined) return [];
    const path = join(folderOf(authority), name);
    try {
      return [{ serial, ...record.parse(JSON.parse(readFileSync(path, "utf8"))) }];
    } catch {
      // That it is revoked its name says already.
      return [{ serial, at: Date.now(), reason: "superseded", expires: null }];
    }
  });
}

/** Takes a certificate for revoked from now on. One that is so already stays as it is. */
export function addRevoked(authority: string, { serial, ...rest }: RevokedCertificate): void {
  if (!/^[0-9a-f]{1,64}$/.test(serial)) throw new Error("a serial number that is none");
  if (revokedIn(authority).some((one) => one.serial === serial)) return;
  mkdirSync(folderOf(authority), { recursive: true, mode: 0o755 });
  writeAtomically(join(folderOf(authority), `${serial}.json`), `${JSON.stringify(rest)}\n`, false);
}

/** The SSH keys that an authority revoked, as blobs. Throws where a record can't be read, which may be any key's. */
export const revokedSshKeysIn = (authority: string): Uint8Array[] =>
  namesIn(authority)
    .filter((name) => /^ssh-[0-9a-f]{64}\.pub$/.test(name))
    .sort()
    .map((name) => {
      const path = join(folderOf(authority), name);
      const key = parseSshPublicKey(readFileSync(path, "utf8"));
      if ("problem" in key) throw new Error(`the record ${path} ${key.problem}`);
      return sshKeyBlob(key);
    });

/** Takes an SSH key for revoked from now on, and so every certificate for it. */
export function addRevokedSshKey(authority: string, key: SshPublicKey): void {
  const blob = sshKeyBlob(key);
  mkdirSync(folderOf(authority), { recursive: true, mode: 0o755 });
  const name = `ssh-${createHash("sha256").update(blob).digest("hex")}.pub`;
  writeAtomically(
    join(folderOf(authority), name),
    `${sshLine(key.type, blob, new Date().toISOString())}\n`,
    false,
  );
}
