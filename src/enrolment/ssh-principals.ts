import { isSshPrincipal, type Person } from "../authority/subject.ts";
import { fillIn, parseTemplate, type Template } from "./template.ts";

const slots: readonly string[] = ["cn", "group", "email"];

/** Reads what makes principals of an identity: `{cn}`, `group:{group}`, or a name as it stands. */
export function parseSshPrincipal(text: string): Template | { readonly problem: string } {
  const template = parseTemplate(text);
  if ("problem" in template) return template;
  for (const part of template.parts) {
    if (typeof part === "string" ? !isSshPrincipal(part) : part.path || !slots.includes(part.claim))
      return {
        problem: `${JSON.stringify(text)}: expected text without spaces, quotes, *, ?, ! or #, and {cn}, {group} or {email}`,
      };
  }
  return template;
}

/** Values with a colon, for one, could make another template's principals of themselves: they make none. */
const isPlain = (value: string): boolean => /^[A-Za-z0-9_][A-Za-z0-9._@+-]*$/.test(value);

/** The principals of a person: what can't be one is left out, and nobody is root by their name. */
export function sshPrincipals(templates: readonly Template[], person: Person): readonly string[] {
  const { commonName, groups = [], emails = [] } = person;
  const claims = {
    cn: [commonName].filter(isPlain),
    group: groups.filter(isPlain),
    email: emails.filter(isPlain),
  };
  const made = templates.flatMap((template) => {
    const asItStands = template.parts.every((part) => typeof part === "string");
    return fillIn(template, claims, false).filter(
      (name) => isSshPrincipal(name) && (asItStands || name.toLowerCase() !== "root"),
    );
  });
  return [...new Set(made)];
}
