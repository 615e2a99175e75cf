import { SshAuthority, type SshPermission, sshKeyFiles, sshPermissions } from "../authority/ssh-authority.ts";
import { newSshKey } from "../authority/ssh-key.ts";
import { list } from "../config/values.ts";
import { files } from "../runtime/files.ts";
import { exists, writeAtomically, writeOnce } from "../runtime/key-files.ts";
import type { SshPublicKey } from "../wire/ssh-public-key.ts";
import { folderOf, named, report } from "./ca-folder.ts";
import { clientLifetime } from "./ca-issue.ts";
import { limitsOf } from "./ca-limits.ts";
import { type CliIo, UsageError } from "./command.ts";
import { lifetime, options, required } from "./options.ts";
import { sshKeyIn } from "./ssh-key-file.ts";

const dayMs = 24 * 3_600_000;
const many = { type: "string", multiple: true } as const;

/** The SSH authority of a folder for users or for hosts, made at its first use. */
async function openSsh(dir: string | undefined, kind: keyof typeof sshKeyFiles): Promise<SshAuthority> {
  const path = `${folderOf(dir)}/${sshKeyFiles[kind]}`;
  // Two at a time make one: whoever comes second takes the first one's.
  if (!exists(path)) writeOnce(path, await newSshKey());
  const pem = files.read(path);
  try {
    return await SshAuthority.open(pem);
  } catch (error) {
    throw new UsageError(`--dir ${dir}: ${path}: ${error instanceof Error ? error.message : error}`);
  }
}

interface PublicKeyFile {
  readonly publicKey: SshPublicKey;
  readonly path: string;
}

function publicKeyIn(path: string | undefined): PublicKeyFile {
  const file = required(path, "--public-key", "a file such as ~/.ssh/id_ed25519.pub");
  return { publicKey: sshKeyIn(file, "--public-key"), path: file };
}

/** Where OpenSSH looks for it: beside the key. */
function write(io: CliIo, json: boolean | undefined, out: string, certificate: string): void {
  const path = `${out}-cert.pub`;
  writeAtomically(path, `${certificate}\n`, false);
  report(io, json, { certificate: path });
}

const besideKey = (path: string): string => path.replace(/\.pub$/, "");

/** What `sshd` is to allow; `none`: commands and file transfer alone. */
function permissionsOf(flags: readonly string[] | undefined): SshPermission[] {
  const words = (flags ?? ["pty,port-forwarding"]).flatMap(list);
  if (words.length === 1 && words[0] === "none") return [];
  return words.map((word) => {
    const found = sshPermissions.find((one) => one === word);
    if (found !== undefined) return found;
    throw new UsageError(`--permit ${word}: expected some of ${sshPermissions.join(", ")}, or none`);
  });
}

/** `ca ssh`: what servers and clients need to know of the authority. */
export async function ssh(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    for: { type: "string" },
    host: many,
    json: { type: "boolean" },
  });
  const whom = flags.for;
  if (whom !== undefined && whom !== "sshd" && whom !== "clients")
    throw new UsageError(`--for ${whom}: expected sshd or clients, or nothing for both`);
  const hosts = (flags.host ?? ["*"]).flatMap(list);
  for (const host of hosts)
    if (!/^!?[A-Za-z0-9*?._:[\]-]+$/.test(host))
      throw new UsageError(`--host ${host}: expected a host name or pattern, such as *.ssh.example.com`);
  if (hosts.length === 0) throw new UsageError("--host is empty: expected a host name or pattern");
  const users = (await openSsh(flags.dir, "user")).publicLine("sallyport-users");
  const known = (await openSsh(flags.dir, "host")).publicLine("sallyport-hosts");
  const authority = `@cert-authority ${hosts.join(",")} ${known}`;
  if (flags.json === true) {
    io.out(JSON.stringify({ trusted_user_ca_keys: users, cert_authority: authority }));
    return 0;
  }
  if (whom === undefined) io.out("# sshd, in the file that TrustedUserCAKeys names:");
  if (whom !== "clients") io.out(users);
  if (whom === undefined) io.out("# clients, in ~/.ssh/known_hosts or /etc/ssh/ssh_known_hosts:");
  if (whom !== "sshd") io.out(authority);
  return 0;
}

/** `ca ssh-user`: a certificate for a person's or a machine's SSH key. */
export async function sshUser(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    "public-key": { type: "string" },
    cn: { type: "string" },
    principal: many,
    lifetime: { type: "string" },
    source: many,
    permit: many,
    out: { type: "string" },
    force: { type: "boolean" },
    json: { type: "boolean" },
  });
  const { publicKey, path } = publicKeyIn(flags["public-key"]);
  const request = {
    publicKey,
    keyId: required(flags.cn, "--cn", "the holder's name"),
    principals: (flags.principal ?? []).flatMap(list),
    lifetimeMs: clientLifetime(flags.lifetime, flags.force === true),
    permissions: permissionsOf(flags.permit),
    sources: limitsOf(flags.source ?? [], []).sources ?? [],
  };
  required(request.principals[0], "--principal", "a user to log in as");
  const made = await named((await openSsh(flags.dir, "user")).user(request));
  write(io, flags.json, flags.out ?? besideKey(path), made);
  return 0;
}

/** `ca ssh-host`: a certificate for a server's SSH key. */
export async function sshHost(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    dir: { type: "string" },
    "public-key": { type: "string" },
    name: many,
    lifetime: { type: "string" },
    out: { type: "string" },
    json: { type: "boolean" },
  });
  const { publicKey, path } = publicKeyIn(flags["public-key"]);
  const names = flags.name ?? [];
  required(names[0], "--name", "a DNS name or an address");
  const lifetimeMs = lifetime(flags.lifetime, "--lifetime", 90 * dayMs, 825 * dayMs);
  const made = await named((await openSsh(flags.dir, "host")).host({ publicKey, names, lifetimeMs }));
  write(io, flags.json, flags.out ?? besideKey(path), made);
  return 0;
}
