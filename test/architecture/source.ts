/** A source file, taken apart as far as the rules need it. */
export interface Source {
  /** From the project's root, with `/`. */
  readonly path: string;
  readonly text: string;
  /** What it imports: relative ones as paths from the root, others as written. */
  readonly imports: readonly string[];
  /** Those of them that are there at run time: `import type` is not. */
  readonly loads: readonly string[];
  /** Those of them that are loaded with the file itself, rather than where the code asks for them. */
  readonly loadsAtOnce: readonly string[];
  /** The code without comments and without what stands in strings. */
  readonly code: string;
}

/** Reads a source apart. `text` is TypeScript, with or without JSX. */
export function parseSource(path: string, text: string): Source {
  const { code, strings } = scan(text);
  const imports: string[] = [];
  const loads: string[] = [];
  const loadsAtOnce: string[] = [];
  // After the scan a string is `"N"`, its place in `strings`.
  const pattern = /(\b(?:import|export)\s+type\s[^;"]*?)?\b(?:from|import|require)\s*\(?\s*"(\d+)"/g;
  for (const [found, type, index] of code.matchAll(pattern)) {
    const specifier = strings[Number(index)] ?? "";
    const target = specifier.startsWith(".") ? resolve(path, specifier) : specifier;
    imports.push(target);
    if (type === undefined) loads.push(target);
    if (type === undefined && !found.includes("(")) loadsAtOnce.push(target);
  }
  return { path, text, imports, loads, loadsAtOnce, code: code.replace(/"\d+"/g, '""') };
}

function resolve(from: string, specifier: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/** Drops comments and takes strings out; the code inside a template's `${}` stays. */
function scan(text: string): { code: string; strings: readonly string[] } {
  const strings: string[] = [];
  let code = "";
  // How many braces are open in each `${}` that the scan is inside of.
  const templates: number[] = [];
  let at = 0;
  const take = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? "";
    at += found.length;
    return found;
  };
  const template = (): void => {
    take(/(?:[^`\\$]|\\[\s\S]|\$(?!\{))*/y);
    if (take(/\$\{/y) === "") at++;
    else templates.push(0);
    code += " ";
  };
  while (at < text.length) {
    // Nothing of what is looked for below begins with any of these.
    code += take(/[^/"'`{}]+/y);
    if (at >= text.length) break;
    if (take(/\/\/[^\n]*|\/\*[\s\S]*?\*\//y) !== "") continue;
    const quoted = take(/"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*'/y);
    if (quoted !== "") {
      code += `"${strings.length}"`;
      strings.push(quoted.slice(1, -1));
      continue;
    }
    // A regular expression stands where a value may begin; a division follows one.
    if (/(?:^|[=(,:[!&|?{};>]|\breturn)\s*$/.test(code.slice(-40))) {
      if (take(/\/(?![/*>])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/y) !== "") {
        code += " ";
        continue;
      }
    }
    const character = text[at++] ?? "";
    const open = templates.length - 1;
    if (character === "`") template();
    else if (character === "}" && templates[open] === 0) {
      templates.pop();
      template();
    } else {
      if (character === "{" && open >= 0) templates[open] = (templates[open] ?? 0) + 1;
      if (character === "}" && open >= 0) templates[open] = (templates[open] ?? 0) - 1;
      code += character;
    }
  }
  return { code, strings };
}
