import { cidrContains, cidrsOverlap, type Ip } from "../wire/ip.ts";
import { normaliseServerName } from "../wire/server-name.ts";
import type { NamePattern, Route } from "./route.ts";

/** What routing looks at. */
export interface Question {
  /** As the hello carries it. */
  readonly serverName: string | null;
  readonly alpn: readonly string[];
  /** Asked for where a route minds. */
  readonly source: Ip;
  /** The route whose own listener this came in by; `null` on the one port. */
  readonly own: Route | null;
}

export interface Hit {
  readonly ok: true;
  readonly route: Route;
  readonly captures: Readonly<Record<string, string>>;
  /** The protocol to agree on; `null` when the client offered none or the route does not terminate. */
  readonly alpn: string | null;
}

export type Match = Hit | { readonly ok: false; readonly reason: MissReason; readonly detail: string };

export type MissReason = "unknown_name" | "no_protocol" | "source_not_allowed";

/** Two routes that could match one hello equally. */
export interface Conflict {
  readonly first: Route;
  readonly second: Route;
  readonly detail: string;
}

/** Routes that share one name pattern shape: the ALPN ids decide among them. */
interface Group {
  readonly pattern: NamePattern;
  readonly members: { readonly route: Route; readonly pattern: NamePattern }[];
}

const noCaptures: Readonly<Record<string, string>> = {};
const noLabels: readonly string[] = [];

export class RouteTable {
  readonly routes: readonly Route[];
  /** Exact names under `0`, patterns under the number of their variable labels, each by literal suffix. */
  readonly #groups = new Map<number, Map<string, Group>>();
  readonly #exact: ReadonlyMap<string, Group>;
  readonly #depths: readonly number[];

  constructor(routes: readonly Route[]) {
    this.routes = routes;
    for (const route of routes) {
      for (const pattern of route.names) this.#add(route, pattern);
    }
    this.#exact = this.#groups.get(0) ?? new Map();
    this.#depths = [...this.#groups.keys()].sort((a, b) => a - b);
  }

  #add(route: Route, pattern: NamePattern): void {
    const depth = pattern.variables.length;
    let bySuffix = this.#groups.get(depth);
    if (bySuffix === undefined) {
      bySuffix = new Map();
      this.#groups.set(depth, bySuffix);
    }
    const group = bySuffix.get(pattern.suffix);
    if (group === undefined) bySuffix.set(pattern.suffix, { pattern, members: [{ route, pattern }] });
    else group.members.push({ route, pattern });
  }

  /** Every pair of routes that one hello could match equally; such a table must not be used. */
  conflicts(): Conflict[] {
    const found: Conflict[] = [];
    for (const bySuffix of this.#groups.values()) {
      for (const { members } of bySuffix.values()) {
        for (const [i, { route: first, pattern }] of members.entries()) {
          for (const { route: second } of members.slice(i + 1)) {
            if (first === second) {
              found.push({ first, second, detail: `names of the shape ${pattern.text} stand there twice` });
              continue;
            }
            const shared = overlap(first, second);
            if (shared !== null)
              found.push({ first, second, detail: `both serve ${pattern.text} with ${shared}` });
          }
        }
      }
    }
    return found;
  }

  match(question: Question): Match {
    const { serverName, own } = question;
    // Names of routes are normalised: a hello's that is one of them needs no look at its characters.
    const exact = own === null && serverName !== null ? this.#exact.get(serverName) : undefined;
    if (exact !== undefined) return choose(exact, noLabels, question);
    const name = serverName === null ? null : normaliseServerName(serverName);
    if (own !== null) return matchOwn(own, name, question);
    if (name === null) {
      const detail = serverName === null ? "the hello names no server" : "the server name is not a DNS name";
      return { ok: false, reason: "unknown_name", detail };
    }
    const labels = name.split(".");
    const group = this.#groupOf(name, labels);
    if (group !== undefined) return choose(group, labels, question);
    return { ok: false, reason: "unknown_name", detail: `no route serves ${name}` };
  }

  /** The most specific name decides; what its routes don't serve, no wider one may. */
  #groupOf(name: string, labels: readonly string[]): Group | undefined {
    for (const depth of this.#depths) {
      if (depth >= labels.length) break;
      const suffix = depth === 0 ? name : labels.slice(depth).join(".");
      const group = this.#groups.get(depth)?.get(suffix);
      if (group !== undefined) return group;
    }
    return undefined;
  }

  /** Why a route does not take this hello on the one port, in words; for `explain`. Not for the chosen route. */
  whyNot(route: Route, question: Question): string {
    if (route.names.length === 0) return `is only on its own port ${route.port}`;
    const name = question.serverName === null ? null : normaliseServerName(question.serverName);
    const labels = name?.split(".") ?? [];
    const pattern = mostSpecific(route, labels);
    if (name === null || pattern === undefined)
      return `serves ${route.names.map(({ text }) => text).join(", ")}`;
    const group = this.#groupOf(name, labels);
    if (group === undefined || group.pattern.variables.length < pattern.variables.length)
      return `serves ${pattern.text}, and ${group?.pattern.text} is more specific`;
    return whyNotAmong(group, route, question);
  }
}

