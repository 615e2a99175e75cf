/**
 * What a request to a Kubernetes API is for, read from its method and target as the API server itself reads it
 * (k8s.io/apiserver, RequestInfoFactory): the words are those of its RBAC rules and of its own audit log.
 */
export interface RequestInfo {
  /** `get` `list` `watch` `create` `update` `patch` `delete` `deletecollection`; the method where there is no resource. */
  readonly verb: string;
  /** `null` where the request is for no resource (`/version`, `/openapi/v3`); the core group is "". */
  readonly group: string | null;
  readonly version: string | null;
  readonly namespace: string | null;
  readonly resource: string | null;
  readonly subresource: string | null;
  readonly name: string | null;
}

/** Not what any reader of paths agrees on with any other: words for the client. */
export interface Ambiguous {
  readonly ambiguous: string;
}

const verbs: Readonly<Record<string, string>> = {
  POST: "create",
  GET: "get",
  HEAD: "get",
  PUT: "update",
  PATCH: "patch",
  DELETE: "delete",
};

/** First words of a path that say what is done, rather than what with. */
const verbsInPath: ReadonlySet<string> = new Set(["proxy", "watch"]);
/** Told apart from resources in a namespace by nothing but their names. */
const ofNamespaces: ReadonlySet<string> = new Set(["status", "finalize"]);

