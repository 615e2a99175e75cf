import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { type RevokedCertificate, revocationReasons } from "../authority/crl.ts";
import { writeAtomically } from "./key-files.ts";

const record = z.strictObject({
  at: z.int(),
  reason: z.enum(revocationReasons),
  expires: z.int().nullable(),
});

const folderOf = (authority: string): string => join(authority, "revoked");

/** What an authority revoked: a file each, so that two who revoke at once are not in each other's way. */
export function revokedIn(authority: string): RevokedCertificate[] {
  let names: string[];
  try {
    names = readdirSync(folderOf(authority));
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOENT") return [];
    throw error;
  }
  return names.flatMap((name) => {
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