/** The route's most specific name that matches. */
function mostSpecific(route: Route, labels: readonly string[]): NamePattern | undefined {
  return route.names
    .filter(
      ({ variables, suffix }) =>
        labels.length > variables.length && labels.slice(variables.length).join(".") === suffix,
    )
    .sort((a, b) => a.variables.length - b.variables.length)[0];
}

/** Why not this route, when the name is as much its own as the chosen route's. */
function whyNotAmong(group: Group, route: Route, question: Question): string {
  const { alpn, candidates } = candidatesFor(group, question.alpn);
  if (candidates.some((candidate) => candidate.route === route)) return "does not admit this source";
  if (question.alpn.length === 0) {
    return candidates.length === 0
      ? `expects one of the protocols ${route.alpn?.join(", ")}: a hello without ALPN can't choose among several routes`
      : `a hello without ALPN goes to ${candidates[0]?.route.name}`;
  }
  if (alpn === null || !question.alpn.some((id) => route.alpn === null || route.alpn.includes(id)))
    return `serves the protocols ${route.alpn?.join(", ")}`;
  return route.alpn === null
    ? `takes only protocols that no other route of its name serves, and ${candidates[0]?.route.name} serves ${alpn}`
    : `the client prefers ${alpn}, which ${candidates[0]?.route.name} serves`;
}

function overlap(a: Route, b: Route): string | null {
  if (a.sources !== null && b.sources !== null) {
    const others = b.sources;
    if (!a.sources.some((one) => others.some((other) => cidrsOverlap(one, other)))) return null;
  }
  if (a.alpn === null || b.alpn === null) return a.alpn === b.alpn ? "any protocol" : null;
  const shared = a.alpn.find((id) => b.alpn?.includes(id));
  if (shared !== undefined) return `the protocol ${shared}`;
  return a.takesNoAlpn && b.takesNoAlpn ? "a hello without ALPN" : null;
}

function admitsSource({ sources }: Route, question: Question): boolean {
  if (sources === null) return true;
  const { source } = question;
  return sources.some((cidr) => cidrContains(cidr, source));
}

function capture(pattern: NamePattern, labels: readonly string[]): Readonly<Record<string, string>> {
  if (pattern.variables.length === 0) return noCaptures;
  const captures: Record<string, string> = {};
  for (const [i, name] of pattern.variables.entries()) if (name !== null) captures[name] = labels[i] ?? "";
  return captures;
}

function choose(group: Group, labels: readonly string[], question: Question): Match {
  const { alpn, candidates } = candidatesFor(group, question.alpn);
  if (candidates.length === 0) {
    const name = group.pattern.text;
    const detail =
      question.alpn.length === 0
        ? `the hello has no ALPN, and ${name} has several routes`
        : `${name} serves none of: ${question.alpn.join(", ")}`;
    return { ok: false, reason: "no_protocol", detail };
  }
  const chosen = candidates.find(({ route }) => admitsSource(route, question));
  if (chosen === undefined) {
    return {
      ok: false,
      reason: "source_not_allowed",
      detail: `route ${candidates[0]?.route.name} does not admit this source`,
    };
  }
  const { route, pattern } = chosen;
  return { ok: true, route, captures: capture(pattern, labels), alpn: route.terminates ? alpn : null };
}

/** The members that serve the first id, in the client's order, that any of them serves. */
function candidatesFor(
  group: Group,
  offered: readonly string[],
): { alpn: string | null; candidates: Group["members"] } {
  const { members } = group;
  const [first] = members;
  // Most names have one route, which takes whatever comes.
  if (members.length === 1 && (offered.length === 0 || first?.route.alpn === null))
    return { alpn: null, candidates: members };
  for (const id of offered) {
    const candidates = members.filter(({ route }) => route.alpn?.includes(id));
    if (candidates.length > 0) return { alpn: id, candidates };
  }
  if (offered.length === 0) {
    const http = members.filter(({ route }) => route.takesNoAlpn);
    if (http.length > 0) return { alpn: null, candidates: http };
    if (members.every(({ route }) => route === members[0]?.route)) return { alpn: null, candidates: members };
  }
  return { alpn: null, candidates: members.filter(({ route }) => route.alpn === null) };
}

/** On its own listener a route stands alone; its names, if it has any, must still match. */
function matchOwn(route: Route, name: string | null, question: Question): Match {
  let captures = noCaptures;
  if (route.names.length > 0) {
    const labels = name?.split(".") ?? [];
    const pattern = mostSpecific(route, labels);
    if (pattern === undefined) {
      return {
        ok: false,
        reason: "unknown_name",
        detail: `route ${route.name} does not serve ${name ?? "a hello without a name"}`,
      };
    }
    captures = capture(pattern, labels);
  }
  const alpn = question.alpn.find((id) => route.alpn?.includes(id)) ?? null;
  if (alpn === null && question.alpn.length > 0 && route.alpn !== null) {
    return {
      ok: false,
      reason: "no_protocol",
      detail: `route ${route.name} serves none of: ${question.alpn.join(", ")}`,
    };
  }
  if (!admitsSource(route, question)) {
    return {
      ok: false,
      reason: "source_not_allowed",
      detail: `route ${route.name} does not admit this source`,
    };
  }
  return { ok: true, route, captures, alpn: route.terminates ? alpn : null };
}
