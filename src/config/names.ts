import type { NamePattern } from "../core/route.ts";
import { tunnelName } from "../tunnel/wire.ts";
import { normaliseServerName } from "../wire/server-name.ts";

const variableLabel = /^\{([a-z][a-z0-9_]*)\}$/;

/** Reads a name as `sni=` takes it. */
export function parseNamePattern(text: string): NamePattern | { readonly problem: string } {
  const labels = text.replace(/\.$/, "").split(".");
  const variables: (string | null)[] = [];
  while (labels.length > 0 && (labels[0] === "*" || variableLabel.test(labels[0] ?? ""))) {
    const label = labels.shift() ?? "";
    variables.push(label === "*" ? null : (variableLabel.exec(label)?.[1] ?? null));
  }
  const named = variables.filter((name) => name !== null);
  if (new Set(named).size < named.length) return { problem: `${text} captures one name twice` };
  if (labels.length === 0)
    return { problem: `${text} has no literal label: expected a name such as *.example.com` };
  const literal = labels.join(".");
  if (/[*{}]/.test(literal)) {
    return {
      problem: `${text}: * and {name} stand for whole labels in front of a name, such as *.example.com`,
    };
  }
  const suffix = normaliseServerName(toAscii(literal));
  if (suffix === null) {
    return {
      problem: `${JSON.stringify(text)} is no DNS name: expected one such as a.example.com (IP addresses can't be asked for in SNI)`,
    };
  }
  const front = variables.map((name) => (name === null ? "*" : `{${name}}`));
  return { text: [...front, suffix].join("."), variables, suffix };
}

/**
 * IDNA: the URL parser of every runtime knows the A-label of an internationalised name. It is shown letters,
 * digits and hyphens alone, since it drops in silence what is no part of a host.
 */
function toAscii(name: string): string {
  if (/^[\x20-\x7e]*$/.test(name) || !/^[\p{L}\p{M}\p{N}._-]+$/u.test(name)) return name;
  try {
    return new URL(`http://${name}`).hostname;
  } catch {
    return name;
  }
}

/** A name of an agent or a service: one label, in which captures may stand for some of it. */
export const isTunnelTemplate = (text: string): boolean => tunnelName.test(text.replace(placeholder, "x"));

const placeholder = /\{[a-z][a-z0-9_]*\}/g;

/**
 * A host name that may hold captures. It must end in a literal label: clients choose what is captured, and
 * resolvers read `2130706433` or `127.1` as an address.
 */
export function parseHostTemplate(text: string): string | { readonly problem: string } {
  const ascii = toAscii(text);
  if (normaliseServerName(ascii.replace(placeholder, "x")) === null)
    return { problem: `${JSON.stringify(text)} is no host: expected a DNS name such as db.internal` };
  if (/\}[^.]*\.?$/.test(ascii)) {
    return {
      problem: `${JSON.stringify(text)} ends in a capture: expected a literal label last, such as internal`,
    };
  }
  return ascii;
}
