import { resolve } from "node:path";
import type { Issued } from "../authority/authority.ts";
import { type OpenAuthority, openAuthority } from "../authority/issuer.ts";
import { SubjectError } from "../authority/subject.ts";
import { files } from "../runtime/files.ts";
import { exists, writeTogether } from "../runtime/key-files.ts";
import { type CliIo, UsageError } from "./command.ts";
import { required } from "./options.ts";

/** Files that were written. */
export interface Made {
  readonly certificate: string;
  readonly key: string;
}

/** Says what was made: a line each, or JSON. */
export function report(io: CliIo, json: boolean | undefined, made: Readonly<Record<string, string>>): void {
  if (json === true) io.out(JSON.stringify(made));
  else for (const path of Object.values(made)) io.out(path);
}

/** Where a certificate goes: not over the authority itself. */
export function target(out: string | undefined, dir: string | undefined): string {
  const prefix = required(out, "--out", "a path without its ending");
  for (const own of ["ca", "issuing"]) {
    if (resolve(prefix) === resolve(dir ?? "", own))
      throw new UsageError(`--out ${prefix} would replace the authority itself: expected another path`);
  }
  return prefix;
}

const flagOf: Readonly<Record<SubjectError["member"], string>> = {
  commonName: "--cn",
  organization: "--org",
  groups: "--group",
  emails: "--email",
  dnsNames: "--dns",
  uris: "--uri",
  names: "--name",
  principals: "--principal",
  limits: "--dir",
};

/** What the authority says of a name, as said of the flag that it came with. */
export async function named<T>(made: Promise<T>, flag?: string): Promise<T> {
  try {
    return await made;
  } catch (error) {
    throw error instanceof SubjectError
      ? new UsageError(`${flag ?? flagOf[error.member]}: ${error.message}`)
      : error;
  }
}

export function write(prefix: string, issued: Issued): Made {
  const made = { certificate: `${prefix}.crt`, key: `${prefix}.key` };
  // The key first: a certificate without one would look finished.
  writeTogether(
    { path: made.key, contents: issued.key, secret: true },
    { path: made.certificate, contents: issued.cert, secret: false },
  );
  return made;
}

/** The folder of an authority; a usage error where there is none. */
export function folderOf(dir: string | undefined): string {
  const folder = required(dir, "--dir", "the folder that `sallyport ca init` made");
  if (!exists(`${folder}/ca.crt`))
    throw new UsageError(
      `--dir ${folder} holds no authority (no ca.crt in it): make one with "sallyport ca init --dir ${folder}"`,
    );
  return folder;
}

/** The authorities in a folder. */
export async function open(dir: string | undefined): Promise<OpenAuthority> {
  const folder = folderOf(dir);
  try {
    return await openAuthority(folder, files);
  } catch (error) {
    throw new UsageError(`--dir ${folder}: ${error instanceof Error ? error.message : error}`);
  }
}
