import type { Attribute } from "./name.ts";
import { valuesOf } from "./name.ts";
import { spiffeOf } from "./spiffe.ts";

/** Where a holder's groups are found. */
export type GroupSource =
  | { readonly from: "ou" }
  | { readonly from: "o" }
  | { readonly from: "extension" }
  /** A URI in which one segment is the group. */
  | { readonly from: "uri"; readonly before: string; readonly after: string };

export const defaultGroupSources: readonly GroupSource[] = [{ from: "ou" }, { from: "extension" }];

/** Reads one place: `ou`, `o`, `extension`, or `uri:` and a URI with `{group}` for one segment of it. */
export function parseGroupSource(text: string): GroupSource | { readonly problem: string } {
  if (text === "ou" || text === "o" || text === "extension") return { from: text };
  const [before = "", after, ...rest] = text.replace(/^uri:/, "").split("{group}");
  if (
    text.startsWith("uri:") &&
    after !== undefined &&
    rest.length === 0 &&
    /^[a-z][a-z0-9+.-]*:/i.test(before)
  )
    return { from: "uri", before, after };
  return {
    problem: `${JSON.stringify(text)} is no place for groups: expected ou, o, extension or a uri: with {group} in it, such as uri:spiffe://example.com/group/{group}`,
  };
}

/** All groups that a certificate says its holder is in, each once. */
export function groupsIn(
  certificate: {
    readonly subjectName: readonly (readonly Attribute[])[];
    readonly names: { readonly uri: readonly string[] };
    readonly grants: { readonly groups: readonly string[] } | null;
  },
  sources: readonly GroupSource[],
): readonly string[] {
  const found = sources.flatMap((source) => {
    if (source.from === "ou") return valuesOf(certificate.subjectName, "OU");
    if (source.from === "o") return valuesOf(certificate.subjectName, "O");
    if (source.from === "extension") return certificate.grants?.groups ?? [];
    const { before, after } = source;
    // A SPIFFE ID counts where it is the only URI (SPIFFE X509-SVID §2).
    if (/^spiffe:/i.test(before) && spiffeOf(certificate.names.uri) === null) return [];
    return certificate.names.uri.flatMap((uri) => {
      const group = uri.slice(before.length, uri.length - after.length);
      const fits = uri.length > before.length + after.length && uri.startsWith(before) && uri.endsWith(after);
      return fits && /^(?!\.{1,2}$)[^/?#]+$/.test(group) ? [group] : [];
    });
  });
  return [...new Set(found)];
}
