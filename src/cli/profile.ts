import { chmodSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { ClientPair, TunnelMemory } from "../local/link.ts";
import { files } from "../runtime/files.ts";
import { exists, writeAtomically, writeTogether } from "../runtime/key-files.ts";
import { type CliIo, UsageError } from "./command.ts";

/** What `login` keeps for the other client commands. */
export interface Profile {
  /** `host:port`. */
  readonly router: string;
  /** PEM trust anchors for the router; `null`: the system's. */
  readonly ca: string | null;
  /** PEM, leaf first. */
  readonly certificate: string;
  /** PEM. */
  readonly key: string;
}

/** The user's own folder for it (XDG Base Directory Specification). */
export function profileFolder(env: CliIo["env"]): string {
  const { XDG_CONFIG_HOME: config = "", HOME: home = "", APPDATA: data = "" } = env;
  // A relative one is to be ignored, says the specification.
  if (config.startsWith("/")) return join(config, "sallyport");
  if (home !== "") return join(home, ".config", "sallyport");
  if (data !== "") return join(data, "sallyport");
  throw new UsageError("HOME is not set: expected it, or XDG_CONFIG_HOME, for the profile");
}

const tunnels = "tunnels.json";
const localPair = { certificate: "local.crt", key: "local.key" } as const;

const names = { state: "profile.json", ca: "ca.crt", certificate: "client.crt", key: "client.key" } as const;

/** What `ssh` is to log in with, beside it. */
export interface SshProfile {
  /** PEM. */
  readonly key: string;
  /** The line of a `.pub` file. */
  readonly publicKey: string;
  /** The line of a `-cert.pub` file. */
  readonly certificate: string;
  /** What the router says signs hosts' certificates: type and Base64. */
  readonly hostAuthority: string;
}

const sshNames = {
  key: "ssh",
  // Without it `ssh` does not see that key and certificate belong together.
  publicKey: "ssh.pub",
  certificate: "ssh-cert.pub",
  hosts: "ssh-known-hosts",
} as const;

/** Where it is, for OpenSSH's configuration; `null` where there is none. */
export function sshPaths(folder: string): { readonly [K in "key" | "certificate" | "hosts"]: string } | null {
  const { key, certificate, hosts } = sshNames;
  if (!exists(join(folder, certificate))) return null;
  return { key: join(folder, key), certificate: join(folder, certificate), hosts: join(folder, hosts) };
}

/** The key that `ssh` logs in with. */
export const sshKeyOf = (folder: string): string | null => text(join(folder, sshNames.key));

function writeSsh(folder: string, ssh: SshProfile | null): void {
  const file = (name: keyof typeof sshNames): string => join(folder, sshNames[name]);
  if (ssh === null) {
    for (const name of ["key", "publicKey", "certificate", "hosts"] as const)
      rmSync(file(name), { force: true });
    return;
  }
  writeTogether(
    { path: file("key"), contents: ssh.key, secret: true },
    { path: file("publicKey"), contents: `${ssh.publicKey}\n`, secret: false },
    { path: file("hosts"), contents: `@cert-authority * ${ssh.hostAuthority}\n`, secret: false },
    { path: file("certificate"), contents: `${ssh.certificate}\n`, secret: false },
  );
}

/** Writes it; the keys are their owner's alone from the first byte. */
export function writeProfile(
  folder: string,
  { router, ca, certificate, key }: Profile,
  ssh: SshProfile | null = null,
): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  const file = (name: keyof typeof names): string => join(folder, names[name]);
  if (ca === null) rmSync(file("ca"), { force: true });
  else writeAtomically(file("ca"), ca, false);
  writeAtomically(file("state"), `${JSON.stringify({ router })}\n`, false);
  writeSsh(folder, ssh);
  // The certificate last: with it the profile is whole.
  writeTogether(
    { path: file("key"), contents: key, secret: true },
    { path: file("certificate"), contents: certificate, secret: false },
  );
}

function text(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOENT") return null;
    throw error;
  }
}

/** What is there of it: each part may be missing. */
export function readProfile(folder: string): { readonly [K in keyof Profile]: string | null } {
  const read = (name: keyof typeof names): string | null => text(join(folder, names[name]));
  let router: unknown;
  try {
    router = (JSON.parse(read("state") ?? "{}") as { readonly router?: unknown }).router;
  } catch {
    // As good as none: a login writes it anew.
  }
  return {
    router: typeof router === "string" ? router : null,
    ca: read("ca"),
    certificate: read("certificate"),
    key: read("key"),
  };
}

/** Forgets it. True when there was one. */
export function removeProfile(folder: string): boolean {
  const there = text(join(folder, names.certificate)) !== null || text(join(folder, names.key)) !== null;
  // The keys first: nothing else of it is a secret.
  writeSsh(folder, null);
  for (const name of ["key", "certificate", "ca", "state"] as const)
    rmSync(join(folder, names[name]), { force: true });
  for (const name of [localPair.key, localPair.certificate, tunnels])
    rmSync(join(folder, name), { force: true });
  return there;
}

/** Which routers are behind a balancer that ends TLS, kept beside the profile. */
export function tunnelMemory(folder: string): TunnelMemory {
  const read = (): readonly string[] => {
    try {
      const known: unknown = JSON.parse(text(join(folder, tunnels)) ?? "[]");
      return Array.isArray(known) ? known.filter((one) => typeof one === "string") : [];
    } catch {
      return [];
    }
  };
  let known = read();
  return {
    needed: (router) => known.includes(router),
    remember: (router, needed) => {
      if (needed === known.includes(router)) return;
      known = [...read().filter((one) => one !== router), ...(needed ? [router] : [])];
      try {
        writeAtomically(join(folder, tunnels), `${JSON.stringify(known)}\n`, false);
      } catch {
        // Where nothing can be kept it is found out anew each time.
      }
    },
  };
}

/** A new one is made when the old one has less left. */
const localLeftMs = 30 * 86_400_000;

/** The local proxy's own certificate and key, kept so that clients may come to trust it. */
export async function localCertificate(folder: string): Promise<ClientPair> {
  const at = (name: keyof typeof localPair): string => join(folder, localPair[name]);
  const certificate = text(at("certificate"));
  const key = text(at("key"));
  if (certificate !== null && key !== null) {
    const { problem, notAfter } = files.inspectPair(certificate, key);
    if (problem === null && notAfter.getTime() > Date.now() + localLeftMs) return { certificate, key };
  }
  // Loaded when there is one to make: it takes the library for certificates, which most commands do without.
  const { selfSigned } = await import("../local/self-signed.ts");
  const made = await selfSigned(Date.now());
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeTogether(
    { path: at("key"), contents: made.key, secret: true },
    { path: at("certificate"), contents: made.certificate, secret: false },
  );
  return made;
}
