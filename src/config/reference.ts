import { parameters } from "./parameters.ts";
import { providerParameters } from "./provider-url.ts";
import type { SchemeInfo } from "./scheme.ts";
import { providerPrefix, routePrefix, variables } from "./variables.ts";

/** The tables of docs/configuration.md, made from what the program reads: the two can't drift apart. */

const code = (text: string): string => `\`${text}\``;

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

function variableTable(): string {
  const rows = Object.entries(variables).map(([name, { fallback, meaning }]) => [
    code(name),
    fallback === null ? "" : code(fallback),
    meaning,
  ]);
  return table(
    ["variable", "default", "meaning"],
    [
      ...rows,
      [
        code(`${routePrefix}<NAME>`),
        "",
        "one route, as a URL; `<NAME>` in lower case, `_` as `-`, is its name",
      ],
      [
        code(`${providerPrefix}<NAME>`),
        "",
        "one OpenID provider that vouches for people or machines, as a URL",
      ],
    ],
  );
}

function parameterTable(): string {
  const rows = Object.entries(parameters).map(([name, { meaning, many, onlyOn, ...rest }]) => [
    code(name),
    meaning,
    many === true ? "yes" : "",
    onlyOn?.map(code).join(" ") ??
      (rest.databaseOnly === true ? "databases" : rest.terminatedOnly === true ? "all but `tls`" : "all"),
  ]);
  return table(["parameter", "meaning", "may repeat", "on schemes"], rows);
}

function providerTable(): string {
  const rows = Object.entries(providerParameters).map(([name, { meaning, many }]) => [
    code(name),
    meaning,
    many === true ? "yes" : "",
  ]);
  return table(["parameter", "meaning", "may repeat"], rows);
}

function schemeTable(schemes: readonly SchemeInfo[]): string {
  const rows = schemes.map((info) => [
    code(info.scheme),
    info.defaultPort === null ? "" : String(info.defaultPort),
    info.defaultAlpn?.map(code).join(" ") ?? "any that no other route of its name serves",
    info.terminates ? "terminated" : "passed through",
    info.terminates ? code(info.defaultUpstreamTls) : "",
  ]);
  return table(["scheme", "upstream's port", "`alpn` unless set", "TLS", "`upstream_tls` unless set"], rows);
}

/**
 * A document with its tables made anew: each stands between `<!-- table: NAME -->` and `<!-- end -->`, NAME
 * being `variables`, `parameters`, `providers` or `schemes`.
 *
 * @throws Error where a marker names no table
 */
export function withTables(document: string, schemes: readonly SchemeInfo[]): string {
  const tables: Readonly<Record<string, string>> = {
    variables: variableTable(),
    parameters: parameterTable(),
    providers: providerTable(),
    schemes: schemeTable(schemes),
  };
  return document.replace(/(<!-- table: (\w+) -->\n)[\s\S]*?(<!-- end -->)/g, (_, open, name, close) => {
    const made = tables[name];
    if (made === undefined) throw new Error(`there is no table ${name}`);
    return `${open}\n${made}\n\n${close}`;
  });
}
