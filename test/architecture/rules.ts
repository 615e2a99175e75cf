import type { Source } from "./source.ts";

/** A rule of the house. `check` says what breaks it in one file, if anything does. */
export interface Rule {
  readonly name: string;
  check(source: Source): readonly string[];
}

const under =
  (...folders: readonly string[]) =>
  (path: string): boolean =>
    folders.some((folder) => path === folder || path.startsWith(`${folder}/`));

const parser = (path: string): boolean =>
  under("src/wire")(path) || (under("src")(path) && path.endsWith("/wire.ts"));
/** Around a library, whose memory it looks into; and that library's code. */
const llhttp = "src/wire/http1/llhttp.ts";
const llhttpCode = "src/wire/http1/llhttp-wasm.cjs";
const adapterOf = (path: string): string | undefined => /^src\/adapters\/([^/]+)\//.exec(path)?.[1];
const builtIn = (specifier: string): boolean => specifier.startsWith("node:");
const workersOwn = (specifier: string): boolean => specifier.startsWith("cloudflare:");
const packageOf = (specifier: string): string =>
  specifier
    .split("/")
    .slice(0, specifier.startsWith("@") ? 2 : 1)
    .join("/");

/** What may be imported, file by file. */
function imports(
  name: string,
  applies: (path: string) => boolean,
  forbidden: (specifier: string, path: string) => boolean,
): Rule {
  return {
    name,
    check: ({ path, imports: found }) =>
      applies(path)
        ? found
            .filter((specifier) => forbidden(specifier, path))
            .map((specifier) => `${path} imports ${specifier}`)
        : [],
  };
}

/** What may not stand in the code, comments and strings aside. */
function code(name: string, applies: (path: string) => boolean, forbidden: RegExp): Rule {
  return {
    name,
    check: ({ path, code: text }) =>
      applies(path) ? [...text.matchAll(forbidden)].map(([found]) => `${path} has ${found.trim()}`) : [],
  };
}

const shipped = under("src", "routes");
const anything = (): boolean => true;

