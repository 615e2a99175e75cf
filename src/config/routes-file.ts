import type { ConfigProblem } from "../errors.ts";
import type { Environment } from "./environment.ts";
import { type Files, textAt } from "./pem.ts";
import { routeName } from "./route-name.ts";
import { routePrefix } from "./variables.ts";

/** A route as it is written down. */
export interface WrittenRoute {
  /** Where it stands, for messages. */
  readonly variable: string;
  readonly name: string;
  /** Its URL. */
  readonly value: string;
}

const file = "SALLYPORT_ROUTES_FILE";
const expected =
  "expected NAME=URL, where NAME is of capitals, digits and single underscores, without SALLYPORT_ROUTE_ in front";

/** `NAME=URL` lines, NAME as after `SALLYPORT_ROUTE_`; empty ones and those that begin with `#` say nothing. */
export function readRoutesFile(
  path: string,
  files: Files,
  env: Environment,
  problems: ConfigProblem[],
): WrittenRoute[] {
  let text: string;
  try {
    text = textAt(path, files, "the path of a file with a route a line");
  } catch (error) {
    problems.push({ name: file, message: error instanceof Error ? error.message : String(error) });
    return [];
  }
  const routes = new Map<string, WrittenRoute>();
  for (const [i, whole] of text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .entries()) {
    const line = whole.trim();
    if (line === "" || line.startsWith("#")) continue;
    const at = line.indexOf("=");
    const key = line.slice(0, Math.max(at, 0)).trim();
    const name = key.startsWith(routePrefix) ? null : routeName(key);
    const problem = (message: string): void => void problems.push({ name: `${file} line ${i + 1}`, message });
    if (name === null) problem(expected);
    else if ((env[`${routePrefix}${key}`] ?? "") !== "")
      problem(`the route ${key} is in the environment too, as ${routePrefix}${key}`);
    else if (routes.has(name)) problem(`the route ${key} stands here twice`);
    else routes.set(name, { variable: `${file} ${key}`, name, value: line.slice(at + 1).trim() });
  }
  return [...routes.values()];
}
