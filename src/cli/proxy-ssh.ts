import { patient } from "../local/streams.ts";
import { printable } from "../observe/printable.ts";
import { portableRelay } from "../runtime/relay.ts";
import { StdioConnection } from "../runtime/stdio.ts";
import type { Connection } from "../types.ts";
import { normaliseServerName } from "../wire/server-name.ts";
import { openClient } from "./client.ts";
import { clientFlags } from "./client-options.ts";
import { type CliIo, UsageError } from "./command.ts";
import { optionsAnd } from "./options.ts";

const flagsOfSsh = { ...clientFlags, alpn: { type: "string" } } as const;

/** `proxy ssh HOST[:PORT]`: one connection on standard input and output. */
export async function proxySsh(args: readonly string[], io: CliIo): Promise<number> {
  const { values: flags, positionals } = optionsAnd(args, flagsOfSsh, ["HOST:PORT"]);
  // OpenSSH always names a port; which one it is means nothing on the one port.
  const host = normaliseServerName((positionals[0] ?? "").replace(/:\d{1,5}$/, ""));
  if (host === null)
    throw new UsageError(`${positionals[0]}: expected a host name, such as node1.ssh.example.com:22`);
  const client = await openClient(flags, io.env);
  const { pair } = await client.credential((line) => io.err(`sallyport: ${printable(line)}`)).current();
  const router = await client.link.dial(host, flags.alpn ?? "sallyport-ssh", pair);
  const stdio = new StdioConnection();
  // Whoever started us waits for our end to learn of the router's: it is not for them to close first.
  await Promise.race([portableRelay<Connection>(stdio, router, patient), stdio.closed]);
  if (router.bytesRead > 0) return 0;
  io.err(
    `sallyport: the router closed the connection to ${host} before a word: does "sallyport routes" list it?`,
  );
  return 1;
}