/** The rules that hold file by file; docs/architecture.md says why. `dependencies` are the published ones. */
export function rules(dependencies: readonly string[]): readonly Rule[] {
  return [
    imports(
      "parsers import only parsers and errors",
      parser,
      (specifier, path) =>
        !under("src/wire", "src/errors.ts")(specifier) &&
        !(path === llhttpCode && packageOf(specifier) === "undici"),
    ),
    imports(
      "one place knows undici, and of that the parser alone",
      shipped,
      (specifier, path) =>
        packageOf(specifier) === "undici" &&
        !(path === llhttpCode && specifier === "undici/lib/llhttp/llhttp_simd-wasm.js"),
    ),
    code(
      "parsers are pure: no waiting, no clock, no globals",
      (path) => parser(path) && path !== llhttp,
      /\b(?:async|await|Promise|Buffer|process|console|performance|crypto|globalThis|fetch)\b|\bDate\s*\.\s*now\b|\bnew Date\b(?!\s*\(\s*[^)\s])|\bset(?:Timeout|Interval|Immediate)\b/g,
    ),
    imports(
      "the core is given its adapters, runtime and configuration",
      under("src/core"),
      (specifier) =>
        under("src/adapters", "src/runtime", "src/config", "src/cli", "routes")(specifier) ||
        ["zod", "hono"].includes(packageOf(specifier)),
    ),
    imports(
      "an adapter knows no other adapter and no runtime",
      (path) => under("src/adapters")(path) && path !== "src/adapters/registry.ts",
      (specifier, path) =>
        under("src/runtime")(specifier) ||
        (adapterOf(specifier) !== undefined && adapterOf(specifier) !== adapterOf(path)),
    ),
    imports(
      "identities are judged without runtime, configuration or adapters",
      under("src/identity"),
      (specifier) => under("src/runtime", "src/config", "src/adapters", "src/cli")(specifier),
    ),
    imports(
      "certificates are granted without runtime, configuration or adapters",
      under("src/enrolment"),
      (specifier) => under("src/runtime", "src/config", "src/adapters", "src/cli", "routes")(specifier),
    ),
    imports(
      "browsers sign in without runtime, configuration or adapters",
      under("src/sign-in"),
      (specifier) => under("src/runtime", "src/config", "src/adapters", "src/cli", "routes")(specifier),
    ),
    imports(
      "lists of what is revoked are kept current without runtime, configuration or adapters",
      under("src/revocation"),
      (specifier) => under("src/runtime", "src/config", "src/adapters", "src/cli")(specifier),
    ),
    imports("limits know no runtime, configuration or adapters", under("src/limits"), (specifier) =>
      under("src/runtime", "src/config", "src/adapters", "src/cli", "routes")(specifier),
    ),
    imports("reloads are prepared without runtime or adapters", under("src/reload"), (specifier) =>
      under("src/runtime", "src/adapters", "src/cli")(specifier),
    ),
    imports(
      "servers are chosen without runtime, configuration or adapters",
      under("src/upstream"),
      (specifier) => under("src/runtime", "src/config", "src/adapters", "src/cli")(specifier),
    ),
    imports(
      "the status is collected without runtime, configuration or adapters",
      under("src/status"),
      (specifier) => under("src/runtime", "src/config", "src/adapters", "src/cli", "routes")(specifier),
    ),
    imports(
      "audit records are written without runtime, configuration or adapters",
      under("src/audit"),
      (specifier) => under("src/runtime", "src/config", "src/adapters", "src/cli", "routes")(specifier),
    ),
    imports(
      "the OpenTelemetry SDK is loaded where export was asked for alone",
      (path) => shipped(path) && !under("src/otlp")(path),
      (specifier) => specifier.startsWith("@opentelemetry/"),
    ),
    imports(
      "nothing but the entry needs the command line",
      (path) => shipped(path) && !under("src/cli", "src/main.ts")(path),
      under("src/cli"),
    ),
    imports(
      "node: modules appear only in the runtime layer and the commands",
      (path) => shipped(path) && !under("src/runtime", "src/cli")(path),
      builtIn,
    ),
    code(
      "the globals of Deno and Bun appear only in the runtime layer and the commands",
      (path) => shipped(path) && !under("src/runtime", "src/cli")(path),
      /\b(?:Deno|Bun)\b/g,
    ),
    imports(
      "the web apps and the edge entry know no runtime",
      under("routes", "src/edge", "src/worker.ts"),
      (specifier) => under("src/runtime", "src/cli")(specifier),
    ),
    imports(
      "what Workers alone have is for the edge entry",
      (path) => shipped(path) && path !== "src/worker.ts",
      workersOwn,
    ),
    imports(
      "the client side, the tunnels and what is between routers are given their runtime",
      under("src/local", "src/websocket", "src/tunnel", "src/peer"),
      (specifier) => under("src/runtime", "src/config", "src/adapters", "src/cli")(specifier),
    ),
    imports("what routers share is kept without runtime or configuration", under("src/state"), (specifier) =>
      under("src/runtime", "src/config", "src/cli", "routes")(specifier),
    ),
    imports(
      "one place knows the client of Redis",
      (path) => shipped(path) && path !== "src/state/redis-link.ts",
      (specifier) => packageOf(specifier) === "@redis/client",
    ),
    imports("certificates are ordered without runtime or adapters", under("src/acme"), (specifier) =>
      under("src/runtime", "src/adapters", "src/cli", "routes")(specifier),
    ),
    imports(
      "one place knows the client of ACME",
      (path) => shipped(path) && !under("src/acme")(path),
      (specifier) => packageOf(specifier) === "acme-client",
    ),
    imports(
      "what a service manager says is read without runtime, configuration or adapters",
      under("src/service-manager"),
      (specifier) => under("src/runtime", "src/config", "src/adapters", "src/cli")(specifier),
    ),
    imports("workers are given their runtime", under("src/workers"), (specifier) =>
      under("src/runtime", "src/cli", "routes")(specifier),
    ),
    code(
      "the environment is read only by the entry and the commands",
      (path) => shipped(path) && !under("src/main.ts", "src/cli")(path),
      /\bprocess\s*\.\s*env\b|\b(?:Deno|Bun)\s*\.\s*env\b|\bimport\.meta\.env\b/g,
    ),
    code("only commands use the console", (path) => shipped(path) && !under("src/cli")(path), /\bconsole\b/g),
    code(
      "standard output and error belong to the commands and the runtime layer",
      (path) => shipped(path) && !under("src/cli", "src/runtime")(path),
      /\bprocess\s*\.\s*std(?:out|err)\b/g,
    ),
    imports(
      "what is published imports only published dependencies",
      shipped,
      (specifier) =>
        !under("src", "routes")(specifier) &&
        !builtIn(specifier) &&
        !workersOwn(specifier) &&
        !dependencies.includes(packageOf(specifier)),
    ),
    imports("tests are imported only by tests", shipped, under("test")),
    imports("everything names its files in full", anything, (specifier) =>
      /^(?:src|routes|test)\//.test(specifier) ? !/\.(?:tsx?|[cm]?js)$/.test(specifier) : false,
    ),
    {
      name: "file names are in kebab case and say what is inside",
      check: ({ path }) => {
        const parts = path.split("/");
        const odd = parts.some(
          (part) => !/^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.test|\.d)?(?:\.tsx?|\.c[jt]s)?$/.test(part),
        );
        const vague = /(?:^|[/-])(?:utils?|helpers?|common|misc)\b/.test(path);
        return odd || vague ? [path] : [];
      },
    },
    {
      name: "no file is longer than 400 lines",
      check: ({ path, text }) => {
        const lines = text.split("\n").length - 1;
        return shipped(path) && lines > 400 ? [`${path} has ${lines}`] : [];
      },
    },
    {
      name: "nothing is put off and no check is switched off",
      check: ({ path, text }) =>
        under("test/architecture")(path)
          ? []
          : [
              ...text.matchAll(
                /\b(?:TODO|FIXME|XXX|HACK)\b|@ts-(?:ignore|expect-error|nocheck)|biome-ignore|deno-lint-ignore/g,
              ),
            ].map(([found]) => `${path} has ${found}`),
    },
    code(
      "tests are skipped by their options, which every runtime reports, and none is run alone",
      under("test"),
      /\bt\s*\.\s*(?:skip|todo|test)\s*\(|\b(?:it|describe|test)\s*\.\s*(?:only|todo)\b|\bonly\s*:\s*true/g,
    ),
  ];
}

