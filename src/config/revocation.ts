import { type DenyList, parseDenyList } from "../identity/revocation/deny-list.ts";
import { type ListFiles, parseSources, readSource, type Source } from "../revocation/read-lists.ts";
import { type Files, textAt } from "./pem.ts";

/** Sources of revocation lists, of which all but URLs must be readable now. Throws with words for the user. */
export function sourcesFrom(text: string, files: ListFiles): readonly Source[] {
  const sources = parseSources(text);
  if (sources.length === 0) throw new Error("is empty: expected paths or URLs of revocation lists");
  for (const source of sources) {
    if (source.kind !== "url" && readSource(source, files).length === 0)
      throw new Error(`${source.name} holds no revocation list: expected files named .crl, .pem or .der`);
  }
  return sources;
}

/** The deny list at a path. Throws with words for the user. */
export function denyListFrom(path: string, files: Files): DenyList {
  const list = parseDenyList(textAt(path, files, "the path of a deny list"));
  if ("malformed" in list) throw new Error(`${path}, ${list.malformed}`);
  return list;
}
