import { parseNamePattern } from "../../config/names.ts";
import { type Client, openClient } from "../client.ts";
import { clientFlags } from "../client-options.ts";
import { type CliIo, UsageError } from "../command.ts";
import { askRoutes } from "../listed-routes.ts";
import { options } from "../options.ts";
import { profileFolder, sshPaths } from "../profile.ts";
import { commandAgain } from "./again.ts";

/** For the shell that OpenSSH hands a ProxyCommand to; `%` would be one of its own tokens. */
export const forProxyCommand = (words: readonly string[]): string =>
  words
    .map((word) => (/^[A-Za-z0-9_@:,.+/=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(" ")
    .replaceAll("%", "%%");

/** A name as `sni=` has it, as OpenSSH's `Host` takes it. */
function hostPattern(sni: string): string | null {
  const pattern = parseNamePattern(sni);
  if ("problem" in pattern) return null;
  return [...pattern.variables.map(() => "*"), pattern.suffix].join(".");
}

async function sshHosts(client: Client, io: CliIo): Promise<string[]> {
  const { pair } = await client.credential((line) => io.err(`sallyport: ${line}`)).current();
  const api = client.api(pair);
  try {
    const listed = await askRoutes(api);
    const names = listed.filter(({ scheme }) => scheme === "ssh").flatMap(({ sni }) => sni);
    return names.map(hostPattern).filter((host) => host !== null);
  } finally {
    api.close();
  }
}

/** A path as OpenSSH's configuration takes one; `null` where it can't be said. */
const quoted = (path: string): string | null =>
  /["\p{Cc}]/u.test(path) || path.includes("${") ? null : `"${path.replaceAll("%", "%%")}"`;

/** What logs in with the SSH certificate that came with the profile, where one did. */
function certificateLines(folder: string): string[] {
  const paths = sshPaths(folder);
  if (paths === null) return [];
  const [key, certificate, hosts] = [paths.key, paths.certificate, paths.hosts].map(quoted);
  if (!key || !certificate || !hosts)
    throw new UsageError(`the profile's folder ${folder} can't be named in an OpenSSH configuration`);
  return [
    `  IdentityFile ${key}`,
    `  CertificateFile ${certificate}`,
    `  UserKnownHostsFile ~/.ssh/known_hosts ${hosts}`,
  ];
}

/** `config ssh`: prints what belongs into ~/.ssh/config. */
export async function configSsh(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, { ...clientFlags, host: { type: "string", multiple: true } });
  const hosts = flags.host ?? (await sshHosts(await openClient(flags, io.env), io));
  if (hosts.length === 0)
    throw new UsageError(
      "the router lists no ssh route for you: expected --host, such as --host '*.ssh.example.com'",
    );
  for (const host of hosts)
    if (!/^[A-Za-z0-9*?._-]+$/.test(host))
      throw new UsageError(`--host ${host}: expected a host name or pattern`);
  const command = forProxyCommand(commandAgain(["proxy", "ssh"], flags, io.env));
  io.out(`# Sallyport: ssh, scp, sftp, rsync and git reach these hosts through the router.`);
  io.out(`Host ${hosts.join(" ")}`);
  io.out(`  ProxyCommand ${command} -- %h:%p`);
  for (const line of certificateLines(profileFolder(io.env))) io.out(line);
  return 0;
}