/** The import cycles among the files, types aside, each as a path that comes back to its start. */
export function cycles(sources: readonly Source[]): readonly string[] {
  const graph = new Map(sources.map(({ path, loads }) => [path, loads]));
  const done = new Set<string>();
  const found: string[] = [];
  const visit = (path: string, trail: readonly string[]): void => {
    const start = trail.indexOf(path);
    if (start >= 0) found.push([...trail.slice(start), path].join(" -> "));
    if (start >= 0 || done.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return found;
}

/** What is loaded, files and packages, once these files are, before their code asks for more. */
export function loadedWith(entries: readonly string[], sources: readonly Source[]): ReadonlySet<string> {
  const graph = new Map(sources.map(({ path, loadsAtOnce }) => [path, loadsAtOnce]));
  const loaded = new Set<string>();
  const load = (path: string): void => {
    if (loaded.has(path)) return;
    loaded.add(path);
    for (const next of graph.get(path) ?? []) load(next);
  };
  for (const entry of entries) load(entry);
  return loaded;
}

/** The relative links of a Markdown page, as paths from the root. */
export function links(path: string, text: string): readonly string[] {
  const prose = text.replace(/^```[\s\S]*?^```/gm, "").replace(/`[^`\n]*`/g, "");
  return [...prose.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => new URL(target, `file:///${path}`).pathname.slice(1));
}
