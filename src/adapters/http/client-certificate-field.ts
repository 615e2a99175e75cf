import type { CertificateIdentity } from "../../identity/identity.ts";

const hexOf = (text: string): string =>
  [...new TextEncoder().encode(text)]
    .map((byte) => `\\${byte.toString(16).toUpperCase().padStart(2, "0")}`)
    .join("");

/**
 * An RFC 4514 name in which all that is escaped is so in hexadecimal (§2.4), and all that is no printable ASCII is
 * escaped. Envoy escapes quotes with a backslash but no backslashes, so that readers differ on where `\\"` ends:
 * without quotes and doubled backslashes every reader finds the same end.
 */
const inHex = (subject: string): string =>
  subject.replace(/\\[0-9A-Fa-f]{2}|\\(.)|["\\]|[^ -~]/gsu, (found, escaped?: string) =>
    escaped === undefined && found.length === 3 ? found : hexOf(escaped ?? found),
  );

/** A value in quotes where Envoy wants it so. */
const quoted = (value: string): string => (/[,;=]/.test(value) ? `"${value}"` : value);

const uriCharacters = /^[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+$/;
const dnsCharacters = /^[A-Za-z0-9.*_-]+$/;

/** For a connection's requests it is always the same. */
const made = new WeakMap<CertificateIdentity, { readonly by: readonly string[]; readonly field: string }>();

/**
 * `X-Forwarded-Client-Cert` in Envoy's form, for one client. Names that are no URIs or host names are left out.
 *
 * @param by the URIs of the certificate that the client was shown, which Envoy calls the current proxy's
 */
export function clientCertificateField(client: CertificateIdentity, by: readonly string[]): string {
  const known = made.get(client);
  if (known?.by === by) return known.field;
  const field = makeField(client, by);
  made.set(client, { by, field });
  return field;
}

const urisOf = (key: string, uris: readonly string[]): readonly string[] =>
  uris.filter((uri) => uriCharacters.test(uri)).map((uri) => `${key}=${quoted(uri)}`);

const makeField = (
  { fingerprint, subject, uris, dnsNames }: CertificateIdentity,
  by: readonly string[],
): string =>
  [
    ...urisOf("By", by),
    `Hash=${fingerprint}`,
    `Subject="${inHex(subject)}"`,
    ...urisOf("URI", uris),
    ...dnsNames.filter((name) => dnsCharacters.test(name)).map((name) => `DNS=${name}`),
  ].join(";");
