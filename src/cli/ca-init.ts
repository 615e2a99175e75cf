import { Authority, createAuthority, type Issued } from "../authority/authority.ts";
import { encryptedKeyPem } from "../authority/encrypted-key.ts";
import { derOf, type KeyKind, keyKinds } from "../authority/keys.ts";
import { sshKeyFiles } from "../authority/ssh-authority.ts";
import { files } from "../runtime/files.ts";
import { exists, removeAll } from "../runtime/key-files.ts";
import { folderOf, named, open, report, write } from "./ca-folder.ts";
import { listMs, writeList } from "./ca-revoke.ts";
import { type CliIo, UsageError } from "./command.ts";
import { options, required } from "./options.ts";

const many = { type: "string", multiple: true } as const;
const initFlags = {
  dir: { type: "string" },
  name: { type: "string" },
  algorithm: { type: "string" },
  "passphrase-file": { type: "string" },
  "permit-dns": many,
  "permit-email": many,
  "permit-uri": many,
  force: { type: "boolean" },
  json: { type: "boolean" },
} as const;

const readFlags = (args: readonly string[]) => options(args, initFlags);
type InitFlags = ReturnType<typeof readFlags>;

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

/** Below the root, the authority that issues from day to day. */
function issuingBelow(root: Authority, flags: InitFlags): Promise<Issued> {
  const permitted = {
    dns: flags["permit-dns"] ?? [],
    email: flags["permit-email"] ?? [],
    uri: flags["permit-uri"] ?? [],
  };
  const name = `${flags.name ?? "Sallyport"} issuing`;
  return named(
    root.authority(name, { algorithm: algorithmOf(flags.algorithm), permitted }),
    "--permit-dns, --permit-email or --permit-uri",
  );
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
  const issuing = await issuingBelow(await Authority.open(root), flags);
  const key =
    passphrase === undefined ? root.key : await encryptedKeyPem(derOf(root.key, "PRIVATE KEY"), passphrase);
  // What a former authority promised and took back is nothing to this one.
  const owned = ["tokens", "issued", "revoked", "retired", ...Object.values(sshKeyFiles)];
  const replaced = exists(`${prefix}.crt`) ? owned : [];
  for (const former of replaced) removeAll(`${folder}/${former}`);
  const { certificate, key: keyPath } = write(prefix, { cert: root.cert, key });
  write(`${folder}/issuing`, issuing);
  await writeList(folder, undefined, listMs);
  report(io, flags.json, {
    certificate,
    key: keyPath,
    issuing_certificate: `${folder}/issuing.crt`,
    issuing_key: `${folder}/issuing.key`,
    revocation_list: `${folder}/ca.crl`,
  });
  return 0;
}

/** `ca renew`: a new key for the issuing authority. The former one goes on signing lists of what it revoked. */
export async function renew(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    "passphrase-file": { type: "string" },
    json: { type: "boolean" },
  });
  const folder = folderOf(flags.dir);
  if (!exists(`${folder}/issuing.crt`))
    throw new UsageError(`--dir ${folder} has no issuing authority apart from its root: nothing to renew`);
  const passphrase = passphraseOf(flags["passphrase-file"]);
  const { issuing } = await open(folder);
  let root: Authority;
  try {
    const pair = { cert: files.read(`${folder}/ca.crt`), key: files.read(`${folder}/ca.key`) };
    root = await Authority.open(pair, passphrase === undefined ? {} : { passphrase });
  } catch (error) {
    throw new UsageError(
      `--dir ${folder}: the root's key is needed for this: ${error instanceof Error ? error.message : error}`,
    );
  }
  const made = await root.renewed(issuing);
  write(`${folder}/retired/${issuing.certificate.serialNumber}`, {
    cert: files.read(`${folder}/issuing.crt`),
    key: files.read(`${folder}/issuing.key`),
  });
  write(`${folder}/issuing`, made);
  await writeList(folder, undefined, listMs);
  report(io, flags.json, {
    issuing_certificate: `${folder}/issuing.crt`,
    issuing_key: `${folder}/issuing.key`,
    revocation_list: `${folder}/ca.crl`,
  });
  return 0;
}
