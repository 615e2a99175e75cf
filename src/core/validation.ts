import type { ClientHello } from "../wire/client-hello.ts";
import { normaliseServerName } from "../wire/server-name.ts";

/** What an authority asks for when it validates a name (RFC 8737 §6.2). */
export const validationProtocol = "acme-tls/1";

/**
 * The name that an authority validates by this hello: it offers `acme-tls/1` and nothing else (RFC 8737 §3). `null`
 * where the hello is for anything else.
 */
export function validatedName({ alpn, serverName }: ClientHello): string | null {
  if (alpn.length !== 1 || alpn[0] !== validationProtocol || serverName === null) return null;
  return normaliseServerName(serverName);
}