/** Splits a target at its `?`. */
export function pathAndQuery(target: string): readonly [path: string, query: string] {
  const at = target.indexOf("?");
  return at < 0 ? [target, ""] : [target.slice(0, at), target.slice(at + 1)];
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

const isDots = (segment: string): boolean => segment === "." || segment === "..";

/**
 * One segment as its name. What the API server takes for no name (a slash, a percent sign, dots) is what readers on the
 * way would read in several ways.
 */
function nameOf(segment: string): string | Ambiguous {
  const name = decoded(segment);
  if (name === null) return { ambiguous: "a % in the path that begins no UTF-8" };
  if (isDots(name)) return { ambiguous: "dots for a path segment" };
  if (/[/%\\]/.test(name)) return { ambiguous: "an encoded slash, backslash or percent sign in the path" };
  if ([...name].some((character) => character < " " || character === "\x7f"))
    return { ambiguous: "a control character in the path" };
  return name;
}

/** What stands behind `…/proxy/` is an app's own path, in which dots alone could lead back out of it. */
function tailOf(segment: string): string | Ambiguous {
  const text = decoded(segment) ?? segment;
  return text.split(/[/\\]/).some(isDots) ? { ambiguous: "dots for a path segment" } : text;
}

/** Where the names of a path end, in segments, and what follows `proxy` begins. */
function namesEnd(segments: readonly string[]): number {
  const groupless = segments[0] === "api";
  if (!groupless && segments[0] !== "apis") return segments.length;
  const at = groupless ? 2 : 3;
  const inNamespace =
    segments[at] === "namespaces" && segments.length > at + 2 && !ofNamespaces.has(segments[at + 2] ?? "");
  const subresource = at + (inNamespace ? 2 : 0) + 2;
  return segments[subresource] === "proxy" ? subresource + 1 : segments.length;
}

/** The names in a path, and behind an app's `proxy` what it makes of them. */
function segmentsOf(path: string): readonly string[] | Ambiguous {
  if (/[#\\]|[^!-~]/.test(path)) return { ambiguous: "a character in the path that belongs in none" };
  const raw = path.slice(1).split("/");
  if (raw.at(-1) === "") raw.pop();
  const end = namesEnd(raw);
  const segments: string[] = [];
  for (const [i, segment] of raw.entries()) {
    const read = i < end ? nameOf(segment) : tailOf(segment);
    if (typeof read !== "string") return read;
    if (i < end && read === "") return { ambiguous: "an empty path segment" };
    segments.push(read);
  }
  // Written in other characters than plain ones, `proxy` would be read as such only behind us.
  return namesEnd(segments) < end ? { ambiguous: "an encoded word of the API's own in the path" } : segments;
}

/** The values of a parameter, as Go's url.ParseQuery has them. */
function parameters(query: string, wanted: string): readonly string[] {
  const plain = (text: string): string | null => decoded(text.replaceAll("+", " "));
  return query.split("&").flatMap((pair) => {
    // Go drops what holds a semicolon.
    if (pair.includes(";")) return [];
    const at = pair.indexOf("=");
    const value = plain(at < 0 ? "" : pair.slice(at + 1));
    return plain(at < 0 ? pair : pair.slice(0, at)) === wanted && value !== null ? [value] : [];
  });
}

/** A target without the parameters of that name, however it is written, and wherever a reader finds them. */
export function withoutParameter(target: string, unwanted: string): string {
  const [path, query] = pathAndQuery(target);
  // What splits pairs at a semicolon finds it behind one.
  const holds = (pair: string): boolean =>
    pair.split(";").some((part) => {
      const [name = ""] = part.split("=");
      return (decoded(name.replaceAll("+", " ")) ?? name).trim().toLowerCase() === unwanted;
    });
  const pairs = query.split("&");
  const kept = pairs.filter((pair) => !holds(pair));
  if (kept.length === pairs.length) return target;
  return kept.length === 0 ? path : `${path}?${kept.join("&")}`;
}

/** The one object that a field selector leaves (`metadata.name=web-0`). */
function selectedName(query: string): string | null {
  const [selector = ""] = parameters(query, "fieldSelector");
  for (const term of selector.split(",")) {
    const name = /^metadata\.name==?([^=!]+)$/.exec(term)?.[1];
    if (name !== undefined && !isDots(name) && !/[/%]/.test(name)) return name;
  }
  return null;
}

/** Whether a parameter switches something on, as the API server reads it. */
function isOn(query: string, wanted: string): boolean {
  const [value] = parameters(query, wanted);
  return value !== undefined && !["false", "0"].includes(value.toLowerCase());
}

/** What a method without a name is for: objects of a kind rather than one. */
function ofMany(verb: string, query: string): { readonly verb: string; readonly name: string | null } {
  if (verb === "get") return { verb: isOn(query, "watch") ? "watch" : "list", name: selectedName(query) };
  return { verb: verb === "delete" ? "deletecollection" : verb, name: null };
}

/**
 * Reads what a request is for.
 *
 * @param target path and query, as sent
 */
export function requestInfo(method: string, target: string): RequestInfo | Ambiguous {
  const [path, query] = pathAndQuery(target);
  const segments = segmentsOf(path);
  if ("ambiguous" in segments) return segments;
  const none: RequestInfo = {
    verb: method.toLowerCase(),
    group: null,
    version: null,
    namespace: null,
    resource: null,
    subresource: null,
    name: null,
  };
  const [prefix, ...rest] = segments;
  const grouped = prefix === "apis";
  if ((prefix !== "api" && !grouped) || rest.length < (grouped ? 3 : 2)) return none;
  const group = grouped ? (rest.shift() ?? "") : "";
  const version = rest.shift() ?? "";
  let verb = verbs[method] ?? method.toLowerCase();
  if (verbsInPath.has(rest[0] ?? "")) {
    if (rest.length < 2) return { ambiguous: `nothing to ${rest[0]} in the path` };
    verb = rest.shift() ?? "";
  }
  let namespace: string | null = null;
  if (rest[0] === "namespaces" && rest.length > 1) {
    namespace = rest[1] ?? null;
    if (rest.length > 2 && !ofNamespaces.has(rest[2] ?? "")) rest.splice(0, 2);
  }
  const [resource = null, name = null, third = null] = rest;
  const found = { group, version, namespace, resource, subresource: verb === "proxy" ? null : third };
  return name === null ? { ...found, ...ofMany(verb, query) } : { ...found, verb, name };
}

/** Whether an answer goes on for as long as its client likes, and says nothing while nothing happens. */
export const goesOnForLong = ({ verb, subresource }: RequestInfo, target: string): boolean =>
  verb === "watch" || (subresource === "log" && isOn(pathAndQuery(target)[1], "follow"));
