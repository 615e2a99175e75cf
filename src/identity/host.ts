/**
 * Is it a host that constraints can be compared with: labels of letters, digits, hyphens and, since such
 * hosts are in use, underscores? Lower case; no final dot, which would make two names of one.
 */
export const isHost = (text: string): boolean =>
  text.length <= 253 &&
  /^[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/.test(text);

/** A Dot-string or a Quoted-string (RFC 5321 §4.1.2). */
const localPart = /^(?:[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*|"(?:[ !#-[\]-~]|\\[ -~])*")$/;

/** `local@host` (RFC 5321 §4.1.2), the host in lower case; a quoted local part may have an `@` of its own. */
export function parseMailbox(text: string): { readonly local: string; readonly host: string } | undefined {
  const at = text.lastIndexOf("@");
  const host = text.slice(at + 1).toLowerCase();
  const local = text.slice(0, at);
  return at > 0 && localPart.test(local) && isHost(host) ? { local, host } : undefined;
}

/** Scheme and authority (RFC 3986 §3.2): of other characters, such as `\`, readers make different hosts. */
const hierarchical =
  /^[a-z][a-z0-9+.-]*:\/\/(?:[\w.~!$&'()*+,;=:%-]*@)?(?<host>[\w.-]+)(?::\d*)?(?=[/?#]|$)/i;

/** The host of a URI that has one, in lower case; an address is none (RFC 5280 §4.2.1.10). */
export function hostOfUri(uri: string): string | undefined {
  const host = hierarchical.exec(uri)?.groups?.host?.toLowerCase() ?? "";
  // A last label of digits is what makes an IPv4 address of a host (RFC 3696 §2).
  return isHost(host) && !/(^|\.)(\d+|0x[0-9a-f]*)$/.test(host) ? host : undefined;
}
