import { Authority, createAuthority, type Issued } from "../authority/authority.ts";
import { revocationList } from "../authority/crl.ts";
import { encryptedKeyPem } from "../authority/encrypted-key.ts";
import { derOf, type KeyKind, keyKinds } from "../authority/keys.ts";
import { files } from "../runtime/files.ts";
import { exists, writeAtomically } from "../runtime/key-files.ts";
import { revokedIn } from "../runtime/revoked-records.ts";
import { folderOf, named, report, write } from "./ca-folder.ts";
import { listMs } from "./ca-revoke.ts";
import { type CliIo, UsageError } from "./command.ts";
import { options, required } from "./options.ts";

const many = { type: "string", multiple: true } as const;
const issuingFlags = {
  dir: { type: "string" },
  name: { type: "string" },
  algorithm: { type: "string" },
  "passphrase-file": { type: "string" },
  "permit-dns": many,
  "permit-email": many,
  "permit-uri": many,
  json: { type: "boolean" },
} as const;

type IssuingFlags = ReturnType<typeof readFlags>;
const readFlags = (args: readonly string[]) => options(args, { ...issuingFlags, force: { type: "boolean" } });

export function algorithmOf(text: string | undefined): KeyKind {
  const kind = keyKinds.find((one) => one === (text ?? "ecdsa"));
  if (kind === undefined)
    throw new UsageError(`--algorithm ${text} is not known: expected one of ${keyKinds.join(", ")}`);
  return kind;
}

/** The first line of a file; `undefined` where none was named. */
function passphraseOf(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  let text: string;
  try {
    text = files.read(path);
  } catch {
    throw new UsageError(
      `--passphrase-file ${path} can't be read: expected a file with the passphrase in its first line`,
    );
  }
  const [line = ""] = text.split(/\r?\n/);
  if (line.length < 8) throw new UsageError(`--passphrase-file ${path}: expected 8 characters at least`);
  return line;
}

/** Below the root, the authority that issues from day to day, and its first list of what it revoked. */
async function makeIssuing(folder: string, root: Authority, flags: IssuingFlags): Promise<Issued> {
  const permitted = {
    dns: flags["permit-dns"] ?? [],
    email: flags["permit-email"] ?? [],
    uri: flags["permit-uri"] ?? [],
  };
  const name = `${flags.name ?? "Sallyport"} issuing`;
  const made = await named(
    root.authority(name, { algorithm: algorithmOf(flags.algorithm), permitted }),
    "--permit-dns, --permit-email or --permit-uri",
  );
  const issuing = await Authority.open(made, { above: root.chain });
  const list = await revocationList(issuing, revokedIn(folder), listMs);
  write(`${folder}/issuing`, made);
  writeAtomically(`${folder}/ca.crl`, list, false);
  return made;
}

/** `ca init`: a root, and the authority below it that issues. */
export async function init(args: readonly string[], io: CliIo): Promise<number> {
  const flags = readFlags(args);
  const folder = required(flags.dir, "--dir", "a folder for the authority");
  const prefix = `${folder}/ca`;
  if (flags.force !== true && (exists(`${prefix}.key`) || exists(`${prefix}.crt`))) {
    throw new UsageError(
      `--dir ${folder} holds an authority already; --force replaces it, and every certificate it issued is void`,
    );
  }
  const passphrase = passphraseOf(flags["passphrase-file"]);
  const algorithm = algorithmOf(flags.algorithm);
  const name = flags.name ?? "Sallyport";
  const root = await named(createAuthority(name, { algorithm, authoritiesBelow: 1 }), "--name");
  await makeIssuing(folder, await Authority.open(root), flags);
  const key =
    passphrase === undefined ? root.key : await encryptedKeyPem(derOf(root.key, "PRIVATE KEY"), passphrase);
  const { certificate, key: keyPath } = write(prefix, { cert: root.cert, key });
  report(io, flags.json, {
    certificate,
    key: keyPath,
    issuing_certificate: `${folder}/issuing.crt`,
    issuing_key: `${folder}/issuing.key`,
    revocation_list: `${folder}/ca.crl`,
  });
  return 0;
}

/** `ca renew`: a new issuing authority below the same root. */
export async function renew(args: readonly string[], io: CliIo): Promise<number> {
  const flags = readFlags(args);
  const folder = folderOf(flags.dir);
  if (!exists(`${folder}/issuing.crt`))
    throw new UsageError(`--dir ${folder} has no issuing authority apart from its root: nothing to renew`);
  const passphrase = passphraseOf(flags["passphrase-file"]);
  let root: Authority;
  try {
    const pair = { cert: files.read(`${folder}/ca.crt`), key: files.read(`${folder}/ca.key`) };
    root = await Authority.open(pair, passphrase === undefined ? {} : { passphrase });
  } catch (error) {
    throw new UsageError(
      `--dir ${folder}: the root's key is needed for this: ${error instanceof Error ? error.message : error}`,
    );
  }
  await makeIssuing(folder, root, flags);
  report(io, flags.json, {
    issuing_certificate: `${folder}/issuing.crt`,
    issuing_key: `${folder}/issuing.key`,
    revocation_list: `${folder}/ca.crl`,
  });
  return 0;
}
