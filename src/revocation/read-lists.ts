import { type Crl, parseCrl } from "../identity/revocation/crl.ts";

/** Where lists of revoked certificates come from, as the user named it. */
export type Source =
  /** Its name is without what may be a secret in it: it stands in logs and metrics. */
  | { readonly kind: "url"; readonly name: string; readonly url: string }
  | { readonly kind: "path"; readonly name: string }
  | { readonly kind: "text"; readonly name: string; readonly text: string };

/** Reads `SALLYPORT_CRL` and `crl=`: PEM text, or paths and URLs with commas between them. */
export function parseSources(value: string): readonly Source[] {
  const text = value.trim();
  if (text.startsWith("-----BEGIN")) {
    return [{ kind: "text", name: "PEM text", text: text.replaceAll("\\n", "\n") }];
  }
  return text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "")
    .map((name) => (/^https?:\/\//i.test(name) ? urlSource(name) : { kind: "path", name }));
}

function urlSource(text: string): Source {
  if (!URL.canParse(text)) throw new Error("holds a URL that is none");
  const { username, password, origin, pathname } = new URL(text);
  if (username !== "" || password !== "") throw new Error("holds a URL with a user's name or password");
  return { kind: "url", name: `${origin}${pathname}`, url: text };
}

const block = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]*)-----END X509 CRL-----/g;
const derSequence = 0x30;

function derFrom(bytes: Uint8Array): Uint8Array[] {
  if (bytes[0] === derSequence) return [bytes];
  // Text, since DER begins otherwise.
  const text = new TextDecoder("latin1").decode(bytes);
  const blocks = [...text.matchAll(block)];
  if (blocks.length !== text.split("-----BEGIN X509 CRL-----").length - 1)
    throw new Error("holds a list that is cut off");
  return blocks.map(([, body = ""]) => {
    try {
      return Uint8Array.from(atob(body.replace(/\s/g, "")), (c) => c.charCodeAt(0));
    } catch {
      throw new Error("holds a list that is not in base64");
    }
  });
}

/** The lists in a file, PEM or DER: one at least. Throws with words for the user. */
export function listsIn(bytes: Uint8Array): Crl[] {
  const found = derFrom(bytes);
  if (found.length === 0) throw new Error("holds no revocation list: expected X509 CRL, PEM or DER");
  return found.map((der) => {
    const parsed = parseCrl(der);
    if ("malformed" in parsed) throw new Error(`holds a list that can't be used: ${parsed.malformed}`);
    return parsed;
  });
}

/** The files that lists are read from. */
export interface ListFiles {
  /** Changes whenever the file or folder does; `null` where there is none. */
  stamp(path: string): string | null;
  isFolder(path: string): boolean;
  /** File names in a folder. Throws. */
  list(folder: string): string[];
  /** Throws. */
  readBytes(path: string): Uint8Array;
}

/** The files of a path: itself, or those in a folder that are named like lists. */
export const filesOf = (path: string, files: ListFiles): string[] =>
  files.isFolder(path)
    ? files
        .list(path)
        .filter((name) => /\.(crl|pem|der)$/i.test(name))
        .sort()
        .map((name) => `${path}/${name}`)
    : [path];

/** Every list of a source that is no URL. Throws with words for the user. */
export function readSource(source: Source, files: ListFiles): Crl[] {
  if (source.kind === "text") return listsIn(new TextEncoder().encode(source.text));
  return filesOf(source.name, files).flatMap((path) => {
    let bytes: Uint8Array;
    try {
      bytes = files.readBytes(path);
    } catch (error) {
      const { code } = error as { readonly code?: unknown };
      const why = code === "ENOENT" ? "no such file" : typeof code === "string" ? code : "reading failed";
      throw new Error(`${path} can't be read (${why}): expected a revocation list, PEM or DER`);
    }
    try {
      return listsIn(bytes);
    } catch (error) {
      throw new Error(`${path} ${error instanceof Error ? error.message : String(error)}`);
    }
  });
}
