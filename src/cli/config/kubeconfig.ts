import { closeSync, existsSync, mkdirSync, openSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { type Document, isMap, isSeq, parseDocument, type YAMLMap } from "yaml";
import { writeAtomically } from "../../runtime/key-files.ts";

/** A cluster, a user and a context of one name. */
export interface KubeEntries {
  readonly name: string;
  readonly cluster: object;
  readonly user: object;
  /** Makes the context the current one; it is anyway where there is none. */
  readonly use: boolean;
}

/** The same for one file of several, another of which may name the current context. */
type FileEntries = Omit<KubeEntries, "use"> & { readonly use: "always" | "if none" | "never" };

/** Puts an entry into one of the lists, in the place of its namesake. */
function put(document: Document, list: string, key: string, name: string, value: object): void {
  const entry = document.createNode({ name, [key]: value });
  const there = document.get(list);
  if (!isSeq(there)) {
    document.set(list, document.createNode([{ name, [key]: value }]));
    return;
  }
  const at = there.items.findIndex((item) => isMap(item) && (item as YAMLMap).get("name") === name);
  if (at >= 0) there.items[at] = entry;
  else there.items.push(entry);
  // As `[]` it would go on in one line.
  there.flow = false;
}

function withCurrentContext(text: string, name: string): string {
  const document = parseDocument(text);
  document.set("current-context", name);
  return document.toString({ lineWidth: 0 });
}

/** The kubeconfig with these entries; all else in it, comments too, stays. Throws where it is none. */
export function withEntries(text: string, { name, cluster, user, use }: FileEntries): string {
  const document = parseDocument(text.trim() === "" ? "apiVersion: v1\nkind: Config\n" : text);
  const [broken] = document.errors;
  if (broken !== undefined) throw new Error(`it is no YAML: ${broken.message.split("\n")[0]}`);
  if (!isMap(document.contents) || (document.has("kind") && document.get("kind") !== "Config"))
    throw new Error("it is no kubeconfig");
  put(document, "clusters", "cluster", name, cluster);
  put(document, "users", "user", name, user);
  put(document, "contexts", "context", name, { cluster: name, user: name });
  const current = document.get("current-context");
  const none = current === undefined || current === "" || current === null;
  if (use === "always" || (use === "if none" && none)) document.set("current-context", name);
  return document.toString({ lineWidth: 0 });
}

/** What a file says of contexts; nothing where it says nothing that can be read. */
function contextsOf(path: string): { readonly names: readonly unknown[]; readonly current: unknown } {
  if (!existsSync(path)) return { names: [], current: undefined };
  const document = parseDocument(readFileSync(path, "utf8"));
  const contexts = document.get("contexts");
  return {
    names: isSeq(contexts) ? contexts.items.map((item) => (isMap(item) ? item.get("name") : undefined)) : [],
    current: document.get("current-context"),
  };
}

/**
 * Merges entries into one of the files that kubectl reads, by its own rule: where they are already, else the first
 * file there is, else the last one. Gives its path.
 */
export function mergeKubeconfigs(paths: readonly string[], entries: KubeEntries): string {
  const there = paths.filter((path) => existsSync(path));
  const path =
    there.find((one) => contextsOf(one).names.includes(entries.name)) ?? there[0] ?? paths[paths.length - 1];
  if (path === undefined) throw new TypeError("no path");
  // The first that names a current context decides for all of them.
  const chosen = there.find((one) => (contextsOf(one).current ?? "") !== "") ?? path;
  mergeKubeconfig(path, {
    ...entries,
    use: chosen === path ? (entries.use ? "always" : "if none") : "never",
  });
  if (entries.use && chosen !== path) rewrite(chosen, (text) => withCurrentContext(text, entries.name));
  return path;
}

/** Merges entries into the file at `path`. */
export const mergeKubeconfig = (path: string, entries: FileEntries): void =>
  rewrite(path, (text) => withEntries(text, entries));

/** Changes the file at `path`: under kubectl's own lock, whole or not at all, behind a link where it is one. */
function rewrite(path: string, change: (text: string) => string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
  const real = existsSync(path) ? realpathSync(path) : path;
  const lock = `${path}.lock`;
  try {
    closeSync(openSync(lock, "wx", 0o600));
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "EEXIST") throw error;
    throw new Error(`${lock} is there: kubectl writes at this moment, or left it behind (then remove it)`);
  }
  try {
    const text = existsSync(real) ? readFileSync(real, "utf8") : "";
    let merged: string;
    try {
      merged = change(text);
    } catch (error) {
      throw new Error(`${path} is left as it is: ${error instanceof Error ? error.message : String(error)}`);
    }
    writeAtomically(real, merged, true);
  } finally {
    rmSync(lock, { force: true });
  }
}
