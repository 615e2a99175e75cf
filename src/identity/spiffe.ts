// A trust domain alone is an authority's, never a holder's: there is a path (SPIFFE X509-SVID §5.2).
const spiffeId = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/[A-Za-z0-9._-]+)+$/;

/** A holder's SPIFFE ID (SPIFFE-ID §2). */
export const isSpiffeId = (uri: string): boolean =>
  uri.length <= 2048 && spiffeId.test(uri) && !/\/\.{1,2}(\/|$)/.test(uri);

/** An X.509-SVID has exactly one URI, and it is its SPIFFE ID (SPIFFE X509-SVID §2). */
export function spiffeOf(uris: readonly string[]): string | null {
  const [uri] = uris;
  return uri !== undefined && uris.length === 1 && isSpiffeId(uri) ? uri : null;
}
